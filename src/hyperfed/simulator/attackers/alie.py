"""Send the honest mean less z honest standard deviations: "a little is enough".

The lie stays inside what honest clients send, in every coordinate. As in the paper, z follows from
the number of clients: the lie needs s = floor(n / 2) + 1 - liars supporters, and z is the normal
quantile of (n - liars - s) / (n - liars), here of a share held to [0.5, 0.999], and at least 0.3.

Source: Baruch, Baruch & Goldberg 2019, arXiv:1902.06156, Algorithm 3.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["LittleIsEnough"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LittleIsEnough(Attack):
    """Attacks by "a little is enough"."""

    name: ClassVar[str] = "alie"

    z: float | None = None
    """The number of honest standard deviations; None: what the number of clients gives."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        n, liars = len(honest) + len(own_effects), len(own_effects)
        z = self.z
        if z is None:
            needed = n // 2 + 1 - liars
            share = min(max((n - liars - needed) / max(1, n - liars), 0.5), 0.999)
            z = max(NormalDist().inv_cdf(share), 0.3)
        lie = honest.mean(axis=0) - z * honest.std(axis=0)
        return np.tile(lie, (liars, 1))
