"""Decide which reserves of a ledger are charges: those that a round's plan asks for (R-119).

1. A reserve that asks for something else than its round's plan is alien: no coordinator releases
   anything by it, so it takes nothing from the budget. Whoever wrote it has the coordinator's key.
   A refused plan, such as one below the floors, says what was asked for just as well.
2. A reserve that was committed is charged, whatever it says. So is a reserve whose plan nobody can
   read: a bucket that hides a plan must not refill the budget.
3. A reserve that asks for what its plan says is charged even where its freeze is gone (R-112).

What it does not do: compose charges (`privacy.accountant`).
"""

from collections.abc import Sequence
from dataclasses import replace

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import LedgerError, PacketError, PrivacyError, RoundError
from hyperfed.privacy.policy import release_of
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.ledger import Chained, annulled_entry
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan

__all__ = ["carried", "charging", "is_alien"]


def charging(
    reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None
) -> list[Chained]:
    """Return a verified ledger, or a prefix of it, without its alien reserves.

    What reserves of abandoned branches charged comes first (R-124), as the registry's `version`
    names them; None: the newest.
    """
    entries = [(c, c.original or c.entry) for c in ledger]
    # a round may have been reserved twice, where the roots have annulled the first of them
    committed = {(e.round, e.freeze) for _, e in entries if e.kind is EntryKind.COMMIT}
    return carried(reader, version=version) + [
        c
        for c, entry in entries
        if entry.kind is not EntryKind.RESERVE
        or not entry.mechanisms
        or (entry.round, entry.freeze) in committed
        or not is_alien(reader, entry)
    ]


def carried(reader: DropBoxReader, *, version: int | None = None) -> list[Chained]:
    """Return what is left of the abandoned branches' reserves, whose charges carry over (R-124).

    Raises SignatureError, SchemaError or LedgerError where the roots have annulled what the
    coordinator never signed.
    """
    out = []
    registry = reader.registry if version is None else reader.registry_at(version)
    for annulment in registry.annulled:
        if not annulment.entry:
            continue
        key = Keys.ledger(annulment.sequence)
        signed = reader.signed(annulment.entry, key=key, types=PacketType.LEDGER, round_id=None)
        entry = PayloadCodec(limits=reader.limits).decode(signed.body, LedgerEntry)
        if (entry.sequence, signed.digest) != (annulment.sequence, annulment.digest):
            raise LedgerError(
                "its annulment holds another entry than it names",
                subject=key,
                rule="R-124",
                remedy="Have the roots annul it again, with its own envelope",
            )
        if entry.kind is EntryKind.RESERVE:
            # by another id, so that no void of the other branch refunds it
            annulled = replace(annulled_entry(entry), id=signed.digest)
            out.append(Chained(entry=annulled, digest=signed.digest, original=entry))
    return out


def is_alien(reader: DropBoxReader, reserve: LedgerEntry) -> bool:
    """Return whether a reserve asks for something else than its round's plan.

    Versions of the registry since the plan decide. Where there is no plan that the coordinator has
    signed, or it names no version that is here, it cannot be said: returns False.
    """
    try:
        plan = reader.plan_as_it_lies(reserve.round)
    except (RoundError, PacketError):
        return False
    if plan is None:
        return False
    versions = range(plan.value.registry_version, reader.registry.version + 1)
    return len(versions) > 0 and all(
        not _asked(reader, plan.value, version, reserve) for version in versions
    )


def _asked(reader: DropBoxReader, plan: Plan, version: int, reserve: LedgerEntry) -> bool:
    """Return whether the plan asks for the reserve, by a version of the registry."""
    try:
        night = release_of(plan.policy, plan.vocabulary, reader.registry_at(version).budget)
    except PrivacyError:
        return False
    return reserve.mechanisms == (() if night is None else night.mechanisms)
