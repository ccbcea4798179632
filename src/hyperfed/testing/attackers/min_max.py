"""Min-max: as far against the honest mean as no farther from any honest client than two honest clients are from each other.

Source: Shejwalkar & Houmansadr 2021, NDSS, section IV; direction: the unit vector against the mean; the size by bisection.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack
from hyperfed.testing.attackers.bisection import farthest

__all__ = ["MinMax"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MinMax(Attack):
    """No parameters."""

    name: ClassVar[str] = "min-max"

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        centre = honest.mean(axis=0)
        gaps = ((honest[:, None] - honest[None]) ** 2).sum(axis=2)
        bound = float(gaps.max())
        return np.tile(farthest(centre, lambda lie: float(((honest - lie) ** 2).sum(axis=1).max()) <= bound), (len(own), 1))
