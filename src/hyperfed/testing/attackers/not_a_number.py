"""NaN: every liar sends a vector of NaN. Edge tables cannot hold one, so there the liars send the largest number a table takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore
from hyperfed.testing.attackers.attack import Attack, disguised

__all__ = ["NotANumber"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotANumber(Attack):
    """No parameters."""

    name: ClassVar[str] = "nan"

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        return np.full(own.shape, np.nan)

    def stores(self, honest: Sequence[HypergraphStore], own: Sequence[HypergraphStore], rng: np.random.Generator) -> list[HypergraphStore]:
        sure = self.confidence(honest)
        return [disguised(store, store.edges.keys, np.full(len(store.edges), 1e300), confidence=sure) for store in own]
