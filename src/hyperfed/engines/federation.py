"""Offer a federation's committed model as an engine for the federation above it.

A federation thereby takes part in the one above as any client does.

1. The edges are the model's: effect and interval are pooled, and confidence and stability are such
   that each edge votes with exactly its weighted mean vote; n counts the samples behind it. What
   the model left out, because of its cut or its minimum support, is no edge here: its vote is 0.
2. The variables measured are those that the federation's clients measured together, without those
   that too few of them did; likewise the lags looked at.
3. Names tie the two vocabularies together; variables that the federation above does not know stay
   below (`Discovery.to_edges`).

Nothing of a single client travels further than its federation's own result does: hyperedges,
semantics and interventions stay below. A private model stays private: this is post-processing.

What it does not do: it does not fetch, verify (`client.session`) or send the model.
"""

import numpy as np

from hyperfed.engines.base import Discovery
from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["FederationEngine"]


class FederationEngine:
    """Offers the verified result of a round of the federation below."""

    def __init__(self, model: GlobalModel) -> None:
        self.model = model

    def discover(self) -> Discovery:
        """Return the model's edges, with the names of its variables."""
        names = np.array(self.model.vocabulary.names, dtype=np.str_)
        edges = self.model.edges
        return Discovery(
            variables=tuple(names[self.model.measured].tolist()),
            lags=self.model.policy.allowed_lags if self.model.lags is None else self.model.lags,
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
