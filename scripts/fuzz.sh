#!/bin/sh
# Hostile input for SECONDS_EACH (60) to each part: packets, SRTP and the packet's whole path by libFuzzer under
# AddressSanitizer and UndefinedBehaviorSanitizer; NG messages, SDPs, WAVs and dialogues by Atheris, or without it by
# a generator of bent texts. A finding is printed, and the exit code is not 0.
set -eu
cd "$(dirname "$0")/.."
SECONDS_EACH=${SECONDS_EACH:-60}
VENV=${VENV:-.venv}
out=$(mktemp -d)
ARTIFACTS=${ARTIFACTS:-$out}
trap 'rm -rf "$out"' EXIT
plane=vosctl/relay/media/dataplane
flags="-std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -I$plane"

objects() { # the data plane, compiled once for the three targets
    mkdir "$out/plane"
    for source in "$plane"/*.c; do
        # shellcheck disable=SC2086
        clang $flags -c -o "$out/plane/$(basename "$source" .c).o" "$source"
    done
}

link() { # target, further flags
    target=$1
    shift
    # shellcheck disable=SC2086
    clang $flags -fsanitize=fuzzer "$@" -o "$out/$target" "tests/fuzz/${target}_fuzz.c" "$out"/plane/*.o -ldl -lpthread
}

fuzz() { # target, what it is, its command
    target=$1 what=$2
    shift 2
    mkdir "$out/corpus-$target"
    "$@" "$out/corpus-$target" -max_total_time="$SECONDS_EACH" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$ARTIFACTS/$target-" >"$out/$target.log" 2>&1 || { tail -40 "$out/$target.log"; return 1; }
    printf '%s: %s cases, nothing found\n' "$what" "$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$out/$target.log")"
}

texts() {
    if "$VENV/bin/python" -c 'import atheris' 2>/dev/null; then
        fuzz text "NG, SDP and sound" "$VENV/bin/python" tests/fuzz/guided_fuzz.py -max_len=6000
    else
        "$VENV/bin/python" tests/fuzz/text_fuzz.py "$SECONDS_EACH"
    fi
}

objects
link packet
link srtp
link path -Wl,--wrap=vos_now_us,--wrap=send,--wrap=sendto,--wrap=sendmsg
texts &
first=$!
failed=0
fuzz packet packets "$out/packet" -max_len=1600 || failed=1
fuzz srtp SRTP "$out/srtp" -max_len=1600 || failed=1
fuzz path "the packet's path" "$out/path" -max_len=4000 || failed=1
wait $first || failed=1
exit $failed
