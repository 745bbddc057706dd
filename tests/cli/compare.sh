#!/bin/sh
# compare: modes side by side on the same accesses.
. "${0%/*}/lib.sh"

cat >"$SCRATCH/s.json" <<'END'
{ "version": 1, "title": "small", "vms": [ { "memory": "64MiB", "processes": [ {
    "map": [ { "gva": "0x400000", "size": "8MiB" } ],
    "workload": { "generator": "uniform", "accesses": 20000, "writes": 0.3 } } ] } ],
  "script": [ { "do": "access", "op": "write", "gva": "0x400010", "value": "0x2a" },
              { "do": "access", "op": "read", "gva": "0x400010" } ] }
END

# column NAME WAY: a value of the CSV.
column() {
    awk -F, -v name="$1" -v way="$2" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
        $1 == way { print $at[name] }' "$out"
}

modes=native,nested,direct,three-stage,collapsed
run compare "$SCRATCH/s.json" --modes $modes --format csv
ok "every mode is one row" test "$(wc -l <"$out")" = 6
for mode in nested direct three-stage collapsed; do
    ok "$mode: a guest can't tell it from native" test "$(column equivalent $mode)" = 1
    ok "$mode: no frame is within reach that was not granted" \
        test "$(column frames_not_granted $mode)" = 0
    ok "$mode: but those it uses are" test "$(column frames_within_reach $mode)" -ge 2048
done
ok "natively nothing exits" test "$(column exits native)" = 0
# Each page touched, data or table, is one violation: 2048 pages, 4 tables of page-table entries
# and one of each upper level, or fewer if not all pages are hit.
ok "nested: one violation per page touched" test "$(column exits nested)" -le $((2048 + 8))
ok "the parts of the cycles add up" sh -c "awk -F, 'NR > 1 && \$3 != \$5 + \$6 + \$7 + \$8 + \$9 {
    exit 1 }' '$out'"

run compare "$SCRATCH/s.json" --modes nested --format csv
within=$(column frames_within_reach nested)
run compare "$SCRATCH/s.json" --modes nested --format csv --set /vms/0/vcpus=2
ok "tables that two vCPUs walk are looked at once" \
    test "$within" = "$(column frames_within_reach nested)"

run compare "$SCRATCH/s.json" --modes native,nested
ok "says what decides in words" exits 0 "$out" "equivalence" "$out" "not granted" "$out" \
    "a walk reads 24 entries at most"
run compare "$SCRATCH/s.json" --modes nested,direct
ok "a verdict between two" exits 0 "$out" "Verdict: " "$out" "What decides: "
ok "and that nothing changes tables" exits 0 "$out" '"remap"'
run compare "$SCRATCH/s.json" --modes nested,direct \
    --set '/vms/0/processes/0/workload/remap=0.01'
ok "unless it does" test -z "$(grep -F lower "$out")"

# Two VMs, one of two vCPUs that share its frames: clocks differ by mode, accesses must not.
workload='"map": [ { "gva": "0x400000", "size": "4MiB" } ], "workload": { "generator": "uniform",
    "accesses": 3000, "writes": 0.3, "remap": 0.01 }'
cat >"$SCRATCH/two.json" <<END
{ "version": 1, "vms": [
  { "mode": "nested", "memory": "32MiB", "vcpus": 2, "quantum": 100, "guest": { "paging": "2-level" },
    "processes": [ { $workload }, { $workload }, { $workload } ] },
  { "mode": "nested", "memory": "32MiB", "second_stage_page": "2MiB", "processes": [ { $workload } ] } ],
  "script": [ { "do": "run", "accesses": 5000 },
              { "do": "invvpid", "vm": "vm1" },
              { "do": "access", "vm": "vm1", "op": "read", "gva": "0x400010" } ] }
END
modes=nested,shadow,shadow:vtlb,shadow:trace,direct,agile,three-stage,collapsed
run compare "$SCRATCH/two.json" --modes $modes
ok "VMs and vCPUs make the same accesses in every mode" exits 0

# PAE: two of the registers' tables, of which agile paging shadows one while the other is written.
cat >"$SCRATCH/pae.json" <<END
{ "version": 1, "seed": "0x4b29b97", "machine": { "profile": "zen2", "memory": "512MiB" }, "vms": [
  { "mode": "nested", "memory": "32MiB", "processes": [] },
  { "mode": "nested", "memory": "32MiB", "guest": { "paging": "pae", "huge_pages": true },
    "agile": { "interval": 50 }, "processes": [ { "map": [ { "gva": "0x3fe00000", "size": "4MiB" } ],
    "workload": { "generator": "zipf", "theta": 0.9, "accesses": 768, "writes": 0.3,
                  "protect": 0.01 } } ] } ] }
END
run compare "$SCRATCH/pae.json" --modes nested,agile
ok "a root that is written takes no other root along" exits 0

run compare "$SCRATCH/s.json" --modes nested,direct --flip remap
ok "finds what reverses the verdict" exits 0 "$out" "smallest change that reverses it"
run compare "$SCRATCH/s.json" --modes nested,direct --flip access
ok "or says that nothing does" exits 0 "$out" "No value of access"

run compare "$SCRATCH/s.json" --modes native,nested --format json
ok "JSON has a schema" exits 0 "$out" '"schema": "nestwalk/compare/1"'
if has python3; then
    python3 -m json.tool "$out" >/dev/null 2>"$err"
    code=$?
    ok "and is JSON" exits 0
fi

accesses 3000 >"$SCRATCH/t.lackey"
run compare "$SCRATCH/t.lackey" --modes native,nested,direct
ok "a trace is compared too" exits 0 "$out" "3000 accesses" "$out" "the trace holds no guest events"
run compare "$SCRATCH/t.lackey" --modes nested,direct --flip remap
ok "its updates are its own" exits 2 "$err" "needs a scenario"

run compare "$SCRATCH/s.json" --modes native,nosuch
ok "an unknown mode" exits 2 "$err" "'nosuch' is no mode"
run compare "$SCRATCH/s.json" --modes nested:kvm
ok "a policy of a mode without" exits 2 "$err" "'nested:kvm' is no mode"
run compare "$SCRATCH/s.json" --modes nested,direct --flip nosuch
ok "an unknown key" exits 2 "$err" "--flip knows"
run compare "$SCRATCH/s.json" --modes native,nested --flip exit
ok "a flip needs two to compare" exits 2 "$err" "two modes beside native"
run compare "$SCRATCH/nosuch.json"
ok "a file that is not there" exits 2 "$err" "nosuch.json"
