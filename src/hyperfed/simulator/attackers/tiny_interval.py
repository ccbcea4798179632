"""Send scaled honest mean effects, with intervals of width 2e-9.

Its votes agree with everybody's. Where effects are pooled by inverse variance, what it claims to
know so precisely would outweigh all others. Plain vectors have no intervals, so there the lie is
the honest mean times the factor.

Source: this project (ADR 0078).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.attackers.attack import Attack, disguised, effect_matrix

__all__ = ["TinyInterval"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyInterval(Attack):
    """Attacks by a "tiny interval"."""

    name: ClassVar[str] = "tiny-interval"

    factor: float = 1.5
    """How many times the honest mean the claimed effects are."""
    width: float = 2e-9
    """The width of the claimed intervals."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        return np.tile(self.factor * honest.mean(axis=0), (len(own_effects), 1))

    def graphs(
        self,
        honest: Sequence[HypergraphStore],
        own_graphs: Sequence[HypergraphStore],
        rng: np.random.Generator,
    ) -> list[HypergraphStore]:
        if not own_graphs:
            return []
        keys, effects = effect_matrix([*honest, *own_graphs])
        honest_effects = effects[: len(honest)]
        reporting = np.count_nonzero(honest_effects, axis=0)
        # the liars report the edges that most honest clients report, and agree with them there
        usual = 2 * reporting > len(honest)
        effect = np.where(
            usual, self.factor * honest_effects.sum(axis=0) / np.maximum(reporting, 1), 0.0
        )
        sure = self.confidence(honest)
        return [
            disguised(graph, keys, effect, confidence=sure, width=self.width)
            for graph in own_graphs
        ]
