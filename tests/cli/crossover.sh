#!/bin/sh
# What docs/CROSSOVER.md says of shadow, nested and agile paging is what its sweep prints.
. "${0%/*}/lib.sh"

page=docs/CROSSOVER.md
remap=/vms/0/processes/0/workload/remap size=/vms/0/processes/0/map/0/size
ok "the command is there" grep -qF "$remap=0,0.0003,0.001,0.003,0.01" "$page"
if [ "$CONFIG" != release ]; then
    skip "the table's winners win" "its runs take minutes in a build for $CONFIG"
    exit 0
fi

# Rows of the CSV as those of the page: remap, size, cycles of shadow, nested and agile.
run sweep scenarios/crossover.json --mode shadow,nested,agile --set $remap=0,0.01 \
    --set $size=4MiB,16MiB
sed 's/"[^"]*"/quoted/g' "$out" |
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "cycles_per_access") at = i; next }
    { cost[$2 "," $3, $1] = $at; rows[$2 "," $3] = 1 }
    END { for (r in rows) printf "%s,%.1f,%.1f,%.1f\n", r, cost[r, "shadow"], cost[r, "nested"],
        cost[r, "agile"] }' | sort >"$SCRATCH/swept"
sed -n 's/ MiB/MiB/; s/^| \(0[.0-9]*\) | \([0-9]*MiB\) | \([0-9.]*\) | \([0-9.]*\) | [a-z]* | \([0-9.]*\) |$/\1,\2,\3,\4,\5/p' \
    "$page" | sort >"$SCRATCH/told"
ok "the sweep ran" test "$code $(wc -l <"$SCRATCH/swept")" = "0 4"
ok "the page has all rows" test "$(wc -l <"$SCRATCH/told")" = 20
ok "the page's figures are the sweep's" test -z "$(comm -23 "$SCRATCH/swept" "$SCRATCH/told")"

# winner REMAP SIZE: of shadow and nested, by the sweep.
winner() {
    awk -F, -v r="$1" -v s="$2" '$1 == r && $2 == s { print $3 < $4 ? "shadow" : "nested" }' \
        "$SCRATCH/swept"
}
ok "many misses, tables at rest: shadow" test "$(winner 0 16MiB)" = shadow
ok "many misses, tables that change: nested" test "$(winner 0.01 16MiB)" = nested
ok "few misses: nested, whatever tables do" test "$(winner 0 4MiB) $(winner 0.01 4MiB)" = "nested nested"
wrong=$(grep '^| 0' "$page" | awk -F'[|]' '{
    gsub(/ /, ""); if ($6 != ($4 + 0 < $5 + 0 ? "shadow" : "nested")) print }')
ok "the page names the cheaper one in every row" test -z "$wrong"

# The second table: one program rests, one changes.
ok "agile costs no more than the better of both in every row of the second table" sh -c "
    awk -F'[|]' 'NF == 9 && \$2 ~ /^ [0-9]/ { rows++; best = \$4 + 0 < \$5 + 0 ? \$4 + 0 : \$5 + 0
        if (\$7 + 0 > best) wrong = 1 } END { exit wrong || rows != 15 }' $page"
remap=/vms/0/processes/1/workload/remap
run sweep scenarios/crossover-mixed.json --mode shadow,nested,agile --set $remap=0,0.03 \
    --set $size=16MiB
ok "its sweep ran" exits 0
sed 's/"[^"]*"/quoted/g' "$out" |
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "cycles_per_access") at = i; next }
    { printf "%s %s %.2f\n", $2, $1, $at }' >"$SCRATCH/mixed"
# mixed REMAP MODE: cycles per access.
mixed() { awk -v r="$1" -v m="$2" '$1 == r && $2 == m { print $3 }' "$SCRATCH/mixed"; }
for share in 0 0.03; do
    ok "its figures at $share are the page's" grep -qF \
        "| $share | 16 MiB | $(mixed $share shadow) | $(mixed $share nested) |" "$page"
done
