#!/bin/sh
# replay's memory does not grow with the length of a trace.
. "${0%/*}/lib.sh"

if [ "$CONFIG" = asan ]; then
    skip "peak memory" "the sanitizer's own memory hides it"
    exit
fi

# 2000 pages over and over: $1 accesses, as text.
again() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf " L %x,8\n", 268435456 + 4096 * (i % 2000) }'
}

# Peak memory of a replay of $length accesses, in KiB: it waits for more input with everything else read.
peak() {
    mkfifo "$SCRATCH/fifo"
    "$NESTWALK" replay "$SCRATCH/fifo" --format csv >"$out" 2>"$err" &
    pid=$!
    {
        again "$length"
        sleep 0.3
        sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" >"$SCRATCH/peak"
    } >"$SCRATCH/fifo"
    wait $pid
    code=$?
    rm "$SCRATCH/fifo"
    cat "$SCRATCH/peak"
}

length=300000
short=$(peak)
length=3000000
long=$(peak)

code=0
echo "peak memory: $short KiB for 300,000 accesses, $long KiB for 3,000,000"
ok "10 times the trace takes less than 10 % more memory" test "$long" -lt $((short + short / 10))
