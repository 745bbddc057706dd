#!/bin/sh
# What the README shows is what the program prints.
. "${0%/*}/lib.sh"

# shown FILE: how many lines of the picture in the file the last run did not print.
shown() {
    missing=0
    while IFS= read -r line; do
        grep -qxF -- "$line" "$out" || {
            missing=$((missing + 1))
            echo "  not printed: $line"
        }
    done <"$1"
    [ "$(wc -l <"$1")" -gt "$2" ] && [ $missing = 0 ]
}

grep '^\$ nestwalk walk ' README.md >"$SCRATCH/commands"
while IFS= read -r command; do
    # shellcheck disable=SC2086 # several words
    run ${command#"\$ nestwalk "}
    awk -v command="$command" '$0 == command { on = 1; next } /^```$/ { on = 0 } on && !/^\.\.\.$/' \
        README.md >"$SCRATCH/picture"
    ok "README shows what is printed: ${command#"\$ nestwalk "}" shown "$SCRATCH/picture" 6
done <"$SCRATCH/commands"
ok "there are two such pictures" test "$(wc -l <"$SCRATCH/commands")" = 2

run walk scenarios/first-steps.json --mode nested --gva 0x400123 --cold
sed -n '/^guest  host PGD/,/^```$/p' docs/MODEL.md | sed '/^```$/d' >"$SCRATCH/picture"
ok "the model's picture of a nested walk is printed as shown" shown "$SCRATCH/picture" 5

run replay scenarios/traces/gzip.nwtrace.xz --format csv
ok "the shipped trace is as its page says" test \
    "$(value accesses) $(value trace.guest_events) $(value trace.truncated)" = "2578182 18 0"
