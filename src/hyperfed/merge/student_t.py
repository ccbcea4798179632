"""Compute Student's t distribution for whole degrees of freedom, the same on every machine.

1. Only sums, products, quotients and square roots are used, which IEEE 754 rounds in one way. The
   libraries' sines, arc tangents and error functions differ in the last digit from machine to
   machine, and a merge must give the same bytes everywhere.
2. More than `MOST` degrees count as `MOST`: the 97.5 % quantile is then 1.9620 where the normal
   distribution has 1.9600.

Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4 (finite series),
and 4.4.42 (the arc tangent's).
"""

import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["MOST", "t_central", "t_quantile", "t_quantiles", "t_two_sided"]

MOST = 1000
_TERMS = 14  # of the arc tangent's series, of arguments below 0.2
Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", float, Floats)


def t_central(t: Floats, df: int) -> Floats:
    """Return P(|T| <= |t|) for T with `df` >= 1 degrees of freedom, as float64 of t's shape.

    This is one minus the two-sided p-value.
    """
    df = min(df, MOST)
    # beyond 1e100 the probability is 1, and a square would overflow
    x = np.minimum(np.abs(np.asarray(t, dtype=np.float64)), 1e100) / math.sqrt(df)
    return np.asarray(np.clip(_area(x, df), 0.0, 1.0))


def t_two_sided(t: Floats, df: npt.NDArray[np.int64]) -> Floats:
    """Return P(|T| > |t|), float64[rows], for df int64[rows]; it is 1 where df is below 1."""
    p = np.ones(len(t))
    for degrees in np.unique(df[df >= 1]).tolist():
        rows = df == degrees
        p[rows] = 1.0 - t_central(t[rows], degrees)
    return p


@lru_cache(maxsize=4096)
def t_quantile(central: float, df: int) -> float:
    """Return the t >= 0 with P(|T| <= t) = `central`, which lies in (0, 1).

    It is 2.262... for 0.95 and 9 degrees.
    """
    df = min(df, MOST)
    root = math.sqrt(df)
    low, high = 0.0, 1.0
    while _area(high / root, df) < central:
        high *= 2.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _area(middle / root, df) < central else (low, middle)
    return middle


def t_quantiles(central: float, df: npt.NDArray[np.int64]) -> Floats:
    """Return `t_quantile` of each df, float64[rows], for df int64[rows] >= 1."""
    distinct_df, at = np.unique(df, return_inverse=True)
    return np.array([t_quantile(central, int(one)) for one in distinct_df.tolist()])[at.reshape(-1)]


def _area(x: Number, df: int) -> Number:
    """Return P(|T| <= x sqrt(df)) for x >= 0: of a float as a float, which is quicker for one."""
    if df == 1:
        return 2.0 / math.pi * _arc_tangent(x)
    cos2 = 1.0 / (1.0 + x * x)
    cos = math.sqrt(cos2) if isinstance(cos2, float) else np.sqrt(cos2)
    sin = x * cos
    term = cos if df % 2 else 1.0 + 0.0 * cos
    total = term
    for k in range(3 if df % 2 else 2, df - 1, 2):
        term = term * cos2 * ((k - 1) / k)
        total = total + term
    return 2.0 / math.pi * (_arc_tangent(x) + sin * total) if df % 2 else sin * total


def _arc_tangent(x: Number) -> Number:
    """Return the arc tangent of x >= 0."""
    if isinstance(x, float):
        return float(_arc_tangent(np.array([x]))[0])
    large = x > 1.0
    small = np.where(large, 1.0 / np.where(large, x, 1.0), x)
    for _ in range(2):  # half the angle, twice
        small = small / (1.0 + np.sqrt(1.0 + small * small))
    square, total = small * small, np.zeros_like(small)
    for k in range(_TERMS, -1, -1):
        total = (-1.0 if k % 2 else 1.0) / (2 * k + 1) + square * total
    angle = 4.0 * small * total
    return np.asarray(np.where(large, math.pi / 2 - angle, angle))
