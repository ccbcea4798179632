"""Limit what an update's body may hold, and what a private round says of a body it refuses.

1. What the policy bounds are limits of decoding (R-142): how many values a body has, how many rows,
   dag edges and interventions it states. They are checked before any object is made of the body, so
   that no client makes the coordinator build what it will refuse.
2. In a round with noise a refusal quotes nothing of the body (R-141). It goes into the freeze, the
   receipt and the round's page without noise. So a refusal is one fixed sentence for each rule. The
   sender's own machine checks before it sends, and says which row it is.
"""

from dataclasses import replace
from typing import Any

from hyperfed.codec.columns import rows_stated
from hyperfed.config import Limits
from hyperfed.errors import PacketError, RefusedError
from hyperfed.protocol.objects import Plan
from hyperfed.secure_aggregation.statistics_vector import numbers_of
from hyperfed.validator.statistics import most_moments

__all__ = ["MAX_INTERVENTIONS", "NOT_NOISED", "check_counts", "decoding_limits", "without_values"]

MAX_INTERVENTIONS = 256
"""Most interventions in one update; they are published as they are."""
NOT_NOISED = "is not a noised message: one effect for every possible edge, and nothing else"
"""What is said of a message of local noise that is none; it quotes nothing."""
_ENTRIES = 64  # in one intervention
_FIELDS = 1 << 12  # values that the fields of an update take, and more
_SAID = {
    "R-10": "its body holds a number that is not finite",
    "R-12": "its body is a document of another kind or version",
    "R-13": "its body holds more or less than it declares",
    "R-90": "its body names a variable or a lag that the plan does not have",
    "R-91": "its body holds what the plan's policy does not let be shared",
    "R-97": "its body holds changes that do not fit the update before",
    "R-99": "its body holds a number beyond what effects and their intervals may be",
}
_ELSE = "its body is not what an update is, or holds a value outside of its bounds"
_REMEDY = (
    "Pull the round's plan and submit again with `hyperfed submit`, which checks before it sends "
    "and says on your own machine what is wrong"
)


def decoding_limits(plan: Plan, limits: Limits) -> Limits:
    """Return the limits for bodies of a round's updates: no more values than its policy allows."""
    most = (
        _FIELDS
        + 4 * plan.policy.n_proposals  # a dag edge is a list of three
        + 2 * len(plan.vocabulary)
        + 2 * MAX_INTERVENTIONS * (_ENTRIES + 1)
        + len(plan.policy.allowed_lags)
    )
    return replace(limits, max_values=min(limits.max_values, most))


def check_counts(plain: Any, plan: Plan, *, subject: str) -> None:
    """Check how many rows, dag edges and interventions a body states (R-91).

    `plain` is the body as it was read, of which nothing has been made yet. What has another form
    than an update is left to whoever makes one of it. Raises RefusedError.
    """
    most = plan.policy.n_proposals
    record = plain if type(plain) is dict else {}
    parts = record.get("semantic")
    semantic = parts if type(parts) is dict else {}
    stated = [
        (semantic.get("dag_edges"), most, "dag edges"),
        (semantic.get("interventions"), MAX_INTERVENTIONS, "interventions"),
        (semantic.get("confounders"), len(plan.vocabulary), "confounders"),
    ]
    counts = [(len(part), bound, what) for part, bound, what in stated if type(part) is list]
    moments = record.get("statistics")
    if type(moments) is dict:
        count, bound = rows_stated(moments.get("moments")), most_moments(plan)
        counts.append((count, bound, "moments"))
    masked = record.get("masked")
    if type(masked) is dict:
        most_numbers = numbers_of(plan) if plan.policy.aggregation == "secure-sum" else 0
        counts.append((rows_stated(masked.get("values")), most_numbers, "numbers"))
    # changes may take every row away and bring as many others
    for name, bound in (("edges", most), ("deltas", 2 * most), ("hyperedges", most)):
        table = record.get(name)
        if type(table) is dict:
            counts.append((rows_stated(table.get("target")), bound, name))
    for count, bound, what in counts:
        if count > bound:
            raise RefusedError(
                f"{count} {what}; the policy allows {bound}",
                subject=subject,
                rule="R-91",
                remedy="Share only the strongest",
            )


def without_values(error: PacketError, *, key: str) -> PacketError:
    """Return a refusal of a private round's body that quotes nothing of it (R-141)."""
    rule = error.rule or "R-11"
    problem = NOT_NOISED if error.problem == NOT_NOISED else _SAID.get(rule, _ELSE)
    return type(error)(problem, subject=key, rule=rule, remedy=_REMEDY)
