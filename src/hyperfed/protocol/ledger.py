"""The ledger: reserve | commit | void, numbered from 1, hash-chained, coordinator-signed, one create-only object an entry.

1. Entry n names the digest of entry n-1; the first names none. What breaks the chain is refused with the entry's key (R-71).
2. The budget is what the reserves ask for minus what voids refund; it may not be exceeded at any prefix (R-72).
3. A round's lines are: at most one reserve, then at most one commit or void; nothing is reserved while an earlier round's reserve is open, or after a
   later round's. A commit is of the reserved freeze; a void names exactly the reserve it refunds, or none (R-74).
4. A tail that was cut off shows in the updates' claims: the newest entry each sender has seen must be in the ledger (R-73).

What it does not do: read (`dropbox`), decide when to append (`protocol.machine`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

from hyperfed.errors import LedgerError
from hyperfed.protocol.machine import Line
from hyperfed.protocol.objects import EntryKind, LedgerEntry
from hyperfed.rounds import Keys

__all__ = ["Book", "Chained", "Spent", "check_claim", "check_next", "exact_sum", "line_of", "reserve_id", "spent"]


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


class Book:
    """The ledger as it is read: each entry is checked against all those before it (R-71, R-74)."""

    def __init__(self, federation: str) -> None:
        self.federation = federation
        self.entries: list[Chained] = []
        self._reserves: dict[int, LedgerEntry] = {}
        self._ended: set[int] = set()
        self._newest = 0

    def add(self, entry: LedgerEntry, digest: bytes) -> None:
        """Raises LedgerError; nothing is added then."""
        self.check(entry)
        if entry.kind is EntryKind.RESERVE:
            self._reserves[entry.round] = entry
        else:
            self._ended.add(entry.round)
        self._newest = max(self._newest, entry.round)
        self.entries.append(Chained(entry=entry, digest=digest))

    def check(self, entry: LedgerEntry) -> None:
        """Whether `entry` may come next. Raises LedgerError."""
        check_next(entry, before=self.entries[-1] if self.entries else None, federation=self.federation)
        why = self._why_not(entry)
        if why:
            raise LedgerError(why, subject=Keys.ledger(entry.sequence), rule="R-74", remedy="The ledger was cut or forged: run `hyperfed audit`")

    def _why_not(self, entry: LedgerEntry) -> str | None:
        reserve, number = self._reserves.get(entry.round), entry.round
        if number in self._ended:
            return f"round {number} has ended before"
        if entry.kind is EntryKind.RESERVE:
            if reserve is not None:
                return f"round {number} is reserved twice"
            if self._newest > number or self._reserves.keys() - self._ended:
                return f"round {number} is reserved out of order"
            return None if entry.id == reserve_id(self.federation, number, entry.freeze) else "its id does not follow from its freeze"
        if entry.kind is EntryKind.VOID:
            return None if entry.id == (reserve.id if reserve else b"") else "refunds what was not reserved"
        if reserve is None:
            return f"commits round {number}, which was not reserved"
        same = (entry.freeze, entry.merkle_head) == (reserve.freeze, reserve.merkle_head)
        return None if same else "commits another freeze than was reserved"


def line_of(chained: Chained) -> Line:
    """What the machine needs to know of an entry."""
    entry = chained.entry
    refs = {EntryKind.RESERVE: entry.id, EntryKind.COMMIT: entry.result, EntryKind.VOID: entry.id or None}
    return Line(entry.kind, entry.round, refs[entry.kind])


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum, every digit of it. Raises LedgerError where that takes more than 400 digits."""
    exact = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow])
    total = Decimal(0)
    try:
        for value in values:
            total = exact.add(total, value)
    except DecimalException as exc:
        raise LedgerError("amounts too far apart to add up exactly", subject="privacy budget", rule="R-72") from exc
    return total


def spent(entries: Sequence[Chained]) -> Spent:
    """Outstanding epsilon and delta: reserves minus the voids that refund them (R-72)."""
    refunded = {c.entry.id for c in entries if c.entry.kind is EntryKind.VOID}
    mechanisms = [m for c in entries if c.entry.kind is EntryKind.RESERVE and c.entry.id not in refunded for m in c.entry.mechanisms]
    return Spent(epsilon=exact_sum(m.epsilon for m in mechanisms), delta=exact_sum(m.delta for m in mechanisms))


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
