#!/usr/bin/env bash
# Makes .venv from requirements.lock, every file checked against its hash, and installs this checkout into it, editable.
#
# 1. Needs Python 3.11 to 3.13 and nothing else. `PYTHON=/path/to/python` chooses one, and no other is
#    taken in its place; else it is the one that `python3` names, where that one fits, since a user
#    may have activated it; else the newest that has a name of its own.
# 2. A stamp over the lock, pyproject.toml, this script and the folder makes the next run return at once.
#    A changed lock is synced in place. A .venv that was moved, whose Python is gone or is not the one
#    asked for, or that has no stamp, is made again: the stamp goes before the first package changes and
#    comes back after the last.
# 3. uv installs (parallel, byte-compiled) and takes pip's certificate and index from pip's own settings;
#    where uv cannot be had or fails, pip does it.
# 4. Two runs at once wait for each other. HYPERFED_VENV names another place than .venv.
# 5. What takes longer says every ten seconds what it is at. Steps are process groups of their own, so
#    that Ctrl-C ends all of one at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${HYPERFED_VENV:-.venv}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

wanted_stamp() { { cat requirements.lock pyproject.toml scripts/setup-venv.sh; pwd -P; } | (sha256sum 2>/dev/null || shasum -a 256) | cut -d' ' -f1; }
which_python() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null; }
as_wanted() { [ -z "${PYTHON:-}" ] || [ "$(which_python "$PYTHON")" = "$(which_python "$VENV/bin/python")" ]; }
fresh() {
    [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.stamp" 2>/dev/null)" = "$STAMP" ] &&
        "$VENV/bin/python" -c '' 2>/dev/null && as_wanted
}

usable() {
    [ -f "$VENV/.stamp" ] && [ "$(cat "$VENV/.home" 2>/dev/null)" = "$(pwd -P)" ] &&
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1
}

JOB="" TICKER=""
end_group() { # GROUP: interrupt all of it, so that it can clean up, and kill what has not ended then
    local tries
    [ -n "$1" ] || return 0
    kill -INT -- "-$1" 2>/dev/null || return 0
    for tries in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 -- "-$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

end_ticker() {
    [ -z "$TICKER" ] || { kill -KILL -- "-$TICKER" && wait "$TICKER"; } 2>/dev/null || true
    TICKER=""
}

interrupted() {
    trap - INT TERM HUP
    end_ticker
    end_group "$JOB"
    say "interrupted after $SECONDS s; run it again and it starts over"
    exit "$1"
}

step() { # WHAT HOW_LONG COMMAND...: run it, and say meanwhile that it still runs
    local what=$1 how_long=$2 status=0
    shift 2
    say "$what ($how_long)"
    set -m
    (while sleep 10; do say "$what: $SECONDS s so far ($how_long)"; done) 9>&- &
    TICKER=$!
    "$@" &
    JOB=$!
    set +m
    wait "$JOB" || status=$?
    JOB=""
    end_ticker
    return "$status"
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13 ($("$PYTHON" --version 2>&1 | tail -1)).
       Give a command or a path: make PYTHON=python3.12"
        command -v "$PYTHON"
        return
    fi
    # A name on the PATH may be a version manager's placeholder: only one that runs counts.
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11, 3.12 or 3.13 is needed and none was found (python3 is: $(python3 --version 2>&1 | tail -1)).
       Debian, Ubuntu: apt-get install python3 python3-venv. Elsewhere: https://www.python.org/downloads/. Or say which: make PYTHON=/path/to/python3.12"
}

make_venv() {
    local python=$1
    rm -rf "$VENV"
    if "$python" -m venv "$VENV" >"$LOG" 2>&1; then return; fi
    rm -rf "$VENV"
    if "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet "$VENV" && return
    elif command -v virtualenv >/dev/null 2>&1; then
        virtualenv --quiet --python "$python" "$VENV" && return
    fi
    die "$python cannot make a virtual environment (its venv or ensurepip module is missing).
       Debian, Ubuntu: apt-get install python3-venv. Elsewhere: python3 -m pip install --user virtualenv. It said: $(tail -1 "$LOG")"
}

install_with_uv() {
    local log="$VENV/uv.log"
    awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock >"$VENV/uv.txt"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$VENV/uv.txt" >"$log" 2>&1 || return 1
    (
        eval "$("$VENV/bin/python" scripts/pip_settings.py || true)"
        export VIRTUAL_ENV="$(cd "$VENV" && pwd -P)" UV_NO_CONFIG=1 UV_HTTP_TIMEOUT=180
        # A cache on another disk, or none at all (HOME may be unset), is copied from without a warning.
        export UV_LINK_MODE="${UV_LINK_MODE:-copy}"
        [ -n "${HOME:-}${XDG_CACHE_HOME:-}${UV_CACHE_DIR:-}" ] || export UV_NO_CACHE=1
        "$VENV/bin/uv" pip sync --quiet --require-hashes --compile-bytecode requirements.lock
    ) >>"$log" 2>&1
}

install_with_pip() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
}

install_checkout() {
    # The build backend is in the lock: nothing is downloaded here.
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
}

install() {
    local python how_long="usually two minutes the first time"
    LOG=$(mktemp)
    trap 'rm -f "$LOG"' EXIT
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM HUP
    if usable && as_wanted; then
        rm -f "$VENV/.stamp"
        how_long="a minute or less"
    else
        python=$(find_python)
        step "1 of 3: making $VENV with $("$python" --version 2>&1)" "about ten seconds" make_venv "$python" || exit 1
        pwd -P >"$VENV/.home"
    fi
    if ! step "2 of 3: installing what requirements.lock pins" "$how_long" install_with_uv; then
        say "uv could not do it ($(tail -1 "$VENV/uv.log" 2>/dev/null))"
        step "2 of 3: installing with pip" "which takes some minutes" install_with_pip ||
            die "the packages of requirements.lock could not be installed; pip's message is above. Check the network, or pip's index (pip config list)."
    fi
    step "3 of 3: installing this checkout" "seconds" install_checkout ||
        die "this checkout could not be installed into $VENV; pip's message is above."
    printf '%s\n' "$STAMP" >"$VENV/.stamp"
    say "done in $SECONDS s"
}

STAMP=$(wanted_stamp)
if fresh; then exit 0; fi
if command -v flock >/dev/null 2>&1; then
    exec 9>.setup.lock
    if ! flock -n 9; then
        say "another run is at it here; waiting for its end"
        until flock -w 10 9; do say "still waiting for the other run: $SECONDS s so far"; done
        if fresh; then exit 0; fi
    fi
fi
install
