#!/bin/sh
# Hostile input for SECONDS (60) to each parser: packets under AddressSanitizer and UndefinedBehaviorSanitizer by
# libFuzzer, NG messages and SDPs by a generator of bent texts. A finding is printed and the exit code is not 0.
set -eu
cd "$(dirname "$0")/.."
SECONDS_EACH=${SECONDS_EACH:-60}
VENV=${VENV:-.venv}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
plane=vosctl/relay/media/dataplane
clang -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -I$plane -o "$out/packet" $plane/*.c tests/fuzz/packet_fuzz.c -ldl -lpthread
mkdir "$out/corpus"
"$VENV/bin/python" tests/fuzz/text_fuzz.py "$SECONDS_EACH" &
text=$!
"$out/packet" -max_total_time="$SECONDS_EACH" -max_len=1600 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="${ARTIFACTS:-$out}/" "$out/corpus" >"$out/log" 2>&1 || { tail -40 "$out/log"; kill $text; exit 1; }
printf 'packets: %s cases, nothing found\n' "$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/log")"
wait $text
