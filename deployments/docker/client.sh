#!/bin/sh
# What a client's container runs: a command of hyperfed, once the mounts that it needs are there.
#   hyperfed-client night --data /data/series.csv
#   hyperfed-client status
set -eu

fail() { echo "hyperfed-client: $1" >&2; exit 2; }

: "${HYPERFED_CONFIG:=/etc/hyperfed/hyperfed.toml}"
state=${HYPERFED_STATE:-/var/lib/hyperfed/state}
[ -r "$HYPERFED_CONFIG" ] ||
    fail "no settings at $HYPERFED_CONFIG: mount a folder with hyperfed.toml there, read-only"
mkdir -p "$state" 2>/dev/null && [ -w "$state" ] ||
    fail "cannot write to $state: mount a volume there that user $(id -u) may write"
export HYPERFED_CONFIG

# the night is a client's usual work, and has a short name here
case "${1:-status}" in
    night) shift && exec hyperfed client night "$@" ;;
    *) exec hyperfed "$@" ;;
esac
