#!/bin/sh
# sweep: the order of rows, the same bytes however it is run, going on after an end of any kind,
# and what it refuses.
. "${0%/*}/lib.sh"

cat >"$SCRATCH/zipf.json" <<'END'
{
  "version": 1,
  "vms": [ { "name": "web", "memory": "64MiB", "processes": [ {
      "name": "server", "map": [ { "gva": "0x400000", "size": "16MiB" } ],
      "workload": { "generator": "zipf", "theta": 0.9, "writes": 0.3, "accesses": 3000 } } ] } ]
}
END
zipf=$SCRATCH/zipf.json
accesses=/vms/0/processes/0/workload/accesses
l2='/machine/override/tlb/l2={"entries":64,"ways":4},{"entries":512,"ways":4}'

# column NAME [FILE]: the values of a column, of those that have no quotes before it.
column() {
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
        { printf "%s%s", (NR > 2 ? " " : ""), (at ? $at : "-") }' "${2:-$out}"
}

# ---- rows and columns ----

run sweep "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000
cp "$out" "$SCRATCH/first"
ok "a row for each combination" test "$code $(wc -l <"$out")" = "0 7"
ok "the first --set is the slowest" test "$(column /seed)" = "7 7 7 3 3 3"
ok "the last one is the fastest" \
    test "$(column $accesses)" = "1000 2000 3000 1000 2000 3000"
ok "each row has its own statistics" test "$(column accesses)" = "1000 2000 3000 1000 2000 3000"
ok "and its own seed" test "$(column seed)" = "0x7 0x7 0x7 0x3 0x3 0x3"
cycles=$(column cycles) walks=$(column walks.count) refs=$(column walks.refs.total)
per_access=$(column cycles_per_access)
run run "$zipf" --set /seed=7 --set $accesses=1000 --format csv
ok "they are those of run" test "$(value cycles) $(value walks.count) $(value walks.refs.total)" = \
    "${cycles%% *} ${walks%% *} ${refs%% *}"
sed -n '2,$s/,.*//p' "$out" >"$SCRATCH/names"
head -n 1 "$SCRATCH/first" | tr , '\n' | sed '1,2d; /^cycles_per_access$/d; /^fingerprint$/d' \
    >"$SCRATCH/columns"
ok "every name that run prints is a column" cmp "$SCRATCH/names" "$SCRATCH/columns"
ok "cycles per access are those of it" test "${per_access%% *}" = \
    "$(echo "${cycles%% *}" | awk '{ printf "%.4f", $1 / 1000 }')"
for jobs in 1 2 7; do
    run sweep "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000 --jobs $jobs
    ok "the same bytes with $jobs jobs" cmp "$out" "$SCRATCH/first"
