"""Render the privacy budget as a bar and a table, for a round's page and the site's home."""

from hyperfed.report.html_cells import table_of
from hyperfed.report.rows import BudgetView

__all__ = ["budget_bar", "budget_table"]


def budget_bar(budget: BudgetView) -> str:
    """Return a bar of the share that is spent."""
    return (
        f'<span class="meter wide" role="img" aria-label="{100 * budget.share:.0f} % of the budget '
        f'spent"><i style="width:{100 * budget.share:.1f}%"></i></span>'
    )


def budget_table(budget: BudgetView) -> str:
    """Return a table of what the round cost, what is spent in all, and what is left."""
    left = budget.left_words
    rows = [
        ("epsilon", budget.cost_epsilon, budget.spent_epsilon, left[0], budget.epsilon),
        ("delta", budget.cost_delta, budget.spent_delta, left[1], budget.delta),
    ]
    return table_of(
        f"Unit: one {budget.unit}",
        ("", "this round", "spent in all", "left", "budget"),
        [tuple(map(str, row)) for row in rows],
        numbers=range(1, 5),
    )
