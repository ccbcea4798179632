"""Scaling: every liar sends what its data say, many times as large. Directions agree; sizes do not (Bagdasaryan et al. 2020)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack

__all__ = ["Scaling"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling(Attack):
    """factor: how many times."""

    name: ClassVar[str] = "scaling"

    factor: float = 10.0

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        return self.factor * own
