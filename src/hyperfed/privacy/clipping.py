"""From numbers to a bounded vector of integers: what makes the sensitivity of a sum a fact.

1. Non-finite values are refused before anything is compared: min(1, nan) is 1.
2. L2 clipping scales a vector down to `clip_norm`; a shorter one stays as it is.
3. On the grid, truncation toward zero never lengthens a vector. The integers' norm is computed exactly and must not exceed `bound`; sensitivity is that
   of the integers, not of the floats before them.

What it does not do: choose `bound` (`mechanisms`), add noise.
"""

import math

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError

__all__ = ["MAX_BOUND", "MAX_SLOTS", "clip_l2", "to_grid"]

MAX_BOUND = 1 << 20
MAX_SLOTS = 1 << 22
"""Together: a sum of squares stays below 2^62."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def clip_l2(values: Floats, clip_norm: float) -> Floats:
    """float64[slots] with L2 norm <= clip_norm (to rounding; `to_grid` makes it exact). Raises PrivacyError for what is not finite."""
    if not (math.isfinite(clip_norm) and clip_norm > 0):
        raise PrivacyError(f"clip_norm is {clip_norm!r:.40}; a finite number above 0 is needed", subject="clipping")
    if not np.isfinite(values).all():
        raise PrivacyError("a value is not finite", subject="clipping", remedy="Nothing was clipped: what is not a number has no bound")
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return values.astype(np.float64)
    scaled = values / largest  # squares of the largest floats overflow, those of the smallest vanish
    norm = math.sqrt(float(np.dot(scaled, scaled)))
    if largest * norm <= clip_norm:
        return values.astype(np.float64)
    return np.asarray(scaled * (clip_norm / norm), dtype=np.float64)


def to_grid(values: Floats, *, clip_norm: float, bound: int) -> Integers:
    """int64[slots]: values in units of clip_norm / bound, truncated toward zero; their exact L2 norm is at most `bound`. Else raises PrivacyError."""
    if type(bound) is not int or not 1 <= bound <= MAX_BOUND or len(values) > MAX_SLOTS:
        raise PrivacyError(f"a bound in [1, {MAX_BOUND}] and at most {MAX_SLOTS} slots are needed", subject="clipping")
    if not np.isfinite(values).all():
        raise PrivacyError("a value is not finite", subject="clipping")
    units = np.trunc(values * (bound / clip_norm))
    if float(np.abs(units).max(initial=0.0)) > bound:
        raise PrivacyError("is longer than its clip", subject="vector", remedy="clip_l2 comes first")
    grid = units.astype(np.int64)
    if int(np.dot(grid, grid)) > bound * bound:
        raise PrivacyError("is longer than its clip", subject="vector", remedy="clip_l2 comes first")
    return grid
