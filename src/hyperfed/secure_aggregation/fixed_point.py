"""Turn numbers into integers that can be summed modulo 2^64, and back.

1. A number is rounded to the nearest multiple of 1 / scale, ties to even; without noise the scale
   is 2^24. With noise shares it is coarser, so that a share is a few thousand steps wide (`noise`).
2. A sum of the plan's largest cohort must not wrap: each number's size is below 2^63 / (scale x
   cohort). A larger one is refused with the bound before anything leaves; it is never cut off in
   silence.
3. The sum of a cohort is exact: it is the sum of the rounded numbers, in any order.
"""

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.secure_aggregation.streams import Words

__all__ = ["SCALE", "from_fixed_point", "largest_value", "to_fixed_point"]

SCALE = 1 << 24
"""How many steps make one where the plan says nothing else: numbers are multiples of 2^-24."""


def largest_value(cohort: int, scale: int = SCALE) -> float:
    """Return the size below which every number must stay for a cohort of `cohort` clients."""
    if cohort < 1 or scale < 1:
        raise BoundsError(
            f"a cohort of {cohort} and a scale of {scale}; both are at least 1",
            subject="secure sum",
        )
    return float(2**63 // (scale * cohort))


def to_fixed_point(
    values: npt.NDArray[np.float64], *, cohort: int, scale: int = SCALE, subject: str = ""
) -> Words:
    """Return the numbers as uint64[n] in two's complement, in steps of 1 / scale.

    `values` is float64[n]. Raises BoundsError where a number is not finite, or where a sum of
    `cohort` such numbers could wrap.
    """
    bound = largest_value(cohort, scale)
    outside = ~(np.abs(values) < bound)  # also where a number is not finite
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise BoundsError(
            f"the number at position {at} is {float(values[at])!r}; a sum of {cohort} clients "
            f"bears finite numbers below {bound:.6g}",
            subject=subject or "secure sum",
            remedy="Scale the variable in the vocabulary, so that its values are near 1",
        )
    return np.rint(values * scale).astype(np.int64).view(np.uint64)


def from_fixed_point(words: Words, scale: int = SCALE) -> npt.NDArray[np.float64]:
    """Return the numbers that a sum stands for, float64[n]."""
    return words.view(np.int64).astype(np.float64) / scale
