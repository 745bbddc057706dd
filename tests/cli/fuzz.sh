#!/bin/sh
# fuzz: random programs, on which the model agrees with itself, and with every KVM there is.
. "${0%/*}/lib.sh"

count=20000
[ "$CONFIG" = release ] || count=2000
run fuzz --judge model --count $count
ok "the model's caches change nothing" exits 0 "$out" "agree"
for mode in nested shadow agile collapsed three-stage; do
    run fuzz --judge model --mode $mode --count 5000
    ok "nor does mode $mode" exits 0 "$out" "agree"
done

run fuzz --judge model --count 1000 --format csv
ok "figures as CSV" exits 0 "$out" "differences,0" "$out" "programs,"
ok "at least as many accesses as asked for" test "$(value accesses)" -ge 1000
ok "faults of every kind" test 0 -lt "$(value key)" -a 0 -lt "$(value reserved)" \
    -a 0 -lt "$(value fetch)" -a 0 -lt "$(value write)" -a 0 -lt "$(value not_present)"
cp "$out" "$SCRATCH/first"
run fuzz --judge model --count 1000 --format csv
ok "the same again" cmp "$out" "$SCRATCH/first"
run fuzz --judge model --count 1000 --format csv --seed 2
ok "another seed, other programs" test "$(cmp -s "$out" "$SCRATCH/first" || echo other)"
run fuzz --judge model --count 1000 --format json
has python3 && ok "figures as JSON" python3 -m json.tool "$out" /dev/null

run fuzz --judge nobody
ok "a judge that is none" exits 2 "$err" "kvm|model"
run fuzz --judge model --mode direct
ok "a mode in which no program runs" exits 2 "$err" "direct"
run fuzz --judge model --count many
ok "a number that is none" exits 2 "$err" "count"

# Scenarios in place of random programs.
cat >"$SCRATCH/raw.json" <<'END'
{ "version": 1, "vms": [ { "memory": "1MiB", "registers": { "cr3": "0x1000" } } ],
  "script": [ { "do": "access", "gva": "0x4000" }, { "do": "access", "gva": "0x4000", "cpl": 3 } ] }
END
run fuzz --judge model "$SCRATCH/raw.json" "$SCRATCH/raw.json" --format csv
ok "scenarios are tried once more" exits 0 "$out" "programs,2" "$out" "not_present,4"
run fuzz --judge model scenarios/first-steps.json
ok "but one with a guest OS is no program" exits 2 "$err" "it is not raw"
run fuzz --judge model "$SCRATCH/none.json"
ok "nor is what is not there" exits 2 "$err" "none.json"

# What KVM says: here, and on two emulated computers at once.
for place in nested shadow; do
    tools/emulated $place --timeout 300 -- nestwalk fuzz --count $count \
        >"$SCRATCH/$place.out" 2>"$SCRATCH/$place.err" &
    eval "$place=\$!"
done
"$NESTWALK" fuzz --count $count --scenarios "$SCRATCH" >"$SCRATCH/here.out" 2>"$SCRATCH/here.err"
here_code=$?

# judged PLACE NAME CODE: one test.
judged() {
    out=$SCRATCH/$1.out err=$SCRATCH/$1.err code=$3
    if [ "$code" = 3 ]; then
        skip "$2" "$(tail -n 1 "$err")"
    else
        ok "$2" exits 0 "$out" "agree"
    fi
}

judged here "KVM on this computer agrees" $here_code
# shellcheck disable=SC2154 # set by eval
wait "$nested"
judged nested "KVM with nested paging agrees" $?
# shellcheck disable=SC2154
wait "$shadow"
judged shadow "KVM with shadow paging agrees" $?
