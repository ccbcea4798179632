"""Find a round's model in the sum of its clients' statistics.

1. Clients are weighed by bounded trust on their correlations (`statistics.trust`), times staleness
   and organisation caps, and single numbers are held to those of the others
   (`statistics.holding`). By the strategy "mean" staleness and caps alone weigh them.
2. The plan's engine finds edges in the weighted sum. By the cut "vote" those stay with
   confidence * stability >= vote_min, by "fdr" those with a q-value of at most fdr_max, over all
   edges that the engine reports.
3. With payload "both", an edge that the sum leaves without a direction gets the one that the
   clients' own edges vote for, where that vote reaches vote_min.
4. The evidence beside an edge comes from each client's own regression on the edge's causes: how
   many have its sign, I2, tau2, prediction interval. The range without one client is that of sums
   without it. n and `measured_by` are of those that measured both ends.
5. Experiments and what clients say beside statistics merge as they always do.

What it does not do: it does not decide who counts, and its result carries no privacy label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.structure import to_semantic
from hyperfed.engines.summed import make_summed_engine
from hyperfed.engines.summed.versions import check_version
from hyperfed.errors import AggregationError, EngineError
from hyperfed.hypergraph.evidence import Evidence, Spread, StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.merge.eligible_voters import PairVoters
from hyperfed.merge.false_discovery import q_values
from hyperfed.merge.student_t import t_central
from hyperfed.merge.tables import table_ranges
from hyperfed.packets import PolicyPack
from hyperfed.packets.knowledge import forbidden_edges
from hyperfed.reconciler.orienting import oriented
from hyperfed.reconciler.reconcile import Reconciliation, build_reconciler
from hyperfed.statistics import Scaling, Statistics, Sums
from hyperfed.statistics.clients import client_effects
from hyperfed.statistics.holding import held
from hyperfed.statistics.ranges import without_one
from hyperfed.statistics.trust import statistics_trust
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["SummedMerge", "cut_edges", "discovered", "merge_statistics"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedMerge:
    """Holds a merge of statistics, and what each client's own statistics say of its edges."""

    merged: Reconciliation
    """The merged graph, with the weights behind it."""
    graphs: tuple[HypergraphStore, ...]
    """Each client's own estimates of the model's edges, ascending by client."""


def merge_statistics(
    graphs: Sequence[HypergraphStore],
    statistics: Mapping[str, Statistics],
    *,
    policy: PolicyPack,
    vocabulary: Vocabulary,
    staleness: Floats,
    shares: Floats,
    groups: npt.NDArray[np.int64] | None = None,
) -> SummedMerge:
    """Return the merge of clients' statistics.

    graphs: each client's graph without statistics, in the order of the clients' ids, ascending.
    statistics: those of each client. staleness, shares: float64[clients]. groups: int64[clients],
    the number of each client's basket; None: there is one.

    Raises AggregationError where the sum does not suffice for the engine.
    """
    clients, variables = tuple(sorted(statistics)), len(vocabulary)
    bounded = policy.strategy == "consensus"
    ordered = [statistics[client] for client in clients]
    counted, base = dict(statistics), staleness * shares
    trust = np.ones(len(clients))
    agreement, assessed = np.zeros(len(clients)), np.zeros(len(clients), dtype=bool)
    if bounded:
        result = statistics_trust(ordered, variables=variables, shares=shares, groups=groups)
        trust, agreement, assessed = result.weight, result.agreement, result.assessed
        heard = dict(zip(clients, trust.tolist(), strict=True))
        counted, factor = held(statistics, heard, variables=variables, n_cap=policy.n_cap)
        base = base * np.array([factor[client] for client in clients])
    weight = trust * base
    weights = dict(zip(clients, weight.tolist(), strict=True))
    lags = ordered[0].lags
    sums = Sums.of(counted, variables=variables, lags=lags, weights=weights)
    discovery = discovered(sums, policy, vocabulary)
    measured, table = discovery.to_edges(vocabulary)
    table = table.take(
        ~forbidden_edges(policy.knowledge, vocabulary.names, table.source, table.target)
    )
    others = _merged_beside(graphs, clients, policy, weight)
    if policy.payload == "both":
        table = oriented(
            table, discovery, sums, others, vote_min=policy.vote_min, vocabulary=vocabulary
        )
    table, q = cut_edges(table, policy, vocabulary)
    own = _own_graphs(graphs, ordered, table, vocabulary)
    ranks = ordered[0].form == "ranks"
    evidence, supporters = _evidence(
        table,
        q,
        own,
        unit=_unit(table, vocabulary, ranks=ranks),
        weight=weight,
        sums=sums,
        counted=counted,
        weights=weights,
    )
    found = to_semantic(discovery, vocabulary, table)
    semantic, about = others.semantic, others.evidence
    if about is None:
        raise AggregationError("has no evidence", subject="merge of statistics")
    if found is not None and found.confounders:
        semantic = replace(semantic, confounders=list(found.confounders))
        about = replace(about, confounder_scores=(1.0,) * len(found.confounders))
    graph = HypergraphStore(
        edges=table,
        hyperedges=others.hyperedges,
        semantic=semantic,
        measured=measured,
        lags=lags,
        vocabulary=vocabulary,
        evidence=replace(about, edges=evidence),
    )
    merged = Reconciliation(
        graph=graph,
        clients=clients,
        trust=trust,
        weight=weight,
        agreement=agreement,
        consistency=trust,
        assessed=assessed,
        supporters=supporters,
    )
    return SummedMerge(merged=merged, graphs=tuple(own))


