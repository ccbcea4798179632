"""The pooled effect of each key over the clients that report it.

1. Where reporters with a known interval hold more than half of the reporters' weight: inverse variance with a random-effects term tau²
   (DerSimonian & Laird 1986) over those with an interval. Client weights w enter as in the general method of moments (DerSimonian &
   Kacker 2007, eq. 6), with a = w / v:  tau² = max(0, (Q - (sum w - sum a w / sum a)) / (sum a - sum a² / sum a)),  Q = sum a (y - mean)².
   With all w = 1 this is DerSimonian-Laird itself. I² = max(0, (Q - E[Q | tau = 0]) / Q) (Higgins & Thompson 2002).
   The effect is sum b y / sum b with b = w / (v + tau²); its variance sum w b / (sum b)².
2. Otherwise the mean effect weighted by w |vote|, or by w where all votes are 0; no standard error is claimed.
3. An interval of width 0 is not a known interval: it would outweigh everyone. Standard errors are held within [1e-30, 1e30] and effects
   within +-1e60, so that no client can make a sum overflow.
4. Effects are averaged as differences to the first reporter's, so that equal effects pool to exactly themselves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code

__all__ = ["Z95", "Pooled", "pool_effects"]

Z95 = 1.959963984540054  # half the width of a 95 % interval in standard errors

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pooled:
    """float64[keys] each: effect, its std_error (0 where not pooled), tau2, i2 in [0, 1); pooled: bool[keys], by inverse variance."""

    effect: Floats
    std_error: Floats
    tau2: Floats
    i2: Floats
    pooled: npt.NDArray[np.bool_]


def pool_effects(
    segment: npt.NDArray[np.int32] | npt.NDArray[np.intp], keys: int, *, effect: Floats, vote: Floats, weight: Floats, width: Floats | None
) -> Pooled:
    """Pools rows (in client order) by `segment`.

    effect, vote, weight > 0: float64[rows], finite; width: float64[rows], ci_high - ci_low, 0 where unknown, or None where no client gives one;
    every one of the `keys` has a row.
    """
    compiled = machine_code(len(segment))
    if compiled is not None:
        columns = compiled.pool_effects(segment, keys, effect, vote, weight, width)
        return Pooled(**dict(zip(("effect", "std_error", "tau2", "i2", "pooled"), columns, strict=True)))
    y = np.clip(effect, -1e60, 1e60)
    first = np.empty(keys)
    first[segment[::-1]] = y[::-1]  # the last assignment wins: the first reporter's
    y -= first[segment]
    if width is None:
        zero = np.zeros(keys)
        return Pooled(effect=first + _by_votes(segment, keys, y, vote, weight), std_error=zero, tau2=zero, i2=zero, pooled=np.zeros(keys, dtype=bool))
    v = np.clip(width / (2 * Z95), 1e-30, 1e30)
    v *= v
    heard = weight
    enough = np.ones(keys, dtype=bool)
    unknown = ~(width > 0)
    if unknown.any():
        heard = np.where(unknown, 0.0, weight)
        enough = 2 * np.bincount(segment, heard, keys) > np.bincount(segment, weight, keys)
    a = heard / v
    with np.errstate(divide="ignore", invalid="ignore"):
        sum_a = np.bincount(segment, a, keys)
        fixed = np.bincount(segment, a * y, keys) / sum_a
        left = y - fixed[segment]
        left *= left
        left *= a
        q = np.bincount(segment, left, keys)
        expected = np.bincount(segment, heard, keys) - np.bincount(segment, a * heard, keys) / sum_a
        a *= a
        spread = sum_a - np.bincount(segment, a, keys) / sum_a
        excess = np.maximum(q - np.maximum(expected, 0.0), 0.0)
        several = spread > 1e-12 * sum_a
        tau2 = np.where(several & (excess > 0), excess / spread, 0.0)
        i2 = np.where(several & (excess > 0), excess / q, 0.0)
        v += tau2[segment]
        b = np.divide(heard, v, out=v)
        sum_b = np.bincount(segment, b, keys)
        mean = np.bincount(segment, b * y, keys) / sum_b
        b *= heard
        std_error = np.sqrt(np.bincount(segment, b, keys)) / sum_b
    if not enough.all():
        mean = np.where(enough, mean, _by_votes(segment, keys, y, vote, weight))
        std_error, tau2, i2 = (np.where(enough, column, 0.0) for column in (std_error, tau2, i2))
    return Pooled(effect=first + mean, std_error=std_error, tau2=tau2, i2=i2, pooled=enough)


def _by_votes(segment: npt.NDArray[np.int32] | npt.NDArray[np.intp], keys: int, y: Floats, vote: Floats, weight: Floats) -> Floats:
    """float64[keys]: the mean of y weighted by weight * |vote|, or by weight where all votes are 0."""
    strength = np.abs(vote) * weight
    total = np.bincount(segment, strength, keys)
    silent = total <= 0
    if silent.any():
        strength = np.where(silent[segment], weight, strength)
        total = np.bincount(segment, strength, keys)
    return np.asarray(np.bincount(segment, strength * y, keys) / total)
