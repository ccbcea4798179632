"""Inner-product manipulation: the honest mean, turned around and made small enough to pass (Xie, Koyejo & Gupta 2020, arXiv:1903.03936)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack

__all__ = ["InnerProduct"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerProduct(Attack):
    """size: in honest means."""

    name: ClassVar[str] = "ipm"

    size: float = 0.6

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        return np.tile(-self.size * honest.mean(axis=0), (len(own), 1))
