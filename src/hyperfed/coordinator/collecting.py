"""List what may count in a round.

This is the round's own inbox, and the inboxes of earlier rounds whose updates are not too late yet.
"""

from hyperfed.coordinator.helper_choice import unconfirmed_helpers
from hyperfed.dropbox.inbox import Arrivals, without_misplaced
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import RESTORE_BUCKET, RoundError
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys, client_of
from hyperfed.protocol.objects import (
    Plan,
)

__all__ = ["list_arrivals"]


def list_arrivals(reader: DropBoxReader, plan: Plan, *, closed: bool, decided: bool) -> Arrivals:
    """List the inboxes that a round may take from, without what was judged already.

    closed: whether the round's `close_by` is past. decided: whether a freeze or an end exists.
    Raises RoundError where a committed round's freeze is not the one that the ledger names (R-63).
    """
    first = max(1, plan.round - plan.policy.max_staleness)
    judged = _judged(reader, first, plan.round)
    registered = {record.client_id for record in reader.registry.clients}
    rounds = range(first, plan.round + 1)
    objects = (info for r in rounds for info in reader.store.list(Keys.inbox(r)))
    new = [info for info in objects if info.key not in judged]
    listed = [*without_misplaced(new, known=registered)]
    prefix = Keys.inbox(plan.round)
    present = {client_of(info.key) for info in listed if info.key.startswith(prefix)}
    return Arrivals(
        round=plan.round,
        quorum=plan.quorum,
        present=tuple(c for c in plan.cohort if c in present),
        missing=(
            *(c for c in plan.cohort if c not in present),
            *_unconfirmed(reader, plan, decided=closed or decided),
        ),
        keys=tuple((info.key, info.size) for info in listed),
        closed=closed,
        decided=decided,
    )


def _unconfirmed(reader: DropBoxReader, plan: Plan, *, decided: bool) -> list[str]:
    """Return the helpers that are awaited as clients are: those that have confirmed nothing yet."""
    stored = reader.plan(plan.round)
    if decided or stored is None or plan.policy.aggregation != "secure-sum":
        return []
    return [f"the helper {name}" for name in unconfirmed_helpers(OpeningReader(reader, stored))]


def _judged(reader: DropBoxReader, first: int, round_id: int) -> set[str]:
    """Return the inbox keys that the committed rounds since `first` have counted or refused.

    They are not judged again. What lay in the inbox of a void round is judged again.
    """
    keys: set[str] = set()
    for entry in (c.entry for c in reader.verified_entries()):
        if entry.kind is not EntryKind.COMMIT or not first <= entry.round < round_id:
            continue
        frozen = reader.freeze(entry.round)
        if frozen is None or frozen.digest != entry.freeze:
            raise RoundError(
                "is not the freeze that the ledger names",
                subject=Keys.freeze(entry.round),
                rule="R-63",
                remedy=RESTORE_BUCKET,
            )
        keys |= {c.key for c in frozen.value.counted} | {r.key for r in frozen.value.refused}
    return keys
