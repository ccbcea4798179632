"""Implement `hyperfed budget`: say how much privacy budget is spent and left.

1. Everything is computed from the verified ledger and the registry, and nobody has to be believed.
2. What is enforced (the RDP filter, or basic sums) stands first. What the exact curve of continuous
   noise would allow is called a report.

What it does not do: plan rounds (`budget_plan`).
"""

from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.operator.budget_plan import plan
from hyperfed.cli.options import last_option, output_options, store_options
from hyperfed.cli.output import show_pairs, show_table

if TYPE_CHECKING:
    from hyperfed.protocol.entries import (
        Mechanism,
    )

__all__ = ["budget"]


@click.group(cls=Group, invoke_without_command=True)
@last_option(14, "How many charged rounds to list.")
@store_options
@output_options
@pass_invocation
@click.pass_context
def budget(ctx: click.Context, invocation: Invocation, last: int) -> None:
    """Show how much of the privacy budget is spent and left, and what each round cost.

    The answer also says how many more nights like the last one fit.

    \b
      hyperfed budget
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clip 1 --clients 48 \\
          --variables 4
    """
    if not ctx.invoked_subcommand:
        _show(invocation, last)


def _kind(mechanism: "Mechanism") -> str:
    """Return a mechanism in words."""
    if mechanism.kind != "gaussian":
        return mechanism.kind
    if mechanism.place == "shares":
        return f"noise in {mechanism.shares} shares"
    return "choice of edges" if mechanism.selection_delta else f"{mechanism.place} noise"


def _show(invocation: Invocation, last: int) -> None:
    from hyperfed.dropbox.budgets import budget_in_force
    from hyperfed.dropbox.charges import charging
    from hyperfed.privacy.accountant import PrivacyAccountant, charges_of, cost_of

    invocation.warn_unless_compared()
    with invocation.out.step("Reading the ledger"):
        reader = invocation.reader
        ledger = reader.ledger()
        holds = budget_in_force(reader, ledger)
        ledger = charging(reader, ledger)
    charges = charges_of(ledger)
    accountant = PrivacyAccountant.of_ledger(ledger, holds)
    newest = [m for number, m in charges if number == charges[-1][0]] if charges else []
    total = accountant.total
    rounds: list[dict[str, Any]] = []
    for number in sorted({number for number, _ in charges}):
        mechanisms = [m for r, m in charges if r == number]
        upto = PrivacyAccountant(
            epsilon=holds.epsilon,
            delta=holds.delta,
            mechanisms=tuple(m for r, m in charges if r <= number),
        )
        rounds.append(
            {
                "round": number,
                "kind": ", ".join(_kind(m) for m in mechanisms),
                "epsilon": cost_of(mechanisms)[0],
                "delta": cost_of(mechanisms)[1],
                "noise": ", ".join(f"{m.multiplier:.4g}" for m in mechanisms if m.sigma) or None,
                "spent_share": upto.share,
            }
        )
    more = accountant.nights_left(newest) if newest else None
    left_pld = accountant.nights_left_pld(newest[0]) if len(newest) == 1 else None
    document = {
        "federation": reader.registry.federation,
        "budget": {
            "epsilon": holds.epsilon,
            "delta": holds.delta,
            "unit": holds.unit,
            "minimum_support": holds.minimum_support,
        },
        "composition": total.composition,
        "spent": {
            "epsilon": total.epsilon,
            "delta": total.delta,
            "share": total.share,
            "epsilon_if_continuous": total.pld,
        },
        "left_share": 1 - total.share,
        "nights_left": more,
        "nights_left_if_continuous": left_pld,
        "rounds": rounds,
    }

    def render(to: Any) -> None:
        pairs: dict[str, Any] = {
            "Budget": f"epsilon {holds.epsilon}, delta {holds.delta} for each {holds.unit}, for "
            "the federation's whole life"
        }
        if not charges:
            pairs["Spent"] = "nothing: no round has added noise"
        elif total.composition.value == "rdp":
            pairs["Spent"] = (
                f"{100 * total.share:.2f} % of what the Rényi filter allows, whatever the "
                "nights' noise depended on"
            )
            pairs["Epsilon"] = (
                f"{total.epsilon} at delta {total.delta} so far, if the noise was fixed in "
                "advance; else what holds is the budget itself"
            )
        else:
            pairs["Spent"] = (
                f"{100 * total.share:.2f} % (basic composition, exact sums): epsilon "
                f"{total.epsilon}, delta {total.delta}"
            )
        if charges:
            like = f"{more:,} more night{'' if more == 1 else 's'} like round {charges[-1][0]}"
            pairs["Left"] = f"{100 * (1 - total.share):.2f} %, {like}" + (
                "; then private rounds end, and nothing refills the budget" if more == 0 else ""
            )
            if left_pld is not None:
                pairs["Report"] = (
                    f"{left_pld:,} more nights if noise were continuous and fixed in advance "
                    "(exact curve); not what is enforced"
                )
            if any(m.place in ("shares", "local") for m in newest):
                pairs["Clients"] = (
                    "noise their own messages, one a round; each client's own record counts "
                    "what it sent, also to rounds that ended void"
                )
        show_pairs(to, pairs)
        if rounds:
            columns = ("round", "kind", "epsilon", "delta", "noise/sensitivity", "spent after it")
            rows = (
                (
                    *(r[name] for name in ("round", "kind", "epsilon", "delta", "noise")),
                    f"{100 * r['spent_share']:.2f} %",
                )
                for r in rounds[-last:]
            )
            show_table(to, "What each round cost", columns, rows, right=columns[2:])

    invocation.out.finish(document, render)


budget.add_command(plan)
