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
from collections.abc import Callable
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
    t = np.asarray(t, dtype=np.float64)
    area = _areas(t.reshape(-1), np.full(t.size, df))
    return np.asarray(np.clip(area, 0.0, 1.0)).reshape(t.shape)


def t_two_sided(t: Floats, df: npt.NDArray[np.int64]) -> Floats:
    """Return P(|T| > |t|), float64[rows], for df int64[rows]; it is 1 where df is below 1."""
    p = np.ones(len(t))
    for odd in (0, 1):
        rows = np.flatnonzero((df >= 1) & (np.minimum(df, MOST) % 2 == odd))
        rows = rows[np.argsort(df[rows], kind="stable")]
        p[rows] = 1.0 - np.clip(_areas(t[rows], df[rows]), 0.0, 1.0)
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


def _areas(t: Floats, df: npt.NDArray[np.int64]) -> Floats:
    """Return P(|T| <= |t|), float64[rows], for df int64[rows] >= 1.

    They ascend, and all are odd or all even: a row's series ends with the terms of its own degrees,
    and all rows take each term together.
    """
    if not len(t):
        return np.zeros(0)
    df = np.minimum(df, MOST)
    # beyond 1e100 the probability is 1, and a square would overflow
    x = np.minimum(np.abs(t), 1e100) / np.sqrt(df)
    odd = int(df[0]) % 2
    cos2 = 1.0 / (1.0 + x * x)
    cos = np.sqrt(cos2)
    sin = x * cos
    term = cos.copy() if odd else np.ones(len(x))
    total = term.copy()
    steps = range(2 + odd, int(df[-1]) - 1, 2)
    begins = np.searchsorted(df, np.array(steps, dtype=np.int64) + 1, side="right").tolist()
    for k, begin in zip(steps, begins, strict=True):
        some = term[begin:]
        some *= cos2[begin:]
        some *= (k - 1) / k
        total[begin:] += some
    if not odd:
        return sin * total
    large = x > 1.0
    angle = _arc_tangent(np.where(large, 1.0 / np.where(large, x, 1.0), x), np.sqrt)
    angle = np.where(large, math.pi / 2 - angle, angle)
    return np.asarray(2.0 / math.pi * np.where(df == 1, angle, angle + sin * total))


def _area(x: float, df: int) -> float:
    """Return P(|T| <= x sqrt(df)) for x >= 0, as `_areas` does, and sooner for a single x."""
    odd = df % 2
    angle = 0.0
    if odd:
        angle = _arc_tangent(1.0 / x if x > 1.0 else x, math.sqrt)
        angle = math.pi / 2 - angle if x > 1.0 else angle
    if df == 1:
        return 2.0 / math.pi * angle
    cos2 = 1.0 / (1.0 + x * x)
    cos = math.sqrt(cos2)
    k = np.arange(2 + odd, df - 1, 2)
    factors = np.empty(2 * len(k) + 1)
    factors[0], factors[1::2], factors[2::2] = cos if odd else 1.0, cos2, (k - 1) / k
    # numpy accumulates one after the other, as `_areas` multiplies and adds
    total = float(np.add.accumulate(np.multiply.accumulate(factors)[::2])[-1])
    area = x * cos * total
    return 2.0 / math.pi * (angle + area) if odd else area


def _arc_tangent(x: Number, root: Callable[[Number], Number]) -> Number:
    """Return the arc tangent of x in [0, 1]; `root` is the square root of such a number."""
    for _ in range(2):  # half the angle, twice
        x = x / (1.0 + root(1.0 + x * x))
    square, total = x * x, 0.0 * x
    for k in range(_TERMS, -1, -1):
        total = (-1.0 if k % 2 else 1.0) / (2 * k + 1) + square * total
    return 4.0 * x * total
