"""The broadcast: what the federation knows after a round, with the evidence behind it.

1. A global model is a merged `HypergraphStore` with its provenance: federation, round, the freeze it was computed from, policy and vocabulary.
2. It says in words what it protects and what it does not (`statement`), and a private one also in fields (`privacy`); DESIGN section 6.
3. It holds nothing of one client but its interventions, which clients publish on purpose: no effects, no votes, no trust.

What it does not do: merge (`reconciler`), travel (`codec`, `signing`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError
from hyperfed.hypergraph import Evidence, HypergraphStore, StoreEvidence
from hyperfed.packets import CausalSemanticPack, PolicyPack
from hyperfed.privacy.statement import PrivacyStatement
from hyperfed.suppression import EdgeStatus
from hyperfed.tables import EdgeTable, HyperedgeTable, pack_keys, unpack_keys
from hyperfed.vocabulary import Vocabulary

__all__ = ["NOT_PRIVATE", "BasketModel", "GlobalModel"]

NOT_PRIVATE = (
    "No differential privacy: the merged values are exact functions of the clients' updates. Bodies are sealed to the coordinator, "
    "the coordinator sees every update, and whoever reads this model may learn about single clients from it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketModel:
    """What a basket's clients found together, published inside the result. name: "" is the common group; clients: how many of it were counted; share: of
    the global merge, 0 where the basket has no model; left_out: why it has none, else empty; edges and hyperedges with their evidence, aligned.
    Raises AggregationError."""

    name: str
    clients: int
    share: float
    left_out: str
    edges: EdgeTable
    evidence: Evidence
    hyperedges: HyperedgeTable = field(default_factory=HyperedgeTable.empty)
    hyper_evidence: Evidence = field(default_factory=Evidence.empty)

    def __post_init__(self) -> None:
        aligned = len(self.edges) == len(self.evidence) and len(self.hyperedges) == len(self.hyper_evidence)
        if not aligned or not 0 <= self.share <= 1 or (self.left_out and (len(self.edges) or len(self.hyperedges))):
            raise AggregationError("edges, evidence and share do not fit together", subject=f"basket {self.name!r:.80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalModel:
    """The result of a round. clients: how many updates were counted; freeze: digest of the freeze (empty in-process); time: the freeze's.

    suppressed: uint64[rows], ascending keys of edges that stay in the merge and that too few clients stand behind; few: uint32[variables], ascending, what too
    few measured (`suppression`). privacy: of a private release, else None. baskets: the baskets' models, where the policy has baskets.
    """

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
    suppressed: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    few: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, dtype=np.uint32))
    privacy: PrivacyStatement | None = None
    baskets: tuple[BasketModel, ...] = ()

    def __post_init__(self) -> None:
        _ = self.store  # checks that ends, vocabulary and evidence fit together
        for name, dtype in (("suppressed", np.uint64), ("few", np.uint32)):
            column = getattr(self, name)
            if column.dtype != dtype or column.ndim != 1 or (len(column) > 1 and not (column[1:] > column[:-1]).all()):
                raise AggregationError(f"a column of ascending {np.dtype(dtype).name} is needed", subject=f"model.{name}")
        ends = [column for column in unpack_keys(self.suppressed)[:2] if len(column)] + [self.few]
        if any(len(column) and int(column.max()) >= len(self.vocabulary) for column in ends):
            raise AggregationError("names a variable outside the vocabulary", subject="model.suppressed")

    def status(self, source: int | str, target: int | str, lag: int) -> EdgeStatus:
        """How an edge stands: present, suppressed, not measured or absent; in a private release present or hidden.

        Raises BoundsError for an unknown variable.
        """
        store = self.store
        ends = [store.index(source), store.index(target)]
        key = pack_keys(np.array(ends[:1], np.uint32), np.array(ends[1:], np.uint32), np.array([lag], np.uint16))
        if np.isin(key, self.edges.keys).any():
            return EdgeStatus.PRESENT
        if self.privacy is not None:
            return EdgeStatus.HIDDEN
        if np.isin(key, self.suppressed).any() or np.isin(ends, self.few).any():
            return EdgeStatus.SUPPRESSED
        return EdgeStatus.ABSENT if np.isin(ends, self.measured).all() else EdgeStatus.UNMEASURED

    @property
    def store(self) -> HypergraphStore:
        """The merged store."""
        return HypergraphStore(
            edges=self.edges, hyperedges=self.hyperedges, semantic=self.semantic, measured=self.measured, vocabulary=self.vocabulary, evidence=self.evidence
        )

    @classmethod
    def of(
        cls,
        store: HypergraphStore,
        *,
        federation: str,
        round_id: int,
        time: datetime,
        freeze: bytes,
        clients: int,
        policy: PolicyPack,
        vocabulary: Vocabulary,
        privacy: PrivacyStatement | None = None,
        **columns: Any,
    ) -> "GlobalModel":
        """The model of a merged store, which must carry evidence. columns: suppressed, few, baskets."""
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
            statement=privacy.sentences if privacy is not None else NOT_PRIVATE,
            privacy=privacy,
            **columns,
        )

    def rows(self) -> list[dict[str, Any]]:
        """One dict an edge, strongest vote first: for tables, CSV and JSON. None: counts that a private release keeps to itself."""
        names, evidence = self.vocabulary.names, self.evidence.edges
        columns = {name: getattr(evidence, name).tolist() for name in ("vote", "support", "reporting", "measured_by", "samples", "i2")}
        if self.privacy is not None:  # counts are data too
            columns |= {name: [None] * len(self.edges) for name in ("support", "reporting", "samples", "i2")}
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

    def suppressed_rows(self) -> list[dict[str, Any]]:
        """One dict a suppressed edge, without values: an export that left it out would read as if it were absent."""
        names = self.vocabulary.names
        columns = (column.tolist() for column in unpack_keys(self.suppressed))
        return [{"source": names[s], "target": names[t], "lag": lag} for s, t, lag in zip(*columns, strict=True)]
