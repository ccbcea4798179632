"""Check a client's statistics against the plan of the round (R-160 to R-163, R-186, R-187).

- R-160: an update carries what the plan's payload says: edges, statistics, or both; edges of a
  round of statistics are none.
- R-161: statistics are of the plan's variables, at exactly its lags, in its form.
- R-162: they come from at least as many rows as the policy asks for, and from at least 2 more than
  they have columns.
- R-163: no variance is larger than the vocabulary's plausible range lets it be; without a range it
  is at most as large as an effect may be.
- R-170: in a round of secure sums an update is masked numbers, as many as the plan has, and nothing
  else. Then nobody can look at R-161 to R-163 but the sender, before it masks.
- R-201: masked effects are as many numbers as there are possible edges. Beside them stands a record
  bound where the policy protects records, and nothing else.
- R-186: in a private round they are of clipped rows (of noised ones, where clients noise), of all
  variables, without missing cells or experiments, in whole steps of the round's grid.
- R-187: no moment of clipped rows is larger than n C^2, which its rows cannot exceed; a noised one
  is beyond it by at most 64 standard deviations.

Whether a matrix is symmetric, finite and possible for rows is checked when it is made (R-11).

What it does not do: it cannot tell invented moments from true ones; that is left to the agreement
between clients.
"""

import numpy as np

from hyperfed.config import MAX_EFFECT
from hyperfed.errors import BoundsError, EngineError, RefusedError
from hyperfed.packets import Claims, Update
from hyperfed.privacy.moments import plan_moments, step_of
from hyperfed.protocol.objects import Plan
from hyperfed.secure_aggregation.statistics_vector import numbers_of
from hyperfed.statistics import Scaling, Statistics, block_lags
from hyperfed.statistics.clipped import steps_of
from hyperfed.statistics.making import least_rows

__all__ = ["check_statistics", "most_moments"]

_ROUNDING = 1e-9
_FORMS = {"central": "clipped", "shares": "clipped", "local": "noised"}
_SPREADS = 64  # of its noise, beyond which no noised moment lies


def most_moments(plan: Plan) -> int:
    """Return how many moments an update of this plan has at most; 0 where it takes none."""
    if plan.policy.payload == "edges":
        return 0
    width = len(plan.vocabulary) * len(block_lags(tuple(plan.policy.allowed_lags)))
    return width * (width + 1) // 2


def check_statistics(update: Update, plan: Plan, *, subject: str, unmasked: bool = False) -> None:
    """Check rules R-160 to R-163, R-170, R-186 and R-187.

    unmasked: whether the client has yet to mask the update, in a round of secure sums. Raises
    RefusedError or BoundsError, which names `subject`.
    """
    masked = plan.policy.aggregation == "secure-sum" and not unmasked
    if masked or update.masked is not None:
        _check_masked(update, plan, subject)
        return
    payload, statistics = plan.policy.payload, update.statistics
    if (statistics is None) != (payload == "edges"):
        raise RefusedError(
            f"carries {'no' if statistics is None else 'its'} statistics; the payload of the "
            f"round is {payload!r}",
            subject=subject,
            rule="R-160",
            remedy="Pull the round's plan and submit again with `hyperfed submit`",
        )
    if statistics is None:
        return
    beside = (update.edges, update.hyperedges)
    if payload == "statistics" and any(table is not None and len(table) for table in beside):
        raise RefusedError(
            "carries edges beside its statistics; the payload of the round is 'statistics'",
            subject=subject,
            rule="R-160",
            remedy="Send the statistics alone",
        )
    _check_addable(statistics, plan, subject)
    _check_rows(statistics, plan, subject)
    if plan.policy.privacy == "none":
        _check_variances(statistics, plan, subject)
    else:
        _check_clipped(statistics, plan, subject)


