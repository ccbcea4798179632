"""Send what the data say, many times as large.

The directions agree with those of honest clients, and the sizes do not.

Source: Bagdasaryan et al. 2020.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["Scaling"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling(Attack):
    """Attacks by "scaling"."""

    name: ClassVar[str] = "scaling"

    factor: float = 10.0
    """How many times as large the lie is."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return self.factor * own_effects
