"""Merge in two layers: clients inside their group by a robust rule, then the groups.

1. In layer 1 the clients of a group are merged by the reconciler of the policy. A group below
   `minimum` counted clients, or below its rule's breakdown point, gives no model. It is listed with
   the reason (`left_out`), and its clients do not count in the round.
2. In layer 2 the groups' models vote before they are cut: a merged edge votes with exactly its
   weighted mean vote (`reconciler`, rule 1), and what no client voted for is still an estimate. The
   global intervals and q-values take the groups as a sample of groups: their degrees of freedom are
   those of so many groups, however many clients are in them. Groups weigh by their size (counted
   clients), by trust (the sum of their clients' weights) or equally. No group weighs more than
   `influence_cap` of the whole, and with three groups or more each is weighed by bounded trust,
   too. Fewer than `minimum_groups` models are refused.
3. Where only one group has a model, it is the global one. Support, samples and the counts by
   direction of the global model are summed over the groups behind each edge.
4. A group's published model is cut like the global one, by votes or by q-values.

Source: DESIGN section 5 and 1 (layer 1, layer 2). It carries no privacy label (DESIGN section 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError, BreakdownError
from hyperfed.hierarchy.weight_caps import capped_shares
from hyperfed.hypergraph.evidence import Evidence, Spread, StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.reconciler.reconcile import Reconciliation, StoreReconciler
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable

__all__ = ["GROUP_WEIGHTS", "GroupModel", "LayerRules", "Layered", "merge_layers"]

GROUP_WEIGHTS = ("size", "trust", "equal")

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRules:
    """Holds the rules of a merge in two layers.

    Raises AggregationError for a value out of its bounds.
    """

    minimum: int = 3
    """How many counted clients a group needs, 1 or more."""
    minimum_groups: int = 1
    """How many groups must have a model, 1 or more."""
    weights: str = "size"
    """By what groups weigh: size, trust or equal."""
    influence_cap: float = 0.5
    """The largest share of the global merge that one group may have, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.weights not in GROUP_WEIGHTS:
            raise AggregationError(
                f"group weights are {self.weights!r:.40}",
                subject="layers",
                remedy=f"Choose one of {', '.join(GROUP_WEIGHTS)}",
            )
        if self.minimum < 1 or self.minimum_groups < 1 or not 0 < self.influence_cap <= 1:
            raise AggregationError(
                f"minimum {self.minimum}, minimum_groups {self.minimum_groups}, influence_cap "
                f"{self.influence_cap:g}",
                subject="layers",
                remedy="Use 1 or more for both minimums, and a share in (0, 1] for the cap",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupModel:
    """Holds the result of one group."""

    name: str
    """The basket's name; "" for the common group."""
    clients: int
    """How many of its clients were counted."""
    share: float
    """Its share of the global merge, in [0, 1]."""
    graph: HypergraphStore
    """Its model, cut at vote_min."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """Holds the result of a merge in two layers."""

    merged: Reconciliation
    """The global merge and its columns by client; a client of a group that was left out has
    weight 0.
    """
    groups: tuple[GroupModel, ...]
    """The groups' models, ascending by name."""
    left_out: tuple[tuple[str, str], ...]
    """The groups without a model, each with the reason."""


def merge_layers(
    reconciler: StoreReconciler,
    graphs: Mapping[str, HypergraphStore],
    groups: Mapping[str, Sequence[str]],
    *,
    base_weights: Mapping[str, float],
    losses: Mapping[str, float | None] | None = None,
    shares: Mapping[str, float] | None = None,
    rules: LayerRules,
) -> Layered:
    """Merge the clients of each group, then the groups, and return all models.

    graphs, base_weights (above 0), losses and shares are by client, as in `StoreReconciler.merge`.
    groups: the clients of each group by its name; they are disjoint, and together they are all
    clients of `graphs`. Raises BreakdownError where too few groups have a model, and what
    `StoreReconciler.merge` raises.
    """
    by_vote = reconciler.strategy in ("consensus", "mean")
    # every estimate stays, to be pooled and tested among the groups
    whole = replace(reconciler, vote_min=0.0, cut="fdr", fdr_max=1.0) if by_vote else reconciler
    inside: dict[str, Reconciliation] = {}
    left_out: list[tuple[str, str]] = []
    for name in sorted(groups):
        members = sorted(groups[name])
        if len(members) < rules.minimum:
            left_out.append((name, f"{len(members)} counted clients, {rules.minimum} are needed"))
            continue
        try:
            inside[name] = whole.merge(
                [graphs[c] for c in members],
                client_ids=members,
                base_weights=[base_weights[c] for c in members],
                losses=None if losses is None else [losses.get(c) for c in members],
                shares=None if shares is None else [shares[c] for c in members],
            )
        except BreakdownError as exc:
            left_out.append((name, exc.problem))
    if len(inside) < rules.minimum_groups or not inside:
        reasons = "; ".join(f"{name or 'the common group'}: {why}" for name, why in left_out)
        raise BreakdownError(
            f"{len(inside)} of {len(groups)} groups have a model, {rules.minimum_groups} are "
            "needed",
            subject="layers",
            remedy=reasons,
        )
    parts = _shares(inside, rules)
    if len(inside) == 1:
        (only,) = inside.values()
        top = replace(only, graph=_cut(only.graph, reconciler) if by_vote else only.graph)
    else:
        top = _across(reconciler, inside, parts)
    merged = _client_columns(top, inside, sorted(graphs))
    models = tuple(
        GroupModel(
            name=name,
            clients=len(r.clients),
            share=share,
            graph=_cut(r.graph, reconciler) if by_vote else r.graph,
        )
        for (name, r), share in zip(inside.items(), parts.tolist(), strict=True)
    )
    return Layered(merged=merged, groups=models, left_out=tuple(left_out))


def _shares(inside: Mapping[str, Reconciliation], rules: LayerRules) -> Floats:
    """Return float64[groups]: each group's share of the global merge."""
    by_size, by_trust = (
        [float(len(r.clients)) for r in inside.values()],
        [float(r.weight.sum()) for r in inside.values()],
    )
    sizes = {"size": by_size, "trust": by_trust, "equal": [1.0] * len(inside)}
    return capped_shares(sizes[rules.weights], cap=rules.influence_cap)


def _across(
    reconciler: StoreReconciler, inside: Mapping[str, Reconciliation], shares: Floats
) -> Reconciliation:
    """Return the merge of the groups (layer 2), whose evidence counts clients, not groups."""
    strategy = (
        reconciler.strategy
        if reconciler.strategy in ("union", "intersection", "weighted")
        else "consensus"
    )
    top = StoreReconciler(
        strategy=strategy,
        vote_min=reconciler.vote_min,
        cut=reconciler.cut,
        fdr_max=reconciler.fdr_max,
    )
    merged = top.merge(
        [r.graph for r in inside.values()],
        client_ids=list(inside),
        base_weights=np.maximum(shares, 1e-9).tolist(),
    )
    evidence = merged.graph.evidence
    if evidence is None:  # pragma: no cover - a merge has evidence
        return merged
    graphs = [r.graph for r in inside.values()]
    edges = _counted(
        evidence.edges,
        merged.graph.edges.keys,
        [(s.edges.keys, s.evidence.edges) for s in graphs if s.evidence is not None],
    )
    hyper = evidence.hyperedges
    if hyper is not None:
        of_groups = [
            (s.hyperedges, s.evidence.hyperedges)
            for s in graphs
            if s.evidence is not None and s.evidence.hyperedges is not None
        ]
        ranks = _ranks([merged.graph.hyperedges, *(table for table, _ in of_groups)])
        hyper = _counted(
            hyper,
            ranks[0],
            [(rank, about) for rank, (_, about) in zip(ranks[1:], of_groups, strict=True)],
        )
    return replace(
        merged,
        graph=replace(merged.graph, evidence=replace(evidence, edges=edges, hyperedges=hyper)),
    )


def _counted(evidence: Evidence, keys: Keys, groups: Sequence[tuple[Keys, Evidence]]) -> Evidence:
    """Return the evidence with its counts replaced: they are summed over the groups of each row.

    evidence: of the merged rows, aligned with keys. keys: uint64[rows], ascending. groups: the keys
    and the evidence of each group's rows.
    """
    counts = {
        name: np.zeros(len(keys), np.int64)
        for name in ("support", "reporting", "measured_by", "samples")
    }
    for group_keys, about in groups:
        if not len(group_keys):
            continue
        at = np.minimum(np.searchsorted(group_keys, keys), len(group_keys) - 1)
        there = group_keys[at] == keys
        same = there & (np.sign(about.vote[at]) == np.sign(evidence.vote))
        for name, mask in (
            ("support", same),
            ("reporting", there),
            ("measured_by", there),
            ("samples", there),
        ):
            counts[name] += np.where(
                mask,
                np.minimum(getattr(about, name)[at].astype(np.float64), 2.0**53).astype(np.int64),
                0,
            )
    return replace(
        evidence,
        support=counts["support"],
        reporting=counts["reporting"],
        measured_by=counts["measured_by"],
        samples=counts["samples"],
        spread=_directions(evidence.spread, keys, groups),
    )


def _directions(
    spread: Spread | None, keys: Keys, groups: Sequence[tuple[Keys, Evidence]]
) -> Spread | None:
    """Return the spread with its counts by direction summed over the groups of each row."""
    if spread is None:
        return None
    positive, negative = (np.zeros(len(keys), np.int64) for _ in range(2))
    for group_keys, about in groups:
        if about.spread is None:
            continue
        _, at, rows = np.intersect1d(keys, group_keys, assume_unique=True, return_indices=True)
        positive[at] += about.spread.positive[rows].astype(np.int64)
        negative[at] += about.spread.negative[rows].astype(np.int64)
    return replace(spread, positive=positive, negative=negative)


def _ranks(tables: Sequence[HyperedgeTable]) -> list[Keys]:
    """Return uint64[rows] for each table: the ranks of its hyperedges among all that occur."""
    matrices = [table.key_matrix() for table in tables]
    width = max(matrix.shape[1] for matrix in matrices)
    padded = np.concatenate(
        [
            np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=-1)
            for matrix in matrices
        ]
    )
    _, rank = np.unique(padded, axis=0, return_inverse=True)
    return np.split(
        rank.reshape(-1).astype(np.uint64), np.cumsum([len(table) for table in tables])[:-1]
    )


