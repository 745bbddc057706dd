#!/bin/sh
# tools/emulated: a command on an emulated computer is as if it were run here. tools/validate.
. "${0%/*}/lib.sh"

# Where an emulator is lacking, it says so.
mkdir "$SCRATCH/bin"
ln -s /usr/bin/* "$SCRATCH/bin"
rm -f "$SCRATCH/bin/qemu-system-x86_64"
PATH=$SCRATCH/bin tools/emulated prepare >"$out" 2>"$err"
code=$?
ok "without an emulator: exit code 3, and what to install" exits 3 \
    "$err" "apt-get install --no-install-recommends qemu-system-x86"
rm -rf "${SCRATCH:?}/bin"

tools/emulated nested --timeout soon -- true >"$out" 2>"$err"
code=$?
ok "an option that is wrong: exit code 2" exits 2 "$err" "--timeout takes a number of seconds"

tools/emulated prepare >"$out" 2>"$err"
code=$?
if [ $code = 3 ]; then
    skip "running a command" "$(tail -n 1 "$err")"
    exit
fi
ok "the kernel is got, and kept" exits 0
start=$(date +%s)
tools/emulated prepare
ok "so that it need not be got again" test $(($(date +%s) - start)) -le 2

# Four at once: what it would be here, with nested and with shadow paging; one that hangs; and one
# that is ended from outside.
mkdir "$SCRATCH/tmp"
TMPDIR=$SCRATCH/tmp
export TMPDIR
head -c 100000 /dev/urandom >"$SCRATCH/bytes"
tools/emulated nested --files scenarios/first-steps.json "$SCRATCH/bytes" --out "$SCRATCH/left" -- \
    sh -c "cat '$SCRATCH/bytes'; nestwalk check scenarios/first-steps.json >/out/check; printf '%s|' \
    \$(cat /sys/module/kvm_amd/parameters/npt) \"\$@\" >&2; exit 77" sh "it's" '' 'two
lines ' >"$SCRATCH/nested.out" 2>"$SCRATCH/nested.err" &
nested=$!
tools/emulated shadow --files scenarios/first-steps.json -- \
    nestwalk walk scenarios/first-steps.json --gva 0x400123 --format json \
    >"$SCRATCH/shadow.out" 2>"$SCRATCH/shadow.err" &
shadow=$!
tools/emulated shadow --timeout 4 -- sleep 1000 >"$SCRATCH/hung.out" 2>"$SCRATCH/hung.err" &
hung=$!
tools/emulated nested -- sleep 1000 >"$SCRATCH/ended.out" 2>"$SCRATCH/ended.err" &
ended=$!
sleep 2
kill -TERM $ended
wait $ended
code=$?
ok "ended by a signal, it says so" test $code = 143

wait $nested
code=$?
cp "$SCRATCH/nested.err" "$err"
printf 'Y|%s|%s|%s|' "it's" '' 'two
lines ' >"$SCRATCH/expected"
ok "the exit code is the command's" exits 77
ok "its output comes byte by byte" cmp "$SCRATCH/nested.out" "$SCRATCH/bytes"
ok "so does its error output, and its arguments came so too" cmp "$err" "$SCRATCH/expected"
run check scenarios/first-steps.json
ok "what it left in /out comes out" cmp "$out" "$SCRATCH/left/check"

wait $shadow
code=$?
cp "$SCRATCH/shadow.err" "$err"
ok "with shadow paging too" exits 0
run walk scenarios/first-steps.json --gva 0x400123 --format json
ok "and the model gives the same bytes as here" cmp "$out" "$SCRATCH/shadow.out"

wait $hung
code=$?
cp "$SCRATCH/hung.err" "$err"
ok "a command that hangs is killed, and it is said" exits 124 "$err" "did not end within 4 s"

# One command in each place. This one knows them by their names.
mkdir "$SCRATCH/build"
cat >"$SCRATCH/build/judge" <<'END'
#!/bin/sh
case $(cat /proc/sys/kernel/hostname /sys/module/kvm_amd/parameters/npt 2>/dev/null) in
"(none)
Y") ls "$1" && echo "all agree" ;;
"(none)
N") echo "one differs" && exit 1 ;;
*) echo "there is no KVM" >&2 && exit 3 ;;
esac
END
chmod +x "$SCRATCH/build/judge"
tools/validate "$SCRATCH/build" judge scenarios/first-steps.json >"$out" 2>"$err"
code=$?
ok "a command is run here and on both emulated computers" exits 1 \
    "$out" "here: not to be had: there is no KVM" "$out" "nested: all agree" \
    "$out" "shadow: ended with code 1" "$out" "  one differs"

ok "no emulator is left" test -z "$(pgrep -f "$TMPDIR" 2>/dev/null)"
ok "nor a file" test -z "$(ls -A "$TMPDIR")"
