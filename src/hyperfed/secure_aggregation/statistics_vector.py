"""Turn a client's statistics into a vector that is summed under masks, and a sum into `Sums`.

1. The vector is the number of rows, the upper triangle of the moments and, in rounds without
   noise, that of the rows behind each: cells may be missing there. The plan alone decides it.
2. Each number of a sum is of all its clients, or it would hide nobody: every client measures all
   variables, and has at least 2 rows of each pair. Rows of experiments would be sums of the few who
   set a variable, and are refused.
3. The numbers are in fixed point (`secure_aggregation.fixed_point`); numbers of rows are whole.
4. A sum is checked, because no single message can be: its rows are whole numbers, of at least as
   many as each client needs, its variances are above 0 and within the plausible ranges, no moment
   is larger than its variances allow and, where no cell is missing, its matrix is positive
   semidefinite. A sum that fails comes from a client that lied, or from none at all.

What it does not do: mask (`secure_aggregation.masking`).
"""

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT
from hyperfed.errors import AggregationError, RefusedError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.slots import slot_count
from hyperfed.protocol.objects import Plan
from hyperfed.secure_aggregation.fixed_point import from_fixed_point, to_fixed_point
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics.making import Scaling, least_rows
from hyperfed.statistics.record import Statistics, block_lags, whole
from hyperfed.statistics.sums import Summed, Sums
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["has_counts", "numbers_of", "sums_of", "vector_length", "vector_of"]

_ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]


def has_counts(policy: PolicyPack) -> bool:
    """Return whether clients send the rows behind each moment: where they add no noise."""
    return policy.privacy == "none"


def vector_length(variables: int, lags: tuple[int, ...], *, counts: bool) -> int:
    """Return how many numbers a client sends: its rows, its moments and, with `counts`, theirs."""
    width = variables * len(block_lags(lags))
    return 1 + width * (width + 1) // 2 * (2 if counts else 1)


def numbers_of(plan: Plan) -> int:
    """Return how many numbers a client sends in a round of this plan.

    They are one for each possible edge where effects are summed.
    """
    if plan.policy.payload == "edges":
        return slot_count(len(plan.vocabulary), plan.policy.allowed_lags)
    lags = tuple(plan.policy.lags)
    return vector_length(len(plan.vocabulary), lags, counts=has_counts(plan.policy))


def vector_of(
    statistics: Statistics, *, variables: int, cohort: int, counts: bool, subject: str
) -> Words:
    """Return the numbers that a client masks, uint64[vector_length].

    cohort: how many clients the plan invites, by which no sum wraps. counts: whether the rows
    behind each moment are among them. Raises RefusedError where a sum would hold a number of fewer
    clients (rule 2), or cells are missing without `counts`, and BoundsError for a number that could
    wrap.
    """
    rows = np.asarray(statistics.counts if len(statistics.counts) else [statistics.n])
    lacking = {
        f"{variables - len(statistics.variables)} variables are not measured, and a sum of the few "
        "who measure one would show them": len(statistics.variables) < variables,
        "cells are missing, and noised sums have no rows for each pair": (
            len(statistics.counts) > 0 and not counts
        ),
        "two variables have no two rows in common, and a sum of the few who have would show them": (
            bool((rows < 2).any())
        ),
        "an experiment set a variable, and a sum of the few who set it would show them": (
            bool(statistics.intervened)
        ),
    }
    problems = [problem for problem, bad in lacking.items() if bad]
    if problems:
        raise RefusedError(
            "; ".join(problems),
            subject=subject,
            rule="R-170",
            remedy="Nothing was sent. Leave such rows out, or ask the operator for a vocabulary "
            "that all clients measure",
        )
    numbers = [np.array([float(statistics.n)]), statistics.moments]
    if counts:
        own = np.full(len(statistics.moments), rows[0]) if len(rows) == 1 else rows
        numbers.append(own.astype(np.float64))
    return to_fixed_point(np.concatenate(numbers), cohort=cohort, subject=subject)


def sums_of(
    total: Words,
    *,
    clients: int,
    counts: bool,
    vocabulary: Vocabulary,
    lags: tuple[int, ...],
    form: str,
    rows_min: int = 0,
) -> Sums:
    """Return the sums that an opened total stands for.

    clients: how many are in it. counts: whether the rows behind each moment are. Raises
    AggregationError where no clients' rows have such a sum (R-176).
    """
    variables, numbers = len(vocabulary), from_fixed_point(total)
    width = variables * len(block_lags(lags))
    size = width * (width + 1) // 2
    rows, matrix = float(numbers[0]), whole(numbers[1 : 1 + size], width)
    least = clients * least_rows(width, rows_min)
    if rows != int(rows) or rows < least:
        raise _impossible(f"is of {rows!r} rows; {clients} clients have at least {least}")
    behind = np.full((width, width), rows)
    if counts:
        behind = whole(numbers[1 + size :], width)
        _check_behind(behind, rows, clients)
    diagonal = matrix.diagonal()
    bounded = Scaling.of(vocabulary).bounded
    if form == "ranks":
        bounded = np.ones(variables, dtype=bool)
    most = behind.diagonal() * np.concatenate(
        [np.where(bounded, 1.0, MAX_EFFECT)] * len(block_lags(lags))
    )
    if (diagonal <= 0).any() or (diagonal > most * (1 + _ROUNDING)).any():
        at = int(np.argmax((diagonal <= 0) | (diagonal > most * (1 + _ROUNDING)))) % variables
        raise _impossible(
            f"gives {vocabulary.names[at]!r:.80} a variance of {diagonal[at] / rows:.6g}"
        )
    root = np.sqrt(diagonal)
    scaled: npt.NDArray[np.float64] = matrix / root[:, None] / root[None, :]
    rounding = _ROUNDING * width + clients * 2.0**-24 / diagonal.min()
    if (np.abs(scaled) > 1.0 + rounding).any():
        raise _impossible("has a moment that is larger than its variances allow")
    complete = bool((behind == rows).all())  # elsewhere pairs are of rows of their own
    if complete and np.linalg.eigvalsh(scaled)[0] < -rounding:
        raise _impossible("is not positive semidefinite")
    degrees = behind - clients
    part = Summed(
        variables=variables,
        lags=lags,
        moments=matrix,
        degrees=degrees,
        squares=degrees,
        clients=np.full((width, width), float(clients)),
    )
    return Sums(variables=variables, lags=lags, form=form, _parts={(): part})


def _check_behind(behind: Floats, rows: float, clients: int) -> None:
    """Check the rows behind each moment: each client has 2 or more. Raises AggregationError."""
    own = behind.diagonal()
    wrong = (
        (behind != np.rint(behind))
        | (behind < 2 * clients)
        | (behind > np.minimum(own[:, None], own[None, :]))
        | (behind > rows)
    )
    if wrong.any():
        raise _impossible(
            f"has {float(behind[wrong][0])!r} rows of a pair of columns; {clients} clients of "
            f"{rows:.0f} rows have whole numbers of at least {2 * clients}, and no more than of "
            "either column"
        )


def _impossible(problem: str) -> AggregationError:
    return AggregationError(
        f"{problem}: no rows have such a sum",
        subject="opened sum",
        rule="R-176",
        remedy="A client sent numbers that are no moments, and nobody can see which. The round "
        "ends without a result once its close_by is past; one with aggregation = 'seen' shows each",
    )
