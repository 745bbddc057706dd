#!/bin/sh
# run: exit codes, outcomes, statistics, the log, and that the same run gives the same bytes.
. "${0%/*}/lib.sh"

data=tests/sim/data/walk
cat >"$SCRATCH/zipf.json" <<'END'
{
  "version": 1,
  "title": "Zipf, and a script",
  "vms": [ { "name": "web", "memory": "64MiB", "processes": [ {
      "name": "server", "map": [ { "gva": "0x400000", "size": "16MiB" } ],
      "workload": { "generator": "zipf", "theta": 0.9, "writes": 0.3, "accesses": 30000 } } ] } ],
  "script": [
    { "do": "access", "gva": "0x400123", "op": "write", "value": "0xab", "size": 1 },
    { "do": "access", "gva": "0x400123", "size": 1 },
    { "do": "access", "gva": "0x10" },
    { "do": "dump", "gpa": "0x1000", "count": 2 },
    { "do": "invlpg", "gva": "0x400000", "at": 500 }
  ]
}
END
zipf=$SCRATCH/zipf.json

run run "$zipf"
ok "prints a table" exits 0 "$out" "Zipf, and a script" "$out" "cycles per access" "$out" "l1d"
run run "$zipf" --format csv
ok "prints CSV" exits 0 "$out" "name,value" "$out" "mode,native"
accesses=$(value accesses) hits=$(value tlb.l1d.4KiB.hits) misses=$(value tlb.l1d.4KiB.misses)
ok "counts every access" test "$accesses" = 30003
ok "lookups are hits and misses" test "$(value tlb.l1d.4KiB.lookups)" = $((hits + misses))
ok "counts the faults of pages" test "$(value faults.not_present)" -gt 1000
run run "$zipf" --format json
ok "prints JSON" exits 0 "$out" '"schema": "nestwalk/stats/1"' "$out" '"name": "web"'
if has python3; then
    ok "which parses" python3 -m json.tool "$out" /dev/null
else
    skip "which parses" "python3 is missing"
fi
cp "$out" "$SCRATCH/first"
run run "$zipf" --format json --events "$SCRATCH/log" --outcomes "$SCRATCH/outcomes"
ok "watching changes nothing" cmp "$out" "$SCRATCH/first"
cp "$SCRATCH/log" "$SCRATCH/log.first"
run run "$zipf" --format json --events "$SCRATCH/log"
ok "the same run logs the same bytes" cmp "$SCRATCH/log" "$SCRATCH/log.first"
ok "the log has each access" test "$(grep -c '"event":"access"' "$SCRATCH/log")" = 30003
run run "$zipf" --format json --set /seed=2
ok "another seed runs otherwise" test "$(cksum <"$out")" != "$(cksum <"$SCRATCH/first")"
run run - --format json <"$zipf"
ok "reads standard input" cmp "$out" "$SCRATCH/first"

