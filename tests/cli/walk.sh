#!/bin/sh
# walk: one access in a picture, in words, as data.
. "${0%/*}/lib.sh"

data=tests/sim/data/walk
two=$data/small-two-level.json one=$data/small-one-level.json cached=$data/small-tlb-and-cache.json
fresh=--set=/script=[]

run walk "$two" "$fresh" --gva 0x2b6c
ok "a picture" exits 0 "$out" "01010" "$out" "11011" "$out" "0x22a" "$out" "0x59b" \
    "$out" "physical address 0x6ac" "$out" "byte there: 0x1d" "$out" "cycles: 201"
run walk "$two" "$fresh" --gva 0x2b6c --explain
ok "in words" exits 0 "$out" "Step by step" "$out" "10, so entry 10" "$out" "All in all 201 cycles"
ok "no line is wider than 80" test -z "$(awk 'length($0) > 80' "$out")"
run walk "$two" "$fresh" --gva 0x2b8c
ok "a fault is an answer too" exits 0 "$out" "#PF" "$out" "the PTE entry is not present"
run walk "$two" "$fresh" --gva 0x8000
ok "an address beyond the space" exits 0 "$out" "#GP" "$out" "more than 15 bits"
run walk "$one" "$fresh" --gva 0x32c
ok "one level" exits 0 "$out" "physical address 0xa2c"
run walk "$cached" "$fresh" --gva 0x02f9
ok "a TLB hit" exits 0 "$out" "l1d hit" "$out" "physical address 0x739" \
    "$out" "0xb2, from L1 cache" "$out" "cycles: 2"
run walk "$cached" "$fresh" --gva 0x02f9 --cold
ok "cold, the tables are asked" exits 0 "$out" "#PF"

cat >"$SCRATCH/guest.json" <<'END'
{
  "version": 1,
  "vms": [ { "name": "web", "memory": "64MiB", "processes": [
    { "name": "a", "map": [ { "gva": "0x400000", "size": "64KiB" } ] },
    { "name": "b", "map": [ { "gva": "0x400000", "size": "64KiB", "rights": "ru" } ],
      "workload": { "generator": "uniform", "accesses": 1000 } } ] } ],
  "script": [ { "do": "access", "process": "b", "gva": "0x400000" } ]
}
END
guest=$SCRATCH/guest.json
# Its tables are all new: 1 + 9 + the root's line from L1, the rest from memory, A four times, D once.
run walk "$guest" --gva 0x40_1000 --write --format json
ok "an answered fault is apart" exits 0 "$out" '"handled": [' "$out" '"error_code": "0x6"' \
    "$out" '"outcome": "ok"' "$out" '"cycles": 1114' "$out" '"schema": "nestwalk/walk/1"'
if has python3; then
    ok "the JSON parses" python3 -m json.tool "$out" /dev/null
    for options in "--explain" "--process b --explain" "--cold --exec" "--vm web"; do
        # shellcheck disable=SC2086 # several options
        run walk "$guest" --gva 0x400000 --format json $options
        ok "the JSON parses with $options" python3 -m json.tool "$out" /dev/null
    done
else
    skip "the JSON parses" "python3 is missing"
fi
cp "$out" "$SCRATCH/first"
run walk "$guest" --gva 0x400000 --format json --vm web
ok "the same walk prints the same bytes" cmp "$out" "$SCRATCH/first"
run walk "$guest" --gva 0x400000 --process b
ok "the script was run: the TLB has the page" exits 0 "$out" "l1d hit"
run walk "$guest" --gva 0x401000 --process 1
ok "the workload was not" exits 0 "$out" "answered by the guest OS"
run walk "$guest" --gva 0x400000 --process b --write
ok "what the rights deny" exits 0 "$out" "error code 0x7" "$out" "W = 0"
run walk "$guest" --gva 0x400000 --process b --cold --format csv
ok "the references as CSV" exits 0 "$out" "n,stage,dimension,level,name,for,address,entry,read" \
    "$out" ",PGD,data," "$out" ",true,memory,200"

