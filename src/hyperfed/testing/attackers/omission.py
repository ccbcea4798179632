"""Omission: the liars send nothing of the strongest edges, as if they had looked and not found them.

The `share` of edges with the largest honest mean effect are left out; the rest is what their data say.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.testing.attackers.attack import Attack

__all__ = ["Omission"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission(Attack):
    """share: of all edges."""

    name: ClassVar[str] = "omission"

    share: float = 0.5

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        strongest = np.argsort(-np.abs(honest.mean(axis=0)), kind="stable")[: max(1, int(self.share * honest.shape[1]))]
        sent = own.copy()
        sent[:, strongest] = 0.0
        return sent
