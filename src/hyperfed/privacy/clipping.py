"""Turn numbers into a bounded vector of integers, which makes the sensitivity of a sum a fact.

1. Non-finite values are refused before anything is compared: min(1, nan) is 1.
2. L2 clipping scales a vector down to `clip_norm`; a shorter one stays as it is.
3. On the grid, truncation toward zero never lengthens a vector. The integers' norm is computed
   exactly and must not exceed `bound`. Sensitivity is that of the integers, not of the floats
   before them.

What it does not do: choose `bound` (`mechanisms`), or add noise.
"""

import math

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError

__all__ = ["MAX_BOUND", "MAX_SLOTS", "clip_l2", "largest_bound", "to_grid"]

MAX_BOUND = 1 << 20
"""Largest bound of a grid, in grid units. With noise in shares it is larger (`largest_bound`)."""
MAX_SLOTS = 1 << 22
"""Largest number of slots."""
_MOST_SQUARES = 1 << 62

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def clip_l2(values: Floats, clip_norm: float) -> Floats:
    """Return float64[slots]: the values, scaled down where their L2 norm is above `clip_norm`.

    The norm is within `clip_norm` up to rounding; `to_grid` makes that exact. Raises PrivacyError
    where a value or the bound is not finite, or the bound is not above 0.
    """
    if not (math.isfinite(clip_norm) and clip_norm > 0):
        raise PrivacyError(
            f"clip_norm is {clip_norm!r:.40}; a finite number above 0 is needed", subject="clipping"
        )
    if not np.isfinite(values).all():
        raise PrivacyError(
            "a value is not finite",
            subject="clipping",
            remedy="Leave such values out: what is not a number has no bound. Nothing was clipped",
        )
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return values.astype(np.float64)
    # squares of the largest floats overflow, those of the smallest vanish
    scaled = values / largest
    norm = math.sqrt(float(np.dot(scaled, scaled)))
    if largest * norm <= clip_norm:
        return values.astype(np.float64)
    return np.asarray(scaled * (clip_norm / norm), dtype=np.float64)


def largest_bound(slots: int) -> int:
    """Return the largest bound, in grid units, with which no sum of squares is above 2^62."""
    return math.isqrt(_MOST_SQUARES // max(slots, 1))


def to_grid(values: Floats, *, clip_norm: float, bound: int) -> Integers:
    """Return int64[slots]: the values in units of clip_norm / bound, truncated toward zero.

    Their exact L2 norm is at most `bound`. Raises PrivacyError where it is not, where a value is
    not finite, or where `bound` or the number of slots is out of range.
    """
    most = largest_bound(len(values))
    if type(bound) is not int or not 1 <= bound <= most or len(values) > MAX_SLOTS:
        raise PrivacyError(
            f"a bound in [1, {most}] and at most {MAX_SLOTS} slots are needed",
            subject="clipping",
        )
    if not np.isfinite(values).all():
        raise PrivacyError("a value is not finite", subject="clipping")
    units = np.trunc(values * (bound / clip_norm))
    if float(np.abs(units).max(initial=0.0)) > bound:
        raise PrivacyError("is longer than its clip", subject="vector", remedy="Call clip_l2 first")
    grid = units.astype(np.int64)
    if int(np.dot(grid, grid)) > bound * bound:
        raise PrivacyError("is longer than its clip", subject="vector", remedy="Call clip_l2 first")
    return grid
