"""Check the ledger: reserves, commits and voids, numbered from 1 and chained by their digests.

Each entry is one create-only object, signed by the coordinator.

1. Entry n names the digest of entry n-1; the first names none. What breaks the chain is refused
   with the entry's key (R-71).
2. What the reserves ask for, minus what voids refund, may not exceed the budget at any prefix of
   the ledger (R-72).
3. A round has at most one reserve, then at most one commit or void. Nothing is reserved while an
   earlier round's reserve is open, or after a later round's. A commit is of the reserved freeze; a
   void names exactly the reserve it refunds, or none (R-74). What a final reserve charges stays
   charged; after the first final reserve, every reserve that charges something is final and names
   the noise that the coordinator adds (R-112).
4. What the registry's roots have annulled keeps its place in the chain and its charge, and reserves
   and ends no round. A round whose commit is annulled stays ended (R-123).
5. Updates' claims show where the ledger's tail was cut off: it must hold the newest entry that each
   sender has seen (R-73).

What it does not do: read the store (`dropbox`), or decide when to append (`protocol.machine`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

from hyperfed.errors import LedgerError
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
)
from hyperfed.protocol.machine import Line
from hyperfed.protocol.object_keys import Keys

__all__ = [
    "Book",
    "Chained",
    "Spent",
    "annulled_entry",
    "as_signed",
    "check_claim",
    "check_next",
    "exact_sum",
    "line_of",
    "reserve_id",
    "reserved_rounds",
    "spent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """Holds a ledger entry with its packet digest."""

    entry: LedgerEntry
    """The entry."""
    digest: bytes
    """Its packet digest, 32 bytes, which the next entry names."""
    original: LedgerEntry | None = None
    """What an annulled entry said (R-123); None: it is not annulled. `entry` then says what is left
    of it.
    """


def annulled_entry(entry: LedgerEntry) -> LedgerEntry:
    """Return what is left of an entry that the roots have annulled (R-123).

    A commit becomes a void that refunds nothing: its round was released and stays burnt. A reserve
    keeps its charge and a void nothing, and both are of round 0: they reserve and end no round.
    """
    if entry.kind is EntryKind.COMMIT:
        return replace(entry, kind=EntryKind.VOID, id=b"", state=b"")
    if entry.kind is EntryKind.RESERVE:
        return replace(entry, round=0, noise=b"", final=False)
    return replace(entry, kind=EntryKind.RESERVE, round=0, id=b"", result=b"")


def as_signed(chained: Chained) -> LedgerEntry:
    """Return an entry as the coordinator signed it, also where the roots have annulled it."""
    return chained.original or chained.entry


def reserved_rounds(ledger: Iterable[Chained]) -> tuple[int, ...]:
    """Return the rounds that were ever reserved, ascending, those of annulled entries too."""
    entries = map(as_signed, ledger)
    return tuple(sorted({entry.round for entry in entries if entry.kind is EntryKind.RESERVE}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Holds what the ledger's outstanding reserves add up to, by exact basic composition."""

    epsilon: Decimal
    """The sum of their epsilons."""
    delta: Decimal
    """The sum of their deltas."""


def reserve_id(federation: str, round_id: int, freeze: bytes) -> bytes:
    """Return the id of a round's reserve, 32 bytes (R-64).

    Every coordinator derives the same id from the same freeze, and another id from another freeze.
    """
    return hashlib.sha256(f"hyperfed/reserve/{federation}/{round_id}/".encode() + freeze).digest()


def check_next(entry: LedgerEntry, *, before: Chained | None, federation: str) -> None:
    """Check that `entry` follows `before` in this federation's chain (R-71). Raises LedgerError."""
    number = 1 if before is None else before.entry.sequence + 1
    key = Keys.ledger(number)
    if entry.federation != federation:
        raise LedgerError(
            f"belongs to federation {entry.federation!r:.40}, not to {federation}",
            subject=key,
            rule="R-71",
        )
    if entry.sequence != number or entry.previous != (b"" if before is None else before.digest):
        raise LedgerError(
            "does not follow the entry before it",
            subject=key,
            rule="R-71",
            remedy="The ledger was changed; restore the bucket from its versions, run "
            "`hyperfed audit`",
        )


