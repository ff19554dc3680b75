#!/bin/sh
# Makes .venv with the package and its locked tools, the C data plane compiled, and the Debian packages that
# are missing. As root it installs them; without root it prints the line to run and goes on with what is there.
#
#   PYTHON=python3.12 VENV=.venv scripts/setup.sh          what vosctl itself and its demo need
#   VENV=.venv scripts/setup.sh tests                      after it: what only tests, benches and fuzzers need
#   scripts/setup.sh peers                                 .venv-peers: the tools that the push benches compare with
set -eu

cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

good() { # is $1 a Python that vosctl can use?
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if good "$name"; then
            command -v "$name"
            return
        fi
        if [ "$name" = python3 ] && command -v python3 >/dev/null 2>&1; then
            say "setup: $(python3 --version 2>&1) is too old, vosctl needs 3.10 or newer; looking for another one"
        fi
    done
    say "setup: no Python 3.10 or newer on PATH. Install one, or name it: make setup PYTHON=/path/to/python3"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

fuzzer_runtime() { # libFuzzer's package carries the number of the system's clang
    number=$(clang -dumpversion 2>/dev/null | cut -d. -f1)
    printf 'libclang-rt-%s-dev' "${number:-14}"
}

missing_packages() {
    has gcc || has cc || has clang || printf ' gcc'
    [ -e /usr/include/stdlib.h ] || printf ' libc6-dev'
    "$python" -c 'import ensurepip, venv' 2>/dev/null || printf ' python3-venv'
    has ip || printf ' iproute2'
    has iptables || printf ' iptables'
    has ipset || printf ' ipset'
    has sshd || printf ' openssh-server'
    has ssh || printf ' openssh-client'
    has conntrack || printf ' conntrack'
    has tcpdump || printf ' tcpdump'
    has ps || printf ' procps'
    has nsenter || printf ' util-linux'
}

missing_for_tests() { # peers and tools that only tests, benches and fuzzers drive
    has sudo || printf ' sudo'
    has kamailio || printf ' kamailio'
    has sipp || printf ' sip-tester'
    has sipsak || printf ' sipsak'
    has curl || printf ' curl'
    has rtpengine || printf ' rtpengine-daemon'
    [ -e /usr/include/srtp2/srtp.h ] || printf ' libsrtp2-dev'
    [ -e /usr/include/openssl/evp.h ] || printf ' libssl-dev'
    has systemd-analyze || printf ' systemd'
    has clang || printf ' clang'
    has ansible-vault || printf ' ansible-core'
    has java || printf ' default-jre-headless'
    has debootstrap || printf ' debootstrap'
    has dnf || printf ' dnf'
    has rpmbuild || printf ' rpm'
    has createrepo_c || printf ' createrepo-c'
    has aarch64-linux-gnu-gcc || printf ' gcc-aarch64-linux-gnu'
    [ -e /usr/aarch64-linux-gnu/include/stdlib.h ] || printf ' libc6-dev-arm64-cross'
    ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 || printf " $(fuzzer_runtime)"
}

install_packages() { # what the function $1 finds missing
    packages=$($1)
    [ -n "$packages" ] || return 0
    if ! has apt-get; then
        say "setup: missing:$packages (these are Debian's names; install what your system calls them)"
    elif [ "$(id -u)" != 0 ]; then
        say "setup: some Debian packages are missing; this line installs them:"
        say "    sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends$packages'"
    else
        say "setup: Debian packages:$packages"
        apt_install $packages
        case "$packages" in
            *openssh-server*)
                # Only its program is needed, by hosts of their own; the machine's own login is its owner's choice.
                [ ! -d /run/systemd/system ] || say "setup: sshd would start at boot now; if not wanted: systemctl disable ssh"
                ;;
        esac
        packages=$($1)
        [ -n "$packages" ] || return 0
    fi
    case "$packages " in
        *" gcc "* | *" libc6-dev "* | *" python3-venv "*)
            say "setup: nothing works without gcc, libc6-dev and python3-venv"
            exit 1
            ;;
    esac
    say "setup: going on without$packages; what needs them is skipped, and says so"
}

apt_install() {
    # No daemon may start just because its program is wanted: policy-rc.d is Debian's way to say so.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || say "setup: apt-get update failed, see above"
    apt-get -qq install -y --no-install-recommends "$@" >/dev/null && return
    say "setup: not all at once, so one by one: a name that this system does not know holds up nothing else"
    for package in "$@"; do
        apt-get -qq install -y --no-install-recommends "$package" >/dev/null || say "setup: no $package, see above"
    done
}

peers() { # ansible-core and pyinfra, with the newest Python there is: ansible-core's last release asks for one
    for name in python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3 python3; do
        if good "$name" && "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            say "setup: $($name --version) into .venv-peers, for the benches alone"
            "$name" -m venv --clear .venv-peers
            .venv-peers/bin/python -m pip install -qq --disable-pip-version-check -r bench/requirements-peers.lock
            cp bench/requirements-peers.lock .venv-peers/.ready
            return
        fi
    done
}

if [ "${1:-}" = peers ]; then
    cmp -s bench/requirements-peers.lock .venv-peers/.ready || peers
    exit 0
fi
if [ "${1:-}" = tests ]; then
    install_packages missing_for_tests
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check -r requirements-spark.lock
    touch "$VENV/.ready-tests"
    exit 0
fi
python=$(find_python)
install_packages missing_packages
say "setup: Python packages into $VENV"
[ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV"
"$VENV/bin/python" -m pip install -qq --disable-pip-version-check -r requirements-dev.lock
say "setup: vosctl and its C data plane"
"$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$VENV/.ready"
say "setup: $("$VENV/bin/vosctl" --version 2>/dev/null || echo vosctl) in $VENV, $("$VENV/bin/python" --version)"
