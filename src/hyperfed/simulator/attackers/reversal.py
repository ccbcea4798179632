"""Turn each edge round, and keep the effect's size and sign.

A plain vector has no edges, so its coordinates are sent in reverse order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers.attack import Attack, disguised
from hyperfed.tables.tables import pack_keys

__all__ = ["EdgeReversal"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeReversal(Attack):
    """Attacks by "edge reversal"."""

    name: ClassVar[str] = "reversal"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return own_effects[:, ::-1].copy()

    def graphs(
        self,
        honest: Sequence[HypergraphStore],
        own_graphs: Sequence[HypergraphStore],
        rng: np.random.Generator,
    ) -> list[HypergraphStore]:
        reversed_, sure = [], self.confidence(honest)
        for graph in own_graphs:
            edges = graph.edges
            keys = pack_keys(edges.target, edges.source, edges.lag)
            order = np.argsort(keys)
            reversed_.append(
                disguised(
                    graph,
                    keys[order],
                    np.asarray(edges.effect, dtype=np.float64)[order],
                    confidence=sure,
                )
            )
        return reversed_
