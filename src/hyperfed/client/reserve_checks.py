"""Check a round's reserve and freeze before a helper answers: what today's registry says counts.

1. The ledger reserves exactly this freeze, and charges exactly its noise (R-172, R-194). Where the
   coordinator is to add it, the reserve names its seed (R-207).
2. The coordinator's key chooses under which registry a round is frozen. Where the newest one leaves
   fewer shares of noise than are charged, nothing is answered (R-210): whoever turned out to belong
   to a helper since then protects nobody.
3. What is charged fits into the budget that the newest registry grants, after all that the ledger
   has charged before (R-211). Whoever has the coordinator's key can reserve more, but has nothing
   opened by it.

What it does not do: look at cohort or manifest (`helper_night.not_following`), nor at earlier sums
(`earlier_sums`).
"""

from collections.abc import Sequence

from hyperfed.dropbox.budgets import accountant_of
from hyperfed.dropbox.nights import night_of, shares_lost_since
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import PrivacyError
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Freeze, Plan

__all__ = ["why_not_reserved"]


def why_not_reserved(
    reader: DropBoxReader, ledger: Sequence[Chained], plan: Plan, frozen: Stored[Freeze]
) -> str:
    """Return what is wrong with the reserve of a freeze, or "".

    ledger: the verified ledger.
    """
    reserves = [
        c.entry
        for c in ledger
        if c.entry.kind is EntryKind.RESERVE and c.entry.round == frozen.value.round
    ]
    if [entry.freeze for entry in reserves] != [frozen.digest]:
        return "the ledger has no reserve of this freeze"
    try:
        night = night_of(reader, plan, frozen.value)
    except PrivacyError as error:
        return f"its noise cannot be had: {error.problem}"
    if reserves[0].mechanisms != (() if night is None else night.mechanisms):
        return "the ledger charges something else than the noise of this freeze"
    if plan.policy.privacy == "central" and not reserves[0].noise:
        return "the ledger names no noise that the coordinator is to add (R-207)"
    return shares_lost_since(reader, plan, frozen.value) or _over_budget(
        reader, ledger, reserves[0]
    )


def _over_budget(reader: DropBoxReader, ledger: Sequence[Chained], reserve: LedgerEntry) -> str:
    """Return why the budget does not bear a reserve after the entries before it, or ""."""
    if not reserve.mechanisms:
        return ""
    try:
        spent = accountant_of(reader, ledger[: reserve.sequence - 1])
    except PrivacyError as error:
        return f"the budget cannot be told: {error.problem}"
    why = spent.why_not(reserve.mechanisms)
    version = reader.registry.version
    return "" if why is None else f"more than the budget of registry version {version}: {why}"
