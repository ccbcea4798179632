"""Merge the graphs of many clients into one.

1. By `consensus` (the default) an edge stays where |weighted mean vote| >= vote_min, or, by the cut
   "fdr", where its q-value is at most fdr_max (`merge.false_discovery`).
   - A vote is sign(effect) * confidence * stability. A client that does not report an edge votes 0
     if it measured both ends and looked at its lag, and has no vote if it did not. It has none on
     an edge into a variable that its experiment set, and one of double weight on an edge out of it.
   - Its weight is bounded trust, times the base weight (staleness), times min(n, n_cap) where that
     is asked for.
   - A merged edge votes, in a further merge, with exactly its weighted mean vote: its stability is
     the supporters' mean, and its confidence |vote| / stability.
2. The other strategies weigh by the base weights alone:
   - `union` keeps an edge that any graph has;
   - `intersection` keeps one that all graphs have, whatever they measured;
   - `weighted` keeps one where the share of the voters' weight that reports it, times confidence,
     is at least vote_min;
   - `mean` is consensus without trust: the plain weighted mean vote, which a third of liars
     overturns.
   By the first three, confidence and stability are the reporters' weighted means.
3. Effects are pooled over all clients that report the edge (`merge.pooling`), whatever the
   strategy. Effect and vote may differ in sign where clients contradict each other; the evidence
   holds both.
4. Hyperedges merge by the same rule. `dag_edges` vote with their weight (held within [-1, 1]). A
   confounder's score is the share of weight that names it, among the clients that measured or name
   it. Interventions are kept, each with its client.
5. `consensus` takes any rule of `hyperfed.aggregation` in place of bounded trust
   (`aggregation.edge_weights`).
   - With median, trimmed-mean and bulyan the vote of an edge is that order statistic of its voters'
     votes, in which each counts by its base weight (`merge.shares`), and an experiment's once.
   - The rule that weighs clients counts each vote once: no claim gives a client more say in how
     others are weighed (ADR 0046).
   - Where f is stated an edge needs f + 1 supporters, whatever their weight, and its effect is held
     to what f liars cannot move (`merge.order`).
   - By bounded trust an effect far from the other effects of its edge loses weight, as a client far
     from the others does.
6. Sums run in the order of client ids: the same set of (id, graph) pairs gives the same bytes in
   whatever order it comes.

Source: DESIGN sections 2 and 5. No strategy carries a privacy label (DESIGN section 6).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.catalogue import build_rule
from hyperfed.aggregation.edge_weights import edge_weights
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.evidence import StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.eligible_voters import PairVoters
from hyperfed.merge.ranges import Ranges
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.segments import common
from hyperfed.merge.tables import table_ranges
from hyperfed.packets.policy import CUTS, STRATEGIES
from hyperfed.reconciler.hyperedges import merge_hyperedges
from hyperfed.reconciler.merged_rows import merged_edges
from hyperfed.reconciler.semantic import merge_semantic
from hyperfed.tables.columns import check_size

__all__ = ["Reconciliation", "StoreReconciler", "build_reconciler", "group_numbers"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Holds the result of a merge: the merged graph, and the weights behind it."""

    graph: HypergraphStore
    """The merged graph, with its evidence."""
    clients: tuple[str, ...]
    """The clients' ids, ascending."""
    trust: Floats
    """float64[clients] in [0, 1]: the weights of the rule; 1 unless the strategy is consensus."""
    weight: Floats
    """float64[clients]: trust * base weight * min(n, n_cap); without a cap trust * base weight."""
    agreement: Floats
    """float64[clients] in [-1, 1]: the agreement with the others; 0 where it is not computed."""
    consistency: Floats = field(default_factory=lambda: np.zeros(0))
    """float64[clients] in [0, 1]: the weight of bounded trust, whatever the rule; 1 where it is not
    computed.
    """
    assessed: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """bool[clients]: whether the client's votes say anything about it (`Trust.assessed`)."""
    supporters: Bools | None = None
    """bool[edges, clients]: who supports each merged edge; None where it is not known."""

    def __post_init__(self) -> None:
        if not len(self.consistency):
            object.__setattr__(self, "consistency", np.ones(len(self.clients)))
        if not len(self.assessed):
            object.__setattr__(self, "assessed", np.zeros(len(self.clients), dtype=bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReconciler:
    """Merges graphs by a strategy. Raises AggregationError for settings out of their bounds."""

    strategy: str = "consensus"
    """How edges are kept: consensus, union, intersection, weighted or mean."""
    vote_min: float = 0.3
    """The smallest |weighted mean vote| with which an edge stays, in [0, 1]; by the strategy
    weighted the smallest share of weight times confidence.
    """
    n_cap: int = 0
    """Where it is above 0, weights are also proportional to min(n, n_cap)."""
    bounded: bool = True
    """Whether consensus weighs clients by its rule; False: the plain weighted mean, which a third
    of liars overturns.
    """
    rule: str = "bounded-trust"
    """The rule of `hyperfed.aggregation` that consensus weighs by (rule 5 of the module)."""
    f: int = 0
    """How many clients may be arbitrary, for that rule."""
    cut: str = "vote"
    """What keeps an edge by consensus and mean: "vote" (vote_min), or "fdr" (fdr_max)."""
    fdr_max: float = 0.05
    """The largest q-value with which an edge stays by the cut "fdr", in (0, 1]."""

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise AggregationError(
                f"unknown strategy {self.strategy!r}",
                subject="reconciler",
                remedy=f"Choose one of {', '.join(STRATEGIES)}",
            )
        if not 0 <= self.vote_min <= 1:
            raise AggregationError(
                f"vote_min is {self.vote_min!r}; it must lie in [0, 1]", subject="reconciler"
            )
        if self.cut not in CUTS or not 0 < self.fdr_max <= 1:
            raise AggregationError(
                f"cut is {self.cut!r:.40}, fdr_max {self.fdr_max!r:.40}",
                subject="reconciler",
                remedy=f"State one of {', '.join(CUTS)} and a number in (0, 1]",
            )
        if self.cut == "fdr" and self.strategy not in ("consensus", "mean"):
            raise AggregationError(
                f"the cut fdr belongs to consensus and mean, not {self.strategy}",
                subject="reconciler",
                remedy='Set cut = "vote", or the strategy to consensus or mean',
            )
        if self.n_cap < 0:
            raise AggregationError(
                f"n_cap is {self.n_cap!r}; 0 or more is needed", subject="reconciler"
            )
        build_rule(self.rule, f=self.f)
        if (self.rule != "bounded-trust" or self.f) and (
            self.strategy != "consensus" or not self.bounded
        ):
            raise AggregationError(
                f"rule {self.rule!r} with f = {self.f} needs the strategy consensus",
                subject="reconciler",
            )

    def reconcile(
        self,
        graphs: Iterable[HypergraphStore],
        *,
        client_ids: Sequence[str] | None = None,
        base_weights: Sequence[float] | None = None,
    ) -> HypergraphStore:
        """Return the merged graph, as `merge` makes it."""
        return self.merge(graphs, client_ids=client_ids, base_weights=base_weights).graph

    def merge(
        self,
        graphs: Iterable[HypergraphStore],
        *,
        client_ids: Sequence[str] | None = None,
        base_weights: Sequence[float] | None = None,
        losses: Sequence[float | None] | None = None,
        shares: Sequence[float] | None = None,
        domains: Sequence[str] | None = None,
    ) -> Reconciliation:
        """Merge the graphs, and return the merged graph with the weights behind it.

        client_ids: one for each graph, unique; None: "0000000", "0000001", ... base_weights: one
        for each graph, in (0, 1e9], what staleness leaves of it; None: 1. losses: for each graph
        the loss that its client claims, for the rule adaptive. shares: for each graph what
        organisation caps leave of it, in (0, 1]: its base weight is multiplied by it, and it counts
        that much in bounded trust's medians. domains: for each graph the basket of its client,
        whose clients are assessed among themselves where three of them vote; None: there is one.

        Raises BreakdownError where there are too few clients for the rule's f, AggregationError
        without graphs, for different vocabularies, and where ids or weights do not fit the graphs,
        BoundsError for an effect beyond `MAX_EFFECT` (R-99).
        """
        graph_list = list(graphs)
        ids, base = _checked(graph_list, client_ids, base_weights)
        order = sorted(range(len(graph_list)), key=lambda i: ids[i])
        for client, graph in zip(ids, graph_list, strict=True):
            for kind, table in (("edges", graph.edges), ("hyperedges", graph.hyperedges)):
                # the interval of a merged effect may reach beyond the bound
                check_size(table, f"{client}: {kind}", ends=False)
        members, clients, base = (
            [graph_list[i] for i in order],
            tuple(ids[i] for i in order),
            base[order],
        )
        part = None if shares is None else np.asarray(shares, dtype=np.float64)[order]
        if part is not None:
            base = base * part
        if self.n_cap:
            base = base * np.array([min(max(_samples(s), 1.0), self.n_cap) for s in members])
        tables = [graph.edges for graph in members]
        if self.strategy == "intersection":  # merge only the shared rows, which are mostly few
            whole = [table.keys for table in tables]
            shared = common(whole)
            tables = [
                table.take(np.searchsorted(table_keys, shared))
                for table, table_keys in zip(tables, whole, strict=True)
            ]
        measured = [graph.measured for graph in members]
        ranges = table_ranges(
            tables,
            PairVoters(
                measured,
                [graph.lags for graph in members],
                [graph.intervened for graph in members],
            ),
        )
        claimed = [None] * len(members) if losses is None else [list(losses)[i] for i in order]
        return self.merge_ranges(
            ranges,
            members,
            clients=clients,
            base=base,
            losses=claimed,
            shares=part,
            samples=np.array([_samples(graph) for graph in members]),
            groups=group_numbers(None if domains is None else [list(domains)[i] for i in order]),
        )

    def merge_ranges(
        self,
        ranges: Ranges,
        members: Sequence[HypergraphStore],
        *,
        clients: tuple[str, ...],
        base: Floats,
        losses: Sequence[float | None],
        shares: Floats | None = None,
        samples: Floats | None = None,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> Reconciliation:
        """Merge from the ranges of the edges, wherever they lie, and the rest of each graph.

        ranges: the edges' rows; their eligible voters are the `PairVoters` of what the clients
        measured, looked at and set. members: the clients' graphs, whose own edges are not looked
        at. clients: the ids, ascending; members, base, losses and shares are aligned with them.
        base: float64[clients] above 0, multiplied by shares and sample counts already. losses and
        shares are those of `merge`. Raises BreakdownError where there are too few clients for the
        rule's f, AggregationError where the rule cannot weigh them.
        """
        measured = [graph.measured for graph in members]
        lags = [graph.lags for graph in members]
        trust, agreement, consistency, assessed = (
            np.ones(len(members)),
            np.zeros(len(members)),
            np.ones(len(members)),
            np.zeros(len(members), dtype=bool),
        )
        if self.strategy == "consensus" and self.bounded:
            result = edge_weights(
                self.rule,
                self.f,
                ranges,
                losses=losses,
                shares=shares,
                samples=samples,
                groups=groups,
            )
            trust, agreement = result.weight, result.agreement
            consistency, assessed = result.consistency, result.assessed
        weight = trust * base
        # only bounded trust says how far; other rules choose clients
        whole = base if self.rule == "bounded-trust" else weight
        rule = MergeRule(
            strategy=self.strategy,
            vote_min=self.vote_min,
            bounded=self.bounded,
            rule=self.rule,
            f=self.f,
            cut=self.cut,
            fdr_max=self.fdr_max,
        )
        edges, evidence, supporters = merged_edges(rule, ranges, weight, whole)
        hyperedges, hyper_evidence = merge_hyperedges(
            rule,
            [graph.hyperedges for graph in members],
            measured,
            lags,
            [graph.intervened for graph in members],
            weight,
            whole,
        )
        # a dag edge has no interval, and cannot be tested
        by_vote = replace(rule, cut="vote")
        semantic, about = merge_semantic(
            by_vote,
            [graph.semantic for graph in members],
            clients,
            measured,
            [graph.intervened for graph in members],
            weight,
        )
        graph = HypergraphStore(
            edges=edges,
            hyperedges=hyperedges,
            semantic=semantic,
            measured=np.unique(np.concatenate(measured)),
            lags=_together(lags),
            vocabulary=members[0].vocabulary,
            evidence=StoreEvidence(edges=evidence, hyperedges=hyper_evidence, **about),
        )
        return Reconciliation(
            graph=graph,
            clients=clients,
            trust=trust,
            weight=weight,
            agreement=agreement,
            consistency=consistency,
            assessed=assessed,
            supporters=supporters,
        )


def group_numbers(domains: Sequence[str] | None) -> npt.NDArray[np.int64] | None:
    """Return int64[clients]: a number for each client's domain; None where there is but one."""
    if domains is None or len(set(domains)) < 2:
        return None
    return np.unique(np.array(domains), return_inverse=True)[1].reshape(-1).astype(np.int64)


def build_reconciler(strategy: str = "consensus", **options: Any) -> StoreReconciler:
    """Return a `StoreReconciler` for a strategy.

    options: its other fields. Raises AggregationError for an unknown strategy, and for options out
    of their bounds.
    """
    return StoreReconciler(strategy=strategy, **options)


def _checked(
    graphs: Sequence[HypergraphStore],
    client_ids: Sequence[str] | None,
    base_weights: Sequence[float] | None,
) -> tuple[list[str], Floats]:
    """Return the ids and base weights of the graphs, in the order given.

    Raises AggregationError without graphs, for different vocabularies, and where ids or weights do
    not fit the graphs.
    """
    if not graphs:
        raise AggregationError(
            "there is nothing to merge", subject="reconciler", remedy="Give at least one graph"
        )
    ids = [f"{i:07d}" for i in range(len(graphs))] if client_ids is None else list(client_ids)
    if len(ids) != len(graphs) or len(set(ids)) != len(ids):
        raise AggregationError(
            f"{len(set(ids))} different client ids for {len(graphs)} graphs", subject="reconciler"
        )
    base = (
        np.ones(len(graphs)) if base_weights is None else np.asarray(base_weights, dtype=np.float64)
    )
    if base.shape != (len(graphs),):
        raise AggregationError(
            f"{base.size} base weights for {len(graphs)} graphs", subject="reconciler"
        )
    bad = ~(np.isfinite(base) & (base > 0) & (base <= 1e9))
    if bad.any():
        problem = f"its base weight is {base[bad][0]:g}; a number in (0, 1e9] is needed"
        raise AggregationError(
            problem,
            subject=ids[int(np.argmax(bad))],
            remedy="Leave out the graphs that are not meant to count",
        )
    digests = [b"" if graph.vocabulary is None else graph.vocabulary.digest for graph in graphs]
    for client, digest in zip(ids, digests, strict=True):
        if digest != digests[0]:
            names = [one.hex()[:16] or "none" for one in (digest, digests[0])]
            raise AggregationError(
                f"its vocabulary is {names[0]}, that of {ids[0]} is {names[1]}",
                subject=client,
                remedy="Give only graphs of one vocabulary",
            )
    return ids, base


def _together(lags: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    """Return the lags that at least one client looked at; None where one looked at all."""
    all_lags: set[int] = set()
    for client_lags in lags:
        if client_lags is None:
            return None
        all_lags.update(client_lags)
    return tuple(sorted(all_lags))


def _samples(graph: HypergraphStore) -> float:
    """Return the largest sample count that a graph states; 0 where it states none."""
    return float(
        max(
            (int(table.n.max()) for table in (graph.edges, graph.hyperedges) if len(table)),
            default=0,
        )
    )
