"""Merges the stores of many clients into one.

1. `consensus` (the default): an edge stays where |weighted mean vote| >= vote_min; a vote is sign(effect) * confidence * stability; not reporting is a
   vote of 0 by a client that measured both ends, and no vote by one that did not. Weights: bounded trust, times the base weights
   (staleness), times min(n, n_cap) where asked for. Confidence and stability of the result are such that it votes, in a further merge,
   with exactly its weighted mean vote: stability is the supporters' mean, confidence |vote| / stability.
2. `union` keeps an edge that any store has; `intersection` one that all have, whatever they measured; `weighted` one where the share of
   the voters' weight that reports it, times confidence, is at least vote_min. Their weights are the base weights; confidence and
   stability are the reporters' weighted means.
3. Effects are pooled over all that report the edge (`merge.pooling`), whatever the strategy. Effect and vote may differ in sign where clients
   contradict each other; the evidence holds both. `mean` is consensus without trust: the plain weighted mean vote, which a third of liars overturns.
4. Hyperedges merge by the same rule. `dag_edges` are votes with their weight (held within [-1, 1]); a confounder's score is the share of weight
   that names it, among those who measured or name it; interventions are kept per client.
5. consensus takes any rule of `hyperfed.aggregation` in place of bounded trust (`aggregation.edge_weights`); with median, trimmed-mean and bulyan
   the vote of an edge is that order statistic of its voters' votes, in which each counts by its base weight (`merge.shares`). With f stated an edge needs f + 1
   supporters, whatever their weight, and its effect is held to what f liars cannot move (`merge.order`). By bounded trust an effect far from
   the other effects of its edge loses weight, as a client far from the others does.
6. Sums run in the order of client ids: the same set of (id, store) pairs gives the same bytes in whatever order it comes.

Source: DESIGN sections 2 and 5. No strategy carries a privacy label (DESIGN section 6).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.catalogue import build_rule
from hyperfed.aggregation.edge_weights import edge_weights
from hyperfed.errors import AggregationError
from hyperfed.hypergraph import Evidence, HypergraphStore, StoreEvidence
from hyperfed.merge.electorate import Electorate, PairElectorate, PatternElectorate
from hyperfed.merge.pooling import Z95
from hyperfed.merge.ranges import Merge, Ranges
from hyperfed.merge.rows import MergeRule, no_rows
from hyperfed.merge.segments import common
from hyperfed.merge.tables import table_ranges
from hyperfed.packets import STRATEGIES, CausalSemanticPack
from hyperfed.tables import EdgeTable, HyperedgeTable, pack_keys, unpack_keys
from hyperfed.vocabulary import Vocabulary

__all__ = ["Reconciliation", "SmallThings", "StoreReconciler", "build_reconciler"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.uint32]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A merge and how it came about. clients: the ids, sorted; aligned with them, float64[clients]: trust in [0, 1], what the rule says (1 unless the
    strategy is consensus), weight = trust * base weight * min(n, n_cap), agreement in [-1, 1] (0 where not computed); outlier: bool[clients], who
    has no weight by bounded trust, whatever the rule."""

    store: HypergraphStore
    clients: tuple[str, ...]
    trust: Floats
    weight: Floats
    agreement: Floats
    outlier: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        if not len(self.outlier):
            object.__setattr__(self, "outlier", np.zeros(len(self.clients), dtype=bool))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallThings:
    """What a merge needs of a client beside its edges' rows."""

    measured: Indices
    hyperedges: HyperedgeTable
    semantic: CausalSemanticPack
    vocabulary: Vocabulary | None

    @classmethod
    def of(cls, store: HypergraphStore) -> "SmallThings":
        return cls(measured=store.measured, hyperedges=store.hyperedges, semantic=store.semantic, vocabulary=store.vocabulary)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReconciler:
    """strategy: consensus | union | intersection | weighted | mean; vote_min in [0, 1]; n_cap: weights are also proportional to min(n, n_cap), 0: they are not;
    bounded: whether consensus weighs by bounded trust (False: the plain weighted mean, which a third of liars overturns).
    rule, f: of `hyperfed.aggregation`, what consensus weighs by, and how many clients may be arbitrary (rule 5 of the module). Raises AggregationError."""

    strategy: str = "consensus"
    vote_min: float = 0.3
    n_cap: int = 0
    bounded: bool = True
    rule: str = "bounded-trust"
    f: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise AggregationError(f"unknown strategy {self.strategy!r}", subject="reconciler", remedy=f"One of {', '.join(STRATEGIES)} is needed")
        if not 0 <= self.vote_min <= 1:
            raise AggregationError(f"vote_min is {self.vote_min!r}; it must lie in [0, 1]", subject="reconciler")
        if self.n_cap < 0:
            raise AggregationError(f"n_cap is {self.n_cap!r}; 0 or more is needed", subject="reconciler")
        build_rule(self.rule, f=self.f)
        if (self.rule != "bounded-trust" or self.f) and (self.strategy != "consensus" or not self.bounded):
            raise AggregationError(f"rule {self.rule!r} with f = {self.f} needs the strategy consensus", subject="reconciler")

    def reconcile(
        self, stores: Iterable[HypergraphStore], *, client_ids: Sequence[str] | None = None, base_weights: Sequence[float] | None = None
    ) -> HypergraphStore:
        """The merged store; see `merge`."""
        return self.merge(stores, client_ids=client_ids, base_weights=base_weights).store

    def merge(
        self,
        stores: Iterable[HypergraphStore],
        *,
        client_ids: Sequence[str] | None = None,
        base_weights: Sequence[float] | None = None,
        losses: Sequence[float | None] | None = None,
        shares: Sequence[float] | None = None,
    ) -> Reconciliation:
        """The merged store with the weights behind it.

        client_ids: one for each store, unique; "0000000", "0000001", ... unless given. base_weights: one > 0 for each store (staleness), 1 unless given.
        losses: for each store what its client claims, for the rule adaptive. shares: for each store what organisation caps leave of it, in (0, 1]; its base
        weight is multiplied with it, and it counts that much in bounded trust's medians.
        Raises BreakdownError for too few clients for the rule's f, AggregationError without stores, for different vocabularies, and where ids or
        weights do not fit.
        """
        given = list(stores)
        ids, base = _checked(given, client_ids, base_weights)
        order = sorted(range(len(given)), key=lambda i: ids[i])
        members, clients, base = [given[i] for i in order], tuple(ids[i] for i in order), base[order]
        part = None if shares is None else np.asarray(shares, dtype=np.float64)[order]
        if part is not None:
            base = base * part
        if self.n_cap:
            base = base * np.array([_samples(store, self.n_cap) for store in members])
        tables = [store.edges for store in members]
        if self.strategy == "intersection":  # a handful of rows, as a rule: nothing else is merged
            whole = [table.keys for table in tables]
            shared = common(whole)
            tables = [table.take(np.searchsorted(own, shared)) for table, own in zip(tables, whole, strict=True)]
        measured = [store.measured for store in members]
        ranges = table_ranges(tables, PairElectorate(measured))
        claimed = [None] * len(members) if losses is None else [list(losses)[i] for i in order]
        return self.merge_ranges(ranges, [SmallThings.of(store) for store in members], clients=clients, base=base, losses=claimed, shares=part)

    def merge_ranges(
        self,
        ranges: Ranges,
        small: Sequence[SmallThings],
        *,
        clients: tuple[str, ...],
        base: Floats,
        losses: Sequence[float | None],
        shares: Floats | None = None,
    ) -> Reconciliation:
        """The same from the edges' ranges, wherever they lie, and what is small of each client.

        All are aligned with `clients`, sorted ids. base: float64[clients] > 0, with shares and sample counts in it already; ranges: their electorate is the
        `PairElectorate` of what the clients measured. Raises AggregationError, BreakdownError.
        """
        members, electorate = small, ranges.electorate
        measured = [one.measured for one in small]
        trust, agreement, outlier = np.ones(len(members)), np.zeros(len(members)), np.zeros(len(members), dtype=bool)
        if self.strategy == "consensus" and self.bounded:
            result = edge_weights(self.rule, self.f, ranges, losses=losses, shares=shares)
            trust, agreement, outlier = result.weight, result.agreement, result.outlier
        weight = trust * base
        edges, evidence = self._edges(ranges, weight)
        hyperedges, hyper_evidence = self._hyperedges([store.hyperedges for store in members], measured, weight)
        semantic, about = self._semantic([store.semantic for store in members], clients, electorate, measured, weight)
        store = HypergraphStore(
            edges=edges,
            hyperedges=hyperedges,
            semantic=semantic,
            measured=np.unique(np.concatenate(measured)),
            vocabulary=members[0].vocabulary,
            evidence=StoreEvidence(edges=evidence, hyperedges=hyper_evidence, **about),
        )
        return Reconciliation(store=store, clients=clients, trust=trust, weight=weight, agreement=agreement, outlier=outlier)

    def _merged(self, ranges: Ranges, weight: Floats) -> Columns:
        """The merged rows of all ranges, by ascending keys: what `EdgeTable`, `HyperedgeTable` and `Evidence` need, as columns."""
        rule = MergeRule(strategy=self.strategy, vote_min=self.vote_min, bounded=self.bounded, rule=self.rule, f=self.f)
        kept = list(ranges.map(Merge(rule=rule, weight=weight)))
        return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]} if kept else no_rows()

    def _edges(self, ranges: Ranges, weight: Floats) -> tuple[EdgeTable, Evidence]:
        columns = self._merged(ranges, weight)
        source, target, lag = unpack_keys(columns["keys"])
        return EdgeTable(source=source, target=target, lag=lag, **_row_columns(columns)), _evidence(columns)

    def _hyperedges(self, tables: Sequence[HyperedgeTable], measured: Sequence[Indices], weight: Floats) -> tuple[HyperedgeTable, Evidence | None]:
        """The edges' rule on hyperedges, whose keys are their ranks among all that occur."""
        if not any(len(table) for table in tables):
            return HyperedgeTable.empty(), None
        matrices = [table.key_matrix() for table in tables]
        width = max(matrix.shape[1] for matrix in matrices)
        padded = np.concatenate([np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=-1) for matrix in matrices])
        distinct, rank = np.unique(padded, axis=0, return_inverse=True)
        ends = np.cumsum([len(table) for table in tables])
        keys = [part.astype(np.uint64) for part in np.split(rank.reshape(-1), ends[:-1])]
        variables = np.concatenate([distinct[:, :1], distinct[:, 3:]], axis=1)
        could = np.ones((len(distinct), len(tables)), dtype=bool)
        for client, indices in enumerate(measured):
            could[:, client] = (np.isin(variables, indices) | (variables < 0)).all(axis=1)
        columns = self._merged(table_ranges(tables, PatternElectorate(could), keys=keys), weight)
        kept = distinct[columns["keys"].astype(np.int64)]
        offsets = np.concatenate([[0], np.cumsum(kept[:, 2])]).astype(np.int64)
        sources = kept[:, 3:][kept[:, 3:] >= 0]
        table = HyperedgeTable(sources=sources, offsets=offsets, target=kept[:, 0], lag=kept[:, 1], **_row_columns(columns))
        return table, _evidence(columns) if len(table) else None

    def _semantic(
        self, packs: Sequence[CausalSemanticPack], clients: Sequence[str], electorate: Electorate, measured: Sequence[Indices], weight: Floats
    ) -> tuple[CausalSemanticPack, dict[str, Any]]:
        # a dag edge is a row without an interval whose effect is its weight and whose vote is the weight within [-1, 1]
        tables = [_DagTable.of(pack) for pack in packs] if any(pack.dag_edges for pack in packs) else []
        dag = self._merged(table_ranges(tables, electorate, keys=[table.keys for table in tables]), weight) if tables else no_rows()
        source, target, _ = unpack_keys(dag["keys"])
        edges = list(zip(source.tolist(), target.tolist(), dag["vote"].tolist(), strict=True))
        confounders, scores = self._confounders(packs, measured, weight)
        acts = [(client, dict(act)) for client, pack in zip(clients, packs, strict=True) for act in pack.interventions]
        merged = CausalSemanticPack(dag_edges=edges, confounders=confounders, interventions=[act for _, act in acts])
        about = {
            "confounder_scores": scores,
            "dag_support": tuple(dag["support"].astype(np.int64).tolist()),
            "intervention_clients": tuple(client for client, _ in acts),
        }
        return merged, about

    def _confounders(self, packs: Sequence[CausalSemanticPack], measured: Sequence[Indices], weight: Floats) -> tuple[list[int], tuple[float, ...]]:
        named = [np.array(pack.confounders, dtype=np.int64) for pack in packs]
        variables = np.unique(np.concatenate(named))
        if not len(variables):
            return [], ()
        naming, asked, count, stores = np.zeros(len(variables)), np.zeros(len(variables)), np.zeros(len(variables), dtype=np.int64), len(packs)
        for client, own in enumerate(named):
            names = np.isin(variables, own)
            count += names
            naming += weight[client] * names
            asked += weight[client] * (names | np.isin(variables, measured[client]))
        score = np.divide(naming, asked, out=np.zeros(len(variables)), where=asked > 0)
        keep = {"union": score > 0, "intersection": count == stores}.get(self.strategy, (score >= self.vote_min) & (score > 0))
        return variables[keep].tolist(), tuple(score[keep].tolist())


