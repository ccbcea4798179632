"""Go against the honest mean as far as the honest clients' sums allow.

The sum of the lie's squared distances to the honest clients is no larger than that of the most
distant honest client. Its direction is the unit vector against the mean, and bisection finds its
size.

Source: Shejwalkar & Houmansadr 2021, NDSS, section IV.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack
from hyperfed.simulator.attackers.bisection import farthest

__all__ = ["MinSum"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MinSum(Attack):
    """Attacks by "min-sum"."""

    name: ClassVar[str] = "min-sum"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        centre = honest.mean(axis=0)
        bound = float(((honest[:, None] - honest[None]) ** 2).sum(axis=2).sum(axis=1).max())
        return np.tile(
            farthest(centre, lambda lie: float(((honest - lie) ** 2).sum()) <= bound),
            (len(own_effects), 1),
        )
