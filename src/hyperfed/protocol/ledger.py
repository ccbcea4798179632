"""The ledger: reserve | commit | void, numbered from 1, hash-chained, coordinator-signed, one create-only object an entry.

1. Entry n names the digest of entry n-1; the first names none. What breaks the chain is refused with the entry's key (R-71).
2. The budget is what the reserves ask for minus what voids refund; it may not be exceeded at any prefix (R-72).
3. A tail that was cut off shows in the updates' claims: the newest entry each sender has seen must be in the ledger (R-73).

What it does not do: read (`dropbox`), decide when to append (`protocol.machine`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from hyperfed.errors import LedgerError
from hyperfed.protocol.machine import Line
from hyperfed.protocol.objects import EntryKind, LedgerEntry
from hyperfed.rounds import Keys

__all__ = ["Chained", "Spent", "check_claim", "check_next", "line_of", "reserve_id", "spent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """A ledger entry with its packet digest."""

    entry: LedgerEntry
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the ledger's outstanding reserves add up to, by exact basic composition."""

    epsilon: Decimal
    delta: Decimal


def reserve_id(federation: str, round_id: int, freeze: bytes) -> bytes:
    """The id of a round's reserve, 32 bytes: the same whoever reserves, another for another freeze (R-64)."""
    return hashlib.sha256(f"hyperfed/reserve/{federation}/{round_id}/".encode() + freeze).digest()


def check_next(entry: LedgerEntry, *, before: Chained | None, federation: str) -> None:
    """R-71. Raises LedgerError."""
    number = 1 if before is None else before.entry.sequence + 1
    key = Keys.ledger(number)
    if entry.federation != federation:
        raise LedgerError(f"belongs to federation {entry.federation!r:.40}, not to {federation}", subject=key, rule="R-71")
    if entry.sequence != number or entry.previous != (b"" if before is None else before.digest):
        raise LedgerError(
            "does not follow the entry before it",
            subject=key,
            rule="R-71",
            remedy="The ledger was changed; restore the bucket from its versions, run `hyperfed audit`",
        )


def line_of(chained: Chained) -> Line:
    """What the machine needs to know of an entry."""
    entry = chained.entry
    refs = {EntryKind.RESERVE: entry.id, EntryKind.COMMIT: entry.result, EntryKind.VOID: entry.id or None}
    return Line(entry.kind, entry.round, refs[entry.kind])


def spent(entries: Sequence[Chained]) -> Spent:
    """Outstanding epsilon and delta: reserves minus the voids that refund them (R-72)."""
    refunded = {c.entry.id for c in entries if c.entry.kind is EntryKind.VOID}
    mechanisms = [m for c in entries if c.entry.kind is EntryKind.RESERVE and c.entry.id not in refunded for m in c.entry.mechanisms]
    return Spent(epsilon=sum((m.epsilon for m in mechanisms), Decimal(0)), delta=sum((m.delta for m in mechanisms), Decimal(0)))


def check_claim(entries: Sequence[Chained], *, sequence: int, digest: bytes, by: str) -> None:
    """R-73: the ledger holds the entry that a sender has seen. Raises LedgerError."""
    if sequence == 0:
        return
    if sequence > len(entries):
        raise LedgerError(
            f"ends at entry {len(entries)}, {by} has seen entry {sequence}",
            subject="ledger",
            rule="R-73",
            remedy="Its tail was cut off: restore the bucket from its versions; if the client is wrong, revoke it. Nothing was reserved",
        )
    if entries[sequence - 1].digest != digest:
        raise LedgerError(
            f"entry {sequence} is not the one that {by} has seen",
            subject=Keys.ledger(sequence),
            rule="R-73",
            remedy="Two ledgers exist: compare the bucket's versions; if the client is wrong, revoke it. Nothing was reserved",
        )
