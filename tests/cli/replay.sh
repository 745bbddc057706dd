#!/bin/sh
# replay: traces on a machine.
. "${0%/*}/lib.sh"

t=$SCRATCH/t.nwtrace
accesses 10000 >"$SCRATCH/t.lackey"
"$NESTWALK" convert --quiet "$SCRATCH/t.lackey" "$t"

run replay "$t" --format csv
ok "counts every access" test "$(value accesses)" = 10000
ok "each new page is one fault" test "$(value faults.not_present)" = 10000
ok "and one page of each table that covers it" test "$(value tables.guest_bytes)" = \
    $((4096 * (1 + 1 + 1 + 20))) # 10000 pages from 256 MiB on lie in 20 tables of 512
cp "$out" "$SCRATCH/first"
run replay "$t" --format csv
ok "twice gives the same bytes" cmp "$out" "$SCRATCH/first"

"$NESTWALK" replay - --format csv <"$t" >"$out" 2>"$err"
code=$?
sed 's/^scenario,.*/scenario,x/' "$out" >"$SCRATCH/a"
sed 's/^scenario,.*/scenario,x/' "$SCRATCH/first" >"$SCRATCH/b"
ok "standard input gives the same" cmp "$SCRATCH/a" "$SCRATCH/b"
gzip -c "$SCRATCH/t.lackey" >"$SCRATCH/t.gz"
zcat "$SCRATCH/t.gz" | "$NESTWALK" replay - --format csv >"$out" 2>"$err"
sed 's/^scenario,.*/scenario,x/' "$out" >"$SCRATCH/a"
ok "a pipe gives the same" cmp "$SCRATCH/a" "$SCRATCH/b"
run replay "$SCRATCH/t.gz" --format csv
sed 's/^scenario,.*/scenario,x/' "$out" >"$SCRATCH/a"
ok "a compressed file gives the same" cmp "$SCRATCH/a" "$SCRATCH/b"

run replay "$t"
ok "the table says that there are no guest events" exits 0 "$out" "nothing of table"
run replay "$t" --format json
ok "JSON has the schema and what reading met" exits 0 "$out" '"nestwalk/stats/1"' "$out" \
    '"trace": { "complete": true, "guest_events": 0'
if has python3; then
    python3 -m json.tool "$out" >/dev/null 2>"$err"
    code=$?
    ok "and is JSON" exits 0
else
    skip "the output of replay is JSON" "python3 is not installed"
fi

# ---- parts ----
run replay "$t" --skip 1000 --max 500 --format csv
ok "--skip and --max" test "$(value accesses) $(value faults.not_present)" = "500 500"
run replay "$t" --skip 9990 --max 500 --format csv
ok "--max beyond the end" test "$(value accesses)" = 10
run replay "$t" --skip 10000
ok "--skip beyond the end" exits 2 "$err" "nothing is left"
run replay "$t" --warmup 9000 --format csv
ok "--warmup counts only what comes after" test "$(value accesses) $(value faults.not_present)" = \
    "1000 1000"
run replay "$t" --warmup 10001
ok "--warmup beyond the end" exits 2 "$err" "smaller --warmup"
run replay "$t" --sample 10/100 --format csv
ok "--sample" test "$(value accesses)" = 1000
run replay "$t" --sample 10
ok "--sample that is no A/B" exits 2 "$err" "A/B"
run replay "$t" --max 12 --sample 1/3 --format csv
ok "--sample with --max" test "$(value accesses)" = 12

# ---- pages ----
run replay "$t" --populate start --format csv
ok "--populate start: no access faults" test \
    "$(value accesses) $(value faults.not_present) $(value trace.populated)" = "10000 0 10000"
"$NESTWALK" replay - --populate start <"$t" >"$out" 2>"$err"
code=$?
ok "--populate start of a file on standard input" exits 0 "$out" "10000"
# shellcheck disable=SC2002 # a pipe it must be
cat "$t" | "$NESTWALK" replay - --populate start >"$out" 2>"$err"
code=$?
ok "--populate start of a pipe" exits 2 "$err" "a pipe does not allow"
run replay "$t" --huge-pages --format csv
ok "--huge-pages: a fault per 2 MiB" test "$(value faults.not_present)" = 20
run replay "$t" --memory 16MiB
ok "too little memory" exits 1 "$err" "out of memory"
run replay "$t" --memory 10
ok "memory that is none" exits 2 "$err" "--memory"
run replay "$t" --memory 1.5GB
ok "memory in no unit" exits 2 "$err" "is a size"

# ---- machines ----
for paging in 2-level pae 4-level 5-level; do
    run replay "$t" --paging $paging --format csv
    ok "--paging $paging" test "$(value accesses) $(value faults.not_present)" = "10000 10000"