def _client_columns(
    top: Reconciliation, inside: Mapping[str, Reconciliation], clients: Sequence[str]
) -> Reconciliation:
    """Return the global merge with the columns that the clients have inside their groups."""
    columns: dict[str, Any] = {
        name: np.zeros(len(clients)) for name in ("trust", "weight", "agreement", "consistency")
    } | {"assessed": np.zeros(len(clients), dtype=bool)}
    position = {client: i for i, client in enumerate(clients)}
    for r in inside.values():
        at = [position[c] for c in r.clients]
        for name, column in columns.items():
            column[at] = getattr(r, name)
    return Reconciliation(
        graph=top.graph,
        clients=tuple(clients),
        supporters=_supporters(top.graph, inside, position),
        **columns,
    )


def _supporters(
    graph: HypergraphStore, inside: Mapping[str, Reconciliation], position: Mapping[str, int]
) -> npt.NDArray[np.bool_]:
    """Return bool[edges, clients]: who supports each edge of the global merge, inside its group."""
    keys, out = graph.edges.keys, np.zeros((len(graph.edges), len(position)), dtype=bool)
    sign = np.zeros(len(keys)) if graph.evidence is None else np.sign(graph.evidence.edges.vote)
    for r in inside.values():
        if r.supporters is None or r.graph.evidence is None:
            continue
        _, mine, theirs = np.intersect1d(
            keys, r.graph.edges.keys, assume_unique=True, return_indices=True
        )
        same = np.sign(r.graph.evidence.edges.vote[theirs]) == sign[mine]
        at = np.array([position[client] for client in r.clients])
        out[np.ix_(mine[same], at)] = r.supporters[theirs[same]]
    return out