def cut_edges(
    table: EdgeTable, policy: PolicyPack, vocabulary: Vocabulary
) -> tuple[EdgeTable, Floats]:
    """Return the edges that the plan's knowledge allows and its cut keeps, and their q-values."""
    table = table.take(
        ~forbidden_edges(policy.knowledge, vocabulary.names, table.source, table.target)
    )
    q = q_values(1.0 - table.confidence, 1.0 - table.confidence)
    stays = q <= policy.fdr_max if policy.cut == "fdr" else np.abs(table.vote) >= policy.vote_min
    return table.take(stays), q[stays]


def discovered(sums: Sums, policy: PolicyPack, vocabulary: Vocabulary) -> Discovery:
    """Return what the plan's engine finds. Raises AggregationError where it cannot."""
    settings = policy.statistics
    check_version(settings.engine, settings.version)
    try:
        engine = make_summed_engine(
            settings.engine,
            sums,
            vocabulary,
            knowledge=policy.knowledge,
            alpha=settings.alpha,
            resamples=settings.resamples,
            seed=settings.seed,
            short_bias=settings.short_bias,
        )
        return engine.discover()
    except EngineError as exc:
        raise AggregationError(
            exc.problem, subject=f"engine {settings.engine} on the sum", remedy=exc.remedy
        ) from exc


def _merged_beside(
    graphs: Sequence[HypergraphStore], clients: tuple[str, ...], policy: PolicyPack, weight: Floats
) -> HypergraphStore:
    """Return the plain weighted merge of what clients send beside statistics, weak votes too."""
    reconciler = build_reconciler("mean", vote_min=0.0)
    ranges = table_ranges(
        [graph.edges for graph in graphs],
        PairVoters(
            [graph.measured for graph in graphs],
            [graph.lags for graph in graphs],
            [graph.intervened for graph in graphs],
        ),
    )
    return reconciler.merge_ranges(
        ranges, graphs, clients=clients, base=weight, losses=[None] * len(clients)
    ).graph


def _own_graphs(
    graphs: Sequence[HypergraphStore],
    ordered: Sequence[Statistics],
    table: EdgeTable,
    vocabulary: Vocabulary,
) -> list[HypergraphStore]:
    """Return each client's graph with its own estimates of the model's edges in place of edges."""
    effects = client_effects(
        ordered,
        variables=len(vocabulary),
        source=table.source.astype(np.int64),
        target=table.target.astype(np.int64),
        lag=table.lag.astype(np.int64),
    )
    ranks = bool(ordered) and ordered[0].form == "ranks"
    unit = _unit(table, vocabulary, ranks=ranks)
    own = []
    for client, (graph, one) in enumerate(zip(graphs, ordered, strict=True)):
        rows = np.flatnonzero(np.isfinite(effects.effect[client]))
        effect, error = effects.effect[client, rows], effects.std_error[client, rows]
        degrees = effects.degrees[client, rows]
        confidence = np.zeros(len(rows))
        for free in np.unique(degrees).tolist():
            at = degrees == free
            confidence[at] = t_central(effect[at] / error[at], free)
        effect, error = effect * unit[rows], error * unit[rows]
        edges = EdgeTable.build(
            source=table.source[rows],
            target=table.target[rows],
            lag=table.lag[rows],
            effect=effect,
            ci_low=effect - Z95 * error,
            ci_high=effect + Z95 * error,
            confidence=confidence,
            stability=np.ones(len(rows)),
            hits=np.ones(len(rows), np.uint32),
            n=np.full(len(rows), one.n, np.uint64),
        )
        own.append(replace(graph, edges=edges))
    return own


