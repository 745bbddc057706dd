#!/bin/sh
# What the README shows is what the program prints.
. "${0%/*}/lib.sh"

run walk scenarios/first-steps.json --gva 0x400123
sed -n '/^\$ nestwalk walk /,/^```$/p' README.md | sed -e '1d' -e '/^```$/d' -e '/^\.\.\.$/d' >"$SCRATCH/picture"
missing=0
while IFS= read -r line; do
    grep -qxF -- "$line" "$out" || {
        missing=$((missing + 1))
        echo "  not printed: $line"
    }
done <"$SCRATCH/picture"
ok "the picture of a walk has lines" test "$(wc -l <"$SCRATCH/picture")" -gt 10
ok "the picture of a walk is printed as shown" test $missing = 0

run replay scenarios/traces/gzip.nwtrace.xz --format csv
ok "the shipped trace is as its page says" test \
    "$(value accesses) $(value trace.guest_events) $(value trace.truncated)" = "2578182 18 0"
