"""Send the opposite of what the data say."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["SignFlip"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlip(Attack):
    """Attacks by "sign flip"."""

    name: ClassVar[str] = "sign-flip"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return -own_effects