def _unit(table: EdgeTable, vocabulary: Vocabulary, *, ranks: bool) -> Floats:
    """Return float64[edges]: what turns a public effect into one in the vocabulary's units."""
    if ranks:
        return np.ones(len(table))
    scale = Scaling.of(vocabulary).scale
    return np.asarray(scale[table.target] / scale[table.source])


def _evidence(
    table: EdgeTable,
    q: Floats,
    own: Sequence[HypergraphStore],
    *,
    unit: Floats,
    weight: Floats,
    sums: Sums,
    counted: Mapping[str, Statistics],
    weights: Mapping[str, float],
) -> tuple[Evidence, Bools]:
    """Return the evidence behind each edge, and which clients support it."""
    reconciler = build_reconciler("union")
    ranges = table_ranges(
        [graph.edges for graph in own],
        PairVoters(
            [graph.measured for graph in own],
            [graph.lags for graph in own],
            [graph.intervened for graph in own],
        ),
    )
    pooled = reconciler.merge_ranges(
        ranges,
        own,
        clients=tuple(sorted(counted)),
        base=weight,
        losses=[None] * len(own),
    )
    about: StoreEvidence | None = pooled.graph.evidence
    if about is None or about.edges.spread is None or pooled.supporters is None:
        raise AggregationError("has no evidence", subject="merge of statistics")
    rows, known = len(table), np.isin(table.keys, pooled.graph.edges.keys)
    at = np.searchsorted(pooled.graph.edges.keys, table.keys[known])
    edges, spread = about.edges, about.edges.spread
    effect = table.effect.astype(np.float64)

    def placed(column: npt.NDArray[np.generic], nothing: Floats | float = 0.0) -> Floats:
        out = np.zeros(rows) + nothing
        out[known] = column[at]
        return out

    sign = np.sign(effect)
    theirs = np.sign(placed(edges.vote))
    agreeing = np.where(sign >= 0, placed(spread.positive), placed(spread.negative))
    middle = placed(pooled.graph.edges.effect.astype(np.float64))
    # own estimates say how much clients differ; the sum says around what
    low, high = (
        np.where(known, effect + placed(column) - middle, effect)
        for column in (spread.predict_low, spread.predict_high)
    )
    fall, rise = without_one(
        counted,
        variables=sums.variables,
        weights=weights,
        source=table.source.astype(np.int64),
        target=table.target.astype(np.int64),
        lag=table.lag.astype(np.int64),
    )
    measured_by = _measured_by(table, counted, sums.variables)
    supporters = np.zeros((rows, len(own)), dtype=bool)
    supporters[known] = pooled.supporters[at] & (theirs == sign)[known, None]
    std_error = (
        np.zeros(rows)
        if table.ci_low is None or table.ci_high is None
        else (table.ci_high.astype(np.float64) - table.ci_low) / (2 * Z95)
    )
    return Evidence(
        vote=table.vote.astype(np.float64),
        support=np.where(theirs == sign, placed(edges.support), agreeing).astype(np.uint32),
        reporting=placed(edges.reporting).astype(np.uint32),
        measured_by=measured_by,
        samples=table.n,
        std_error=std_error,
        tau2=placed(edges.tau2),
        i2=placed(edges.i2),
        pooled=std_error > 0,
        spread=Spread(
            q=q,
            predict_low=low,
            predict_high=high,
            without_low=np.where(np.isnan(fall), np.minimum(effect, 0.0), effect + fall * unit),
            without_high=np.where(np.isnan(rise), np.maximum(effect, 0.0), effect + rise * unit),
            positive=placed(spread.positive),
            negative=placed(spread.negative),
        ),
    ), supporters


def _measured_by(
    table: EdgeTable, counted: Mapping[str, Statistics], variables: int
) -> npt.NDArray[np.uint32]:
    """Return uint32[edges]: how many clients measured both ends, those of weight 0 included."""
    measured = np.zeros((len(counted), variables), dtype=bool)
    for row, client in enumerate(sorted(counted)):
        measured[row, counted[client].variables] = True
    both = measured[:, table.source] & measured[:, table.target]
    for row, client in enumerate(sorted(counted)):
        # a client says nothing of what acts on what its experiment set
        both[row] &= ~np.isin(table.target, list(counted[client].intervened))
    return np.asarray(both.sum(axis=0), dtype=np.uint32)
