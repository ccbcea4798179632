"""Find how far a lie can go in a direction before a condition fails, for min-max and min-sum."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["farthest"]

Floats = npt.NDArray[np.float64]


def farthest(centre: Floats, passes: Callable[[Floats], bool]) -> Floats:
    """Return centre - size * centre / |centre| with the largest size that passes, float64[d].

    `passes` says whether a lie passes. The result is the centre itself where no larger size passes.
    """
    direction = -centre / max(float(np.linalg.norm(centre)), 1e-12)
    low, high = 0.0, 1.0
    while passes(centre + high * direction) and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(centre + middle * direction) else (low, middle)
    return centre + low * direction