# Cut into pieces of odd lengths, the workload gives the same statistics.
sed 's/"script": \[/"script": [ { "do": "run", "accesses": 1 }, { "do": "run", "accesses": 509 },\
  { "do": "run", "accesses": 9973 }, { "do": "run", "accesses": 3 },/;
  /"do": "access"/d; /"do": "dump"/d; s/{ "do": "invlpg".*/{ "do": "run", "accesses": 7 }/' \
    "$zipf" >"$SCRATCH/pieces.json"
run run "$SCRATCH/pieces.json" --format csv
ok "runs in pieces" exits 0 "$out" "accesses,30000"
cp "$out" "$SCRATCH/pieces"
run run "$SCRATCH/pieces.json" --format csv --set '/script=[]'
ok "and it is the same as in one" cmp "$out" "$SCRATCH/pieces"

cat >"$SCRATCH/expected" <<'END'
{"i":0,"outcome":"ok","gpa":"0x2123"}
{"i":1,"outcome":"ok","gpa":"0x2123","value":"0xab"}
{"i":2,"outcome":"fault","vector":14,"error_code":"0x4","cr2":"0x10"}
{"i":3,"dump":["0x3027","0x0"]}
{"i":4,"outcome":"ok"}
END
ok "writes outcomes" cmp "$SCRATCH/outcomes" "$SCRATCH/expected"
run run "$zipf" --outcomes - --format json
head -n 5 "$out" >"$SCRATCH/head"
tail -n +6 "$out" >"$SCRATCH/tail"
ok "outcomes on standard output come first" cmp "$SCRATCH/head" "$SCRATCH/expected"
ok "and then the statistics" cmp "$SCRATCH/tail" "$SCRATCH/first"

# What the comments in the files work out by hand.
outcomes() { "$NESTWALK" run "$data/$1.json" --outcomes - --format csv 2>"$err" | grep '^{' >"$out"; }
outcomes small-two-level
cat >"$SCRATCH/expected" <<'END'
{"i":0,"outcome":"ok","gpa":"0x6ac","value":"0x1d"}
{"i":1,"outcome":"fault","vector":14,"error_code":"0x0","cr2":"0x2b8c"}
{"i":2,"outcome":"fault","vector":14,"error_code":"0x0","cr2":"0x1000"}
{"i":3,"outcome":"ok","gpa":"0x6ac"}
{"i":4,"dump":["0xf0e0dee00000908"]}
END
ok "two levels, 32-byte pages, 1-byte entries" cmp "$out" "$SCRATCH/expected"
outcomes small-tlb-and-cache
cat >"$SCRATCH/expected" <<'END'
{"i":0,"outcome":"ok","gpa":"0x739","value":"0xb2"}
{"i":1,"outcome":"ok","gpa":"0xaa3","value":"0x5e"}
{"i":2,"outcome":"fault","vector":14,"error_code":"0x0","cr2":"0x3c7"}
END
ok "a preloaded TLB and data cache" cmp "$out" "$SCRATCH/expected"
outcomes small-one-level
cat >"$SCRATCH/expected" <<'END'
{"i":0,"outcome":"ok","gpa":"0xa2c","value":"0x0"}
{"i":1,"outcome":"ok","gpa":"0x2ff","value":"0x0"}
{"i":2,"outcome":"fault","vector":14,"error_code":"0x0","cr2":"0x711"}
END
ok "one level, 16-bit addresses, 256-byte pages" cmp "$out" "$SCRATCH/expected"

# Belady's string under FIFO: three frames, nine faults; four frames, ten.
belady() {
    awk -v policy="$1" -v frames="$2" 'BEGIN {
        n = split("1 2 3 4 1 2 5 1 2 3 4 5", page)
        printf "{\"version\":1,\"vms\":[{\"guest\":{\"reclaim\":{\"policy\":\"%s\",", policy
        printf "\"frames\":%d}},\"processes\":[{\"map\":[{\"gva\":\"0x0\",", frames
        printf "\"size\":\"64KiB\"}],\"workload\":{\"generator\":\"list\",\"addresses\":["
        for (i = 1; i <= n; i++) printf "%s\"0x%x\"", (i > 1 ? "," : ""), page[i] * 4096
        print "]}}]}]}" }' | "$NESTWALK" run - --format csv >"$out" 2>"$err"
    value paging.faults
}
ok "FIFO has Belady's anomaly" test "$(belady fifo 3) $(belady fifo 4)" = "9 10"
ok "LRU has not" test "$(belady lru 3) $(belady lru 4)" = "10 8"
ok "OPT is the least" test "$(belady opt 3) $(belady opt 4)" = "7 6"

run run "$SCRATCH/none.json"
ok "a scenario that is not there" exits 2 "$err" "none.json"

# Under a hypervisor: what its exits and its work are, and what the cycles are spent on.
run run "$zipf" --mode nested
ok "nested paging, in a table" exits 0 "$out" "second stage violation" "$out" "in host tables" \
    "$out" "references per walk" "$out" "gives the VM a page"
run run "$zipf" --mode nested --format csv
ok "exits are counted" test "$(value exits.total)" = "$(value work.back)"
ok "a frame for each page that was backed" test "$(value vms.web.frames)" = "$(value work.back)"
parts=0
for part in accesses translation guest exits hypervisor; do
    parts=$((parts + $(value cycles_by.$part)))
done
ok "the parts of the cycles are the cycles" test "$parts" = "$(value cycles)"
lookups=$(value structure_caches.pde.host.lookups) hits=$(value structure_caches.pde.host.hits)
ok "the host has structure caches of its own" \
    test "$lookups" = $((hits + $(value structure_caches.pde.host.misses)))
run run "$zipf" --mode nested --format json --events "$SCRATCH/log"
ok "as JSON" exits 0 "$out" '"exits": { "total": ' "$out" '"by_reason": { "second_stage_violation": ' \
    "$out" '"work": { "back": '
has python3 && ok "which parses" python3 -m json.tool "$out" /dev/null
ok "the log says what exits and work are" exits 0 \
    "$SCRATCH/log" '"event":"exit","depth":1,"detail":"second_stage_violation"' \
    "$SCRATCH/log" '"event":"work","depth":1,"level":1,"detail":"back"'
