#!/usr/bin/env bash
# Runs the fast tests with the lowest version that pyproject.toml allows of every dependency, extras
# and Prefect included, on the lowest Python. Arguments are pytest's, instead of the fast tests' marks.
#
# 1. requirements-lowest.lock says which versions; `make lock` writes it beside requirements.lock.
#    What these need in turn is pinned there too, so that every day tests the same.
# 2. The environment is .venvs/lowest, made by the uv of .venv, and made again where the lock changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOCK=requirements-lowest.lock
PYTHON_VERSION=3.11
VENV=$PWD/.venvs/lowest

say() { printf 'lowest: %s\n' "$*" >&2; }

[ -x .venv/bin/uv ] || { say "error: .venv is not there. Run: make setup"; exit 1; }
STAMP=$({ cat "$LOCK" pyproject.toml; pwd -P; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$VENV/.stamp" 2>/dev/null)" != "$STAMP" ] || ! "$VENV/bin/python" -c '' 2>/dev/null; then
    began=$SECONDS
    eval "$(.venv/bin/python scripts/pip_settings.py)"
    export UV_NO_CONFIG=1 UV_HTTP_TIMEOUT=180 UV_PYTHON_DOWNLOADS=never
    export UV_LINK_MODE="${UV_LINK_MODE:-copy}"
    .venv/bin/uv venv --quiet --clear --python "$PYTHON_VERSION" "$VENV" ||
        { say "error: Python $PYTHON_VERSION, the lowest that is supported, was not found"; exit 1; }
    export VIRTUAL_ENV=$VENV
    .venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode "$LOCK"
    .venv/bin/uv pip install --quiet --no-deps --no-build-isolation --offline --editable .
    printf '%s\n' "$STAMP" >"$VENV/.stamp"
    say "$VENV made in $((SECONDS - began)) s"
fi

# The protocol's models and the crashes depend on no version: `make test` has them.
[ "$#" -gt 0 ] || set -- -m "not slow and not browser and not fault" \
    --ignore=tests/property/test_protocol_model.py --ignore=tests/property/test_openings_model.py
exec "$VENV/bin/python" -m pytest "$@"
