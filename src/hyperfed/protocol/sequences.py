"""Say how far the sequences of each client's keys were counted (R-89, R-129).

1. A sequence belongs to a key: what was counted under one key says nothing of another. So whoever
   held a key for a round cannot use up the numbers of the next key.
2. A state of schema version 1 names no keys. What it counted may have been signed by any key that
   its client had when it was counted last, and holds for each of those. A key that began later is
   free.
3. Where the ledger was split, the roots say how high the abandoned branch had counted: under a key,
   or where its state names no keys under all keys of a client. The higher of both branches holds.

What it does not do: it does not refuse a replay (`validator`).
"""

from collections.abc import Mapping

from hyperfed.protocol.objects import ClientState, Counted, Freeze, RoundState
from hyperfed.registry.registry import Registry

__all__ = ["abandoned_sequence", "highest_by_key", "next_sequences", "signers_of"]

_NAMED_FROM = 3  # the formula of a freeze


def highest_by_key(state: RoundState | None, registry: Registry) -> dict[str, int]:
    """Return the highest sequence that was counted under each key, by key id."""
    highest: dict[str, int] = {}
    for client in state.clients if state is not None else ():
        if client.sequences:
            highest |= dict(client.sequences)
            continue
        for record in registry.keys_of(client.client):
            if record.valid_from <= client.last_round:
                highest[record.keys.key_id] = client.highest_sequence
    for name, sequence in registry.least_sequences:  # of an abandoned branch
        for key_id in (name, *(record.keys.key_id for record in registry.keys_of(name))):
            highest[key_id] = max(highest.get(key_id, 0), sequence)
    return highest


def abandoned_sequence(registry: Registry, client: str, key_id: str) -> int:
    """Return the highest sequence that an abandoned branch counted under a key, or 0 (R-124)."""
    named = (client, key_id)
    return max(
        (sequence for name, sequence in registry.least_sequences if name in named), default=0
    )


def signers_of(freeze: Freeze, registry: Registry) -> dict[str, str] | None:
    """Return the id of the key that signed the counted update of each client.

    registry: the version that the freeze names. Clients that it does not name, or whose key it does
    not have, are left out. None where the freeze is of a time before keys were named.
    """
    if freeze.formula < _NAMED_FROM:
        return None
    signers = {}
    for number, counted in enumerate(freeze.counted):
        records = registry.keys_of(counted.client)
        place = freeze.signed_by[number] if freeze.signed_by else 0
        if place < len(records):
            signers[counted.client] = records[place].keys.key_id
    return signers


def next_sequences(
    before: ClientState | None, counted: Counted | None, signers: Mapping[str, str]
) -> tuple[tuple[str, int], ...]:
    """Return a client's highest sequences after a round, ascending by key id."""
    sequences = dict(before.sequences) if before is not None else {}
    key_id = "" if counted is None else signers.get(counted.client, "")
    if counted is not None and key_id:
        sequences[key_id] = max(sequences.get(key_id, 0), counted.sequence)
    return tuple(sorted(sequences.items()))