run run "$zipf" --set /vms/0/memori=1
ok "a setting of an unknown key" exits 2 "$err" "memory"
run run "$zipf" --set /vms/0/memori=1 --format json
ok "as data" exits 2 "$out" '"pointer": "/vms/0/memori"'
run run "$zipf" --set memory
ok "a setting that is none" exits 2 "$err" "--set takes a JSON pointer"
run run "$zipf" --events "$SCRATCH/no/such/folder"
ok "a log that can't be opened" exits 2 "$err" "no/such/folder"
if [ -e /dev/full ]; then
    run run "$zipf" --events /dev/full
    ok "a full disk" exits 3 "$err" "/dev/full"
    "$NESTWALK" run "$zipf" >/dev/full 2>"$err"
    code=$?
    ok "standard output that is full" exits 3 "$err" "standard output"
else
    skip "a full disk" "no /dev/full"
fi
run run "$zipf" --set /vms/0/memory=64KiB
ok "a VM without enough memory" exits 1 "$err" "out of memory"
"$NESTWALK" run "$zipf" --events - 2>"$err" | head -n 1 >"$out"
ok "a reader that goes away is no trouble" test ! -s "$err"

"$NESTWALK" run "$zipf" --set /vms/0/processes/0/workload/accesses=4000000000 \
    >"$out" 2>"$err" &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
code=$?
ok "stops tidily when asked, and says how far it came" \
    exits 130 "$err" "interrupted after" "$out" "cycles per access"
run run "$zipf" --events "$SCRATCH/one" --outcomes "$SCRATCH/one"
ok "two kinds of lines don't go into one file" exits 2 "$err" "write one file"
run run "$zipf" --mode nestde
ok "a mode that is none" exits 2 "$err" "unknown mode 'nestde'; known: native"

# ---- exits that no hypervisor answers ----
# The guest's pages 5 to 8 are, by a hand-made EPT: all rights, no writing, nothing, misconfigured.
cat >"$SCRATCH/by-hand.json" <<'END'
{
  "version": 1,
  "machine": { "memory": "1MiB" },
  "vms": [ { "mode": "nested", "memory": "64KiB", "registers": { "cr3": "0x1000" },
      "image": [ { "gpa": "0x1000", "u64": [ "0x2067" ] }, { "gpa": "0x2000", "u64": [ "0x3067" ] },
                 { "gpa": "0x3000", "u64": [ "0x4067" ] },
                 { "gpa": "0x4028", "u64": [ "0x5067", "0x6067", "0x7067", "0x8067" ] } ],
      "second_stage_raw": { "eptp": "0x1005e", "image": [
          { "hpa": "0x10000", "u64": [ "0x11007" ] }, { "hpa": "0x11000", "u64": [ "0x12007" ] },
          { "hpa": "0x12000", "u64": [ "0x13007" ] },
          { "hpa": "0x13008", "u64": [ "0x21037", "0x22037", "0x23037", "0x24037",
                                       "0x25037", "0x26035", "0x0", "0x28032" ] } ] } } ],
  "script": [
    { "do": "access", "gva": "0x5000", "op": "write", "value": "0x7b" },
    { "do": "access", "gva": "0x6010", "op": "write" },
    { "do": "access", "gva": "0x6010" },
    { "do": "access", "gva": "0x7020" },
    { "do": "access", "gva": "0x8000" },
    { "do": "access", "gva": "0x9000" },
    { "do": "dump", "gpa": "0x5000" } ]
}
END
cat >"$SCRATCH/expected" <<'END'
{"i":0,"outcome":"ok","gpa":"0x5000"}
{"i":1,"outcome":"exit","reason":"second_stage_violation","gpa":"0x6010","qualification":"0x1aa"}
{"i":2,"outcome":"ok","gpa":"0x6010","value":"0x0"}
{"i":3,"outcome":"exit","reason":"second_stage_violation","gpa":"0x7020","qualification":"0x181"}
{"i":4,"outcome":"exit","reason":"second_stage_misconfiguration","gpa":"0x8000"}
{"i":5,"outcome":"fault","vector":14,"error_code":"0x0","cr2":"0x9000"}
{"i":6,"dump":["0x7b"]}
END
run run "$SCRATCH/by-hand.json" --outcomes "$SCRATCH/exits" --format csv
ok "a hand-made EPT: exits are outcomes, and the script goes on" exits 0
ok "each with what the processor tells" cmp "$SCRATCH/exits" "$SCRATCH/expected"
ok "and they are counted" test "$(value exits.total)" = 3
run run "$SCRATCH/by-hand.json" --set /vms/0/second_stage=npt4 --outcomes -
ok "an EPTP is none for NPT" exits 2 "$err" 'npt4 has no "eptp"'
sed 's/0x181/0x182/' "$SCRATCH/exits" >"$SCRATCH/other"
run diff "$SCRATCH/exits" "$SCRATCH/other"
ok "diff tells exits apart" exits 1 "$out" '"0x181"'
