#!/usr/bin/env bash
# Makes .venv from requirements.lock, every file checked against its hash, and installs this checkout into it, editable.
#
# 1. Needs Python 3.11 to 3.13 and nothing else. `PYTHON=/path/to/python` chooses one.
# 2. A stamp over the lock, pyproject.toml, this script and the folder makes the next run return at once. A changed lock is synced in place; a
#    .venv that was moved, or whose Python is gone, is made again.
# 3. uv installs (parallel, byte-compiled) and takes pip's certificate and index from pip's own settings; where uv cannot be had or fails, pip does it.
# 4. Two runs at once wait for each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

wanted_stamp() { { cat requirements.lock pyproject.toml scripts/setup-venv.sh; pwd -P; } | (sha256sum 2>/dev/null || shasum -a 256) | cut -d' ' -f1; }
fresh() { [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.stamp" 2>/dev/null)" = "$STAMP" ] && "$VENV/bin/python" -c '' 2>/dev/null; }

usable() { [ "$(cat "$VENV/.home" 2>/dev/null)" = "$(pwd -P)" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }

find_python() {
    local candidate
    # A name on the PATH may be a version manager's placeholder: only one that runs counts.
    for candidate in ${PYTHON:-} python3.12 python3.11 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11, 3.12 or 3.13 is needed and none was found (python3 is: $(python3 --version 2>&1 | tail -1)).
       Debian, Ubuntu: apt-get install python3 python3-venv. Elsewhere: https://www.python.org/downloads/. Or say which: make PYTHON=/path/to/python3.12"
}

make_venv() {
    local python=$1 log
    rm -rf "$VENV"
    if log=$("$python" -m venv "$VENV" 2>&1); then return; fi
    rm -rf "$VENV"
    if "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet "$VENV" && return
    elif command -v virtualenv >/dev/null 2>&1; then
        virtualenv --quiet --python "$python" "$VENV" && return
    fi
    die "$python cannot make a virtual environment (its venv or ensurepip module is missing).
       Debian, Ubuntu: apt-get install python3-venv. Elsewhere: python3 -m pip install --user virtualenv. It said: ${log##*$'\n'}"
}

# uv does not read pip's configuration: hand it the certificate and the index that pip uses, unless uv's own variables say otherwise.
export_pip_settings() {
    local settings
    settings=$("$VENV/bin/python" - <<'PY'
import ast, os, shlex, subprocess, sys

lines = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout.splitlines()
found = {}
for line in lines:
    name, _, value = line.partition("=")
    section, _, option = name.rpartition(".")
    rank = {"global": 0, "install": 1, ":env:": 2}.get(section, -1)
    if rank >= found.get(option, (-1, ""))[0]:
        found[option] = (rank, ast.literal_eval(value))
for option, variables in {"cert": ["SSL_CERT_FILE"], "index-url": ["UV_DEFAULT_INDEX", "UV_INDEX_URL"], "proxy": ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]}.items():
    if option in found and not any(os.environ.get(variable) for variable in variables):
        print(f"export {variables[0]}={shlex.quote(found[option][1])}")
PY
    ) || return 0
    eval "$settings"
}

install_with_uv() {
    local log="$VENV/uv.log"
    awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock >"$VENV/uv.txt"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$VENV/uv.txt" >"$log" 2>&1 || return 1
    (
        export_pip_settings
        export VIRTUAL_ENV="$PWD/$VENV" UV_NO_CONFIG=1 UV_HTTP_TIMEOUT=180
        # A cache on another disk, or none at all (HOME may be unset), is copied from without a warning.
        export UV_LINK_MODE="${UV_LINK_MODE:-copy}"
        [ -n "${HOME:-}${XDG_CACHE_HOME:-}${UV_CACHE_DIR:-}" ] || export UV_NO_CACHE=1
        "$VENV/bin/uv" pip sync --quiet --require-hashes --compile-bytecode requirements.lock
    ) >>"$log" 2>&1
}

install_with_pip() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
}

install() {
    local python began=$SECONDS
    if [ -z "${PYTHON:-}" ] && usable; then
        say "bringing $VENV up to date with requirements.lock"
    else
        python=$(find_python)
        say "making $VENV with $("$python" --version 2>&1) and installing requirements.lock (about a minute, once)"
        make_venv "$python"
        pwd -P >"$VENV/.home"
    fi
    if ! install_with_uv; then
        say "uv could not do it ($(tail -1 "$VENV/uv.log" 2>/dev/null)); installing with pip, which takes longer"
        install_with_pip || die "the packages of requirements.lock could not be installed; pip's message is above. Check the network, or pip's index (pip config list)."
    fi
    # The build backend is in the lock: nothing is downloaded here.
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable . ||
        die "this checkout could not be installed into $VENV; pip's message is above."
    printf '%s\n' "$STAMP" >"$VENV/.stamp"
    say "done in $((SECONDS - began)) s"
}

STAMP=$(wanted_stamp)
if fresh; then exit 0; fi
if command -v flock >/dev/null 2>&1; then
    exec 9>.setup.lock
    flock 9
    if fresh; then exit 0; fi
fi
install
