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
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.catalogue import build_rule
from hyperfed.aggregation.edge_weights import COORDINATE_RULES, edge_weights
from hyperfed.errors import AggregationError
from hyperfed.hypergraph import Evidence, HypergraphStore, StoreEvidence
from hyperfed.merge.electorate import Electorate, PairElectorate, PatternElectorate, class_weights
from hyperfed.merge.order import effect_trust, held, median_effects, median_votes, trimmed_effects, trimmed_votes
from hyperfed.merge.pooling import Z95, Pooled, pool_effects
from hyperfed.merge.segments import Derived, Part, common, over, split
from hyperfed.merge.shares import equal, share_median, share_trimmed
from hyperfed.packets import STRATEGIES, CausalSemanticPack
from hyperfed.tables import EdgeTable, HyperedgeTable, pack_keys, unpack_keys, votes_of

__all__ = ["Reconciliation", "StoreReconciler", "build_reconciler"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.intp]
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
        keys = Derived(pack_keys, ([t.source for t in tables], [t.target for t in tables], [t.lag for t in tables]))
        votes = Derived(votes_of, ([t.effect for t in tables], [t.confidence for t in tables], [t.stability for t in tables]))
        measured = [store.measured for store in members]
        electorate = PairElectorate(measured)
        trust, agreement, outlier = np.ones(len(members)), np.zeros(len(members)), np.zeros(len(members), dtype=bool)
        parts: Iterable[Part] = split(keys)
        if self.strategy == "consensus" and self.bounded:
            parts = list(parts)
            claimed = [None] * len(members) if losses is None else [list(losses)[i] for i in order]
            result = edge_weights(self.rule, self.f, keys, votes, electorate, parts, losses=claimed, shares=part)
            trust, agreement, outlier = result.weight, result.agreement, result.outlier
        weight = trust * base
        edges, evidence = self._edges(tables, parts, electorate, weight)
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

    def _edges(self, tables: Sequence[EdgeTable], parts: Iterable[Part], electorate: Electorate, weight: Floats) -> tuple[EdgeTable, Evidence]:
        columns = merge_rows(self, tables, parts, electorate, weight)
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
        columns = merge_rows(self, tables, split(keys), PatternElectorate(could), weight)
        kept = distinct[columns["keys"].astype(np.int64)]
        offsets = np.concatenate([[0], np.cumsum(kept[:, 2])]).astype(np.int64)
        sources = kept[:, 3:][kept[:, 3:] >= 0]
        table = HyperedgeTable(sources=sources, offsets=offsets, target=kept[:, 0], lag=kept[:, 1], **_row_columns(columns))
        return table, _evidence(columns) if len(table) else None

    def _semantic(
        self, packs: Sequence[CausalSemanticPack], clients: Sequence[str], electorate: Electorate, measured: Sequence[Indices], weight: Floats
    ) -> tuple[CausalSemanticPack, dict[str, Any]]:
        # a dag edge is a row without an interval whose effect is its weight and whose vote is the weight within [-1, 1]
        tables = [_DagTable.of(pack) for pack in packs]
        dag = merge_rows(self, tables, split([table.keys for table in tables]), electorate, weight)
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


def merge_rows(rule: StoreReconciler, tables: Sequence[Any], parts: Iterable[Part], electorate: Electorate, weight: Floats) -> Columns:
    """The merged rows of abstract keys, ascending: what `EdgeTable`, `HyperedgeTable` and `Evidence` need, as columns.

    tables: for each client the columns of an edge table; parts: its keys, split; weight: float64[clients] >= 0.
    """
    kept = list(over(lambda part: _merge_part(rule, tables, part, electorate, weight), parts))
    if not kept:
        nothing = np.zeros(0)
        names = ("effect", "confidence", "stability", "vote", "std_error", "tau2", "i2", "support", "reporting", "measured_by", "samples", "hits", "pooled")
        return dict.fromkeys(names, nothing) | {"keys": np.zeros(0, np.uint64)}
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}


