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
folded=$(sed -n '/^What a hypervisor/,$p' "$out" | awk 'length > 80')
ok "words fit 80 columns" test -z "$folded"
ok "no unit is parted from its number" test -z "$(grep "^ *%" "$out")"
ok "and go on under their sign" grep -q "^    [a-z]" "$out"
ok "tables are as the end left them" exits 0 "$out" "Tables and control are as the run's end"
ok "a verdict of all there are names no others" test -z "$(grep -F "of those with" "$out")"
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
run compare "$SCRATCH/two.json"
ok "of several VMs native is left out" exits 0 "$err" "note: native has no hypervisor for 2 VMs" \
    "$out" "Verdict: "
run compare "$SCRATCH/two.json" --quiet
ok "which --quiet doesn't say" test "$code" = 0 -a ! -s "$err"
run compare "$SCRATCH/two.json" --modes native,shadow,nested
ok "unless it was asked for" exits 2 "$err" "leave native out: --modes shadow,nested"
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
digits=$(sed -n 's/.*: [0-9]*\.\([0-9]*\) ([-+][0-9]*\.\([0-9]*\)).*/\1 \2/p' "$out")
ok "the change has the digits of the value" test "${#digits}" = 13
run compare "$SCRATCH/s.json" --modes nested,direct --flip remap --format csv
ok "a flip as CSV" exits 0 "$out" "key,now,cheaper,dearer,ahead,flips_at,change,runs" \
    "$out" "remap,0.000000,direct,nested,"
ok "is one row" test "$(wc -l <"$out")" = 2
run compare "$SCRATCH/s.json" --modes nested,direct --flip access --format json
ok "a flip as JSON, of what nothing reverses" exits 0 "$out" '"schema": "nestwalk/flip/1"' \
    "$out" '"flips_at": null, "change": null, "runs": '
if has python3; then
    python3 -m json.tool "$out" >/dev/null 2>"$err"
    code=$?
    ok "which is JSON" exits 0
fi
if script -qec true /dev/null >"$out" 2>"$err" </dev/null; then
    script -qec "'$NESTWALK' compare '$SCRATCH/s.json' --modes shadow,nested --flip memory \
        --set /vms/0/processes/0/workload/accesses=2000000" /dev/null >"$out" 2>"$err" </dev/null
    code=$?
    ok "on a terminal a flip shows its runs" exits 0 "$out" " runs, "
else
    skip "on a terminal a flip shows its runs" "no script of util-linux"
fi
run compare "$SCRATCH/s.json" --modes nested,nested --flip exit
ok "a mode is not compared with itself" exits 2 "$err" "two different modes"
run compare "$SCRATCH/s.json" --modes nested,direct --flip access
ok "or says that nothing does" exits 0 "$out" "No value of access"

run compare "$SCRATCH/s.json" --modes native,nested --format json
ok "JSON has a schema" exits 0 "$out" '"schema": "nestwalk/compare/1"'
if has python3; then
    python3 -m json.tool "$out" >/dev/null 2>"$err"
    code=$?
    ok "and is JSON" exits 0
fi

run compare "$SCRATCH/s.json" --modes native,nested,direct
ok "native is not among those of the verdict" exits 0 "$out" "Verdict: of those with a hypervisor, "
run compare "$SCRATCH/s.json" --modes native,nested \
    --set /vms/0/processes/0/workload/accesses=40
ok "nearly as many exits as accesses" exits 0 "$out" "exits per access;"

accesses 3000 >"$SCRATCH/t.lackey"
run compare "$SCRATCH/t.lackey" --modes native,nested,direct
ok "a trace is compared too" exits 0 "$out" "3000 accesses" "$out" "(the trace holds no"
run compare "$SCRATCH/t.lackey" --modes nested,direct --flip remap
ok "its updates are its own" exits 2 "$err" "needs a scenario"

run compare "$SCRATCH/s.json" --modes native,nosuch
ok "an unknown mode" exits 2 "$err" "'nosuch' is no mode"
run compare "$SCRATCH/s.json" --modes nested:kvm
ok "a policy of a mode without" exits 2 "$err" "'nested:kvm' is no mode"
run compare "$SCRATCH/s.json" --modes nested,direct --flip nosuch
ok "an unknown key" exits 2 "$err" "--flip knows"
run compare "$SCRATCH/s.json" --modes native,nested --flip exit
ok "a flip needs two to compare" exits 2 "$err" "two different modes beside native"
run compare "$SCRATCH/nosuch.json"
ok "a file that is not there" exits 2 "$err" "nosuch.json"
