#!/bin/sh
# machines, modes, schema: what there is.
. "${0%/*}/lib.sh"

run machines
ok "machines lists every profile" test "$(grep -cE '^[a-z0-9-]+ +[0-9]+\.[0-9] ' "$out")" = \
    "$(find scenarios/machines -name '*.json' | wc -l)"
run machines zen4
ok "machines NAME gives values, confidence and source" \
    exits 0 "$out" "tlb.l2.4KiB+2MiB" "$out" "3072 entries, 24 ways" "$out" "uncertain: "
missing=
for name in $("$NESTWALK" machines --format csv | sed -e 1d -e 's/,.*//'); do
    "$NESTWALK" machines "$name" --format csv >"$out" 2>"$err" || missing="$missing $name"
    # a value without confidence is a title or which way structure caches go
    awk -F'","' 'NR > 1 && $3 == "" { print $1 }' "$out" | grep -vE '^"(name|title|.*\.(by|1GiB|2MiB))$' >>"$err"
    [ -s "$err" ] && missing="$missing $name"
done
ok "every value of every profile has a confidence" test -z "$missing"
run machines zen44
ok "an unknown profile, with what was meant" exits 2 "$err" 'did you mean "zen4"'
run machines --format csv
ok "quotes are doubled in CSV" exits 0 "$out" ',"AMD K10 (Opteron ""Barcelona"", 2007; '
echo '{"version": 1, "name": "mine", "maxphyaddr": 40, "costs": {"memory": 100}}' >"$SCRATCH/mine.json"
run machines "$SCRATCH/mine.json"
ok "plain values of an own machine" test "$(sed 's/  */ /' "$out" | tr '\n' ';')" = \
    "name mine;maxphyaddr 40;costs.memory 100;"
run modes
ok "modes" exits 0 "$out" "native"
run modes --format csv
ok "modes as CSV" exits 0 "$out" "native,4," "$out" "three-stage,124,"
ok "every mode of the reference page" test "$(sed -e 1d -e 's/,.*//' "$out" | tr '\n' ' ')" = \
    "native shadow nested direct agile three-stage collapsed "
run modes --format json
ok "modes as JSON" exits 0 "$out" \
    '"mode": "agile", "walk_references": 20, "walk_references_least": 4, "runs": '

for name in scenario machine; do
    run schema $name
    ok "schema $name is the shipped one" cmp "$out" docs/schema/$name-1.json
done
run schema reference
ok "schema reference is docs/SCENARIO.md" cmp "$out" docs/SCENARIO.md
run schema scenarios
ok "an unknown schema" exits 2 "$err" "scenario, machine or reference"

python=
for p in python3 /usr/bin/python3; do
    has $p && $p -c 'import jsonschema' 2>/dev/null && python=$p && break
done
if [ -n "$python" ]; then
    $python tests/sim/scenario_schema.py >"$out" 2>"$err"
    code=$?
    ok "the JSON Schema and the reader agree" exits 0
else
    skip "the JSON Schema and the reader agree" "python3-jsonschema is not installed"
fi
run run scenarios/first-steps.json --set /vms/0/processes/0/workload/accesses=10 \
    --set '/machine={"profile": "zen4", "override": {"costs": {"memory": 100}}}'
ok "an overridden profile is not called by its name alone" exits 0 "$out" "profile zen4, overridden,"
run run scenarios/first-steps.json --set /vms/0/processes/0/workload/accesses=10 \
    --set '/machine={"profile": "zen4"}'
ok "one that is not is" exits 0 "$out" "profile zen4, seed"