def _merge_part(rule: StoreReconciler, tables: Sequence[Any], part: Part, electorate: Electorate, weight: Floats) -> Columns:
    """One key range: votes first, then the effects of what stays."""
    size, segment = len(part.keys), part.segment.astype(np.intp)  # numpy takes by its own integers in a third of the time
    codes, which = np.unique(electorate.classes(part.keys), return_inverse=True)
    voters, count = class_weights(electorate, codes, weight)
    voters, measured_by = voters[which], count[which]
    w = part.spread(weight)
    effect = part.gather([t.effect for t in tables]).astype(np.float64, copy=False)
    confidence = part.gather([t.confidence for t in tables]).astype(np.float64, copy=False)
    stability = part.gather([t.stability for t in tables]).astype(np.float64, copy=False)
    vote = np.sign(effect) * confidence * stability
    heard = w > 0
    reported = np.bincount(segment, w, size)
    mean = np.divide(np.bincount(segment, w * vote, size), voters, out=np.zeros(size), where=voters > 0)
    if rule.rule in COORDINATE_RULES:
        mean = _middle_votes(rule, segment[heard], size, vote[heard], w[heard], voters, measured_by, weight)
    keep = (reported > 0) & _stays(rule, part, segment, size, mean, w * confidence, voters, len(tables))
    if rule.f:
        keep &= np.bincount(segment, np.sign(vote) * np.sign(mean)[segment] > 0, size) > rule.f
    bounds = bool(rule.f) or rule.rule in COORDINATE_RULES
    everyone = (segment, effect, np.sign(vote) * np.sign(mean)[segment] > 0) if bounds else None
    # only rows of kept keys, by clients that count, go on
    rows = heard if keep.all() else heard & keep[segment]
    number, all_stay = np.cumsum(keep, dtype=np.intp) - 1, bool(rows.all())
    if not all_stay:
        effect, confidence, stability, vote, w = effect[rows], confidence[rows], stability[rows], vote[rows], w[rows]
        segment = number[segment[rows]]
    size, mean, voters, measured_by = int(keep.sum()), mean[keep], voters[keep], measured_by[keep]
    width = _widths(tables, part)
    samples, hits, client = part.gather([t.n for t in tables]), part.gather([t.hits for t in tables]), part.client
    if not all_stay:
        width, samples, hits, client = None if width is None else width[rows], samples[rows], hits[rows], client[rows]
    robust = rule.strategy == "consensus" and rule.bounded and rule.rule == "bounded-trust"
    pooled = pool_effects(
        segment,
        size,
        effect=effect,
        vote=vote,
        weight=w * effect_trust(segment, size, effect, client=client, clients=len(tables)) if robust else w,
        width=width,
    )
    sign = np.sign(mean)
    if everyone is not None:
        pooled = _held(rule, pooled, segment, effect, sign, everyone, keep, number, None if equal(weight) else w / weight.max())
    supports = np.sign(vote) == sign[segment]
    total = np.bincount(segment, w, size)
    if rule.strategy in ("consensus", "mean"):
        backing = np.bincount(segment, w * supports, size)
        strength = np.divide(np.bincount(segment, w * supports * stability, size), backing, out=np.zeros(size), where=backing > 0)
        sure = np.divide(np.abs(mean), strength, out=np.zeros(size), where=strength > 0)
    else:
        strength, sure = np.bincount(segment, w * stability, size) / total, np.bincount(segment, w * confidence, size) / total
    samples = np.minimum(samples, np.uint64(1 << 53))
    return {
        "keys": part.keys[keep],
        "effect": pooled.effect,
        "confidence": np.clip(sure, 0.0, 1.0),
        "stability": np.clip(strength, 0.0, 1.0),
        "vote": np.clip(mean, -1.0, 1.0) + 0.0,
        "std_error": pooled.std_error,
        "tau2": pooled.tau2,
        "i2": pooled.i2,
        "pooled": pooled.pooled,
        "support": np.bincount(segment, supports, size),
        "reporting": np.bincount(segment, minlength=size),
        "measured_by": measured_by,
        "samples": np.minimum(np.bincount(segment, samples, size), 2.0**63),
        "hits": np.minimum(np.bincount(segment, hits, size), 2.0**32 - 1),
    }


