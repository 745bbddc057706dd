#!/bin/sh
# convert: to the compact format and back into the same statistics.
. "${0%/*}/lib.sh"

accesses 3000 >"$SCRATCH/t.lackey"
run convert "$SCRATCH/t.lackey" "$SCRATCH/t.nwtrace"
ok "says what it wrote" exits 0 "$out" "3000 accesses" "$out" "lackey"

run replay "$SCRATCH/t.lackey" --format csv
grep -v '^scenario,' "$out" >"$SCRATCH/of-lackey"
run replay "$SCRATCH/t.nwtrace" --format csv
grep -v '^scenario,' "$out" >"$SCRATCH/of-compact"
ok "the converted trace gives the same statistics" cmp "$SCRATCH/of-lackey" "$SCRATCH/of-compact"

"$NESTWALK" convert "$SCRATCH/t.lackey" - 2>"$err" | cmp -s - "$SCRATCH/t.nwtrace"
code=$?
ok "writes to standard output, and nothing else there" exits 0 "$err" "3000 accesses"

gzip -c "$SCRATCH/t.lackey" | "$NESTWALK" convert - "$SCRATCH/again.nwtrace" >"$out" 2>"$err"
code=$?
ok "reads a compressed pipe" exits 0 "$out" "3000 accesses"
ok "gives the same bytes each time" cmp "$SCRATCH/again.nwtrace" "$SCRATCH/t.nwtrace"

run convert "$SCRATCH/t.nwtrace" "$SCRATCH/twice.nwtrace"
ok "converts its own format into itself" cmp "$SCRATCH/twice.nwtrace" "$SCRATCH/t.nwtrace"

{
    accesses 10
    echo " L nonsense,8"
    accesses 10
} >"$SCRATCH/bad.lackey"
run convert "$SCRATCH/bad.lackey" "$SCRATCH/bad.nwtrace"
ok "a malformed line is an error with its number" exits 2 "$err" ":11:"
ok "and leaves no file" test ! -e "$SCRATCH/bad.nwtrace"
ok "nor any other file" test -z "$(find "$SCRATCH" -name '*.tmp')"

run convert "$SCRATCH/bad.lackey" "$SCRATCH/bad.nwtrace" --max-errors 1 --format json
ok "--max-errors lets it pass, and counts it" exits 0 "$out" '"errors": 1' "$out" '"accesses": 20'

run convert "$SCRATCH/none" "$SCRATCH/x"
ok "a trace that is not there" exits 2 "$err" "none"
run convert "$SCRATCH/t.lackey" "$SCRATCH/no/folder/x"
ok "a folder that is not there" exits 3 "$err" "cannot create"
run convert "$SCRATCH/t.lackey"
ok "one argument is too few" exits 2 "$err" "usage: nestwalk convert"
