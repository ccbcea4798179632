"""Check what became of the last rounds, of a client's updates in them, and of the budget.

Schedules that do nothing show here, whatever runs them: Prefect, a timer or a person.

1. A window that has ended gets its result by the end of the next one at the latest. One without a
   result is a warning; two or more are critical. For the operator, a newest result that the
   drop-box has lost is critical: the next round rests on it.
2. A client's newest receipt that refuses or excludes it is critical. Not being seen once is a
   warning, and critical after `ABSENT` rounds.
3. A budget of which less than `LOW` is left, or that pays for less than `SOON` more rounds like the
   last, is a warning. One that pays for none is critical.
"""

from collections.abc import Sequence
from datetime import datetime

from hyperfed.client.session import ClientSession
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import RESTORE_BUCKET
from hyperfed.operations.health.finding import Finding, Level
from hyperfed.operations.health.keys import SOON
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import Fate, Receipt
from hyperfed.registry.registry import Registry
from hyperfed.report.notices import ABSENT, LOW
from hyperfed.report.spending import budget_view
from hyperfed.storage.store import ObjectStore

__all__ = ["budget_finding", "opened_finding", "rounds_finding", "updates_finding"]

_GRACE = 10  # parts of a window in which a plan must be there


def rounds_finding(
    registry: Registry,
    ledger: Sequence[Chained],
    now: datetime,
    *,
    store: ObjectStore | None = None,
) -> Finding:
    """Return how old the newest result is, in windows.

    `store` is asked whether it still has that result; None: it is not, because links may end before
    it.
    """
    if now < registry.genesis:
        said = f"round 1 begins at {registry.genesis:%Y-%m-%d %H:%M} UTC"
        return Finding(name="rounds", level=Level.GOOD, said=said)
    ended = registry.windows.ended_at(now)
    ends = {c.entry.round: c.entry.kind for c in ledger if c.entry.kind is not EntryKind.RESERVE}
    newest = max((n for n, kind in ends.items() if kind is EntryKind.COMMIT), default=0)
    if newest and store is not None and store.head(Keys.result(newest)) is None:
        return Finding(
            name="rounds",
            level=Level.CRITICAL,
            said=f"round {newest} is committed, and the drop-box has lost {Keys.result(newest)}",
            remedy=f"{RESTORE_BUCKET}. Does a lifecycle rule expire what is current?",
        )
    missing = ended - newest
    void = [n for n in range(newest + 1, ended + 1) if n in ends]
    said = f"the newest result is round {newest}'s" if newest else "no round has a result yet"
    said += f"; {ended} windows have ended"
    if void:
        said += f"; void: {', '.join(str(n) for n in void[-3:])}"
    level = (
        Level.GOOD
        if missing <= 1 and not void
        else Level.WARNING
        if missing <= 2
        else Level.CRITICAL
    )
    return Finding(
        name="rounds",
        level=level,
        said=said,
        remedy=""
        if level is Level.GOOD
        else "`hyperfed round status` says why; the operator's worker or cron runs rounds",
    )


def opened_finding(reader: DropBoxReader, now: datetime, *, may_open: bool) -> Finding | None:
    """Return whether the running round has a plan; None where it is too early to say.

    `may_open` says whether whoever checks can open it.
    """
    registry = reader.registry
    if now < registry.genesis:
        return None
    running = registry.windows.round_at(now)
    if reader.plan(running) is not None:
        return Finding(name="plan", level=Level.GOOD, said=f"round {running} is open")
    passed_s = (now - registry.windows.opens(running)).total_seconds()
    if passed_s * _GRACE < registry.window_s:
        return None
    return Finding(
        name="plan",
        level=Level.CRITICAL,
        said=f"round {running} has no plan: no client can send",
        remedy="Run `hyperfed round open`, and check that the deployment open-round is scheduled "
        "and a worker runs"
        if may_open
        else "Tell the operator, who opens rounds: `hyperfed round open`",
    )


def updates_finding(session: ClientSession) -> Finding:
    """Return what became of a client's updates in the last rounds."""
    receipts = session.receipts(last=ABSENT)
    if not receipts:
        said = "no round has a receipt for this client yet"
        return Finding(name="updates", level=Level.GOOD, said=said)
    newest = receipts[0]
    level = _level_of(receipts)
    said = f"round {newest.round}: {newest.fate.value}"
    if level is not Level.GOOD and newest.reason:
        said += f", {newest.reason}"
    remedy = "" if level is Level.GOOD else newest.remedy or "Does the timer of the night run?"
    return Finding(name="updates", level=level, said=said, remedy=remedy)


def _level_of(receipts: Sequence[Receipt]) -> Level:
    newest = receipts[0].fate
    if newest in (Fate.COUNTED, Fate.LATE):
        return Level.GOOD
    if newest in (Fate.REFUSED, Fate.EXCLUDED):
        return Level.CRITICAL
    unseen = [receipt.fate is Fate.NOT_SEEN for receipt in receipts]
    return Level.CRITICAL if len(unseen) >= ABSENT and all(unseen) else Level.WARNING


def budget_finding(reader: DropBoxReader, registry: Registry, ledger: Sequence[Chained]) -> Finding:
    """Return what is left of the privacy budget."""
    charged = [c.entry.round for c in ledger if c.entry.mechanisms]
    if not charged:
        said = "nothing is spent: no round has added noise"
        return Finding(name="budget", level=Level.GOOD, said=said)
    budget = budget_view(reader, registry, list(ledger), max(charged))
    said = f"{100 * budget.left_share:.1f} % left"
    if budget.nights_left is not None:
        said += f", for {budget.nights_left} more rounds like round {max(charged)}"
    spent = budget.nights_left == 0 or budget.left_share <= 0
    few = budget.nights_left is not None and budget.nights_left < SOON
    low = budget.left_share < LOW or few
    return Finding(
        name="budget",
        level=Level.CRITICAL if spent else Level.WARNING if low else Level.GOOD,
        said=said,
        remedy=(
            "See `hyperfed budget`, and let the roots decide: nothing refills it, and private "
            "rounds end void without it"
        )
        if spent or low
        else "",
    )
