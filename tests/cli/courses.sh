#!/bin/sh
# The worked examples of courses come out as their books print them: sources in the scenarios.
. "${0%/*}/lib.sh"

data=tests/sim/data/courses

# $1: scenario; then each line's part that the book gives, in order.
gives() {
    run run "$data/$1.json" --outcomes - --format csv
    shift
    i=0
    for part in "$@"; do
        grep -q "^{\"i\":$i,$part" "$out" || return 1
        i=$((i + 1))
    done
}

ok "Arpaci-Dusseau: 0x6c74 is 0xc34, where a 6 is" gives arpaci-dusseau \
    '"outcome":"ok","gpa":"0xc34","value":"0x6"' '"outcome":"fault","vector":14' \
    '"outcome":"fault","vector":14'
ok "Bryant and O'Hallaron: 0x03d4 is 0x354, where 0x36 is" gives bryant-ohallaron \
    '"outcome":"ok","gpa":"0x354","value":"0x36"' '"outcome":"ok","gpa":"0x357","value":"0x1d"' \
    '"outcome":"ok","gpa":"0x5fc"' '"outcome":"ok","gpa":"0x469"' \
    '"outcome":"fault","vector":14'
ok "Silberschatz: 16916 is 20, and so on" gives silberschatz \
    '"outcome":"ok","gpa":"0x14"' '"outcome":"ok","gpa":"0x11d"' '"outcome":"ok","gpa":"0x2f6"' \
    '"outcome":"ok","gpa":"0x3b3"'