# Two dimensions: the grid, the exits on the way, and the same in words and as data.
nested="$guest --mode nested"
# shellcheck disable=SC2086 # several options
run walk $nested --gva 0x401000 --write --cold
ok "a grid of 24 references" exits 0 "$out" "guest  host PGD" "$out" "data    21 L1" \
    "$out" "read: 24 of 24: guest 4 of 4" "$out" "guest-physical address" "$out" "RWXAD" \
    "$out" "before: exit, second_stage_violation at gpa"
# shellcheck disable=SC2086
run walk $nested --gva 0x401000 --process b --explain
ok "in words" exits 0 "$out" "references 1 to 4" "$out" "the data's gpa" "$out" "exit to the hypervisor"
ok "no line of it is wider than 100" test -z "$(awk 'length($0) > 100' "$out")"
# shellcheck disable=SC2086
run walk $nested --gva 0x401000 --format json
ok "as data" exits 0 "$out" '"n": 24, "stage": 1, "dimension": "host", "level": 1, "name": "PTE"' \
    "$out" '"for": "guest PUD"' "$out" '{ "exit": "second_stage_violation", "stage": 1, "gpa": '
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null
# shellcheck disable=SC2086
run walk $nested --gva 0x401000 --format csv
ok "as CSV: a row of names and 24" test "$(wc -l <"$out")" = 25
run walk "$guest" --mode three-stage --gva 0x400000 --process b --cold
ok "three dimensions are listed" exits 0 "$out" "read: 124 of 124" "$out" "make no grid"

run walk "$guest" --mode three-stage --gva 0x400000 --process b --set=/script=[] --explain
ok "no line of them is wider than 100" test -z "$(awk 'length($0) > 100' "$out")"
ok "the last of them find the data" exits 0 "$out" "are the data's gpa" \
    "$out" "before: exit to the L1 hypervisor" "$out" "In L2's tables"
run walk "$guest" --mode three-stage --gva 0x401000 --process b --set=/machine/profile=zen3 --explain
ok "what the nested TLB knows of the data's way" exits 0 "$out" "The nested TLB knows a part of the way"
run walk scenarios/first-steps.json --gva 0x400123 --mode agile \
    --set /vms/0/agile/shadow_levels=2 --explain
ok "agile paging: the shadow and the guest's tables" exits 0 "$out" "(the guest believes 0x1000)" \
    "$out" "shadow 2 of 2" "$out" ".  no host walk" "$out" "here the shadow ends"

run walk "$guest"
ok "an address is needed" exits 2 "$err" "'--gva' is missing"
run walk "$guest" --gva zero
ok "one that is none" exits 2 "$err" "is an address"
run walk "$guest" --gva 0 --write --exec
ok "a write or a fetch, not both" exits 2 "$err" "exclude"
run walk "$guest" --gva 0 --vm db
ok "a VM that is not there" exits 2 "$err" "no VM 'db'"
run walk "$guest" --gva 0 --process c
ok "a process that is not there" exits 2 "$err" "no process 'c'"
run walk "$two" --gva 0 --process a
ok "a raw VM has no processes" exits 2 "$err" "raw"
run walk scenarios/first-steps.json --gva 0x400123 --exec --explain
ok "a fault that stands: what the guest OS says to it" exits 0 "$out" "no map of main allows" \
    "$out" "SIGSEGV"
cat >"$SCRATCH/large.json" <<'S'
{ "version": 1, "vms": [ { "memory": "8MiB", "guest": { "paging": "2-level" },
  "registers": { "cr3": "0x1000" }, "image": [ { "gpa": "0x1004", "bytes": "87004000" } ] } ] }
S
run walk "$SCRATCH/large.json" --gva 0x400123 --explain
ok "the offset in a large page is as long as shown" exits 0 "$out" "22 for the offset"