def _cut(graph: HypergraphStore, reconciler: StoreReconciler) -> HypergraphStore:
    """Return a graph that holds every estimate, with the rows that the reconciler's cut keeps."""
    vote_min = reconciler.vote_min
    evidence = graph.evidence
    if evidence is None:  # pragma: no cover
        return graph
    rows = _stays(evidence.edges, reconciler)
    edges: EdgeTable = graph.edges.take(rows)
    hyper = evidence.hyperedges
    stays = None if hyper is None else _stays(hyper, reconciler)
    semantic = graph.semantic
    strong = [abs(edge[2]) >= vote_min for edge in semantic.dag_edges]
    named = [score >= vote_min for score in evidence.confounder_scores]
    semantic = replace(
        semantic,
        dag_edges=[edge for edge, keep in zip(semantic.dag_edges, strong, strict=True) if keep],
        confounders=[
            variable for variable, keep in zip(semantic.confounders, named, strict=True) if keep
        ],
    )
    about = StoreEvidence(
        edges=evidence.edges.take(rows),
        hyperedges=None if hyper is None or stays is None else hyper.take(stays),
        confounder_scores=tuple(
            score for score, keep in zip(evidence.confounder_scores, named, strict=True) if keep
        ),
        dag_support=tuple(n for n, keep in zip(evidence.dag_support, strong, strict=True) if keep),
        intervention_clients=evidence.intervention_clients,
    )
    hyperedges = graph.hyperedges if stays is None else graph.hyperedges.take(stays)
    return replace(graph, edges=edges, hyperedges=hyperedges, semantic=semantic, evidence=about)


def _stays(evidence: Evidence, reconciler: StoreReconciler) -> npt.NDArray[np.bool_]:
    """Return bool[rows]: which rows the reconciler's cut keeps."""
    if reconciler.cut == "fdr" and evidence.spread is not None:
        return np.asarray(evidence.spread.q <= reconciler.fdr_max)
    return np.asarray((evidence.reporting > 0) & (np.abs(evidence.vote) >= reconciler.vote_min))
