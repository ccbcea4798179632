"""How far a lie may go against a direction before a condition fails: what min-max and min-sum share."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["farthest"]

Floats = npt.NDArray[np.float64]


def farthest(centre: Floats, passes: Callable[[Floats], bool]) -> Floats:
    """float64[d]: centre - size * centre / |centre| with the largest size that `passes`, to a millionth; the centre itself where none does."""
    direction = -centre / max(float(np.linalg.norm(centre)), 1e-12)
    low, high = 0.0, 1.0
    while passes(centre + high * direction) and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(centre + middle * direction) else (low, middle)
    return centre + low * direction
