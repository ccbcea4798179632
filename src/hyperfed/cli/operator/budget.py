"""Implement `hyperfed budget`: say how much privacy budget is spent and left, and plan rounds.

1. Everything is computed from the verified ledger and the registry, and nobody has to be believed.
2. What is enforced (the RDP filter, or basic sums) stands first. What the exact curve of continuous
   noise would allow is called a report.
3. `plan` needs no drop-box. It says plainly where too few clients make the noise hide everything.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import last_option, nights_option, output_options, store_options
from hyperfed.cli.output import show_pairs, show_table
from hyperfed.cli.values import Number, as_usage
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.privacy.planning import BudgetPlan
    from hyperfed.protocol.entries import (
        Mechanism,
    )

__all__ = ["budget", "plan"]


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
    from hyperfed.coordinator.budget import budget_in_force
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


@budget.command()
@nights_option(100_000, "How many nights the budget must last.")
@click.option("--epsilon", type=Number(), required=True, help="The epsilon of the whole budget.")
@click.option(
    "--delta", type=Number(), required=True, help="The delta of the whole budget, such as 1e-4."
)
@click.option(
    "--clip",
    type=Number(),
    default=Decimal(1),
    show_default=True,
    help="The L2 bound of one client's effects.",
)
@click.option(
    "--clients",
    type=click.IntRange(min=1),
    required=True,
    help="How many clients you expect in a night.",
)
@click.option(
    "--variables",
    type=click.IntRange(min=2),
    help="How many variables the vocabulary has; with --max-lag, this determines how many edges "
    "are possible.",
)
@click.option(
    "--max-lag",
    type=click.IntRange(0, 65535),
    default=1,
    show_default=True,
    help="The largest lag of the policy.",
)
@click.option(
    "--edges",
    "slots",
    type=click.IntRange(min=1),
    help="How many edges are possible, instead of --variables.",
)
@click.option(
    "--place",
    type=click.Choice(["central", "shares", "local"]),
    default="central",
    show_default=True,
    help="Who adds the noise.",
)
@click.option(
    "--noise-shares",
    type=click.IntRange(min=1),
    help="With --place shares: how many shares a night counts on, of clients that neither help nor "
    "may collude.",
)
@click.option(
    "--record-bound",
    type=Number(),
    help="Protect records instead of clients: how far one record may move its client's effects "
    "(L2).",
)
@click.option(
    "--baskets",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many groups of equal size have their means released too.",
)
@click.option(
    "--edges-per-client",
    type=click.IntRange(min=1),
    help='Discover edges (policy discovery = "selected"): how many edges each client may name.',
)
@output_options
@pass_invocation
def plan(
    invocation: Invocation,
    nights: int,
    epsilon: Decimal,
    delta: Decimal,
    clip: Decimal,
    clients: int,
    variables: int | None,
    max_lag: int,
    slots: int | None,
    place: str,
    noise_shares: int | None,
    record_bound: Decimal | None,
    baskets: int,
    edges_per_client: int | None,
) -> None:
    """Compute how much noise a number of nights needs, and what stays visible through it.

    The answer says what to write into the policy. The exit code is 1 if nothing stays visible.
    Twenty hospitals are too few to be protected as a whole, as the first example shows; their
    records can be protected.

    \b
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clip 1 --clients 20 \\
          --variables 6
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clip 1 --clients 20 \\
          --variables 6 --record-bound 0.02
      hyperfed budget plan --nights 30 --epsilon 10 --delta 1e-4 --clip 1 --clients 500 \\
          --edges-per-client 10
    """
    from hyperfed.privacy.planning import plan_budget
    from hyperfed.privacy.slots import check_slots

    if edges_per_client is None and (variables is None) == (slots is None):
        raise ConfigError(
            "say how many edges are possible",
            subject="budget plan",
            remedy=(
                "Give --variables with --max-lag, or --edges; or let them be discovered with "
                "--edges-per-client"
            ),
        )
    if edges_per_client is not None and (variables is not None or slots is not None):
        raise ConfigError(
            "edges are either all noised or discovered",
            subject="budget plan",
            remedy="Give --edges-per-client without --variables and --edges",
        )
    with as_usage():
        count = check_slots(variables, range(max_lag + 1)) if variables is not None else slots
        planned = plan_budget(
            nights=nights,
            epsilon=epsilon,
            delta=delta,
            clip_norm=float(clip),
            clients=clients,
            slots=count or 1,
            place=place,
            unit="client" if record_bound is None else "record",
            record_bound=float(record_bound or 0),
            baskets=baskets,
            edges_per_client=edges_per_client or 0,
            noise_shares=noise_shares or 0,
        )
    lag = max_lag if variables is not None else None
    code = 0 if planned.useful else 1
    invocation.out.finish(
        _plan_document(planned, lag),
        lambda to: _show_plan(to, planned, epsilon, delta, lag),
        code=code,
        because=planned.verdict,
    )


def _plan_document(planned: "BudgetPlan", max_lag: int | None) -> dict[str, Any]:
    names = (
        "nights",
        "clients",
        "baskets",
        "slots",
        "multiplier",
        "multiplier_pld",
        "noise_std",
        "basket_noise_std",
        "expected_error",
        "cut",
        "edges_visible",
    )
    document = {name: getattr(planned, name) for name in (*names, "useful", "verdict")}
    return document | {
        "sigma": planned.release.mechanism.sigma,
        "sensitivity": planned.release.mechanism.sensitivity,
        "epsilon_a_night": planned.release.epsilon,
        "policy": _policy_of(planned, max_lag),
        "clients_for_selection": planned.release.selection.clients_needed
        if planned.release.selection
        else None,
        "clients_for_one_edge": planned.clients_for_one,
        "clients_for_ten_edges": planned.clients_for_ten,
    }


def _policy_of(planned: "BudgetPlan", max_lag: int | None) -> dict[str, Any]:
    """Return what a policy must say for a plan.

    The unit and the budget itself stand in the registry.
    """
    policy: dict[str, Any] = {
        "privacy": planned.release.mechanism.place,
        "privacy_epsilon": f"{planned.policy_epsilon:f}",
        "privacy_delta": f"{planned.policy_delta:f}",
        "clip_norm": planned.release.clip_norm,
        "strategy": "mean",
        "trust_min": 0.0,
    }
    if max_lag is not None:
        policy["lags"] = [*range(max_lag + 1)]
    if planned.release.mechanism.shares:
        policy |= {
            "aggregation": "secure-sum",
            "noise_shares": planned.release.mechanism.shares,
            "max_staleness": 0,
            "organisation_cap": 0.0,
        }
    if planned.release.record_bound:
        policy["record_bound"] = planned.release.record_bound
    if planned.release.selection is not None:
        policy |= {
            "discovery": "selected",
            "edges_per_client": planned.release.selection.edges_per_client,
        }
    return policy


def _show_plan(
    to: Any, planned: "BudgetPlan", epsilon: Decimal, delta: Decimal, max_lag: int | None
) -> None:
    release = planned.release
    noise, selection = release.mechanism, release.selection
    what = (
        f"{planned.slots:,} possible edges"
        if selection is None
        else f"the {planned.slots:,} edges that can be chosen at most"
    )
    pairs = {
        "Plan": f"{planned.nights:,} nights inside epsilon {epsilon} and delta {delta} for each "
        f"{noise.unit}; "
        + (
            "the coordinator noises the sum"
            if noise.place == "central"
            else f"each client adds a share of the sum's noise, and {noise.shares} are counted on"
            if noise.place == "shares"
            else "each client noises its own message"
        ),
        "Noise": f"{planned.multiplier:.2f} sensitivities a night, by the filter that is enforced"
        + (
            f" (as integers {noise.sigma:,} to {noise.sensitivity:,})"
            if selection is None
            else ", shared by the choice of edges and their means"
        ),
        "Report": f"{planned.multiplier_pld:.2f} would do if noise were continuous and fixed in "
        "advance (exact curve); not what is enforced",
        "Policy": ", ".join(
            f"{name} = {value!r}".replace("'", '"')
            for name, value in _policy_of(planned, max_lag).items()
        ),
    }
    if selection is not None:
        pairs["Chosen"] = (
            f"edges that about {selection.clients_needed:.0f} clients name, each client naming "
            f"at most {selection.edges_per_client}"
        )
    pairs["Error"] = (
        f"{planned.expected_error:.3g} expected on the mean of an edge over {planned.clients:,} "
        f"clients (standard deviation {planned.noise_std:.3g})"
    )
    if planned.baskets > 1:
        pairs["Baskets"] = (
            f"{planned.baskets:,} of equal size: standard deviation {planned.basket_noise_std:.3g} "
            "on a basket's own mean; no further cost"
        )
    pairs["Shown"] = (
        f"means of at least {planned.cut:.3g}: of {what}, none is shown for its noise alone in 95 "
        "of 100 nights"
    )
    pairs["Verdict"] = planned.verdict
    show_pairs(to, pairs)