def _check_masked(update: Update, plan: Plan, subject: str) -> None:
    """Check that an update is as many masked numbers as the plan asks for, and nothing else.

    What stands beside masked numbers would reveal a single client (R-170). Effects attest a record
    bound, where there is one (R-201).
    """
    variables, lags = len(plan.vocabulary), tuple(plan.policy.allowed_lags)
    attests = plan.policy.payload == "edges" and plan.policy.record_bound > 0
    claims = Claims(record_bound=update.claims.record_bound) if attests else Claims()
    alone = (
        update.statistics is None
        and not len(update.edges or ())
        and update.hyperedges is None
        and update.semantic is None
        and update.claims == claims
    )
    if plan.policy.aggregation != "secure-sum" or update.masked is None or not alone:
        raise RefusedError(
            "carries masked numbers, and the round sums none"
            if plan.policy.aggregation != "secure-sum"
            else "is not masked numbers alone, which a round of secure sums takes",
            subject=subject,
            rule="R-170",
            remedy="Pull the round's plan and submit again with `hyperfed submit`",
        )
    length = numbers_of(plan)
    whole = (update.measured.tolist(), update.lags) == (list(range(variables)), lags)
    if len(update.masked.values) != length or not whole:
        raise BoundsError(
            f"has {len(update.masked.values)} masked numbers of {len(update.measured)} variables; "
            f"{length} of all {variables} at lags {list(lags)[:8]} are summed",
            subject=subject,
            rule="R-170",
            remedy="Sums under masks are of clients that measured all variables",
        )


def _check_addable(statistics: Statistics, plan: Plan, subject: str) -> None:
    form = _FORMS.get(plan.policy.privacy, plan.policy.statistics.form)
    lags = tuple(plan.policy.allowed_lags)
    if statistics.form != form or statistics.lags != lags:
        raise BoundsError(
            f"has moments of {statistics.form} at lags {list(statistics.lags)}; the plan names "
            f"{form} at {list(lags)[:8]}",
            subject=subject,
            rule="R-161",
            remedy="Only moments of one kind can be added: look at all of the plan's lags",
        )


def _check_rows(statistics: Statistics, plan: Plan, subject: str) -> None:
    least = least_rows(statistics.width, plan.policy.statistics.rows_min)
    fewest = int(statistics.counts.min()) if len(statistics.counts) else statistics.n
    if statistics.n < least or (len(statistics.counts) and 0 < fewest < 2):
        raise RefusedError(
            f"is of {statistics.n} rows; {least} are needed for {statistics.width} columns",
            subject=subject,
            rule="R-162",
            remedy="Moments of so few rows reveal the rows: measure fewer variables",
        )


def _check_variances(statistics: Statistics, plan: Plan, subject: str) -> None:
    blocks = len(block_lags(statistics.lags))
    bounded = Scaling.of(plan.vocabulary, statistics.variables).bounded
    if statistics.form == "ranks":
        bounded = np.ones(len(bounded), dtype=bool)
    most = np.concatenate([np.where(bounded, 1.0, MAX_EFFECT)] * blocks)
    variance = statistics.matrix.diagonal() / np.maximum(statistics.rows.diagonal(), 1.0)
    too_large = variance > most * (1 + _ROUNDING)
    if too_large.any():
        at = int(statistics.variables[int(np.argmax(too_large)) % len(statistics.variables)])
        raise BoundsError(
            f"has a variance of {plan.vocabulary.names[at]!r:.80} beyond its plausible range",
            subject=subject,
            rule="R-163",
            remedy=(
                "Submit with `hyperfed submit`, which holds values to the range of the vocabulary"
            ),
        )


def _check_clipped(statistics: Statistics, plan: Plan, subject: str) -> None:
    whole = (
        len(statistics.variables) == len(plan.vocabulary)
        and not len(statistics.counts)
        and not statistics.intervened
    )
    planned = plan_moments(plan.policy, len(plan.vocabulary))
    try:
        steps = steps_of(statistics, step_of(planned)) if whole else None
    except EngineError:
        steps = None
    if steps is None:
        raise BoundsError(
            "is not of all variables, has missing cells or an experiment, or is not in whole steps",
            subject=subject,
            rule="R-186",
            remedy=(
                "Submit with `hyperfed submit`, which makes moments of clipped rows where the "
                "plan asks for them"
            ),
        )
    most = statistics.n * planned.bound
    if plan.policy.privacy == "local":
        most += _SPREADS * planned.mechanism.sigma
    if int(np.abs(steps).max()) > most:
        raise BoundsError(
            "has a moment that rows of the policy's norm cannot have",
            subject=subject,
            rule="R-187",
            remedy="Submit with `hyperfed submit`, which clips rows before it sums",
        )
