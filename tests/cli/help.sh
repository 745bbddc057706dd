#!/bin/sh
# The command line itself: help, options, suggestions, completion.
. "${0%/*}/lib.sh"

run
ok "without a command: usage" exits 2 "$err" "usage: nestwalk COMMAND"
run --help
ok "--help lists the commands" exits 0 "$out" "  run " "$out" "  walk " "$out" "  help "
run help
ok "so does help" exits 0 "$out" "usage: nestwalk COMMAND"
run --version
ok "--version" exits 0 "$out" "nestwalk "
run wlak
ok "a command that is none" exits 2 "$err" "did you mean 'walk'?"
run help wlak
ok "help for a command that is none" exits 2 "$err" "did you mean 'walk'?"
run run --fromat json
ok "an option that is none" exits 2 "$err" "did you mean '--format'?" "$err" "usage: nestwalk run"
run run --zzzzzz
ok "an option like none" exits 2 "$err" "unknown option '--zzzzzz'"
run run x.json --format xml
ok "a value that is none" exits 2 "$err" "table|json|csv"
run run x.json --format
ok "a value left out" exits 2 "$err" "needs a value"
run run x.json --quiet=yes
ok "a value too many" exits 2 "$err" "takes no value"
run run x.json --format json --format csv
ok "an option given twice" exits 2 "$err" "given twice"
run run a.json b.json
ok "an argument too many" exits 2 "$err" "one argument too many: 'b.json'"
run run -- --quiet
ok "after -- all are arguments" exits 2 "$err" "--quiet:"
run --quiet run x.json
ok "an option before the command" exits 2 "$err" "options follow the command"

commands=$("$NESTWALK" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
for command in $commands; do
    run "$command" --help
    cp "$out" "$SCRATCH/help"
    ok "$command --help" exits 0 "$out" "usage: nestwalk $command" "$out" "--format" \
        "$out" "Exit codes"
    run help "$command"
    ok "help $command is the same" cmp "$out" "$SCRATCH/help"
    ok "help $command fits 80 columns" test -z "$(awk 'length > 80' "$out")"
    run help "$command" --man
    ok "help $command --man is a man page" exits 0 "$out" ".SH NAME" "$out" ".SH EXIT STATUS"
    if has man && has groff; then
        groff -man -Tascii -ww -z "$out" 2>"$err"
        ok "which groff takes without a warning" test ! -s "$err"
    fi
done
run help --man
ok "help --man is the man page of nestwalk" exits 0 "$out" ".TH NESTWALK 1" "$out" "nestwalk\\-walk"

run help --completion
ok "a script for completion" exits 0 "$out" "complete "
if has bash; then
    completion() {
        bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nestwalk
            echo "${COMPREPLY[@]}"' - "$out" "$@"
    }
    ok "completes commands" test "$(completion nestwalk wa)" = walk
    ok "completes options" test "$(completion nestwalk walk x.json --gv)" = --gva
    ok "completes words" test "$(completion nestwalk run --format j)" = json
    ok "leaves file names to bash" test -z "$(completion nestwalk run sc)"
else
    skip "completes commands" "bash is missing"
fi