def _middle_votes(
    rule: StoreReconciler,
    segment: Rows,
    size: int,
    vote: Floats,
    share: Floats,
    voters: Floats,
    measured_by: npt.NDArray[np.int64],
    weight: Floats,
) -> Floats:
    """float64[keys]: the order statistic of each key's votes that a coordinate rule takes, of rows that count; weights enter where they differ."""
    if equal(weight):
        return median_votes(segment, size, vote, measured_by) if rule.rule == "median" else trimmed_votes(segment, size, vote, measured_by, rule.f)
    largest = float(weight.max())
    if rule.rule == "median":
        return share_median(segment, size, vote, share / largest, voters / largest)
    return share_trimmed(segment, size, vote, share / largest, voters / largest, rule.f)


def _held(
    rule: StoreReconciler,
    pooled: Pooled,
    segment: Rows,
    effect: Floats,
    sign: Floats,
    everyone: tuple[Rows, Floats, Bools],
    keep: Bools,
    number: Rows,
    share: Floats | None,
) -> Pooled:
    """`pooled` by the rule's order statistic, held to what f liars cannot move; a standard error grows by how far its effect was moved.

    segment, effect: rows of the clients that count; everyone: segment, effect and support of all rows, whatever their weight, before keys were left out;
    share: rows' weights relative to the largest client's, None where all are equal."""
    moved = pooled.effect
    if rule.rule in COORDINATE_RULES and share is not None:
        length: Floats = np.bincount(segment, share, len(sign)).astype(np.float64)
        moved = share_median(segment, len(sign), effect, share, length)
        if rule.rule != "median":
            moved = np.where(length > 2 * rule.f, share_trimmed(segment, len(sign), effect, share, length, rule.f), moved)
    elif rule.rule == "median":
        moved = median_effects(segment, len(sign), effect)
    elif rule.rule in COORDINATE_RULES:
        moved = trimmed_effects(segment, len(sign), effect, rule.f)
    if rule.f:
        at, value, supports = everyone
        kept = keep[at]
        moved = held(moved, number[at[kept]], value[kept], supports[kept], sign, rule.f)
    error = np.where(pooled.pooled, np.hypot(pooled.std_error, moved - pooled.effect), 0.0)
    return replace(pooled, effect=moved, std_error=error)


def _stays(rule: StoreReconciler, part: Part, segment: Rows, size: int, mean: Floats, sure: Floats, voters: Floats, stores: int) -> Bools:
    """bool[keys]: what the strategy keeps."""
    if rule.strategy == "union":
        return np.ones(size, dtype=bool)
    if rule.strategy == "intersection":
        return np.asarray(np.bincount(segment, minlength=size) == stores)
    if rule.strategy == "weighted":
        return np.asarray(np.bincount(segment, sure, size) >= rule.vote_min * voters)
    return np.asarray(np.abs(mean) >= rule.vote_min)


def _widths(tables: Sequence[Any], part: Part) -> Floats | None:
    """float64[rows]: the intervals' widths, 0 where unknown; None where no client gives intervals."""
    if all(t.ci_low is None for t in tables):
        return None
    missing = [np.zeros(len(t.effect)) if t.ci_low is None else t.ci_low for t in tables]
    present = [np.zeros(len(t.effect)) if t.ci_high is None else t.ci_high for t in tables]
    with np.errstate(over="ignore"):
        width = part.gather(present).astype(np.float64, copy=False) - part.gather(missing).astype(np.float64, copy=False)
    return np.minimum(width, 1e300, out=width)


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
