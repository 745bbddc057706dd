#!/bin/sh
# check: diagnostics of scenario files.
. "${0%/*}/lib.sh"

good=tests/sim/data/scenarios/minimal.json
cat >"$SCRATCH/bad.json" <<'END'
{
  "version": 1,
  "machin": {},
  "vms": [ { "mode": "nativ" } ]
}
END

run check "$good"
ok "a good file" exits 0 "$out" "nothing is wrong"
run check "$SCRATCH/bad.json"
ok "a bad file, with all that is wrong" \
    exits 2 "$err" "bad.json:3:3: " "$err" "machine" "$err" "bad.json:4:" "$err" "native" "$err" "^"
run check "$good" "$SCRATCH/bad.json"
ok "a good and a bad file" exits 2 "$out" "minimal.json: nothing is wrong" "$err" "bad.json:3:"
run check --format json "$SCRATCH/bad.json"
ok "diagnostics as data" exits 2 "$out" '"line": 3' "$out" '"pointer": "/vms/0/mode"'
ok "and nothing on standard error" test ! -s "$err"
run check "$SCRATCH/none.json"
ok "a file that is not there" exits 2 "$err" "none.json"
run check
ok "no file at all" exits 2 "$err" "usage: nestwalk check"

wrong=0 n=0
for file in tests/sim/data/scenarios/*.json; do
    n=$((n + 1))
    "$NESTWALK" check --quiet "$file" || wrong=$((wrong + 1))
done
code=$wrong
ok "all $n scenarios of the tests are good" exits 0
if [ -d scenarios ]; then
    for file in scenarios/*.json; do
        [ -e "$file" ] || continue
        run check "$file"
        ok "$file is good" exits 0
    done
fi
wrong='' n=0
for file in tests/sim/data/bad/*.json; do
    n=$((n + 1))
    "$NESTWALK" check "$file" >/dev/null 2>&1
    [ $? = 2 ] || wrong="$wrong $file"
done
code=0
ok "each of $n malformed files is refused with exit code 2" test -z "$wrong"

cat >"$SCRATCH/pdpte.json" <<'END'
{ "version": 1, "vms": [ { "guest": { "paging": "pae" }, "registers": { "cr3": "0x1000" },
  "image": [ { "gpa": "0x1000", "u64": ["0x2003"] } ] } ] }
END
run check "$SCRATCH/pdpte.json"
ok "what only the image of a raw VM tells is told too" exits 2 "$err" "PDPTE has a reserved bit set"
