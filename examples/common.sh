#!/usr/bin/env bash
# What the scripts `run` of the examples share. Each begins with this file, is then in a temporary
# folder, and leaves nothing behind: no process, and no file outside that folder. A script ends with 0
# when all came out as promised, with 1 when it did not, and with 77 when a program that it needs is missing.
# shellcheck disable=SC2034  # what is set here is for the scripts
set -euo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
config=$example/grace.conf
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# What is built here, or in GRACE_BUILD; else what is installed.
build=$(realpath -m "${GRACE_BUILD:-$example/../../build}")
preload=$build/libgrace.so grace=$build/grace
[[ -e $preload ]] || preload=libgrace.so grace=$(command -v grace || echo grace)
# Nothing of this decides what the programs do.
unset GRACE_BUILD GRACE_CONFIG GRACE_DISABLE LD_PRELOAD

# Every program that a script starts has this in its environment, and that is how it is found again.
work=$(mktemp -d "${TMPDIR:-/tmp}/grace-example.XXXXXX")
export GRACE_EXAMPLE=$work
cd "$work"
wrong=0

leave() {
    local status=$? pids environ
    for environ in /proc/[0-9]*/environ; do
        ! grep -qsF "GRACE_EXAMPLE=$work" "$environ" || pids+=" $(basename "${environ%/*}")"
    done
    # shellcheck disable=SC2046,SC2086  # several words
    kill -KILL $(jobs -p) ${pids-} 2>/dev/null || true
    ((status == 0 || status == 77)) || tail -n 20 log >&2 2>/dev/null || true
    cd / && rm -rf "$work"
    ((status != 0)) || exit "$wrong"
}
trap leave EXIT
trap 'echo "$0:$LINENO: failed: $BASH_COMMAND" >&2' ERR

needs() { # PROGRAM…
    local program
    for program; do
        command -v "$program" >/dev/null || { echo "needs $program" >&2 && exit 77; }
    done
}

# What a way of starting came to, beside what it has to come to: show bare|libgrace CAME EXPECTED
show() {
    printf '    %-10s %s\n' "$1" "$2"
    [[ $2 == "$3" ]] || { printf '    %-10s %s\n' 'EXPECTED' "$3" && wrong=1; }
}

until_true() { # COMMAND…: waits until it succeeds
    local tries
    for ((tries = 0; tries < 6000; tries++)); do
        ! "$@" 2>/dev/null || return 0
        sleep 0.02
    done
    echo "waited in vain for: $*" >&2
    exit 1
}

has_lines() { [[ -e $1 && $(wc -l <"$1") -ge $2 ]]; } # FILE COUNT

# ---- programs ------------------------------------------------------------------------------------

# The config with a sed script applied, for paths that belong to a real system.
adapt_config() {
    sed -E "$1" "$example/grace.conf" >grace.conf
    config=$work/grace.conf
}

# Start a program in the background: start bare|libgrace PROGRAM…; $pid is its pid, its output is in the files
# out and log. (A script's background programs ignore ^C unless told otherwise.)
start() {
    local way=$1 with=()
    shift
    [[ $way == bare ]] || with=("LD_PRELOAD=$preload" "GRACE_CONFIG=$config")
    : >out
    : >log                             # now: the redirections below are made later, by the child
    env --default-signal=INT,QUIT "${with[@]}" "$@" >out 2>>log </dev/null &
    pid=$!
}

# The same for a program that stands for your daemon: it says "ready" and waits until it is ended.
make_legacyd() { mkdir -p bin && cp "$(command -v tail)" bin/legacyd && echo ready >spool; }
start_legacyd() { # bare|libgrace
    make_legacyd
    start "$1" bin/legacyd -f spool
    until_true has_lines out 1
}

# Start a program as PID 1 of a namespace, as a container has it; $first is its pid here.
start_container() { # PROGRAM…
    local user=()
    ((EUID == 0)) || user=(--map-root-user)
    unshare "${user[@]}" -pf --mount-proc true 2>/dev/null || { echo 'needs PID namespaces' >&2 && exit 77; }
    start bare unshare "${user[@]}" -pf --kill-child --mount-proc "$@"
    until_true pgrep -P "$pid" >/dev/null
    first=$(pgrep -P "$pid")
}

# Wait for its end, which is in $ending then, as its parent sees it.
wait_end() {
    local status=0
    wait "$pid" 2>/dev/null || status=$?
    if ((status > 128)); then ending="died by $(kill -l $((status - 128)))"; else ending="exit $status"; fi
}

stop() { # SIGNAL
    kill -"$1" "$pid"
    wait_end
}

# Until all hooks have run: after the last one the guardian leaves. Until it has that name it is a process like the
# program, which may be gone before.
wait_hooks() { until_true has_no_guardian; }
has_no_guardian() {
    local environ
    # shellcheck disable=SC2013  # each is one word
    for environ in $(grep -lsF "GRACE_EXAMPLE=$work" /proc/[0-9]*/environ); do
        ! grep -qsx grace-guardian "${environ%environ}comm" || return 1
        ! grep -qsE 'LD_PRELOAD=[^[:cntrl:]]*libgrace' "$environ" || return 1
    done
}

is_alive() { [[ -e /proc/$1/stat && $(sed 's/.*) //' "/proc/$1/stat") != Z* ]]; }
is_gone() { ! is_alive "$1"; }

# Lines of a file as words, "nothing" when there are none.
words_of() {
    local words=''
    [[ ! -s $1 ]] || words=$(paste -s -d ' ' "$1")
    printf '%s' "${words:-nothing}"
}

# ---- the network ---------------------------------------------------------------------------------

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)) && is_open "$port"; do :; done
    echo "$port"
}

wait_port() { # PORT: until the program that was started last accepts connections
    until_true either is_open "$1" or is_gone "$pid"
    is_alive "$pid" || { echo "it did not start" >&2 && exit 1; }
}
either() { "$1" "$2" || "$4" "$5"; }
