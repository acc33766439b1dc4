# shellcheck shell=bash
# Sourced by scripts/start and scripts/test, which set $root first: makes and repairs the project's own .venv.
# A stamp in .venv says what was installed from which files; while it is true nothing is run and no network is needed.

unfinished="${root:?}/build/venv-unfinished" # exists while an installation runs; found later, that one was interrupted

say() { printf 'infsup: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# ensure_environment core|full: return once .venv holds what that level needs.
ensure_environment() {
    if is_current "$1"; then return; fi
    (
        cd -- "$root" || exit
        lock_root
        if ! is_current "$1"; then install "$1"; fi
    )
}

# Everything that an installation depends on: other content means that it has to be done again.
stamp() {
    printf '%s\n' "$root" "$(requirement "$1")"
    "$root/.venv/bin/python" -I -S -c 'import sys; print(sys.version)' || return
    cat "$root/pyproject.toml" "$root/constraints.txt"
}

requirement() {
    case $1 in
    core) echo '.' ;;
    full) echo '.[all,train,dev]' ;;
    esac
}

is_current() {
    [[ ! -e $unfinished && -x $root/.venv/bin/infsup && -f $root/.venv/infsup-$1.stamp ]] &&
        stamp "$1" 2>/dev/null | cmp -s - "$root/.venv/infsup-$1.stamp"
}

# Two starts at once: the second waits, then finds the work done. The lock is on the root folder itself and ends with
# the subshell and what it started. (macOS has no flock: there this does nothing.)
lock_root() {
    command -v flock >/dev/null || return 0
    exec 9<.
    if ! flock -n 9; then
        say "another installation into .venv is running: waiting for it"
        flock 9
    fi
}

install() {
    if ! venv_is_usable; then
        local python
        python=$(find_python)
        if [[ -e $unfinished ]]; then say "an earlier installation was interrupted"; fi
        mark_unfinished
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    mark_unfinished
    case $1 in
    core) say "installing the core into .venv (about half a minute)" ;;
    full) say "installing every engine and the checks into .venv (compiles llama.cpp and" \
        "stable-diffusion.cpp the first time: about 10 minutes on two cores)" ;;
    esac
    if ! pip_install "$(requirement "$1")"; then
        rm -f -- "$unfinished" # pip failed by itself and left .venv consistent
        die "the installation failed: pip says why above"
    fi
    write_stamp "$1"
    if [[ $1 == full ]]; then write_stamp core; fi
    rm -f -- "$unfinished"
}

mark_unfinished() {
    mkdir -p -- build
    : >"$unfinished"
}

venv_is_usable() {
    [[ ! -e $unfinished ]] &&
        .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The constraints keep pip from fetching other builds of torch than the one that the tests know. Older pips than 25 take
# half a minute to choose among the versions of our dependencies; bytecode is compiled at first use, far less of it.
pip_install() {
    local pip=(.venv/bin/python -m pip --disable-pip-version-check -qq --no-input install --no-compile)
    "${pip[@]}" 'pip>=25' &&
        CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN)}" \
            "${pip[@]}" --prefer-binary --constraint constraints.txt --editable "$1"
}

write_stamp() {
    stamp "$1" >".venv/infsup-$1.stamp.new"
    mv -f -- ".venv/infsup-$1.stamp.new" ".venv/infsup-$1.stamp"
}

# Print the first Python that is new enough and can make virtual environments; $PYTHON goes first.
find_python() {
    local candidate found='' without_venv=''
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        local version
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            found+=" $candidate is $version;"
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            without_venv=${without_venv:-$version}
        else
            echo "$candidate"
            return
        fi
    done
    if [[ $without_venv ]]; then
        die "Python $without_venv is here without its venv module. Debian and Ubuntu have it in a package of" \
            "its own: sudo apt install python$without_venv-venv"
    fi
    die "Python 3.11 or newer is needed.${found:+ Found:${found%;}.} Install it, e.g." \
        "'sudo apt install python3 python3-venv', 'sudo dnf install python3.12', 'brew install python@3.13'," \
        "or from https://www.python.org/downloads/; PYTHON=/path/to/python3 names one outside of PATH"
}
