#!/bin/sh
# Compiles the data plane for aarch64 and puts the test vectors to it under QEMU. As root, on Debian: the cross compiler,
# QEMU and that architecture's libcrypto are fetched by apt; nothing of the other architecture is installed.
#
#   make cross
set -eu

cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
ARCH=arm64
folder=$PWD/build/cross

say() { printf 'cross: %s\n' "$*" >&2; }

missing=
command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing gcc-aarch64-linux-gnu libc6-dev-$ARCH-cross"
command -v qemu-aarch64 >/dev/null || missing="$missing qemu-user"
if [ -n "$missing" ]; then
    say "Debian packages:$missing"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
fi

if ! ls "$folder"/root/usr/lib/aarch64-linux-gnu/libcrypto.so.* >/dev/null 2>&1; then
    say "libcrypto of $ARCH"
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root"
    touch "$folder/state/status"
    fetch() {
        apt-get -qq -o APT::Architecture=$ARCH -o APT::Architectures=$ARCH -o Dir::State="$folder/state" \
            -o Dir::State::status="$folder/state/status" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root "$@"
    }
    fetch update
    (cd "$folder/cache" && fetch download libssl3)
    dpkg-deb -x "$folder"/cache/libssl3_*.deb "$folder/root"
fi

VOSCTL_CROSS=$folder/root VOSCTL_REQUIRE_REAL=1 exec "$VENV/bin/python" -m pytest -n0 tests/cross
