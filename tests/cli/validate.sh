#!/bin/sh
# validate: the model beside KVM, where there is one that we may open.
. "${0%/*}/lib.sh"

run validate
ok "nothing to validate" exits 2 "$err" "give a scenario"
run validate x.json --backend xen
ok "a backend that is none" exits 2 "$err" "kvm"

# Pages are made of lines, with or without KVM.
line='{ "schema": "nestwalk/validation/1", "scenario": "s.json", "mode": "nested", "environment": { "driver": "some_kvm", "kernel": "1.2", "machine": "a computer", "technique": "nested", "has": ["nx"], "masks": [] }, "verdict": "agrees", "why": null, "accesses": 1234, "compared": [{ "aspect": "memory", "compared": 5000, "differ": 0, "skipped": null }, { "aspect": "dirty", "compared": 0, "differ": 0, "skipped": "so" }], "masks": [{ "mask": "stale", "in_reach": 3, "explains": 1 }], "differences": [] }'
echo "$line" >"$SCRATCH/lines"
printf 'By hand.\n<!-- results -->\nold\n' >"$SCRATCH/page"
run validate --write "$SCRATCH/page" "$SCRATCH/lines"
ok "results in a page" exits 0 "$SCRATCH/page" "By hand." "$SCRATCH/page" \
    "| s.json | nested | some_kvm | 1,234 | memory 5,000 | stale 1 of 3 | **agrees** |"
ok "in place of the old ones" test -z "$(grep old "$SCRATCH/page")"
cp "$SCRATCH/page" "$SCRATCH/before"
run validate --write "$SCRATCH/page" "$SCRATCH/lines"
ok "a page written again is the same" cmp "$SCRATCH/page" "$SCRATCH/before"
echo '{}' >>"$SCRATCH/lines"
run validate --write "$SCRATCH/page" "$SCRATCH/lines"
ok "other lines are refused" exits 2 "$err" "lines"
ok "and nothing is written" cmp "$SCRATCH/page" "$SCRATCH/before"
echo nothing >"$SCRATCH/page"
run validate --write "$SCRATCH/page" "$SCRATCH/lines"
ok "a page without a place for results" exits 2 "$err" "<!-- results -->"

run validate --probe
if [ "$code" = 3 ]; then
    ok "without KVM it says why" test -s "$err"
    skip "validate on KVM" "$(cat "$err")"
    exit
fi
ok "which KVM is here" exits 0 "$out" "KVM " "$out" "Guests" "$out" "Masks"
run validate --probe --format json
ok "as data" exits 0 "$out" '"schema": "nestwalk/environment/1"'
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null

cat >"$SCRATCH/guest.json" <<'END'
{ "version": 1, "vms": [ { "memory": "16MiB", "processes": [ {
  "map": [ { "gva": "0x400000", "size": "1MiB" } ],
  "workload": { "generator": "uniform", "writes": 0.3, "remap": 0.01, "accesses": 2000 } } ] } ],
  "script": [ { "do": "access", "op": "write", "gva": "0x400010", "value": "0x77" },
              { "do": "access", "gva": "0x400010" }, { "do": "access", "gva": "0x10" } ] }
END
for mode in native shadow nested; do
    run validate "$SCRATCH/guest.json" --mode $mode
    ok "a guest OS in mode $mode agrees with KVM" exits 0 "$out" "agrees" "$out" "outcome" \
        "$out" "memory" "$out" "faults"
    ok "in 80 columns" test -z "$(sed 1d "$out" | awk 'length > 80')"
done
run validate "$SCRATCH/guest.json" --format json
ok "as a line of data" exits 0 "$out" '"verdict": "agrees"'
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null
run validate "$SCRATCH/guest.json" --format csv
ok "as CSV" exits 0 "$out" ",aspect,memory,2097152,0,"

echo '{ "version": 1, "vms": [ { "mode": "nested", "memory": "1MiB" },
  { "mode": "nested", "memory": "1MiB" } ] }' >"$SCRATCH/two.json"
run validate "$SCRATCH/two.json" --mode nested
ok "what KVM can't run" exits 2 "$out" "can't run on KVM here" "$out" "several VMs"
run validate scenarios/validation/mask-*.json --format json
ok "the masks' own scenarios" test "$code" != 1
run validate --trace "$SCRATCH/none"
ok "a trace that is not there is bad input" exits 2 "$out" "cannot open"
program=$(realpath "$NESTWALK")
(cd "$SCRATCH" && exec "$program" validate --all) >"$out" 2>"$err"
code=$?
ok "all of nothing is no agreement" exits 2 "$err" "scenarios"
echo '{ "version": 1, "vms": [ { "memory": "64MiB", "mode": "shadow", "processes": [ {
  "map": [ { "gva": "0x400000", "size": "32MiB" } ],
  "workload": { "generator": "uniform", "accesses": 1000000000 } } ] } ] }' >"$SCRATCH/long.json"
timeout -k 20 -s TERM 2 "$NESTWALK" validate "$SCRATCH/long.json" >"$out" 2>"$err"
code=$?
ok "ends soon when it is told to" exits 124 "$out"
run validate --trace scenarios/traces/gzip.nwtrace.xz
ok "a real program's trace" exits 0 "$out" "agrees"
