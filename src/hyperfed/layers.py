"""Two layers: clients are merged inside their group by a robust rule, groups are merged with each other.

1. Layer 1: the clients of a group by the reconciler of the policy. A group below `minimum` counted clients, or below its rule's breakdown point, gives no
   model; that is said (`left_out`), and its clients do not count tonight.
2. Layer 2: the groups' models, uncut, as votes: a merged edge votes with exactly its weighted mean vote (`reconciler`, rule 1). Weights by size
   (counted clients), trust (sum of their weights) or equal; no group above `influence_cap` of the whole, and with three groups or more each is
   weighed by bounded trust too. Fewer than `minimum_groups` models: refused.
3. One group alone: its model is the global one. Support and samples of the global model are summed over the groups behind each edge.
4. A group's published model is cut at vote_min like the global one.

Source: DESIGN section 5 and 1 (layer 1, layer 2). It carries no privacy label (DESIGN section 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError, BreakdownError
from hyperfed.hypergraph import Evidence, HypergraphStore, StoreEvidence
from hyperfed.influence import capped_shares
from hyperfed.reconciler import Reconciliation, StoreReconciler
from hyperfed.tables import EdgeTable, HyperedgeTable

__all__ = ["GROUP_WEIGHTS", "GroupModel", "LayerRules", "Layered", "merge_layers"]

GROUP_WEIGHTS = ("size", "trust", "equal")

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRules:
    """minimum: counted clients of a group; minimum_groups: models; weights: size | trust | equal; influence_cap: of one group, in (0, 1].
    Raises AggregationError."""

    minimum: int = 3
    minimum_groups: int = 1
    weights: str = "size"
    influence_cap: float = 0.5

    def __post_init__(self) -> None:
        if self.weights not in GROUP_WEIGHTS:
            raise AggregationError(f"group weights are {self.weights!r:.40}", subject="layers", remedy=f"One of {', '.join(GROUP_WEIGHTS)} is needed")
        if self.minimum < 1 or self.minimum_groups < 1 or not 0 < self.influence_cap <= 1:
            raise AggregationError(
                f"minimum {self.minimum}, minimum_groups {self.minimum_groups}, influence_cap {self.influence_cap:g}",
                subject="layers",
                remedy="1 or more, and (0, 1]",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupModel:
    """One group's result. name: the basket ("": the common group); clients: how many were counted; share: of the global merge; store: cut at vote_min."""

    name: str
    clients: int
    share: float
    store: HypergraphStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """A merge in two layers. merged: the global store, with per-client columns (a client of a group that was left out has weight 0); groups: ascending
    by name; left_out: (group, why)."""

    merged: Reconciliation
    groups: tuple[GroupModel, ...]
    left_out: tuple[tuple[str, str], ...]


def merge_layers(
    reconciler: StoreReconciler,
    stores: Mapping[str, HypergraphStore],
    groups: Mapping[str, Sequence[str]],
    *,
    base_weights: Mapping[str, float],
    losses: Mapping[str, float | None] | None = None,
    shares: Mapping[str, float] | None = None,
    rules: LayerRules,
) -> Layered:
    """The groups' models and the global one.

    stores, base_weights (> 0), losses, shares: by client, as in `StoreReconciler.merge`; groups: name -> clients, disjoint, all of `stores`.
    Raises BreakdownError where too few groups have a model.
    """
    by_vote = reconciler.strategy in ("consensus", "mean")
    whole, cut = (replace(reconciler, vote_min=0.0), reconciler.vote_min) if by_vote else (reconciler, 0.0)
    inside: dict[str, Reconciliation] = {}
    left_out: list[tuple[str, str]] = []
    for name in sorted(groups):
        members = sorted(groups[name])
        if len(members) < rules.minimum:
            left_out.append((name, f"{len(members)} counted clients, {rules.minimum} are needed"))
            continue
        try:
            inside[name] = whole.merge(
                [stores[c] for c in members],
                client_ids=members,
                base_weights=[base_weights[c] for c in members],
                losses=None if losses is None else [losses.get(c) for c in members],
                shares=None if shares is None else [shares[c] for c in members],
            )
        except BreakdownError as exc:
            left_out.append((name, exc.problem))
    if len(inside) < rules.minimum_groups or not inside:
        said = "; ".join(f"{name or 'the common group'}: {why}" for name, why in left_out)
        raise BreakdownError(f"{len(inside)} of {len(groups)} groups have a model, {rules.minimum_groups} are needed", subject="layers", remedy=said)
    parts = _shares(inside, rules)
    if len(inside) == 1:
        (only,) = inside.values()
        top = replace(only, store=_cut(only.store, cut))
    else:
        top = _across(reconciler, inside, parts)
    merged = _client_columns(top, inside, sorted(stores))
    models = tuple(
        GroupModel(name=name, clients=len(r.clients), share=share, store=_cut(r.store, cut))
        for (name, r), share in zip(inside.items(), parts.tolist(), strict=True)
    )
    return Layered(merged=merged, groups=models, left_out=tuple(left_out))


