"""Go against the honest mean as far as the honest clients' distances allow.

The lie is no farther from any honest client than the two most distant honest clients are from each
other. Its direction is the unit vector against the mean, and bisection finds its size.

Source: Shejwalkar & Houmansadr 2021, NDSS, section IV.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack
from hyperfed.simulator.attackers.bisection import farthest

__all__ = ["MinMax"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MinMax(Attack):
    """Attacks by "min-max"."""

    name: ClassVar[str] = "min-max"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        centre = honest.mean(axis=0)
        gaps = ((honest[:, None] - honest[None]) ** 2).sum(axis=2)
        bound = float(gaps.max())
        return np.tile(
            farthest(centre, lambda lie: float(((honest - lie) ** 2).sum(axis=1).max()) <= bound),
            (len(own_effects), 1),
        )
