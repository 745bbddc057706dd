#!/bin/sh
# What docs/REPRODUCTION.md says is what make reproduce prints, and nothing in it differs.
. "${0%/*}/lib.sh"

if [ "$CONFIG" != release ]; then
    skip "published results come out" "its runs take minutes in a build for $CONFIG"
    exit 0
fi
"${BUILD:-build/release}/reproduce" - >"$out" 2>"$err"
code=$?
ok "published results come out" test $code = 0
ok "no row differs" test "$(grep -c 'differs\*\*' "$out")" = 0
ok "the page is as printed" cmp "$out" docs/REPRODUCTION.md
