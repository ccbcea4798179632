"""The broadcast: what the federation knows after a round, with the evidence behind it.

1. A global model is a merged `HypergraphStore` with its provenance: federation, round, the freeze it was computed from, policy and vocabulary.
2. It says in words what it protects and what it does not (`statement`); DESIGN section 6.
3. It holds nothing of one client but its interventions, which clients publish on purpose: no effects, no votes, no trust.

What it does not do: merge (`reconciler`), travel (`codec`, `signing`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError
from hyperfed.hypergraph import HypergraphStore, StoreEvidence
from hyperfed.packets import CausalSemanticPack, PolicyPack
from hyperfed.tables import EdgeTable, HyperedgeTable
from hyperfed.vocabulary import Vocabulary

__all__ = ["NOT_PRIVATE", "GlobalModel"]

NOT_PRIVATE = (
    "No differential privacy: the merged values are exact functions of the clients' updates. Bodies are sealed to the coordinator, "
    "the coordinator sees every update, and whoever reads this model may learn about single clients from it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalModel:
    """The result of a round. clients: how many updates were counted; freeze: digest of the freeze (empty in-process); time: the freeze's."""

    federation: str
    round: int
    time: datetime
    freeze: bytes
    clients: int
    policy: PolicyPack
    vocabulary: Vocabulary
    measured: npt.NDArray[np.uint32]
    edges: EdgeTable
    hyperedges: HyperedgeTable
    semantic: CausalSemanticPack
    evidence: StoreEvidence
    statement: str = NOT_PRIVATE

    def __post_init__(self) -> None:
        _ = self.store  # checks that ends, vocabulary and evidence fit together

    @property
    def store(self) -> HypergraphStore:
        """The merged store."""
        return HypergraphStore(
            edges=self.edges, hyperedges=self.hyperedges, semantic=self.semantic, measured=self.measured, vocabulary=self.vocabulary, evidence=self.evidence
        )

    @classmethod
    def of(
        cls, store: HypergraphStore, *, federation: str, round_id: int, time: datetime, freeze: bytes, clients: int, policy: PolicyPack, vocabulary: Vocabulary
    ) -> "GlobalModel":
        """The model of a merged store, which must carry evidence."""
        if store.evidence is None:
            raise AggregationError("has no evidence: it was not merged", subject="store", remedy="Use StoreReconciler.merge")
        return cls(
            federation=federation,
            round=round_id,
            time=time,
            freeze=freeze,
            clients=clients,
            policy=policy,
            vocabulary=vocabulary,
            measured=store.measured,
            edges=store.edges,
            hyperedges=store.hyperedges,
            semantic=store.semantic,
            evidence=store.evidence,
        )

    def rows(self) -> list[dict[str, Any]]:
        """One dict an edge, strongest vote first: for tables, CSV and JSON."""
        names, evidence = self.vocabulary.names, self.evidence.edges
        columns = {name: getattr(evidence, name).tolist() for name in ("vote", "support", "reporting", "measured_by", "samples", "i2")}
        rows = []
        for i, row in enumerate(self.edges.rows()):
            rows.append(
                {
                    "source": names[int(row["source"])],
                    "target": names[int(row["target"])],
                    "lag": row["lag"],
                    "effect": row["effect"],
                    "ci_low": row.get("ci_low"),
                    "ci_high": row.get("ci_high"),
                }
                | {name: column[i] for name, column in columns.items()}
            )
        return sorted(rows, key=lambda r: (-abs(r["vote"]), r["source"], r["target"], r["lag"]))
