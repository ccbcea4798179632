"""Plan private rounds of statistics for `hyperfed budget plan --row-norm`.

What it does not do: compute (`privacy.planned_sums`).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.output import show_pairs
from hyperfed.cli.values import as_usage

if TYPE_CHECKING:
    from hyperfed.packets import PolicyPack
    from hyperfed.privacy.planned_sums import SumsPlan

__all__ = ["SumsAsked", "plan_of_sums"]

_NOISED_BY = {
    "central": "the coordinator noises the sum",
    "local": "each client noises its own moments",
    "shares": "each client adds a share of the noise under masks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsAsked:
    """Holds what was asked for."""

    nights: int | None
    """How many nights the budget must last; None where `night_epsilon` is given."""
    night_epsilon: Decimal | None
    """What each night may cost; None where `nights` is given."""
    epsilon: Decimal
    """The epsilon of the whole budget."""
    delta: Decimal
    """The delta of the whole budget."""
    clients: int
    """How many clients are expected in a night."""
    variables: int
    """How many variables the vocabulary has."""
    rows: int
    """How many rows the clients have together."""
    max_lag: int
    """The largest lag; 0: rows have no order."""
    place: str
    """Who adds the noise."""
    noise_shares: int
    """How many shares the policy counts on; 0 where noise is not in shares."""
    row_norm: Decimal
    """The norm to which each row is clipped."""
    centring: str
    """Which means are taken from the rows."""
    spread: Decimal | None
    """The standard deviation of a variable, in public units; None: the most there can be."""


def plan_of_sums(invocation: Invocation, asked: SumsAsked) -> None:
    """Show the plan, with the exit code 1 where nothing can be seen through its noise."""
    from hyperfed.privacy.planned_sums import plan_sums

    with as_usage():
        planned = plan_sums(
            _policy(asked),
            epsilon=asked.epsilon,
            delta=asked.delta,
            variables=asked.variables,
            clients=asked.clients,
            rows=asked.rows,
            nights=asked.nights,
            spread=None if asked.spread is None else float(asked.spread),
        )
    policy = _settings(asked, planned.policy.privacy_epsilon)
    invocation.out.finish(
        _document(planned, policy),
        lambda to: show_pairs(to, _pairs(asked, planned, policy)),
        code=0 if planned.useful else 1,
        because=planned.verdict,
    )


def _settings(asked: SumsAsked, epsilon: Decimal) -> dict[str, Any]:
    """Return what a policy of such rounds says; the budget and its unit stand in the registry."""
    settings: dict[str, Any] = {
        "payload": "statistics",
        "privacy": asked.place,
        "privacy_epsilon": f"{epsilon:f}",
        "privacy_delta": f"{min(asked.delta, Decimal('0.00001')):f}",
        "lags": [*range(1, asked.max_lag + 1)] or [0],
        "strategy": "mean",
        "trust_min": 0.0,
        "max_staleness": 0,
        "statistics": {
            "engine": "var" if asked.max_lag else "pc",
            "row_norm": float(asked.row_norm),
            "centring": asked.centring,
        },
    }
    if asked.place == "shares":
        settings |= {
            "aggregation": "secure-sum",
            "noise_shares": asked.noise_shares,
            "organisation_cap": 0.0,
        }
    return settings


def _policy(asked: SumsAsked) -> "PolicyPack":
    from hyperfed.packets import PolicyPack, SumsPolicy

    settings = _settings(asked, asked.night_epsilon or Decimal(1))
    return PolicyPack(
        **settings
        | {
            "privacy_epsilon": Decimal(settings["privacy_epsilon"]),
            "privacy_delta": Decimal(settings["privacy_delta"]),
            "statistics": SumsPolicy(**settings["statistics"]),
            "lags": tuple(settings["lags"]),
        }
    )


def _document(planned: "SumsPlan", policy: dict[str, Any]) -> dict[str, Any]:
    names = (
        "nights",
        "clients",
        "rows",
        "pairs",
        "noise_std",
        "correlation_noise_std",
        "correlation_std",
        "cut",
        "rows_needed",
        "useful",
        "verdict",
    )
    noise = planned.release.mechanism
    return {name: getattr(planned, name) for name in names} | {
        "sigma": noise.sigma,
        "sensitivity": noise.sensitivity,
        "shares": noise.shares,
        "moments": planned.moments,
        "epsilon_a_night": planned.release.epsilon,
        "policy": policy,
    }


def _pairs(asked: SumsAsked, planned: "SumsPlan", policy: dict[str, Any]) -> dict[str, Any]:
    noise = planned.release.mechanism
    lasts = f"{planned.nights:,} night{'' if planned.nights == 1 else 's'}"
    inside = f"inside epsilon {asked.epsilon} and delta {asked.delta} for each record"
    pairs = {
        "Plan": f"{lasts} {inside}; {_NOISED_BY[noise.place]}",
        "Night": f"epsilon {planned.release.epsilon} at delta {planned.release.delta}, charged by "
        "the filter that is enforced",
    }
    if noise.place == "shares":
        pairs["Shares"] = (
            f"{noise.shares} are counted on, without helpers, those who may collude and the client "
            f"itself. Each client's own record lasts {lasts}; the federation's lasts longer where "
            "more of them come"
        )
    at_least = "" if asked.spread is not None else "at least "
    pairs |= {
        "Policy": ", ".join(f"{name} = {_toml(value)}" for name, value in policy.items()),
        "Noise": f"{planned.noise_std:.3g} on each of {planned.moments:,} moments of the sum "
        "(standard deviation, in squared halves of the plausible ranges)",
        "Correlation": f"{at_least}{planned.correlation_noise_std:.2g} of noise on one of "
        f"{planned.rows:,} rows, {planned.correlation_std:.2g} with that of sampling",
        "Shown": f"correlations of at least {planned.cut:.2g}: of {planned.pairs:,} pairs, none "
        "is shown for noise alone in 95 of 100 nights",
        "Verdict": planned.verdict,
    }
    return pairs


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    return repr(value).replace("'", '"')
