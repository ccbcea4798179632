"""Send the same invented model from all liars, as large as an honest one.

The liars agree with each other and with nobody else.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["Collusion"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collusion(Attack):
    """Attacks by "collusion"."""

    name: ClassVar[str] = "collusion"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        lie = rng.normal(size=own_effects.shape[1])
        size = float(np.median(np.linalg.norm(honest, axis=1))) if len(honest) else 1.0
        return np.tile(lie * size / max(float(np.linalg.norm(lie)), 1e-12), (len(own_effects), 1))
