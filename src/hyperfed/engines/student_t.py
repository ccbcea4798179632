"""Student's t distribution for whole degrees of freedom, without SciPy.

Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4 (finite series); above 1000 degrees the normal
distribution, which differs by less than 3e-4.
"""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["t_central", "t_quantile"]

_NORMAL_FROM = 1000
_ERF = np.frompyfunc(math.erf, 1, 1)


def t_central(t: npt.NDArray[np.float64], df: int) -> npt.NDArray[np.float64]:
    """P(|T| <= |t|), float64 of t's shape, for T with `df` >= 1 degrees of freedom: one minus the two-sided p-value."""
    t = np.abs(np.asarray(t, dtype=np.float64))
    if df > _NORMAL_FROM:
        return np.asarray(_ERF(t / math.sqrt(2.0)), dtype=np.float64)
    theta = np.arctan(t / math.sqrt(df))
    cos, sin = np.cos(theta), np.sin(theta)
    if df == 1:
        return np.asarray(2.0 * theta / math.pi)
    term = cos.copy() if df % 2 else np.ones_like(cos)
    total = term.copy()
    for k in range(3 if df % 2 else 2, df - 1, 2):
        term = term * cos * cos * ((k - 1) / k)
        total += term
    area = 2.0 / math.pi * (theta + sin * total) if df % 2 else sin * total
    return np.asarray(np.clip(area, 0.0, 1.0))


def t_quantile(central: float, df: int) -> float:
    """The t >= 0 with P(|T| <= t) = `central` in (0, 1); 2.262... for 0.95 and 9 degrees."""
    if df > _NORMAL_FROM:
        return NormalDist().inv_cdf(0.5 + central / 2)
    low, high = 0.0, 1.0
    while t_central(np.array(high), df) < central:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_central(np.array(middle), df) < central else (low, middle)
    return (low + high) / 2
