"""Send noise in place of a result, as large as the honest spread.

Source: Blanchard et al. 2017.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["Gaussian"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian(Attack):
    """Attacks by "gaussian"."""

    name: ClassVar[str] = "gaussian"

    scale: float = 3.0
    """The noise's standard deviation, in standard deviations of all honest values."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        spread = self.scale * float(honest.std()) if honest.size else self.scale
        return rng.normal(scale=max(spread, 1e-12), size=own_effects.shape)
