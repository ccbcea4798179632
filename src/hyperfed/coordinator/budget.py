"""Read the privacy budget from a drop-box: what its registry grants and its ledger has spent.

1. The budget in force is what the registry names. A version that loosens it (a larger epsilon or
   delta, another unit, less support) after the first charged reserve was frozen is refused. No
   private round is opened, charged or audited as right under it
   (`privacy.accountant.running_budget`, R-72).
2. Before anything is charged, today's registry decides.
3. A round that is known to have no result is charged nothing (R-118).

What it does not do: it does not append to the ledger (`handlers`), nor show the budget
(`cli.operator.budget`, `report`).
"""

from collections.abc import Callable, Sequence

from hyperfed.coordinator.private_round import enough_groups
from hyperfed.dropbox.charges import charging
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.privacy.accountant import PrivacyAccountant, running_budget
from hyperfed.privacy.policy import release_of
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.ledger import Chained, reserve_id
from hyperfed.protocol.machine import Economy
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.registry.registry import Budget

__all__ = ["accountant_of", "affords", "budget_in_force", "economy_of", "mechanisms_of"]


def economy_of(reader: DropBoxReader, plan_of: Callable[[int], Plan]) -> Economy:
    """Return the functions by which the machine asks about budget, reserve and freeze.

    plan_of: returns a round's plan, by its number.
    """

    def mechanisms(round_id: int) -> tuple[Mechanism, ...]:
        return mechanisms_of(reader, plan_of(round_id))

    def alien(round_id: int, _: object) -> bool:
        return any(
            c.entry.mechanisms != mechanisms(round_id)
            for c in reader.verified_entries()
            if c.entry.round == round_id and c.entry.kind is EntryKind.RESERVE
        )

    return Economy(
        affordable=lambda lines, round_id: affords(reader, plan_of(round_id), entries=len(lines)),
        reserve_id=lambda round_id, frozen: reserve_id(
            reader.registry.federation, round_id, frozen.digest
        ),
        base_of=lambda frozen: int(frozen.value.base_round),
        charges=lambda round_id, _: bool(mechanisms(round_id)),
        needs_noise=lambda round_id, _: any(
            mechanism.place == "central" for mechanism in mechanisms(round_id)
        ),
        alien=alien,
        masked=lambda round_id, _: plan_of(round_id).policy.aggregation == "secure-sum",
        computable=lambda round_id, frozen: enough_groups(
            plan_of(round_id), tuple(c.client for c in frozen.value.counted)
        ),
    )


def budget_in_force(
    reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None
) -> Budget:
    """Return the budget that holds at a version of the registry.

    ledger: the verified ledger. version: the version of the registry; None: the newest. Raises
    PrivacyError where the budget was loosened since the first charge (R-72).
    """
    newest = reader.registry.version if version is None else version
    ledger = charging(reader, ledger, version=newest)
    refunded = {c.entry.id for c in ledger if c.entry.kind is EntryKind.VOID}
    charged = [
        c.original or c.entry
        for c in ledger
        if c.entry.kind is EntryKind.RESERVE and c.entry.mechanisms and c.entry.id not in refunded
    ]
    freezes = (reader.freeze(entry.round) for entry in charged)
    frozen = next((freeze for freeze in freezes if freeze is not None), None)
    first = min(frozen.value.registry_version, newest) if frozen is not None else newest
    return running_budget([reader.registry_at(v).budget for v in range(first, newest + 1)])


def accountant_of(
    reader: DropBoxReader, ledger: Sequence[Chained], *, version: int | None = None
) -> PrivacyAccountant:
    """Return the accountant of a verified ledger, or of a prefix of it.

    version: the version of the registry that names the budget; None: the newest. Raises
    PrivacyError where the budget was loosened since the first charge (R-72).
    """
    charges = charging(reader, ledger, version=version)
    return PrivacyAccountant.of_ledger(charges, budget_in_force(reader, charges, version=version))


def mechanisms_of(reader: DropBoxReader, plan: Plan) -> tuple[Mechanism, ...]:
    """Return the mechanisms that a round will spend; none where its policy asks for no noise.

    The registry that the round was frozen under decides, or today's before the freeze.
    """
    frozen, registry = reader.freeze(plan.round), reader.registry
    if frozen is not None:
        registry = reader.registry_at(frozen.value.registry_version)
    night = release_of(plan.policy, plan.vocabulary, registry.budget)
    return () if night is None else night.mechanisms


def affords(reader: DropBoxReader, plan: Plan, *, entries: int) -> bool:
    """Return whether the budget has room for a round after a prefix of the ledger (R-72).

    entries: the length of that prefix. Raises PrivacyError where the budget was loosened while it
    is being spent.
    """
    cost = mechanisms_of(reader, plan)
    return not cost or accountant_of(reader, reader.verified_entries()[:entries]).fits(cost)