def build_reconciler(strategy: str = "consensus", **options: Any) -> StoreReconciler:
    """A `StoreReconciler` for a strategy; options are its other fields. Raises AggregationError for an unknown strategy."""
    return StoreReconciler(strategy=strategy, **options)


def _checked(stores: Sequence[HypergraphStore], client_ids: Sequence[str] | None, base_weights: Sequence[float] | None) -> tuple[list[str], Floats]:
    """(ids, base weights) of the stores, as given. Raises AggregationError."""
    if not stores:
        raise AggregationError("there is nothing to merge", subject="reconciler", remedy="Give at least one store")
    ids = [f"{i:07d}" for i in range(len(stores))] if client_ids is None else list(client_ids)
    if len(ids) != len(stores) or len(set(ids)) != len(ids):
        raise AggregationError(f"{len(set(ids))} different client ids for {len(stores)} stores", subject="reconciler")
    base = np.ones(len(stores)) if base_weights is None else np.asarray(base_weights, dtype=np.float64)
    if base.shape != (len(stores),):
        raise AggregationError(f"{base.size} base weights for {len(stores)} stores", subject="reconciler")
    bad = ~(np.isfinite(base) & (base > 0) & (base <= 1e9))
    if bad.any():
        problem = f"its base weight is {base[bad][0]:g}; a number in (0, 1e9] is needed"
        raise AggregationError(problem, subject=ids[int(np.argmax(bad))], remedy="Leave out a store that shall not count")
    digests = [b"" if store.vocabulary is None else store.vocabulary.digest for store in stores]
    for client, digest in zip(ids, digests, strict=True):
        if digest != digests[0]:
            names = [one.hex()[:16] or "none" for one in (digest, digests[0])]
            raise AggregationError(f"its vocabulary is {names[0]}, that of {ids[0]} is {names[1]}", subject=client, remedy="Stores merge within one vocabulary")
    return ids, base


