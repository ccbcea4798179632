"""Send what the data say, and push edges that few others report: rare-edge flooding.

The edges that the fewest honest clients report get the largest honest effect, from all liars alike.
The attack aims at rules that pool only over the clients that report an edge.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["RareEdges"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RareEdges(Attack):
    """Attacks by "rare-edge flooding"."""

    name: ClassVar[str] = "rare-edges"

    share: float = 0.2
    """The share of all edges that is pushed."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        reported = (honest != 0).sum(axis=0)
        sent = own_effects.copy()
        some = np.argsort(reported, kind="stable")[: max(1, int(self.share * len(reported)))]
        sent[:, some] = float(np.abs(honest).max(initial=1.0))
        return sent
