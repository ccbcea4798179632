"""Leave out the strongest edges, as if the liars had looked for them in vain.

The edges with the largest |honest mean effect| are left out. The rest is what the liars' data say.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["Omission"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission(Attack):
    """Attacks by "omission"."""

    name: ClassVar[str] = "omission"

    share: float = 0.5
    """The share of all edges that is left out."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        strongest = np.argsort(-np.abs(honest.mean(axis=0)), kind="stable")[
            : max(1, int(self.share * honest.shape[1]))
        ]
        sent = own_effects.copy()
        sent[:, strongest] = 0.0
        return sent