class Book:
    """Keeps the ledger as it is read, entry by entry.

    It checks each entry against all those before it (R-71, R-74).
    """

    def __init__(self, federation: str) -> None:
        self.federation = federation
        self.entries: list[Chained] = []
        self._reserves: dict[int, LedgerEntry] = {}
        self._ended: set[int] = set()
        self._newest = 0
        self._final = False
        self._annulled: dict[int, LedgerEntry] = {}

    def add(self, entry: LedgerEntry, digest: bytes) -> None:
        """Add the next entry.

        Raises LedgerError where it may not come next, and then adds nothing.
        """
        self.check(entry)
        if entry.kind is EntryKind.RESERVE:
            self._reserves[entry.round] = entry
            self._final = self._final or entry.final
        else:
            self._ended.add(entry.round)
        self._newest = max(self._newest, entry.round)
        self.entries.append(Chained(entry=entry, digest=digest))

    def add_annulled(self, entry: LedgerEntry, digest: bytes) -> None:
        """Add the next entry, which the registry's roots have annulled (R-123).

        Raises LedgerError where it does not follow the entry before it.
        """
        check_next(
            entry, before=self.entries[-1] if self.entries else None, federation=self.federation
        )
        annulled = annulled_entry(entry)
        if entry.kind is EntryKind.RESERVE:
            self._annulled[entry.round] = entry
        elif entry.kind is EntryKind.COMMIT:
            self._ended.add(entry.round)
            self._newest = max(self._newest, entry.round)
        self.entries.append(Chained(entry=annulled, digest=digest, original=entry))

    def check(self, entry: LedgerEntry) -> None:
        """Check that `entry` may come next. Raises LedgerError."""
        check_next(
            entry, before=self.entries[-1] if self.entries else None, federation=self.federation
        )
        why = self._why_not(entry)
        if why:
            raise LedgerError(
                why,
                subject=Keys.ledger(entry.sequence),
                rule="R-74",
                remedy="The ledger was cut, or somebody has the coordinator's key: run `hyperfed "
                f"audit`. The roots can annul it: `hyperfed registry annul {entry.sequence}`",
            )

    def _why_not(self, entry: LedgerEntry) -> str | None:
        reserve, number = self._reserves.get(entry.round), entry.round
        if entry.kind is not EntryKind.RESERVE:
            reserve = reserve or self._annulled.get(number)
        if number in self._ended:
            return f"round {number} has ended before"
        if entry.kind is EntryKind.RESERVE:
            if reserve is not None:
                return f"round {number} is reserved twice"
            if self._newest > number or self._reserves.keys() - self._ended:
                return f"round {number} is reserved out of order"
            if entry.id != reserve_id(self.federation, number, entry.freeze):
                return "its id does not follow from its freeze"
            return self._why_not_charged(entry)
        if entry.kind is EntryKind.VOID:
            if reserve is not None and reserve.final and entry.id:
                return "refunds what stays charged (R-112)"
            stays_charged = reserve is not None and bool(reserve.mechanisms) and not entry.id
            if not stays_charged and entry.id != (reserve.id if reserve else b""):
                return "refunds what was not reserved"
            return None
        if reserve is None:
            return f"commits round {number}, which was not reserved"
        same = (entry.freeze, entry.merkle_head) == (reserve.freeze, reserve.merkle_head)
        return None if same else "commits another freeze than was reserved"

    def _why_not_charged(self, reserve: LedgerEntry) -> str | None:
        """Return what is wrong with what a reserve charges, or None."""
        if reserve.final != bool(reserve.mechanisms) and (reserve.final or self._final):
            return "charges something and is not final, or is final and charges nothing (R-112)"
        central = any(m.place == "central" for m in reserve.mechanisms)
        if bool(reserve.noise) != (central and reserve.final):
            return "does not name the noise that the coordinator adds (R-110)"
        return None


def line_of(chained: Chained) -> Line:
    """Return what the machine needs to know of an entry."""
    entry = chained.entry
    refs = {
        EntryKind.RESERVE: entry.id,
        EntryKind.COMMIT: entry.result,
        EntryKind.VOID: entry.id or None,
    }
    return Line(
        entry.kind,
        entry.round,
        refs[entry.kind],
        noise=entry.noise or None,
        charged=bool(entry.mechanisms),
        annulled=chained.original is not None and entry.round == 0,
    )


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Return the sum with every digit of it.

    Raises LedgerError where that takes more than 400 digits.
    """
    exact = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow])
    total = Decimal(0)
    try:
        for value in values:
            total = exact.add(total, value)
    except DecimalException as exc:
        raise LedgerError(
            "amounts too far apart to add up exactly", subject="privacy budget", rule="R-72"
        ) from exc
    return total


def spent(entries: Sequence[Chained]) -> Spent:
    """Return outstanding epsilon and delta: reserves minus the voids that refund them (R-72)."""
    refunded = {c.entry.id for c in entries if c.entry.kind is EntryKind.VOID}
    mechanisms = [
        m
        for c in entries
        if c.entry.kind is EntryKind.RESERVE and c.entry.id not in refunded
        for m in c.entry.mechanisms
    ]
    return Spent(
        epsilon=exact_sum(m.epsilon for m in mechanisms),
        delta=exact_sum(m.delta for m in mechanisms),
    )


def check_claim(entries: Sequence[Chained], *, sequence: int, digest: bytes, by: str) -> None:
    """Check that the ledger holds the entry that a sender has seen (R-73). Raises LedgerError.

    `sequence` 0 claims nothing. `by` names the sender in the error.
    """
    if sequence == 0:
        return
    if sequence > len(entries):
        raise LedgerError(
            f"ends at entry {len(entries)}, {by} has seen entry {sequence}",
            subject="ledger",
            rule="R-73",
            remedy="Its tail was cut off: restore the bucket from its versions; if the client "
            "is wrong, revoke it. Nothing was reserved",
        )
    if entries[sequence - 1].digest != digest:
        raise LedgerError(
            f"entry {sequence} is not the one that {by} has seen",
            subject=Keys.ledger(sequence),
            rule="R-73",
            remedy="Two ledgers exist: compare the bucket's versions; if the client is wrong, "
            "revoke it. Nothing was reserved",
        )