def _shares(inside: Mapping[str, Reconciliation], rules: LayerRules) -> Floats:
    by_size, by_trust = [float(len(r.clients)) for r in inside.values()], [float(r.weight.sum()) for r in inside.values()]
    sizes = {"size": by_size, "trust": by_trust, "equal": [1.0] * len(inside)}
    return capped_shares(sizes[rules.weights], cap=rules.influence_cap)


def _across(reconciler: StoreReconciler, inside: Mapping[str, Reconciliation], shares: Floats) -> Reconciliation:
    """Layer 2. Its evidence counts clients, not groups."""
    strategy = reconciler.strategy if reconciler.strategy in ("union", "intersection", "weighted") else "consensus"
    top = StoreReconciler(strategy=strategy, vote_min=reconciler.vote_min)
    merged = top.merge([r.store for r in inside.values()], client_ids=list(inside), base_weights=np.maximum(shares, 1e-9).tolist())
    evidence = merged.store.evidence
    if evidence is None:  # pragma: no cover - a merge has evidence
        return merged
    stores = [r.store for r in inside.values()]
    edges = _counted(evidence.edges, merged.store.edges.keys, [(s.edges.keys, s.evidence.edges) for s in stores if s.evidence is not None])
    hyper = evidence.hyperedges
    if hyper is not None:
        of_groups = [(s.hyperedges, s.evidence.hyperedges) for s in stores if s.evidence is not None and s.evidence.hyperedges is not None]
        ranks = _ranks([merged.store.hyperedges, *(table for table, _ in of_groups)])
        hyper = _counted(hyper, ranks[0], [(rank, about) for rank, (_, about) in zip(ranks[1:], of_groups, strict=True)])
    return replace(merged, store=replace(merged.store, evidence=replace(evidence, edges=edges, hyperedges=hyper)))


def _counted(evidence: Evidence, keys: Keys, groups: Sequence[tuple[Keys, Evidence]]) -> Evidence:
    """The evidence of rows with these ascending keys, its counts those of clients: summed over the groups behind each row."""
    counts = {name: np.zeros(len(keys), np.int64) for name in ("support", "reporting", "measured_by", "samples")}
    for own, about in groups:
        if not len(own):
            continue
        at = np.minimum(np.searchsorted(own, keys), len(own) - 1)
        there = own[at] == keys
        same = there & (np.sign(about.vote[at]) == np.sign(evidence.vote))
        for name, mask in (("support", same), ("reporting", there), ("measured_by", there), ("samples", there)):
            counts[name] += np.where(mask, np.minimum(getattr(about, name)[at].astype(np.float64), 2.0**53).astype(np.int64), 0)
    return replace(evidence, **counts)


def _ranks(tables: Sequence[HyperedgeTable]) -> list[Keys]:
    """For each table uint64[rows]: its hyperedges by their rank among all that occur."""
    matrices = [table.key_matrix() for table in tables]
    width = max(matrix.shape[1] for matrix in matrices)
    padded = np.concatenate([np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=-1) for matrix in matrices])
    _, rank = np.unique(padded, axis=0, return_inverse=True)
    return np.split(rank.reshape(-1).astype(np.uint64), np.cumsum([len(table) for table in tables])[:-1])


def _client_columns(top: Reconciliation, inside: Mapping[str, Reconciliation], clients: Sequence[str]) -> Reconciliation:
    columns: dict[str, Any] = {name: np.zeros(len(clients)) for name in ("trust", "weight", "agreement")} | {"outlier": np.zeros(len(clients), dtype=bool)}
    position = {client: i for i, client in enumerate(clients)}
    for r in inside.values():
        at = [position[c] for c in r.clients]
        for name, column in columns.items():
            column[at] = getattr(r, name)
    return Reconciliation(store=top.store, clients=tuple(clients), **columns)


def _cut(store: HypergraphStore, vote_min: float) -> HypergraphStore:
    """The rows whose |vote| reaches vote_min, of a store that was merged with vote_min 0."""
    evidence = store.evidence
    if evidence is None:  # pragma: no cover
        return store
    rows = np.abs(evidence.edges.vote) >= vote_min
    edges: EdgeTable = store.edges.take(rows)
    hyper = evidence.hyperedges
    kept = None if hyper is None else np.abs(hyper.vote) >= vote_min
    semantic = store.semantic
    strong = [abs(edge[2]) >= vote_min for edge in semantic.dag_edges]
    named = [score >= vote_min for score in evidence.confounder_scores]
    semantic = replace(
        semantic,
        dag_edges=[edge for edge, keep in zip(semantic.dag_edges, strong, strict=True) if keep],
        confounders=[variable for variable, keep in zip(semantic.confounders, named, strict=True) if keep],
    )
    about = StoreEvidence(
        edges=evidence.edges.take(rows),
        hyperedges=None if hyper is None or kept is None else hyper.take(kept),
        confounder_scores=tuple(score for score, keep in zip(evidence.confounder_scores, named, strict=True) if keep),
        dag_support=tuple(n for n, keep in zip(evidence.dag_support, strong, strict=True) if keep),
        intervention_clients=evidence.intervention_clients,
    )
    hyperedges = store.hyperedges if kept is None else store.hyperedges.take(kept)
    return replace(store, edges=edges, hyperedges=hyperedges, semantic=semantic, evidence=about)
