# shellcheck shell=sh
# What the scripts of tests/cli share. Each begins with: . "${0%/*}/lib.sh"
#
# NESTWALK is the program, SCRATCH an empty folder, CONFIG the build's configuration.
: "${NESTWALK:=build/release/nestwalk}" "${SCRATCH:=$(mktemp -d)}" "${CONFIG:=release}"
out=$SCRATCH/out err=$SCRATCH/err

# run ARGUMENTS...: runs nestwalk; its output is in $out and $err, its exit code in $code.
run() {
    "$NESTWALK" "$@" >"$out" 2>"$err"
    code=$?
}

# ok NAME CONDITION...: one test. A condition is a command.
ok() {
    name=$1
    shift
    if "$@"; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        echo "  exit code ${code:-?}; failed: $*"
        [ -s "$err" ] && sed 's/^/  stderr: /' "$err" | head -n 20
        [ -s "$out" ] && sed 's/^/  stdout: /' "$out" | head -n 20
    fi
}

skip() { echo "skip - $1: $2"; }

# exits N [FILE TEXT]...: the last run's exit code, and that files hold lines with these texts.
exits() {
    [ "$code" = "$1" ] || return 1
    shift
    while [ $# -gt 1 ]; do
        grep -qF -- "$2" "$1" || return 1
        shift 2
    done
}

# value NAME: a number of the last run, which printed CSV.
value() { sed -n "s/^$1,//p" "$out"; }

# accesses N [FIRST]: a lackey trace of N loads, each of the next page.
accesses() {
    awk -v n="$1" -v first="${2:-0}" 'BEGIN {
        for (i = 0; i < n; i++) printf " L %x,8\n", 268435456 + 4096 * (first + i) }'
}

has() { command -v "$1" >/dev/null 2>&1; }
