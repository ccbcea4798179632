"""Find in which rounds a client counts, from registry and plans.

This is known before anything is discovered, sent or waited for.

1. A plan fixes its round's cohort when the round is opened: a client that is registered later
   counts from the next round on (R-96).
2. A client none of whose keys is valid in the running round or later was revoked; the registry's
   versions show which version did it (R-25).
3. An update may be made for an earlier round until that round's `close_by`, as long as nothing in
   it is decided: this is how stragglers arrive (R-62).

What it does not do: it does not judge an update (`validator`), or compare a client's key with the
registry (`client.session`).
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import AccessDenied, RegistryError, RoundError
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.registry.registry import KeyRecord, Registry

__all__ = [
    "Revocation",
    "check_cohort",
    "check_still_open",
    "counts_from",
    "revocation_of",
    "says_from",
]

_HERE = "leave --round out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Describes a client that was revoked."""

    client: str
    """The client's id."""
    from_round: int
    """The first round in which none of its keys is valid."""

    version: int
    """The registry version that revoked it."""

    def __str__(self) -> str:
        return (
            f"{self.client} was revoked from round {self.from_round} on, by registry version "
            f"{self.version}"
        )

    def error(self) -> RegistryError:
        """Return the error for a revoked client that wants to send."""
        return RegistryError(
            f"was revoked from round {self.from_round} on, by registry version {self.version}",
            subject=f"client {self.client}",
            rule="R-81",
            remedy="Nothing was sent: it would be refused. Ask the operator; with a new key "
            "you enrol again",
        )


def revocation_of(reader: DropBoxReader, client: str, round_id: int) -> Revocation | None:
    """Return the revocation of a client, or None.

    It is None where a key of the client is valid in `round_id` or later, or none was ever
    registered.
    """
    newest = reader.registry
    last = _last(newest.keys_of(client))
    if last >= round_id:
        return None
    for version in range(newest.version - 1, 0, -1):
        earlier_records = reader.registry_at(version).keys_of(client)
        if _last(earlier_records) > last:
            from_round = last + 1 if last else min(record.valid_from for record in earlier_records)
            return Revocation(client=client, from_round=from_round, version=version + 1)
    return (
        None
        if last == 0
        else Revocation(client=client, from_round=last + 1, version=newest.version)
    )


def _last(keys: tuple[KeyRecord, ...]) -> int:
    """Return the last round in which one of the keys is valid; 0 where there are no keys."""
    return max((record.valid_until for record in keys), default=0)


def counts_from(registry: Registry, client: str, *, running: int, plan: Plan | None) -> int | None:
    """Return the first round, from the `running` one on, that can count a client, or None.

    `plan` is that of the running round. It is None where the round is not open yet: its cohort is
    then still to be fixed.
    """
    first = running if plan is None or client in plan.cohort else running + 1
    return min(
        (
            max(first, r.valid_from)
            for r in registry.keys_of(client)
            if r.valid_until >= max(first, r.valid_from)
        ),
        default=None,
    )


def says_from(registry: Registry, number: int) -> str:
    """Return "round 5 on, which opens at 2027-01-05 00:00:00 UTC"."""
    return f"round {number} on, which opens at {_instant(registry.windows.opens(number))}"


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def check_cohort(
    reader: DropBoxReader, client: str, plan: Plan, *, running: Plan | None, running_round: int
) -> None:
    """Raise RoundError where the plan's round does not count the client (R-96).

    The remedy says which round will.
    """
    if client in plan.cohort:
        return
    number = counts_from(reader.registry, client, running=running_round, plan=running)
    if number == running_round != plan.round:
        remedy = f"You count in round {number}, which runs now: {_HERE}"
    else:
        remedy = (
            f"You count from {says_from(reader.registry, number)}" if number else "Ask the operator"
        )
    raise RoundError(
        f"was opened without client {client}, and counts nobody who was registered later",
        subject=f"round {plan.round}",
        rule="R-96",
        remedy=f"Nothing was sent. {remedy}",
    )


def check_still_open(reader: DropBoxReader, plan: Stored[Plan], *, now: datetime) -> None:
    """Raise RoundError where an update for a round whose window has ended comes too late.

    It is too late where the round is committed or void, is being merged, or its `close_by` is past.
    """
    number, close_by = plan.value.round, plan.value.close_by
    end = end_of(reader.ledger(), number)
    frozen = None
    with suppress(AccessDenied):  # links cannot reach a freeze, which is short-lived
        frozen = reader.freeze(number)
    if end is not None:
        problem, rule = (
            f"is {'committed' if end.entry.kind is EntryKind.COMMIT else 'void'} already",
            "R-61",
        )
    elif frozen is not None:
        problem, rule = "is being merged: who counts is decided already", "R-63"
    elif now >= close_by:
        problem, rule = f"took updates until its close_by, {_instant(close_by)}", "R-62"
    else:
        return
    raise RoundError(
        problem,
        subject=f"round {number}",
        rule=rule,
        remedy=f"Nothing was sent. Submit for the round that runs now: {_HERE}",
    )
