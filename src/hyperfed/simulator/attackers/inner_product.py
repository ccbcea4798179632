"""Send the honest mean, turned around and made smaller: inner-product manipulation.

Source: Xie, Koyejo & Gupta 2020, arXiv:1903.03936.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["InnerProduct"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerProduct(Attack):
    """Attacks by "inner-product manipulation"."""

    name: ClassVar[str] = "ipm"

    size: float = 0.6
    """The size of the lie, as a multiple of the honest mean."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return np.tile(-self.size * honest.mean(axis=0), (len(own_effects), 1))