done
run sweep - --set /seed=7,3 <"$zipf"
ok "reads standard input" test "$code $(column seed)" = "0 0x7 0x3"
run sweep "$zipf" --set "$l2" --set /seed=1,2
ok "values that have commas" test "$code $(grep -c '^"{""entries"":' "$out")" = "0 4"
ok "which are told apart" test "$(grep -c '^"{""entries"":64,""ways"":4}",' "$out")" = 2
run sweep "$zipf" --set '/vms/0/guest/paging=4-level,pae' --set /seed=1
ok "columns that only some runs have" exits 0 "$out" "structure_caches.pml4.guest.hits"
ok "are empty for the others" test "$(column structure_caches.pml4.guest.hits)" = "0 "
run sweep "$zipf" --mode native --set /seed=1,2
ok "--mode is a setting" test "$code $(column '/vms/*/mode')" = "0 native native"
run sweep "$zipf" --set /seed=1,2 --format json
ok "as JSON" exits 0 "$out" '"/seed": "2"' "$out" '"accesses": 3000,'
if has python3; then
    ok "which parses" python3 -m json.tool "$out" /dev/null
else
    skip "which parses" "python3 is missing"
fi

# ---- what is wrong ----

refuses() {
    name=$1 text=$2
    shift 2
    run sweep "$zipf" "$@"
    ok "$name" exits 2 "$err" "$text"
    ok "$name: nothing is printed" test ! -s "$out"
}
refuses "nothing to vary" "nothing to vary: give --set"
refuses "a setting that is none" "takes a JSON pointer and values" --set seed=1,2
refuses "no value at all" "/seed: a value is missing" --set /seed=
refuses "a value left out" "/seed: a value is missing" --set /seed=1,,2
refuses "an open bracket" "not closed" --set '/script=[1,2'
refuses "the same pointer twice" "/seed is set twice" --set /seed=1 --set /seed=2
refuses "a mode that is none" "unknown mode 'nestde'" --mode native,nestde
refuses "no jobs" "'--jobs' is from 1" --set /seed=1 --jobs 0
refuses "a table" "csv or json" --set /seed=1 --format table
refuses "a pointer that leads nowhere" 'did you mean "memory"?' --set /vms/0/memori=1MiB,2MiB
refuses "an element that is not there" "numbered from 0" --set /vms/1/memory=1MiB,2MiB
refuses "a bad value" "combination 2 of 3, --set /seed=two:" --set /seed=1,two,3
ten=1,2,3,4,5,6,7,8,9,10
refuses "too many combinations" "1000000 combinations are too many; at most 100000" \
    --set /seed=$ten --set $accesses=$ten --set /vms/0/vcpus=$ten --set /machine/cpus=$ten \
    --set /vms/0/quantum=$ten --set /vms/0/name=$ten
run sweep "$SCRATCH/none.json" --set /seed=1
ok "a scenario that is not there" exits 2 "$err" "none.json"
run sweep "$zipf" --set /seed=1 -o "$SCRATCH/no/such/folder"
ok "a file that can't be made" exits 2 "$err" "no/such/folder"
run sweep "$zipf" --set /seed=1 -o ""
ok "a file without a name" exits 2 "$err" "-o needs the name of a file"
run sweep "$zipf" --set /seed=1,x -o "$SCRATCH/bad.csv"
ok "a bad value leaves no file behind" test "$code" = 2 -a ! -e "$SCRATCH/bad.csv.part"
run sweep "$zipf" --set /vms/0/memory=64KiB,64MiB --set /seed=1,2 --jobs 1
ok "a guest out of memory: which one" exits 1 \
    "$err" "combination 1 of 4, --set /vms/0/memory=64KiB --set /seed=1:" "$err" "out of memory" \
    "$err" "column error says why"
ok "and the others run" test "$(grep -c '^64MiB,[12],,' "$out")" = 2
ok "its row says so" test "$(grep -c '^64KiB,[12],.*out of memory' "$out")" = 2
if [ -e /dev/full ]; then
    run sweep "$zipf" --set /seed=1,2 -o /dev/full
    ok "a full disk" exits 3 "$err" "/dev/full"
    ok "a device stays one" test -c /dev/full
else
    skip "a full disk" "no /dev/full"
fi

# ---- files ----

file=$SCRATCH/f.csv
run sweep "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000 -o "$file"
ok "-o FILE has the same bytes" cmp "$file" "$SCRATCH/first"
ok "and nothing lies beside it" test -z "$(ls "$file".* 2>/dev/null)" -a ! -s "$out"
run sweep "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000 -o "$file"
ok "the same again has nothing to do" exits 0 "$err" "has all 6 combinations already"
foreign() {
    name=$1
    shift
    run sweep "$@" -o "$file"
    ok "refuses $name" exits 2 "$err" "is not this sweep" "$err" "--force"
    ok "and leaves it alone" cmp "$file" "$SCRATCH/first"
}
foreign "a file of other values" "$zipf" --set /seed=7,4 --set $accesses=1000,2000,3000
foreign "a file of other settings" "$zipf" --set /seed=7,3
sed 's/0\.9/0.8/' "$zipf" >"$SCRATCH/other.json"
cp "$zipf" "$SCRATCH/kept.json"
cp "$SCRATCH/other.json" "$zipf"
foreign "a file of another scenario" "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000
cp "$SCRATCH/kept.json" "$zipf"
echo "my notes" >"$SCRATCH/notes"
run sweep "$zipf" --set /seed=1 -o "$SCRATCH/notes"
ok "refuses a file that is no sweep" exits 2 "$err" "is not this sweep"
ok "and leaves it" test "$(cat "$SCRATCH/notes")" = "my notes"
run sweep "$zipf" --set /seed=1,x -o "$SCRATCH/notes" --force
ok "--force with a bad value leaves it too" test "$code $(cat "$SCRATCH/notes")" = "2 my notes"
run sweep "$zipf" --set /seed=1 -o "$SCRATCH/notes" --force
ok "--force replaces it" test "$code $(column seed "$SCRATCH/notes")" = "0 0x1"

# ---- ends of any kind ----

# What takes a while; begin FILE JOBS starts it behind, and waits until two rows are there.
long() { run sweep "$zipf" --set $accesses=20000,4000000 --set /seed=1,2,3,4 "$@"; }
rows_in() { sed -n '/^row /p' "$1" 2>/dev/null | wc -l; }
begin() {
    "$NESTWALK" sweep "$zipf" --set $accesses=20000,4000000 --set /seed=1,2,3,4 -o "$1" \
        --jobs "$2" >"$out" 2>"$err" &
    pid=$!
    tries=0
    while [ "$(rows_in "$1.part")" -lt 2 ] && [ $tries -lt 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    children=$(cat /proc/$pid/task/$pid/children 2>/dev/null)
}
ended() { # or wait for whoever inherits them to ask how
    for child in $children; do
        grep -qs '^State:.*Z' "/proc/$child/status" || [ ! -e "/proc/$child" ] || return 1
    done
}
long
cp "$out" "$SCRATCH/long"

begin "$SCRATCH/kill.csv" 2
kill -KILL $pid
wait $pid 2>/dev/null
sleep 0.3
ok "killed: FILE is not there yet" test ! -e "$SCRATCH/kill.csv"
ok "killed: its workers end too" ended
rows=$(rows_in "$SCRATCH/kill.csv.part")
printf 'row 7 99999 0123456789abcdef\nscenario,cut of' >>"$SCRATCH/kill.csv.part"
run sweep "$zipf" --set /seed=1,2 -o "$SCRATCH/kill.csv"
ok "killed: another sweep is refused" exits 2 "$err" "kill.csv.part: what was begun there is not"
long -o "$SCRATCH/kill.csv"
ok "killed: the same command goes on" exits 0 "$err" "$rows of 8 combinations are done; going on"
ok "killed: and ends with the same bytes" cmp "$SCRATCH/kill.csv" "$SCRATCH/long"
ok "killed: nothing lies beside it" test ! -e "$SCRATCH/kill.csv.part"

begin "$SCRATCH/int.csv" 2
run sweep "$zipf" --set $accesses=20000,4000000 --set /seed=1,2,3,4 -o "$SCRATCH/int.csv"
ok "two can't write one file" exits 2 "$err" "another sweep is writing it"
kill -INT $pid
wait $pid
code=$?
ok "Ctrl-C: ends" test $code = 130
ok "Ctrl-C: no worker is left" ended
ok "Ctrl-C: FILE is not there yet" test ! -e "$SCRATCH/int.csv" -a -s "$SCRATCH/int.csv.part"
long -o "$SCRATCH/int.csv" --jobs 1
ok "Ctrl-C: the same command goes on" exits 0 "$err" "of 8 combinations are done; going on"
ok "Ctrl-C: and ends with the same bytes" cmp "$SCRATCH/int.csv" "$SCRATCH/long"

"$NESTWALK" sweep "$zipf" --set /seed=1,2,3 --set $accesses=4000000000 -o "$SCRATCH/term.csv" \
    >"$out" 2>"$err" &
pid=$!
sleep 0.5
kill -TERM $pid
wait $pid
code=$?
ok "SIGTERM: says how far it came" \
    exits 130 "$err" "interrupted with 0 of 3 combinations done; nothing is kept"
ok "SIGTERM: leaves nothing" test ! -e "$SCRATCH/term.csv.part"

begin "$SCRATCH/child.csv" 1
if [ -n "$children" ]; then
    kill -KILL "${children%% *}"
    wait $pid
    code=$?
    ok "a run that is killed: says which" exits 3 "$err" "of 8, --set $accesses=" \
        "$err" "its process was ended by signal 9" "$err" "child.csv.part keeps them"
else
    kill -KILL $pid
    wait $pid 2>/dev/null
    skip "a run that is killed: says which" "the system does not list child processes"
fi
sed 's/^mode,native$/mode,nativE/' "$SCRATCH/child.csv.part" >"$SCRATCH/broken"
cp "$SCRATCH/broken" "$SCRATCH/child.csv.part"
long -o "$SCRATCH/child.csv"
ok "rows that were damaged are run again" cmp "$SCRATCH/child.csv" "$SCRATCH/long"
printf 'nestwalk sw' >"$SCRATCH/head.csv.part"
run sweep "$zipf" --set /seed=7,3 --set $accesses=1000,2000,3000 -o "$SCRATCH/head.csv"
ok "ended before the first line was whole" cmp "$SCRATCH/head.csv" "$SCRATCH/first"

begin "$SCRATCH/force.csv" 1
kill -KILL $pid
wait $pid 2>/dev/null
run sweep "$zipf" --set /seed=1,2 -o "$SCRATCH/force.csv" --force
ok "--force begins anew" test "$code $(column seed "$SCRATCH/force.csv")" = "0 0x1 0x2"