done
echo " L 1fff000708,8" >"$SCRATCH/wide"
run replay "$SCRATCH/wide" --paging 2-level
ok "an address too wide for 2-level paging" exits 2 "$err" "0x1fff000708"
for name in $("$NESTWALK" machines --format csv | sed -e 1d -e 's/,.*//'); do
    run replay "$t" --machine "$name" --max 2000 --format csv
    ok "--machine $name" test "$(value accesses) $(value profile)" = "2000 $name"
done
echo '{ "profile": "zen4", "override": { "tlb": { "l2": { "entries": 0 } } } }' >"$SCRATCH/m.json"
run replay "$t" --machine "$SCRATCH/m.json" --format csv
ok "--machine FILE with an override" exits 0 "$out" "accesses,10000"
run replay "$t" --machine skylakesp
ok "an unknown machine" exits 2 "$err" "skylake-sp"
echo '{ "profile": "zen4", "ghz": 1 }' >"$SCRATCH/m.json"
run replay "$t" --machine "$SCRATCH/m.json"
ok "a machine file with a mistake" exits 2 "$err" "m.json:1:"

# ---- several ----
run replay "$t" "$t" --format csv
ok "two traces are two processes" test \
    "$(value accesses) $(value faults.not_present) $(value tables.guest_bytes)" = \
    "20000 20000 $((2 * 4096 * 23))"
run replay "$t" "$t" --quantum 100 --machine skylake-sp --format csv
ok "--quantum switches among them" exits 0 "$out" "accesses,20000"

# ---- trouble ----
{
    accesses 5
    echo " L zz,8"
} >"$SCRATCH/bad"
run replay "$SCRATCH/bad"
ok "a malformed line" exits 2 "$err" "bad:6:"
run replay "$SCRATCH/bad" --max-errors 1 --format csv
ok "--max-errors" test "$(value accesses) $(value trace.errors)" = "5 1"
: >"$SCRATCH/empty"
run replay "$SCRATCH/empty"
ok "an empty file" exits 2 "$err" "empty"
run replay "$SCRATCH/none"
ok "no file" exits 2 "$err" "none"
run replay "$t" --input-format champsim
ok "the wrong format" exits 2
run replay "$t" --mode shadwo
ok "an unknown mode" exits 2 "$err" "known: native, shadow, nested,"
run replay "$t" --mode nested --second-stage flat --second-stage-page 2MiB
ok "a flat table has no large pages" exits 2 "$err" "4KiB only"
run replay
ok "no trace" exits 2 "$err" "usage: nestwalk replay"

run replay "$t" --max 3 --events "$SCRATCH/log" --format csv
ok "--events writes the log" test "$(grep -c '"event":"access"' "$SCRATCH/log")" = 3

# ---- interruption ----
mkfifo "$SCRATCH/fifo"
"$NESTWALK" replay "$SCRATCH/fifo" --format csv >"$out" 2>"$err" &
pid=$!
{
    accesses 200000
    kill -INT $pid
    accesses 200000
} >"$SCRATCH/fifo" 2>/dev/null
wait $pid
code=$?
ok "an interruption prints the statistics so far" exits 130 "$err" "interrupted after" "$out" "accesses,"

# ---- modes with a hypervisor ----
run replay "$t" --mode nested --format csv
ok "nested counts the same accesses" test "$(value accesses) $(value faults.not_present)" = \
    "10000 10000"
# 10000 pages and 23 tables of the guest's; each is given a frame once.
ok "and an exit for each page that is given a frame" test "$(value exits.total)" = 10023
ok "whose tables are the hypervisor's" test "$(value tables.host_bytes)" -gt 0
run replay "$t" --mode nested --second-stage-page 2MiB --second-stage npt5 --format csv
ok "large pages need few" test "$(value exits.total)" -lt 100
for mode in nested direct three-stage collapsed; do
    run replay "$t" --mode $mode --populate start --format csv
    ok "$mode --populate start leaves nothing to answer" test \
        "$code $(value accesses) $(value faults.not_present) $(value exits.total)" = "0 10000 0 0"
done
run replay "$t" --mode nested --populate start --second-stage flat --format csv
ok "a flat table is one read for each of a walk's addresses" test \
    "$(value walks.refs.host)" -le "$(($(value walks.refs.guest) + $(value walks.count)))"
run replay "$t" --mode nested --memory 16MiB
ok "the VM's memory, not the host's, runs out" exits 1 "$err" "VM is out of memory"
for mode in $("$NESTWALK" modes --format csv | grep ',false$' | sed 's/,.*//'); do
    run replay "$t" --mode "$mode"
    ok "$mode, which doesn't run yet" exits 2 "$err" "mode $mode can't run in this version"
done
for mode in $("$NESTWALK" modes --format csv | grep ',true$' | sed 's/,.*//'); do
    run replay "$t" --mode "$mode" --max 100 --format csv
    ok "replay runs $mode" exits 0 "$out" "mode,$mode"
done
