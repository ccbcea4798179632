"""Ask of a round what the machine must know: its cost, whether the budget bears it, its reserve.

1. The budget in force and what was spent of it are read by `dropbox.budgets` (R-72).
2. Before anything is charged, today's registry decides.
3. A round that is known to have no result is charged nothing (R-118).

What it does not do: it does not append to the ledger (`handlers`), nor show the budget
(`cli.operator.budget`, `report`).
"""

from collections.abc import Callable

from hyperfed.coordinator.private_round import enough_groups
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.dropbox.nights import night_of, why_not_opened
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.ledger import reserve_id
from hyperfed.protocol.machine import Economy
from hyperfed.protocol.objects import (
    Plan,
)

__all__ = ["affords", "economy_of", "mechanisms_of"]


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
        computable=lambda round_id, frozen: (
            enough_groups(plan_of(round_id), tuple(c.client for c in frozen.value.counted))
            and not why_not_opened(reader, plan_of(round_id), frozen.value)
        ),
    )


def mechanisms_of(reader: DropBoxReader, plan: Plan) -> tuple[Mechanism, ...]:
    """Return the mechanisms that a round will spend; none where its policy asks for no noise."""
    frozen = reader.freeze(plan.round)
    night = night_of(reader, plan, None if frozen is None else frozen.value)
    return () if night is None else night.mechanisms


def affords(reader: DropBoxReader, plan: Plan, *, entries: int) -> bool:
    """Return whether the budget has room for a round after a prefix of the ledger (R-72).

    entries: the length of that prefix. Raises PrivacyError where the budget was loosened while it
    is being spent.
    """
    cost = mechanisms_of(reader, plan)
    return not cost or accountant_of(reader, reader.verified_entries()[:entries]).fits(cost)
