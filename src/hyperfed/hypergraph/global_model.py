"""Hold the broadcast: what the federation knows after a round, and the evidence behind it.

1. A global model is a merged `HypergraphStore` with its provenance: federation, round, the freeze
   it was computed from, policy and vocabulary.
2. It says in words what it protects and what it does not (`statement`), and a private one also in
   fields (`privacy`); DESIGN section 6.
3. How it is read in Python (a summary, frames, pictures, explanations) is in `model_reading`.
4. Of a single client it holds nothing but its interventions, which clients publish on purpose: no
   effects, no votes, no trust. Where the signed plan says so, it holds each client's own estimates
   of its edges, under pseudonyms (`single_clients`), and its statement says that.

What it does not do: it does not merge (`reconciler`) or travel (`codec`, `signing`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec.versions import since
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.direction import direction_shares
from hyperfed.hypergraph.evidence import Evidence, Spread, StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.hypergraph.model_reading import ModelReading
from hyperfed.hypergraph.origins import BasketSupport, Unadjusted
from hyperfed.hypergraph.privacy_statement import PrivacyStatement
from hyperfed.hypergraph.single_clients import ClientEstimates
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.packets import CausalSemanticPack, PolicyPack
from hyperfed.statistics.record import Statistics
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable, pack_keys, unpack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["FEW_CLIENTS", "FEW_ROWS", "NOT_PRIVATE", "SHOWN", "BasketModel", "GlobalModel"]

FEW_CLIENTS, FEW_ROWS = 5, 5
"""Below so many clients, and so many rows a variable, a model warns."""
_POOLED = ("std_error", "tau2", "i2")
NOT_PRIVATE = (
    "No differential privacy: the merged values are exact functions of the clients' updates. "
    "Bodies are sealed to the coordinator, "
    "the coordinator sees every update, and whoever reads this model may learn about single "
    "clients from it."
)
SHOWN = (
    " The plan lets members see each client's own estimates under a pseudonym: whoever knows one "
    "of a client's estimates knows which are its others."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketModel:
    """Holds what a basket's clients found together, published inside the result.

    Raises AggregationError where edges, evidence and share do not fit together.
    """

    name: str
    """The basket's name; "" is the common group."""
    clients: int
    """The number of the basket's clients that were counted."""
    share: float
    """The basket's share of the global merge, in [0, 1]; 0 where the basket has no model."""
    left_out: str
    """Why the basket has no model; empty where it has one."""
    edges: EdgeTable
    """The basket's edges."""
    evidence: Evidence
    """The evidence behind each edge."""
    hyperedges: HyperedgeTable = field(default_factory=HyperedgeTable.empty)
    """The basket's hyperedges."""
    hyper_evidence: Evidence = field(default_factory=Evidence.empty)
    """The evidence behind each hyperedge."""

    def __post_init__(self) -> None:
        aligned = len(self.edges) == len(self.evidence) and len(self.hyperedges) == len(
            self.hyper_evidence
        )
        if (
            not aligned
            or not 0 <= self.share <= 1
            or (self.left_out and (len(self.edges) or len(self.hyperedges)))
        ):
            raise AggregationError(
                "edges, evidence and share do not fit together", subject=f"basket {self.name!r:.80}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GlobalModel(ModelReading):
    """Holds the result of a round.

    Raises AggregationError where a column is not ascending or names a variable outside the
    vocabulary, and BoundsError where the merged graph's parts do not fit together.
    """

    # This has no annotation, or it would be a field.
    COLUMNS = MappingProxyType({"measured": np.uint32, "suppressed": np.uint64, "few": np.uint32})

    federation: str
    """The federation's name."""
    round: int
    """The round's number."""
    time: datetime
    """The time of the freeze."""
    freeze: bytes
    """The digest of the freeze that the model was computed from.

    It is empty where the model was merged in-process.
    """
    clients: int
    """The number of updates that were counted."""
    policy: PolicyPack
    """The policy of the round."""
    vocabulary: Vocabulary
    """The vocabulary that all indices refer to."""
    measured: npt.NDArray[np.uint32]
    """uint32[variables], ascending: the variables that were measured."""
    edges: EdgeTable
    """The merged edges."""
    hyperedges: HyperedgeTable
    """The merged hyperedges."""
    semantic: CausalSemanticPack
    """The merged semantic structure."""
    evidence: StoreEvidence
    """The evidence behind each merged row."""
    statement: str = NOT_PRIVATE
    """What the model protects and what it does not, in words."""
    suppressed: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """uint64[rows], ascending: the keys of edges that too few clients stand behind.

    These edges would have stayed in the merge; their values are not released (`suppression`). Edges
    that touch a variable in `few` are not listed.
    """
    few: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, dtype=np.uint32))
    """uint32[variables], ascending: the variables that too few clients measured (`suppression`)."""
    privacy: PrivacyStatement | None = None
    """The statement of a private release, else None."""
    baskets: tuple[BasketModel, ...] = ()
    """The models of the baskets, where the policy has baskets."""
    support_by: tuple[BasketSupport, ...] = field(default=(), metadata=since(3))
    """Who supports each edge, by basket; empty where clients are of one basket."""
    unadjusted: Unadjusted | None = field(default=None, metadata=since(3))
    """The edges most of whose supporters lack a common parent that others measured."""
    by_client: ClientEstimates | None = field(default=None, metadata=since(7))
    """Each client's own estimates of the edges, under pseudonyms, where the plan shows them."""
    lags: tuple[int, ...] | None = field(default=None, metadata=since(2))
    """The lags that enough clients looked at, ascending; None for all that the policy allows."""
    moments: Statistics | None = field(default=None, metadata=since(7))
    """The noised sum that a private model of statistics was found in, else None."""

    opened_by: tuple[str, ...] = field(default=(), metadata=since(8))
    """The helpers whose answers opened the round's sum; empty where messages were seen."""
    unchecked: tuple[tuple[str, ...], ...] = field(default=(), metadata=since(8))
    """The sets of helpers without whom too few answered to check that seed's sum (R-166)."""

    def __post_init__(self) -> None:
        _ = self.graph  # making it checks that its parts fit together
        for name, dtype in (("suppressed", np.uint64), ("few", np.uint32)):
            column = getattr(self, name)
            if (
                column.dtype != dtype
                or column.ndim != 1
                or (len(column) > 1 and not (column[1:] > column[:-1]).all())
            ):
                raise AggregationError(
                    f"a column of ascending {np.dtype(dtype).name} is needed",
                    subject=f"model.{name}",
                )
        if any(len(one.support) != len(self.edges) for one in self.support_by):
            raise AggregationError("has not one count an edge", subject="model.support_by")
        shown = self.by_client
        if shown is not None and int(shown.edge.max(initial=0)) >= max(1, len(self.edges)):
            raise AggregationError("names no edge", subject="model.by_client")
        missing = self.unadjusted
        if missing is not None and (
            int(missing.edge.max(initial=0)) >= max(1, len(self.edges))
            or int(missing.variable.max(initial=0)) >= len(self.vocabulary)
        ):
            raise AggregationError("names no edge or variable", subject="model.unadjusted")
        ends = [column for column in unpack_keys(self.suppressed)[:2] if len(column)] + [self.few]
        if any(len(column) and int(column.max()) >= len(self.vocabulary) for column in ends):
            raise AggregationError(
                "names a variable outside the vocabulary", subject="model.suppressed"
            )

    def status(self, source: int | str, target: int | str, lag: int) -> EdgeStatus:
        """Return how an edge stands: present, suppressed, not measured or absent.

        An edge at a lag that nobody looked at, or too few, is not measured. In a private release it
        is present or hidden. Raises BoundsError for an unknown variable.
        """
        graph = self.graph
        ends = [graph.index(source), graph.index(target)]
        key = pack_keys(
            np.array(ends[:1], np.uint32), np.array(ends[1:], np.uint32), np.array([lag], np.uint16)
        )
        if np.isin(key, self.edges.keys).any():
            return EdgeStatus.PRESENT
        if self.privacy is not None:
            return EdgeStatus.HIDDEN
        if np.isin(key, self.suppressed).any() or np.isin(ends, self.few).any():
            return EdgeStatus.SUPPRESSED
        looked_at = self.policy.allowed_lags if self.lags is None else self.lags
        could_be = np.isin(ends, self.measured).all() and lag in looked_at
        return EdgeStatus.ABSENT if could_be else EdgeStatus.UNMEASURED

    @property
    def graph(self) -> HypergraphStore:
        """The merged graph."""
        return HypergraphStore(
            edges=self.edges,
            hyperedges=self.hyperedges,
            semantic=self.semantic,
            measured=self.measured,
            vocabulary=self.vocabulary,
            evidence=self.evidence,
            lags=self.lags,
        )

    @classmethod
    def of(
        cls,
        graph: HypergraphStore,
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
        """Return the model of a merged graph.

        `columns` holds the other fields: suppressed, few, baskets, support_by, unadjusted,
        by_client and moments.
        Raises AggregationError where the graph carries no evidence.
        """
        if graph.evidence is None:
            raise AggregationError(
                "has no evidence: it was not merged",
                subject="graph",
                remedy="Use StoreReconciler.merge",
            )
        return cls(
            federation=federation,
            round=round_id,
            time=time,
            freeze=freeze,
            clients=clients,
            policy=policy,
            vocabulary=vocabulary,
            measured=graph.measured,
            edges=graph.edges,
            hyperedges=graph.hyperedges,
            semantic=graph.semantic,
            evidence=graph.evidence,
            statement=privacy.sentences
            if privacy is not None
            else NOT_PRIVATE + (SHOWN if policy.show_clients else ""),
            privacy=privacy,
            lags=graph.lags,
            **columns,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know about how few data stand behind the model, in sentences."""
        warnings = []
        if self.opened_by:
            warnings.append(
                f"{', '.join(self.opened_by)} opened the sum of {self.clients} clients, whose "
                "messages nobody sees. One client can set the sum, and how much clients differ is "
                "not known."
            )
        if self.unchecked:
            warnings.append(
                f"{len(self.unchecked)} parts of the opening were confirmed by too few helpers to "
                "find a false one; `hyperfed audit` compares those who answered later."
            )
        summed = self.policy.payload != "edges"
        if self.clients < FEW_CLIENTS and summed:
            warnings.append(
                f"{self.clients} clients were counted. With fewer than {FEW_CLIENTS}, liars are "
                "not found, and little is known of how much clients differ."
            )
        elif self.clients < FEW_CLIENTS:
            warnings.append(
                f"{self.clients} clients were counted. With fewer than {FEW_CLIENTS}, intervals "
                "are wide or missing, liars are not found, and q-values rarely fall below 0.05."
            )
        evidence, variables = self.evidence.edges, len(self.measured)
        spread = evidence.spread
        if spread is not None and len(self.edges):
            estimates = spread.positive.astype(np.float64) + spread.negative
            who = "A client has"
            if summed:  # regressions are on the rows of all clients together
                estimates, who = np.ones(len(self.edges)), "Together the clients have"
            rows = float(np.median(evidence.samples / np.maximum(estimates, 1.0)))
            if 0 < rows < FEW_ROWS * variables:
                warnings.append(
                    f"{who} {rows:.0f} rows for {variables} variables. With fewer than "
                    f"{FEW_ROWS} rows a variable, regressions overfit and intervals are too short."
                )
        return tuple(warnings)

    @property
    def notes(self) -> tuple[tuple[str, ...], ...]:
        """What must be known of each edge beside its numbers, in words; one tuple an edge."""
        notes: list[list[str]] = [[] for _ in range(len(self.edges))]
        if self.support_by:
            holds = np.stack([one.support > 0 for one in self.support_by])
            # counts that a minimum support hides are no absence
            told = sum(one.support.astype(np.int64) for one in self.support_by)
            alone = (holds.sum(axis=0) == 1) & (told == self.evidence.edges.support)
            for edge in np.flatnonzero(alone).tolist():
                one = self.support_by[int(np.argmax(holds[:, edge]))]
                notes[edge].append(f"held by {one.name or 'the common group'} alone")
        missing = self.unadjusted
        if missing is not None:
            names = self.vocabulary.names
            for edge, variable, lacking, of in zip(
                *(getattr(missing, name).tolist() for name in missing.COLUMNS), strict=True
            ):
                notes[edge].append(f"not adjusted for {names[variable]} in {lacking} of {of}")
        return tuple(map(tuple, notes))

    def rows(self, at: npt.NDArray[np.intp] | None = None) -> list[dict[str, Any]]:
        """Return one dict for each edge, strongest vote first, for tables, CSV and JSON.

        `at` holds the rows of the edges that are wanted; None stands for all.
        In a private release, support, reporting, samples, std_error, tau2 and i2 are None: they are
        not published. ci_low, ci_high, std_error, tau2 and i2 are None for an edge whose effect was
        not pooled by its clients' intervals. q, the prediction interval, the range without one
        client and the counts by direction are None where they are not known. `direction` is the
        share of the votes on a pair that run this way (`direction_shares`). `notes` joins what
        `notes` says of the edge.
        """
        names, evidence = self.vocabulary.names, self.evidence.edges
        chosen = np.arange(len(self.edges)) if at is None else at
        columns = {
            name: getattr(evidence, name)[chosen].tolist()
            for name in ("vote", "support", "reporting", "measured_by", "samples", *_POOLED)
        }
        pooled_rows = evidence.pooled[chosen].tolist()
        for name in _POOLED:
            columns[name] = [
                value if pooled else None
                for value, pooled in zip(columns[name], pooled_rows, strict=True)
            ]
        if self.privacy is not None:  # counts are data too
            columns |= {
                name: [None] * len(chosen) for name in ("support", "reporting", "samples", *_POOLED)
            }
        spread = self.evidence.edges.spread
        for name in Spread.COLUMNS:
            columns[name] = (
                [None] * len(chosen) if spread is None else getattr(spread, name)[chosen].tolist()
            )
        shares = direction_shares(self.edges, evidence.vote, self.semantic.dag_edges)
        columns["direction"] = shares[chosen].tolist()
        notes = self.notes
        columns["notes"] = ["; ".join(notes[edge]) for edge in chosen.tolist()]
        rows = []
        for i, row in enumerate(self.edges.take(chosen).rows()):
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
        """Return one dict for each suppressed edge, without values.

        An export that left these edges out would read as if they were absent.
        """
        names = self.vocabulary.names
        columns = (column.tolist() for column in unpack_keys(self.suppressed))
        return [
            {"source": names[s], "target": names[t], "lag": lag}
            for s, t, lag in zip(*columns, strict=True)
        ]
