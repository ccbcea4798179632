"""Send a vector of NaN.

Edge tables cannot hold NaN, so there the liars send the largest effect that is not refused (R-99).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_EFFECT
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers.attack import Attack, disguised

__all__ = ["NotANumber"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotANumber(Attack):
    """Attacks by "nan"."""

    name: ClassVar[str] = "nan"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return np.full(own_effects.shape, np.nan)

    def graphs(
        self,
        honest: Sequence[HypergraphStore],
        own_graphs: Sequence[HypergraphStore],
        rng: np.random.Generator,
    ) -> list[HypergraphStore]:
        sure = self.confidence(honest)
        return [
            disguised(
                graph, graph.edges.keys, np.full(len(graph.edges), MAX_EFFECT), confidence=sure
            )
            for graph in own_graphs
        ]
