"""Continue above what receipts show, where this machine's memory is behind (R-89, R-129).

1. Before each update, the receipts of the rounds that have ended since the last update are read.
   Where a receipt counts a higher sequence than this machine knows, its memory was lost, restored
   from a backup, or copied. The next sequence lies above it, with room for what nobody has judged
   yet.
2. Sequences belong to a key: a receipt of a round before this key began says nothing about it.
3. Where a sequence leaves no room, somebody has used the key's numbers up. Where an earlier key was
   used in the same round, the sequence may have been that key's; otherwise this key is of no more
   use.

What it does not do: it does not verify receipts (`client.checks`).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from hyperfed.client.memory import ClientMemory
from hyperfed.crypto.keys import PublicKeys
from hyperfed.errors import AccessDenied, RegistryError, RoundError, SignatureError
from hyperfed.protocol.receipt_objects import Fate, Receipt
from hyperfed.registry.registry import KeyRecord

__all__ = ["ROOM", "sequence_from_receipts"]

ROOM = 1024
"""Sequences that may have been used since the newest receipt."""
_ROUNDS = 64
_LAST = (1 << 53) - 1


def sequence_from_receipts(
    memory: ClientMemory,
    ended: Iterable[int],
    receipt_of: Callable[[int], Receipt | None],
    *,
    records: Sequence[KeyRecord],
    own: PublicKeys,
) -> tuple[int, int]:
    """Return (sequence, round): the highest counted sequence, and the newest receipt's round.

    `ended` holds the rounds that have ended. `records` are the client's keys in the registry, and
    `own` the one that signs. The sequence is 0 where no receipt shows any. Receipts that cannot be
    read are passed over, unless nothing is known without them. Raises RegistryError where the key
    has no sequences left.
    """
    newest = 0
    since = next((record.valid_from for record in records if record.keys == own), 1)
    for round_id in sorted(ended, reverse=True)[:_ROUNDS]:
        if round_id <= memory.marks.receipt_round:
            break
        receipt = None
        if memory.marks.sequence == 0:
            receipt = receipt_of(round_id)
        else:
            with suppress(AccessDenied, RoundError, SignatureError):
                receipt = receipt_of(round_id)
        if receipt is None:
            continue
        newest = max(newest, round_id)
        if receipt.fate not in (Fate.COUNTED, Fate.LATE) or receipt.made_for < since:
            continue
        if receipt.sequence + ROOM < _LAST:
            return receipt.sequence, newest
        earlier = (r for r in records if r.keys != own and r.valid_in(receipt.made_for))
        if not any(earlier):
            raise RegistryError(
                f"was counted with sequence {receipt.sequence} in round {round_id}, and none is "
                "left above it",
                subject=f"key {own.key_id}",
                rule="R-129",
                remedy="Nothing was sent or spent. If it was not you, somebody has this key: tell "
                "the operator. A new key begins anew: `hyperfed keygen`, `hyperfed enroll`",
            )
    return 0, newest
