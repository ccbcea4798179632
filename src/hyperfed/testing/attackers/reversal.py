"""Edge reversal: every edge is sent the other way round: a finding of the same size about the opposite cause. On plain vectors: in reverse order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore
from hyperfed.tables import pack_keys
from hyperfed.testing.attackers.attack import Attack, disguised

__all__ = ["EdgeReversal"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeReversal(Attack):
    """No parameters."""

    name: ClassVar[str] = "reversal"

    def vectors(self, honest: Floats, own: Floats, rng: np.random.Generator) -> Floats:
        return own[:, ::-1].copy()

    def stores(self, honest: Sequence[HypergraphStore], own: Sequence[HypergraphStore], rng: np.random.Generator) -> list[HypergraphStore]:
        reversed_, sure = [], self.confidence(honest)
        for store in own:
            edges = store.edges
            keys = pack_keys(edges.target, edges.source, edges.lag)
            order = np.argsort(keys)
            reversed_.append(disguised(store, keys[order], np.asarray(edges.effect, dtype=np.float64)[order], confidence=sure))
        return reversed_
