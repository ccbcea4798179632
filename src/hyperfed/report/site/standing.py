"""Render what stands beside the graph on the home page: the privacy budget, and who agrees.

1. Anybody who may read the ledger sees the budget. Where nothing was ever spent it says so, and
   claims no privacy.
2. Trust is of single clients: only whoever may read a round's state sees it, as the operator and
   auditors may. It says "agrees" or "differs", and never why: few rows, other units and a lie look
   the same from here.
"""

from hyperfed.report.html_budget import budget_bar, budget_table
from hyperfed.report.html_cells import table_of, text_cell, vote_cell
from hyperfed.report.rows import BudgetView
from hyperfed.report.view import RoundView
from hyperfed.report.wording import agrees_word, count, fixed

__all__ = ["budget_part", "trust_part"]


def budget_part(budget: BudgetView | None) -> str:
    """Return the budget after the newest round; nothing where it is not known."""
    if budget is None:
        return ""
    if not budget.spent_epsilon and not budget.spent_delta:
        words = "Nothing is spent: no round added noise, and no differential privacy is claimed."
    elif budget.nights_left is not None:
        words = f"It pays for {count(budget.nights_left, 'more round')} like the newest."
    else:
        words = "The newest round cost nothing; earlier ones did."
    return (
        '<section class="card" aria-label="Privacy budget"><h2>Privacy budget</h2>'
        f"<p>{words}</p>{budget_bar(budget)}{budget_table(budget)}</section>"
    )


def trust_part(view: RoundView | None) -> str:
    """Return who agreed with the others in a round; nothing where its state was not read."""
    if view is None or not view.trust:
        return ""
    rows = [
        (
            text_cell(row.client),
            row.fate.value,
            agrees_word(row.weight, row.agreement) if view.weighed else "not judged",
            "" if row.weight is None else fixed(row.weight),
            vote_cell(row.agreement),
        )
        for row in view.trust
    ]
    table = table_of(
        "Least weight first",
        ("client", "tonight", "with the others", "weight", "agreement"),
        rows,
        numbers=(3, 4),
        fold=True,
    )
    return (
        f'<section class="card" aria-label="Clients"><h2>Who agrees</h2>{table}<p class="soft">'
        "A client differs where its votes contradict the others'. Few rows, other units and "
        "swapped columns do that as well as a wrong answer. One that is not heard is surer of its "
        "votes than most, or agrees less than its data allow. The operator and auditors see this "
        "table; members do not.</p></section>"
    )
