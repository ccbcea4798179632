"""A federation as an engine: its committed model is what it found, so that it takes part in the federation above it as any client does.

1. The edges are the model's: effect and interval pooled, confidence and stability such that each votes with exactly its weighted mean vote; n is the
   samples behind it. What the model left out, because of its cut or its minimum support, is no edge here: a vote of 0.
2. Measured is what the federation's clients measured together, without what too few of them did.
3. Names tie the two vocabularies together; what the federation above does not speak about stays below (`Discovery.to_edges`).

Nothing of one client travels further than its federation's own result does: hyperedges, semantics and interventions stay below. A private model stays
private: this is post-processing. What it does not do: fetch and verify the model (`client.session`), send it.
"""

import numpy as np

from hyperfed.engines.base import Discovery
from hyperfed.global_model import GlobalModel

__all__ = ["FederationEngine"]


class FederationEngine:
    """model: the result of a round of the federation below, verified."""

    def __init__(self, model: GlobalModel) -> None:
        self.model = model

    def discover(self) -> Discovery:
        """The model's edges by the names of its variables."""
        names = np.array(self.model.vocabulary.names, dtype=np.str_)
        edges = self.model.edges
        return Discovery(
            variables=tuple(names[self.model.measured].tolist()),
            source=names[edges.source],
            target=names[edges.target],
            lag=edges.lag,
            effect=edges.effect,
            confidence=edges.confidence,
            stability=edges.stability,
            hits=edges.hits,
            n=edges.n,
            ci_low=edges.ci_low,
            ci_high=edges.ci_high,
        )
