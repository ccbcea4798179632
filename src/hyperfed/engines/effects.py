"""Estimate the linear effects of causes on a target, for engines that find a graph without numbers.

1. A target is regressed on its definite causes by least squares (QR of standardised columns), with
   an intercept. The coefficient of a cause is its effect, in units of the target for one of the
   cause.
2. A possible cause, such as the end of an undirected edge, joins the definite ones for its own
   effect only.
3. The standard error is that of least squares, with rows - regressors degrees of freedom. The
   confidence is 1 - p of the two-sided t-test of the coefficient, as in the built-in engine.

What it does not do: it does not choose causes.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.merge.student_t import t_central

__all__ = ["Effects", "first_dependent", "linear_effects", "standardised"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_DEPENDENT = 1e-7  # of a standardised column: what is left of it beside those before it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effects:
    """Holds effects as matrices over [source, target]; NaN where there is none."""

    effect: Floats
    """float64[source, target]: the coefficients."""
    std_error: Floats
    """float64[source, target]: their standard errors."""
    confidence: Floats
    """float64[source, target]: 1 - p of their two-sided t-tests, in [0, 1]."""


def standardised(data: Floats) -> tuple[Floats, Floats]:
    """Return the data with columns of mean 0 and standard deviation 1, and the old deviations.

    A constant column becomes 0, with 1 as its deviation. Columns of any scale from 1e-200 to 1e200
    are taken.
    """
    size = np.abs(data).max(axis=0, initial=0.0)
    size = np.where(size > 0, size, 1.0)
    unit = data / size
    unit = unit - unit.mean(axis=0)
    scale = unit.std(axis=0)
    scale = np.where(scale > 1e-14, scale, 0.0)
    flat = scale == 0
    return np.where(flat, 0.0, unit / np.where(flat, 1.0, scale)), np.where(flat, 1.0, scale * size)


def first_dependent(standard: Floats) -> int | None:
    """Return the first column that follows from those before it, or None where there is none."""
    diagonal = np.abs(np.diagonal(np.linalg.qr(standard, mode="r")))
    if len(diagonal) < standard.shape[1]:  # fewer rows than columns
        return len(diagonal)
    dependent = diagonal <= _DEPENDENT * math.sqrt(len(standard))
    return int(np.argmax(dependent)) if dependent.any() else None


def linear_effects(data: Floats, definite: Bools, possible: Bools | None = None) -> Effects:
    """Return the effects of causes on their targets.

    `data` is float64[rows, variables]. `definite` and `possible` are bool[source, target]: the
    causes of each target. Where rows do not suffice for a target, its effects are unknown (NaN).
    """
    rows, width = data.shape
    standard, scale = standardised(data)
    unknown = np.full((width, width), np.nan)
    effect, error, confidence = unknown.copy(), unknown.copy(), unknown.copy()
    for target in range(width):
        causes = np.flatnonzero(definite[:, target])
        sets = [(causes, causes)] if len(causes) else []
        for other in np.flatnonzero(possible[:, target]) if possible is not None else ():
            if not definite[other, target]:
                sets.append((np.append(causes, other), np.array([other])))
        for regressors, sources in sets:
            dof = rows - len(regressors) - 1
            if dof < 1:
                continue
            coefficient, deviation = _least_squares(
                standard[:, regressors], standard[:, target], dof
            )
            at = np.searchsorted(regressors, sources) if sources is regressors else [-1]
            unit = scale[target] / scale[sources]
            effect[sources, target] = coefficient[at] * unit
            error[sources, target] = deviation[at] * unit
            with np.errstate(divide="ignore", invalid="ignore"):
                t = np.where(deviation[at] > 0, coefficient[at] / deviation[at], np.inf)
            confidence[sources, target] = t_central(np.nan_to_num(t, posinf=1e300), dof)
    return Effects(effect=effect, std_error=error, confidence=confidence)


def _least_squares(x: Floats, y: Floats, dof: int) -> tuple[Floats, Floats]:
    """Return the coefficients of standardised columns, and their standard errors."""
    q, r = np.linalg.qr(x)
    diagonal = np.abs(np.diagonal(r))
    if (diagonal <= _DEPENDENT * math.sqrt(len(x))).any():  # such a regression tells nothing
        nothing = np.full(x.shape[1], np.nan)
        return nothing, nothing
    inverse = np.linalg.inv(r)
    coefficient = inverse @ (q.T @ y)
    residuals = y - x @ coefficient
    variance = float(residuals @ residuals) / dof
    return coefficient, np.sqrt(variance * (inverse**2).sum(axis=1))
