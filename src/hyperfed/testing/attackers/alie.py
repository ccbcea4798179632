"""A little is enough: the honest mean less z honest standard deviations in every coordinate, inside what honest clients send.

z from the number of clients, as in the paper: with s = floor(n / 2) + 1 - liars supporters needed, z = the normal quantile of (n - liars - s) / (n - liars).
Source: Baruch, Baruch & Goldberg 2019, arXiv:1902.06156, Algorithm 3.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack

__all__ = ["LittleIsEnough"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LittleIsEnough(Attack):
    """z: honest standard deviations; None: the paper's (at least 0.3)."""

    name: ClassVar[str] = "alie"

    z: float | None = None

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        n, liars = len(honest) + len(own), len(own)
        z = self.z
        if z is None:
            needed = n // 2 + 1 - liars
            share = min(max((n - liars - needed) / max(1, n - liars), 0.5), 0.999)
            z = max(NormalDist().inv_cdf(share), 0.3)
        lie = honest.mean(axis=0) - z * honest.std(axis=0)
        return np.tile(lie, (liars, 1))
