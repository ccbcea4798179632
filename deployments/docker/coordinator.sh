#!/bin/sh
# What a coordinator's container runs. Passwords come from files, so that no environment that
# `docker inspect` shows holds one.
#   hyperfed-coordinator server      Prefect's server, with its database
#   hyperfed-coordinator worker      the worker, bounded by hyperfed.toml
#   hyperfed-coordinator COMMAND...  a command of hyperfed, such as service install or audit
set -eu

fail() { echo "hyperfed-coordinator: $1" >&2; exit 2; }

: "${HYPERFED_CONFIG:=/etc/hyperfed/hyperfed.toml}"
: "${HYPERFED_LOGIN_FILE:=/run/secrets/prefect_login}"
: "${HYPERFED_DATABASE_PASSWORD_FILE:=/run/secrets/postgres_password}"
state=${HYPERFED_STATE:-/var/lib/hyperfed/state}
export HYPERFED_CONFIG

[ -r "$HYPERFED_LOGIN_FILE" ] ||
    fail "no login at $HYPERFED_LOGIN_FILE: mount a file with NAME:SECRET there"
login=$(cat "$HYPERFED_LOGIN_FILE")
case "$login" in
    ?*:?*) ;;
    *) fail "$HYPERFED_LOGIN_FILE does not hold NAME:SECRET on one line" ;;
esac
mkdir -p "$state" "${PREFECT_HOME:=/var/lib/hyperfed/prefect}" 2>/dev/null && [ -w "$state" ] ||
    fail "cannot write to $state: mount a volume that user $(id -u) may write there"
export PREFECT_HOME
# Prefect asks for a home folder even where it has PREFECT_HOME, and an arbitrary user has none.
export HOME="${HOME:-$PREFECT_HOME}"

if [ "${1:-worker}" = server ]; then
    shift
    [ -r "$HYPERFED_DATABASE_PASSWORD_FILE" ] ||
        fail "no password at $HYPERFED_DATABASE_PASSWORD_FILE: mount the file that PostgreSQL has"
    # asyncpg takes it from here, and it need not be quoted into an address
    PGPASSWORD=$(cat "$HYPERFED_DATABASE_PASSWORD_FILE")
    export PGPASSWORD PREFECT_SERVER_API_AUTH_STRING="$login"
    : "${PREFECT_SERVER_DATABASE_CONNECTION_URL:=postgresql+asyncpg://prefect@postgres/prefect}"
    export PREFECT_SERVER_DATABASE_CONNECTION_URL
    exec prefect server start --host "${HYPERFED_SERVER_HOST:-0.0.0.0}" \
        --port "${HYPERFED_SERVER_PORT:-4200}" "$@"
fi

export PREFECT_API_AUTH_STRING="$login"
[ -r "$HYPERFED_CONFIG" ] ||
    fail "no settings at $HYPERFED_CONFIG: mount a folder with hyperfed.toml there, read-only"
if [ "${1:-worker}" = worker ]; then
    [ "$#" -eq 0 ] || shift
    exec hyperfed service worker --config "$HYPERFED_CONFIG" "$@"
fi
exec hyperfed "$@"
