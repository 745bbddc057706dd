#!/bin/sh
# diff: the first difference of two logs, or of two files of outcomes.
. "${0%/*}/lib.sh"

scenario=tests/sim/data/walk/small-two-level.json
"$NESTWALK" run "$scenario" --events "$SCRATCH/log" --outcomes "$SCRATCH/outcomes" --quiet >/dev/null

run diff "$SCRATCH/log" "$SCRATCH/log"
ok "a log and itself" exits 0 "$out" "no difference"
run diff "$SCRATCH/outcomes" "$SCRATCH/outcomes"
ok "outcomes and themselves" exits 0 "$out" "5 lines of outcomes"

sed 's/"value":"0x1d"/"value":"0x1e"/' "$SCRATCH/outcomes" >"$SCRATCH/other"
run diff "$SCRATCH/outcomes" "$SCRATCH/other"
ok "another value" exits 1 "$out" "outcomes:1:" "$out" "other:1:" "$out" '"0x1d"  |  "0x1e"'
run diff "$SCRATCH/outcomes" "$SCRATCH/other" --format json
ok "as data" exits 1 "$out" '"same": false' "$out" '{ "name": "value", "a": "0x1d", "b": "0x1e" }'
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null
run diff "$SCRATCH/outcomes" "$SCRATCH/other" --format csv
ok "as CSV" exits 1 "$out" '1,1,"value","""0x1d""","""0x1e"""'

# The second walk's second entry: what led there are its access and its first entry.
line=$(grep -n '"event":"ref"' "$SCRATCH/log" | sed -n '4s/:.*//p')
sed "${line}s/\"value\":\"0x7f\"/\"value\":\"0x9f\"/" "$SCRATCH/log" >"$SCRATCH/other"
run diff "$SCRATCH/log" "$SCRATCH/other"
ok "another entry read, and the walk that led there" exits 1 "$out" "log:$line:" \
    "$out" "other:$line:" "$out" "the same in both" "$out" '  {"t":202,"cpu":0,"event":"access"' \
    "$out" '"address":"0x22a","value":"0xac"'
ok "but not the walk before" test "$(grep -c '"event":"access"' "$out")" = 1

# What an exit and a hypervisor's work are, in words.
cat >"$SCRATCH/nested.json" <<'END'
{ "version": 1, "vms": [ { "mode": "nested", "memory": "16MiB", "processes": [
  { "map": [ { "gva": "0x400000", "size": "64KiB" } ] } ] } ],
  "script": [ { "do": "access", "gva": "0x400000" } ] }
END
"$NESTWALK" run "$SCRATCH/nested.json" --events "$SCRATCH/nested" --quiet >/dev/null
sed 's/"detail":"second_stage_violation"/"detail":"log_full"/' "$SCRATCH/nested" >"$SCRATCH/other"
run diff "$SCRATCH/nested" "$SCRATCH/other"
ok "exits in words" exits 1 "$out" "a second stage has no such page" "$out" "log is full"
sed 's/"detail":"map"/"detail":"split"/' "$SCRATCH/nested" >"$SCRATCH/other"
run diff "$SCRATCH/nested" "$SCRATCH/other" --format json
ok "the hypervisor's work too" exits 1 "$out" '"a_is": "maps a page in the second stage"' \
    "$out" '"b_is": "splits a large page"'
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null

head -n 3 "$SCRATCH/outcomes" >"$SCRATCH/other"
run diff "$SCRATCH/outcomes" "$SCRATCH/other"
ok "a file that ends" exits 1 "$out" "other ends after line 3" "$out" "outcomes:4:"
sed 's/,/ , /g; s/:/ : /g' "$SCRATCH/outcomes" >"$SCRATCH/other"
run diff "$SCRATCH/outcomes" "$SCRATCH/other"
ok "spaces are no difference" exits 0
printf '{"gpa":"0x6ac","i":0,"value":"0x1d","outcome":"ok"}\n' >"$SCRATCH/other"
head -n 1 "$SCRATCH/outcomes" | "$NESTWALK" diff - "$SCRATCH/other" >"$out" 2>"$err"
code=$?
ok "nor is the order of keys; one side may be standard input" exits 0
: >"$SCRATCH/empty"
run diff "$SCRATCH/empty" "$SCRATCH/empty"
ok "two empty files" exits 0
run diff "$SCRATCH/outcomes" "$SCRATCH/empty"
ok "an empty and a full one" exits 1 "$out" "empty ends after line 0"

run diff "$SCRATCH/outcomes" "$SCRATCH/log"
ok "a log and outcomes" exits 2 "$err" "two of a kind"
run diff "$scenario" "$SCRATCH/log"
ok "neither of the two" exits 2 "$err" "no JSON object"
run diff "$SCRATCH/none" "$SCRATCH/log"
ok "a file that is not there" exits 2 "$err" "none"
run diff "$SCRATCH" "$SCRATCH/log"
ok "a folder" exits 2 "$err" "directory"
run diff "$SCRATCH/log"
ok "one file is not enough" exits 2 "$err" "usage: nestwalk diff"
if [ -e /dev/full ]; then
    sed 's/"address":"0x/"address":"0x1/' "$SCRATCH/log" >"$SCRATCH/other"
    "$NESTWALK" diff "$SCRATCH/log" "$SCRATCH/other" >/dev/full 2>"$err"
    code=$?
    ok "a difference that can't be written is no answer" exits 3 "$err" "No space left"
fi
