"""Say what a round spent of the privacy budget, and what was left after it.

The numbers are those of the ledger up to the round's own last entry, not today's.
"""

from dataclasses import replace

from hyperfed.dropbox.budgets import budget_in_force
from hyperfed.dropbox.charges import charging
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import PrivacyError
from hyperfed.privacy.accountant import PrivacyAccountant, charges_of, cost_of
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.registry.registry import Budget, Registry
from hyperfed.report.rows import (
    BudgetView,
    Burnt,
)

__all__ = ["budget_view"]


def budget_view(
    reader: DropBoxReader, registry: Registry, ledger: list[Chained], round_id: int
) -> BudgetView:
    """Return the registry's budget, and how much of it the ledger has used up to the round."""
    try:
        budget = budget_in_force(reader, ledger, version=registry.version)
    except PrivacyError:  # a loosened budget stops rounds, but the page still shows what was spent
        budget = registry.budget.rounds
    mine = [c.entry for c in ledger if c.entry.round == round_id]
    until = mine[-1].sequence if mine else len([c for c in ledger if c.entry.round < round_id])
    before = charging(reader, ledger[:until])
    accountant = PrivacyAccountant.of_ledger(before, budget)
    total = accountant.total
    refunds = {e.id for e in mine if e.kind is EntryKind.VOID}
    charged = {c.entry.sequence for c in before}
    reserves = [e for e in mine if e.kind is EntryKind.RESERVE and e.sequence in charged]
    cost = [m for e in reserves if e.id not in refunds for m in e.mechanisms]
    return BudgetView(
        epsilon=budget.epsilon,
        delta=budget.delta,
        unit=budget.unit,
        spent_epsilon=total.epsilon,
        spent_delta=total.delta,
        cost_epsilon=cost_of(cost)[0],
        cost_delta=cost_of(cost)[1],
        refunded=any(e.id in refunds and e.mechanisms for e in reserves),
        composition=total.composition.value,
        share=total.share,
        nights_left=accountant.nights_left(cost) if cost else None,
        nights_left_pld=accountant.nights_left_pld(cost[0]) if len(cost) == 1 else None,
        burnt=_burnt(before, budget),
    )


def _burnt(ledger: list[Chained], budget: Budget) -> tuple[Burnt, ...]:
    """Return the share that was spent after each charged round."""
    charges, accountant, out = (
        charges_of(ledger),
        PrivacyAccountant(epsilon=budget.epsilon, delta=budget.delta),
        {},
    )
    for number, mechanism in charges:
        accountant = replace(accountant, mechanisms=(*accountant.mechanisms, mechanism))
        out[number] = accountant
    return tuple(Burnt(round=number, share=accountant.share) for number, accountant in out.items())
