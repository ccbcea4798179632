"""Rare-edge flooding: the liars repeat what their data say and push, all alike, edges that few honest clients report.

The `share` of edges that the fewest honest clients report get the largest honest effect. Against rules that pool over reporters only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack

__all__ = ["RareEdges"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RareEdges(Attack):
    """share: of all edges."""

    name: ClassVar[str] = "rare-edges"

    share: float = 0.2

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        reported = (honest != 0).sum(axis=0)
        sent = own.copy()
        some = np.argsort(reported, kind="stable")[: max(1, int(self.share * len(reported)))]
        sent[:, some] = float(np.abs(honest).max(initial=1.0))
        return sent
