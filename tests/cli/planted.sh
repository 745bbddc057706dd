#!/bin/sh
# A bug planted into the model is found: with each patch of tests/kvm/planted the fuzzer reports a
# difference within a minute, in a program of fewer than ten script items, on which the right model
# and KVM agree. Where this computer's KVM lacks what a bug is about, an emulated one judges.
. "${0%/*}/lib.sh"

plain=build/debug # its objects are whole: one file compiled anew, and a link, make another program
make --no-print-directory CONFIG=debug all >"$out" 2>&1 || {
    echo "not ok - there is a program to plant bugs into"
    exit
}
right=$SCRATCH/right/nestwalk
mkdir "$SCRATCH/right"
cp $plain/nestwalk "$right"

# plant BUG: the program with that bug, as $SCRATCH/BUG/nestwalk.
plant() {
    root=$SCRATCH/$1
    file=$(sed -n 's|^+++ b/||p' "tests/kvm/planted/$1.patch")
    mkdir -p "$root/${file%/*}" "$root/found"
    cp "$file" "$root/$file"
    patch -s -p1 --fuzz=0 -d "$root" <"tests/kvm/planted/$1.patch" >"$out" 2>&1 &&
        cc -std=c11 -D_GNU_SOURCE -O1 -w -ffp-contract=off -fno-strict-aliasing -I"$root" -I. \
            -c "$root/$file" -o "$root/planted.o" 2>"$err" &&
        cc "$root/planted.o" $plain/sim/cli/main.o $plain/libnestwalk.a \
            -lcjson -lz -llzma -lzstd -lm -o "$root/nestwalk" 2>"$err"
}

# hunt.sh PROGRAM RIGHT FOLDER: looks for a bug; what it says ends in the exit codes of the hunt, of
# a second look at what was saved, and of one by the right program.
cat >"$SCRATCH/hunt.sh" <<'END'
timeout 60 "$1" fuzz --count 1000000 --scenarios "$3"
hunt=$?
"$1" fuzz "$3"/*.json
again=$?
"$2" fuzz "$3"/*.json
echo "$hunt $again $?"
END

# judge BUG: by what a hunt left.
judge() {
    items=$(cat "$SCRATCH/$1"/found/*.json 2>/dev/null | sed '1,/"script"/d' | grep -c '"do"')
    out=$SCRATCH/$1/said
    code=$(tail -n 1 "$out")
    ok "$1 is found, shown again by what was saved, and by nothing without it" test "$code" = "1 1 0"
    ok "$1 is shown by fewer than ten items" test "$items" -gt 0 -a "$items" -lt 10
}

here='' elsewhere=''
for patch in tests/kvm/planted/*.patch; do
    bug=${patch##*/}
    bug=${bug%.patch}
    if ! plant "$bug"; then
        ok "$bug can be planted" false
    elif grep -q '^Needs: nested' "$patch"; then
        elsewhere="$elsewhere $bug"
    else
        here="$here $bug"
    fi
done

# One emulated computer for all that need it, while this one hunts the others.
for bug in $elsewhere; do
    echo "mkdir -p /out/$bug/found; sh '$SCRATCH/hunt.sh' '$SCRATCH/$bug/nestwalk' '$right' \
        /out/$bug/found >/out/$bug/said 2>&1"
    set -- "$@" "$SCRATCH/$bug/nestwalk"
done >"$SCRATCH/hunt_all.sh"
tools/emulated nested --timeout 240 --files "$@" "$right" "$SCRATCH/hunt.sh" \
    "$SCRATCH/hunt_all.sh" --out "$SCRATCH" -- sh "$SCRATCH/hunt_all.sh" \
    >"$SCRATCH/emulated.out" 2>"$SCRATCH/emulated.err" &
emulated=$!

"$right" fuzz --count 1 >"$SCRATCH/here.out" 2>"$SCRATCH/here.err"
missing=$?
for bug in $here; do
    if [ $missing = 3 ]; then
        skip "$bug is found" "$(tail -n 1 "$SCRATCH/here.err")"
    else
        sh "$SCRATCH/hunt.sh" "$SCRATCH/$bug/nestwalk" "$right" "$SCRATCH/$bug/found" \
            >"$SCRATCH/$bug/said" 2>&1
        judge "$bug"
    fi
done

wait $emulated
missing=$?
for bug in $elsewhere; do
    if [ $missing = 3 ]; then
        skip "$bug is found" "$(tail -n 1 "$SCRATCH/emulated.err")"
    else
        judge "$bug"
    fi
done
