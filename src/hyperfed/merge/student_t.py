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

import numpy as np
import numpy.typing as npt

__all__ = ["MOST", "t_central", "t_quantile", "t_quantiles", "t_two_sided"]

MOST = 1000
_TERMS = 14  # of the arc tangent's series, of arguments below 0.2
Floats = npt.NDArray[np.float64]


def t_central(t: Floats, df: int) -> Floats:
    """Return P(|T| <= |t|) for T with `df` >= 1 degrees of freedom, as float64 of t's shape.

    This is one minus the two-sided p-value.
    """
    df = min(df, MOST)
    # beyond 1e100 the probability is 1, and a square would overflow
    x = np.minimum(np.abs(np.asarray(t, dtype=np.float64)), 1e100) / math.sqrt(df)
    cos2 = 1.0 / (1.0 + x * x)
    cos = np.sqrt(cos2)
    sin = x * cos
    if df == 1:
        return np.asarray(np.clip(2.0 / math.pi * _arc_tangent(x), 0.0, 1.0))
    term = cos.copy() if df % 2 else np.ones_like(cos)
    total = term.copy()
    for k in range(3 if df % 2 else 2, df - 1, 2):
        term = term * cos2 * ((k - 1) / k)
        total += term
    area = 2.0 / math.pi * (_arc_tangent(x) + sin * total) if df % 2 else sin * total
    return np.asarray(np.clip(area, 0.0, 1.0))


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
    low, high = 0.0, 1.0
    while t_central(np.array(high), df) < central:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_central(np.array(middle), df) < central else (low, middle)
    return (low + high) / 2


def t_quantiles(central: float, df: npt.NDArray[np.int64]) -> Floats:
    """Return `t_quantile` of each df, float64[rows], for df int64[rows] >= 1."""
    distinct_df, at = np.unique(df, return_inverse=True)
    return np.array([t_quantile(central, int(one)) for one in distinct_df.tolist()])[at.reshape(-1)]


def _arc_tangent(x: Floats) -> Floats:
    """Return the arc tangent of x >= 0."""
    large = x > 1.0
    small = np.where(large, 1.0 / np.where(large, x, 1.0), x)
    for _ in range(2):  # half the angle, twice
        small = small / (1.0 + np.sqrt(1.0 + small * small))
    square, total = small * small, np.zeros_like(small)
    for k in range(_TERMS, -1, -1):
        total = (-1.0 if k % 2 else 1.0) / (2 * k + 1) + square * total
    angle = 4.0 * small * total
    return np.asarray(np.where(large, math.pi / 2 - angle, angle))
