"""Implement `hyperfed budget plan`: compute what noise some rounds need, and what can be seen.

It needs no drop-box. It says plainly where too few clients make the noise hide everything.

What it does not do: show plans for rounds of statistics (`budget_sums`).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import output_options
from hyperfed.cli.output import show_pairs
from hyperfed.cli.values import Number, as_usage
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.privacy.planning import BudgetPlan

__all__ = ["plan"]


@click.command(name="plan", cls=Command)
@click.option(
    "--nights", type=click.IntRange(1, 100_000), help="How many nights the budget must last."
)
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
    type=click.Choice(["central", "local", "shares"]),
    default="central",
    show_default=True,
    help="Who adds the noise.",
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
@click.option(
    "--row-norm",
    type=Number(),
    help="Plan rounds of statistics, which protect records: the norm to which each row is clipped, "
    "in halves of the plausible ranges. Needs --variables and --rows.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=2),
    help="How many rows all clients have together (rounds of statistics).",
)
@click.option(
    "--centring",
    type=click.Choice(["public", "client"]),
    default="public",
    show_default=True,
    help="Which means are taken from the rows: the vocabulary's, or each client's own.",
)
@click.option(
    "--noise-shares",
    type=click.IntRange(min=1),
    help="With --place shares: how many shares a night counts on, of clients that neither help nor "
    "may collude.",
)
@click.option(
    "--night-epsilon",
    type=Number(),
    help="Instead of --nights: what each round of statistics may cost. The answer says how many "
    "nights the budget lasts.",
)
@click.option(
    "--spread",
    type=Number(),
    help="The standard deviation of a variable, in halves of its plausible range. By default it is "
    "the largest that rows of --row-norm can have.",
)
@output_options
@pass_invocation
def plan(
    invocation: Invocation,
    nights: int | None,
    epsilon: Decimal,
    delta: Decimal,
    clip: Decimal,
    clients: int,
    variables: int | None,
    max_lag: int,
    slots: int | None,
    place: str,
    record_bound: Decimal | None,
    baskets: int,
    edges_per_client: int | None,
    row_norm: Decimal | None,
    rows: int | None,
    centring: str,
    noise_shares: int | None,
    night_epsilon: Decimal | None,
    spread: Decimal | None,
) -> None:
    """Compute how much noise a number of nights needs, and what stays visible through it.

    The answer says what to write into the policy. The exit code is 1 if nothing stays visible.
    Twenty hospitals are too few to be protected as a whole, as the first example shows; their
    records can be protected. The last two examples plan rounds of statistics.

    \b
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clip 1 --clients 20 \\
          --variables 6
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clip 1 --clients 20 \\
          --variables 6 --record-bound 0.02
      hyperfed budget plan --nights 30 --epsilon 10 --delta 1e-4 --clip 1 --clients 500 \\
          --edges-per-client 10
      hyperfed budget plan --nights 365 --epsilon 10 --delta 1e-4 --clients 20 --variables 6 \\
          --row-norm 3 --rows 20000 --place shares --noise-shares 12
      hyperfed budget plan --night-epsilon 1 --epsilon 10 --delta 1e-4 --clients 20 \\
          --variables 6 --row-norm 3 --rows 20000
    """
    if (nights is None) == (night_epsilon is None):
        raise ConfigError(
            "say either how many nights there are, or what each may cost",
            subject="budget plan",
            remedy="Give --nights, or --night-epsilon for rounds of statistics",
        )
    _check_kind(
        row_norm,
        needed={
            "--variables": variables,
            "--rows": rows,
            "--noise-shares": noise_shares or (None if place == "shares" else 0),
        },
        of_edges={
            "--edges": slots,
            "--record-bound": record_bound,
            "--baskets": None if baskets == 1 else baskets,
            "--edges-per-client": edges_per_client,
            "--noise-shares without --place shares": noise_shares if place != "shares" else None,
        },
        of_sums={
            "--rows": rows,
            "--night-epsilon": night_epsilon,
            "--spread": spread,
        },
    )
    if row_norm is not None:
        from hyperfed.cli.operator.budget_sums import SumsAsked, plan_of_sums

        asked = SumsAsked(
            nights=nights,
            night_epsilon=night_epsilon,
            epsilon=epsilon,
            delta=delta,
            clients=clients,
            variables=variables or 0,
            rows=rows or 0,
            max_lag=max_lag,
            place=place,
            noise_shares=noise_shares or 0,
            row_norm=row_norm,
            centring=centring,
            spread=spread,
        )
        plan_of_sums(invocation, asked)
        return
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
            nights=nights or 0,
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


def _check_kind(
    row_norm: Decimal | None,
    *,
    needed: Mapping[str, object],
    of_edges: Mapping[str, object],
    of_sums: Mapping[str, object],
) -> None:
    """Raise ConfigError where options of edges and of statistics are mixed, or missing."""
    alien = of_sums if row_norm is None else of_edges
    given = [name for name, value in alien.items() if value is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)} {'does' if len(given) == 1 else 'do'} not belong to rounds of "
            + ("edges" if row_norm is None else "statistics"),
            subject="budget plan",
            remedy="Give --row-norm to plan rounds of statistics, and leave it out for edges",
        )
    missing = [name for name, value in needed.items() if value is None]
    if row_norm is not None and missing:
        raise ConfigError(
            f"rounds of statistics need {', '.join(missing)}",
            subject="budget plan",
            remedy="Say how many variables and rows there are, and how many shares are counted on",
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
