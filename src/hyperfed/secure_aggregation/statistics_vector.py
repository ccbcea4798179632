"""Turn a client's statistics into a vector that is summed under masks, and a sum into `Sums`.

1. The vector is the number of rows, and then the upper triangle of the moments. So every client
   needs all variables of the vocabulary, no missing cells and no experiments: pairs with rows of
   their own would need a vector of counts as well.
2. The numbers are in fixed point (`secure_aggregation.fixed_point`); the number of rows is a whole
   number of steps.
3. A sum is checked, because no single message can be: its rows are a whole number of at least as
   many as each client needs, its variances are above 0 and within the plausible ranges, and its
   matrix is positive semidefinite. A sum that fails comes from a client that lied, or from none at
   all.

What it does not do: mask (`secure_aggregation.masking`).
"""

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT
from hyperfed.errors import AggregationError, RefusedError
from hyperfed.secure_aggregation.fixed_point import from_fixed_point, to_fixed_point
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics.making import Scaling, least_rows
from hyperfed.statistics.record import Statistics, block_lags, whole
from hyperfed.statistics.sums import Summed, Sums
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["sums_of", "vector_length", "vector_of"]

_ROUNDING = 1e-9


def vector_length(variables: int, lags: tuple[int, ...]) -> int:
    """Return how many numbers a client sends: its rows, and its moments."""
    width = variables * len(block_lags(lags))
    return 1 + width * (width + 1) // 2


def vector_of(statistics: Statistics, *, variables: int, cohort: int, subject: str) -> Words:
    """Return the numbers that a client masks, uint64[vector_length].

    cohort: how many clients the plan invites, by which no sum wraps. Raises RefusedError where the
    statistics are of fewer variables, or of rows with missing cells or experiments, and BoundsError
    for a number that could wrap.
    """
    lacking = {
        f"{variables - len(statistics.variables)} variables are not measured": (
            len(statistics.variables) < variables
        ),
        "cells are missing": len(statistics.counts) > 0,
        "an experiment set a variable": bool(statistics.intervened),
    }
    if any(lacking.values()):
        raise RefusedError(
            f"{' and '.join(name for name, bad in lacking.items() if bad)}; a masked sum is of "
            "clients that measured all variables in all rows, without experiments",
            subject=subject,
            rule="R-170",
            remedy="Nothing was sent. Leave such rows out, or ask the operator for a vocabulary "
            "that all clients measure",
        )
    numbers = np.concatenate([[float(statistics.n)], statistics.moments])
    return to_fixed_point(numbers, cohort=cohort, subject=subject)


def sums_of(
    total: Words,
    *,
    clients: int,
    vocabulary: Vocabulary,
    lags: tuple[int, ...],
    form: str,
    rows_min: int = 0,
) -> Sums:
    """Return the sums that an opened total stands for.

    clients: how many are in it. Raises AggregationError where no clients' rows have such a sum
    (R-176).
    """
    variables, numbers = len(vocabulary), from_fixed_point(total)
    width = variables * len(block_lags(lags))
    rows, matrix = float(numbers[0]), whole(numbers[1:], width)
    least = clients * least_rows(width, rows_min)
    if rows != int(rows) or rows < least:
        raise _impossible(f"is of {rows!r} rows; {clients} clients have at least {least}")
    diagonal = matrix.diagonal()
    bounded = Scaling.of(vocabulary).bounded
    if form == "ranks":
        bounded = np.ones(variables, dtype=bool)
    most = rows * np.concatenate([np.where(bounded, 1.0, MAX_EFFECT)] * len(block_lags(lags)))
    if (diagonal <= 0).any() or (diagonal > most * (1 + _ROUNDING)).any():
        at = int(np.argmax((diagonal <= 0) | (diagonal > most * (1 + _ROUNDING)))) % variables
        raise _impossible(
            f"gives {vocabulary.names[at]!r:.80} a variance of {diagonal[at] / rows:.6g}"
        )
    root = np.sqrt(diagonal)
    scaled: npt.NDArray[np.float64] = matrix / root[:, None] / root[None, :]
    if np.linalg.eigvalsh(scaled)[0] < -_ROUNDING * width - clients * 2.0**-24 / diagonal.min():
        raise _impossible("is not positive semidefinite")
    degrees = np.full((width, width), rows - clients)
    part = Summed(
        variables=variables,
        lags=lags,
        moments=matrix,
        degrees=degrees,
        squares=degrees,
        clients=np.full((width, width), float(clients)),
    )
    return Sums(variables=variables, lags=lags, form=form, _parts={(): part})


def _impossible(problem: str) -> AggregationError:
    return AggregationError(
        f"{problem}: no rows have such a sum",
        subject="opened sum",
        rule="R-176",
        remedy="A client sent numbers that are no moments, and nobody can see which. The round "
        "ends without a result once its close_by is past; one with aggregation = 'seen' shows each",
    )
