#!/bin/sh
# record: real programs under valgrind.
. "${0%/*}/lib.sh"

run record
ok "no program" exits 2 "$err" "usage: nestwalk record"
mkdir "$SCRATCH/empty"
# shellcheck disable=SC2123
(PATH=$SCRATCH/empty && run record -o "$SCRATCH/x" -- true && exit $code)
code=$?
ok "without valgrind: exit code 3, and what to install" exits 3 "$err" "apt-get install valgrind"
if ! has valgrind; then
    skip "recording a program" "valgrind is not installed"
    exit
fi

run record -o "$SCRATCH/x" -- no-such-program-here
ok "a program that is not there" exits 2 "$err" "no-such-program-here"
ok "leaves no file" test ! -e "$SCRATCH/x"

printf 'b\na\n' | "$NESTWALK" record -o "$SCRATCH/sort.nwtrace" -- sort >"$out" 2>"$err"
code=$?
ok "the program keeps its input and output" exits 0
ok "nothing is added to its output" test "$(tr '\n' ' ' <"$out")" = "a b "
ok "the summary is on standard error" exits 0 "$err" "accesses" "$err" "guest events"

run replay "$SCRATCH/sort.nwtrace" --format csv
ok "the trace replays: 100,000 accesses at least" test "$(value accesses)" -gt 100000
ok "with guest events" test "$(value trace.guest_events)" -gt 10
ok "no access outside what is mapped" test "$(value trace.signals)" = 0
ok "one process" test "$(value trace.processes)" = 1
cp "$out" "$SCRATCH/first"
run replay "$SCRATCH/sort.nwtrace" --format csv
ok "twice gives the same bytes" cmp "$out" "$SCRATCH/first"

(cd "$SCRATCH" && exec "$NESTWALK" record -- sh -c 'exit 7') >"$out" 2>"$err"
code=$?
ok "the exit status of the program is told" exits 0 "$err" "exit status 7"
ok "the default name is that of the program" test -s "$SCRATCH/sh.nwtrace"
run record -o "$SCRATCH/k" -- sh -c 'kill -TERM $$'
ok "so is the signal that ended it" exits 0 "$err" "signal 15"
run record -o "$SCRATCH/f" -- sh -c '(exit 0); (exit 0); exit 0'
run replay "$SCRATCH/f" --format csv
ok "children that it forks are processes" test "$(value trace.processes)" = 3
run record -o "$SCRATCH/e" -- sh -c 'exec true'
ok "a program that another one takes the place of" exits 0 "$err" "became another program"
run record -o "$SCRATCH/n" -- ./README.md
ok "a file that is no program" exits 2 "$err" "may not be executed"
run record --fetches no -o "$SCRATCH/d" -- sh -c 'exit 0'
run replay "$SCRATCH/d" --format csv
ok "--fetches no leaves fetches out" test "$(value tlb.l1i.4KiB.lookups)" = 0

# ---- stopping it ----
loop="while :; do : nwtrace-loop-$$; done"
"$NESTWALK" record -o "$SCRATCH/i" -- sh -c "$loop" >"$out" 2>"$err" &
pid=$!
sleep 2
kill -INT $pid
wait $pid
code=$?
ok "an interruption keeps what was recorded" exits 130 "$err" "whole and readable"
run replay "$SCRATCH/i" --format csv
ok "which can be replayed" test "$(value accesses) $(value trace.truncated)" != " " -a \
    "$(value trace.truncated)" = 0

"$NESTWALK" record -o "$SCRATCH/k9" -- sh -c "$loop" >"$out" 2>"$err" &
pid=$!
sleep 2
kill -KILL $pid
wait $pid 2>/dev/null
ok "killed, it leaves no half trace under the name" test ! -e "$SCRATCH/k9"
sleep 0.5
ok "and the program does not go on alone" test -z "$(pgrep -f "nwtrace-loop-$$" 2>/dev/null)"