def _samples(store: HypergraphStore, cap: int) -> float:
    """min(n, cap), n the client's sample count; at least 1, so that a client that does not state it still counts."""
    largest = max((int(table.n.max()) for table in (store.edges, store.hyperedges) if len(table)), default=0)
    return float(min(max(largest, 1), cap))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DagTable:
    """A semantic pack's dag edges with an edge table's columns."""

    keys: npt.NDArray[np.uint64]
    effect: Floats
    confidence: Floats
    stability: Floats
    hits: npt.NDArray[np.uint32]
    n: npt.NDArray[np.uint64]
    ci_low: None = field(default=None)
    ci_high: None = field(default=None)

    @classmethod
    def of(cls, pack: CausalSemanticPack) -> "_DagTable":
        table = np.array(pack.dag_edges, dtype=np.float64).reshape(-1, 3)
        ends = table[:, :2].astype(np.uint64)
        rows = len(table)
        strength = np.minimum(np.abs(table[:, 2]), 1.0)
        keys = pack_keys(ends[:, 0], ends[:, 1], np.zeros(rows, np.uint64))
        return cls(keys=keys, effect=table[:, 2], confidence=strength, stability=np.ones(rows), hits=np.ones(rows, np.uint32), n=np.zeros(rows, np.uint64))


def _row_columns(columns: Columns) -> Columns:
    """The columns of a table; an interval only where every row's effect was pooled by inverse variance."""
    effect = columns["effect"] + 0.0
    rows: dict[str, Any] = {"effect": effect, "confidence": columns["confidence"], "stability": columns["stability"]}
    rows |= {"hits": columns["hits"].astype(np.uint32), "n": columns["samples"].astype(np.uint64)}
    if len(effect) and columns["pooled"].all():
        half = Z95 * columns["std_error"]
        rows |= {"ci_low": effect - half + 0.0, "ci_high": effect + half + 0.0}
    return rows


def _evidence(columns: Columns) -> Evidence:
    names = ("vote", "support", "reporting", "measured_by", "samples", "std_error", "tau2", "i2", "pooled")
    return Evidence(**{name: columns[name] for name in names})
