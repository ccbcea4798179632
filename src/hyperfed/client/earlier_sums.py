"""Read from the ledger whose sums may have been opened before, whoever has opened them (R-212).

Two quorums share an honest helper, and three need not. So a helper that counted only what it has
answered itself would be asked for a third sum that, with two others, is one client's numbers; and a
helper that the roots have just named has answered nothing.

1. No honest helper answers a manifest without a reserve (R-172), and the ledger is append-only. Its
   reserves name every freeze by digest, also of rounds that ended void.
2. A freeze that is gone, or another one than the ledger names, could be any cohort: then nothing is
   answered, and the reason names it. One whose entry the roots have annulled counts where it lies
   there, and else not: whoever has the coordinator's key can reserve what never was.
3. What no honest helper could have answered counts as nothing: a freeze that names no helpers, or
   whose plan adds noise in shares, sums nothing or has other blocks. Where the plan is gone nobody
   can say that, and the cohort counts.

What it does not do: remember (`secure_aggregation.HelperMarks`), so that each is read once.
"""

from collections.abc import Collection, Sequence

from hyperfed.dropbox.charges import carried
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import (
    RESTORE_BUCKET,
    AccessDenied,
    PacketError,
    RefusedError,
    RegistryError,
    RoundError,
)
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.ledger import Chained, as_signed
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.secure_aggregation import ReservedCohort, complete_blocks

__all__ = ["earlier_cohorts"]


def earlier_cohorts(
    reader: DropBoxReader, ledger: Sequence[Chained], *, but: Collection[bytes]
) -> list[ReservedCohort]:
    """Return the cohorts of all freezes that the ledger reserves, but for some, by digest.

    Abandoned branches' reserves are among them. Raises RefusedError where a freeze is gone.
    """
    cohorts: list[ReservedCohort] = []
    for chained in (*carried(reader), *ledger):
        entry = as_signed(chained)
        if entry.kind is not EntryKind.RESERVE or entry.freeze in but:
            continue
        freeze, problem = _freeze_of(reader, entry)
        if freeze is not None:
            clients = _summed(reader, freeze)
            cohorts.append(ReservedCohort(round=entry.round, freeze=entry.freeze, clients=clients))
        elif entry is chained.entry:  # the roots have not annulled it
            raise RefusedError(
                f"{problem}, and ledger entry {entry.sequence} reserves it: nobody can say whose "
                "sum was opened then",
                subject=Keys.freeze(entry.round),
                rule="R-212",
                remedy=f"Nothing was answered. {RESTORE_BUCKET}. If there never was one, the roots "
                f"annul the entry: `hyperfed registry annul {entry.sequence}`",
            )
    return cohorts


def _freeze_of(reader: DropBoxReader, reserve: LedgerEntry) -> tuple[Freeze | None, str]:
    """Return the freeze that a reserve names, or None and what is wrong with it."""
    try:
        frozen = reader.freeze(reserve.round)
    except (AccessDenied, PacketError, RoundError) as error:
        return None, error.problem
    if frozen is None:
        return None, "is gone"
    if frozen.digest != reserve.freeze:
        return None, "is another one than was reserved"
    return frozen.value, ""


def _summed(reader: DropBoxReader, freeze: Freeze) -> tuple[str, ...]:
    """Return whose sum without noise helpers may have opened, or nobody."""
    if not freeze.helpers:
        return ()
    clients = tuple(one.client for one in freeze.counted)
    plan = _plan_of(reader, freeze)
    if plan is None:
        return clients
    if plan.policy.aggregation != "secure-sum" or plan.policy.privacy == "shares":
        return ()
    try:
        rules = reader.registry_at(plan.registry_version).secure_sums
    except RegistryError:
        return clients
    blocks = () if rules is None else rules.blocks
    return clients if complete_blocks(blocks, set(clients)).clients == clients else ()


def _plan_of(reader: DropBoxReader, freeze: Freeze) -> Plan | None:
    """Return the plan that a freeze names, or None where it cannot be had."""
    try:
        plan = reader.plan_as_it_lies(freeze.round)
    except (AccessDenied, PacketError, RoundError):
        return None
    return plan.value if plan is not None and plan.digest == freeze.plan else None
