# shellcheck shell=bash
# Completion of grace(1) for bash. Needs nothing but bash.

_grace_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The commands and what follows the program's name are the program's own.
_grace_program() {
    local word=$1
    if [[ $word == */* ]]; then
        _grace_files "$word"
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$word" | sort -u)
    fi
}

# The index of the program that `grace run` starts; none: COMP_CWORD is in front of it.
_grace_run_program() {
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --) echo $((i + 1)) && return ;;
        -c | --config | -t | --termination-log)
            ((i++))
            # With --config=FILE the equals sign is a word of its own.
            [[ ${COMP_WORDS[i]-} == = ]] && ((i++))
            ;;
        -*) ;;
        *) echo "$i" && return ;;
        esac
    done
}

_grace_options() {
    case $1 in
    run) echo "--config --init --group --termination-log --db --check-only --verbose" ;;
    check) echo "--program --for --limit --json" ;;
    inspect) echo "--json" ;;
    recover) echo "--quiet" ;;
    new-hook) echo "--in-process" ;;
    ps | status) echo "--json" ;;
    stop) echo "--no-drain --force --abort --signal --timeout --quiet" ;;
    esac
}

_grace() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-}
    local program
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run check inspect ps status stop recover new-hook --help --version" -- "$word")
        return
    fi
    if [[ $command == run ]]; then
        program=$(_grace_run_program)
        if [[ -n $program ]] && ((COMP_CWORD > program)); then
            _grace_files "$word"
            return
        elif [[ -n $program || $before == -- ]]; then
            _grace_program "$word"
            return
        fi
    fi
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $command:$before in
    check:--for | check:-f)
        mapfile -t COMPREPLY < <(compgen -W "kubernetes systemd docker" -- "$word")
        return
        ;;
    run:--config | run:-c | run:--termination-log | run:-t)
        _grace_files "$word"
        return
        ;;
    stop:--signal | stop:-s)
        mapfile -t COMPREPLY < <(compgen -A signal -- "${word^^}")
        return
        ;;
    check:--limit | check:--program | check:-p | stop:--timeout | stop:-t) return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_grace_options "$command") --help --version" -- "$word")
        return
    fi
    case $command in
    run) _grace_program "$word" ;;
    inspect)
        _grace_program "$word"
        local process
        for process in /proc/[0-9]*; do
            process=${process#/proc/}
            [[ -n $word && $process == "$word"* ]] && COMPREPLY+=("$process")
        done
        ;;
    check | recover) _grace_files "$word" ;;
    status | stop) # those that grace ps lists
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" ps 2>/dev/null | awk '$1 + 0 { print $1 }')" -- "$word")
        ;;
    esac
}

complete -F _grace grace
