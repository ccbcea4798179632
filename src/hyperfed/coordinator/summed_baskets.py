"""Merge statistics in two layers: a model of each basket's sum, and one of all baskets' sums.

1. A basket with enough counted clients, whose sum suffices for the engine, has a model of its own.
   The others are left out, and so are their clients.
2. The global model is that of the sum over the clients of all these baskets. A basket's clients are
   scaled down together where its share of the rows is above the policy's cap. Shares are by rows
   ("size"), by rows times trust inside the basket ("trust"), or equal.
3. Trust compares clients inside their basket, in both layers.
4. Each client's own estimates are of the global model's edges, and of its basket's beside them.

What it does not do: it assigns no client to a basket (`protocol.baskets`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError, BreakdownError
from hyperfed.hierarchy.layers import GroupModel, Layered, LayerRules
from hyperfed.hierarchy.weight_caps import capped_shares
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.reconciler.reconcile import Reconciliation
from hyperfed.reconciler.summed import SummedMerge, merge_statistics
from hyperfed.statistics import Statistics
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["summed_layers"]

Floats = npt.NDArray[np.float64]


def summed_layers(
    graphs: Mapping[str, HypergraphStore],
    statistics: Mapping[str, Statistics],
    groups: Mapping[str, Sequence[str]],
    *,
    policy: PolicyPack,
    vocabulary: Vocabulary,
    staleness: Mapping[str, float],
    shares: Mapping[str, float],
) -> tuple[Layered, dict[str, HypergraphStore]]:
    """Return the merge in two layers, and each client's own estimates.

    All mappings but `groups` are by client. groups: the clients of each basket. Raises
    BreakdownError where too few baskets have a model, AggregationError as `merge_statistics`.
    """
    rules = LayerRules(
        minimum=policy.basket_minimum,
        minimum_groups=policy.minimum_groups,
        weights=policy.group_weights,
        influence_cap=policy.influence_cap,
    )

    def merge(members: Sequence[str], factor: Mapping[str, float]) -> SummedMerge:
        return merge_statistics(
            [graphs[client] for client in members],
            {client: statistics[client] for client in members},
            policy=policy,
            vocabulary=vocabulary,
            staleness=np.array([staleness[client] * factor[client] for client in members]),
            shares=np.array([shares[client] for client in members]),
            groups=np.array([number[client] for client in members], dtype=np.int64),
        )

    number = {client: i for i, name in enumerate(sorted(groups)) for client in groups[name]}
    inside: dict[str, SummedMerge] = {}
    left_out: list[tuple[str, str]] = []
    for name in sorted(groups):
        members = sorted(groups[name])
        if len(members) < rules.minimum:
            left_out.append((name, f"{len(members)} counted clients, {rules.minimum} are needed"))
            continue
        try:
            inside[name] = merge(members, dict.fromkeys(members, 1.0))
        except AggregationError as exc:
            left_out.append((name, exc.problem))
    if not inside or len(inside) < rules.minimum_groups:
        raise BreakdownError(
            f"{len(inside)} of {len(groups)} groups have a model, {rules.minimum_groups} are "
            "needed",
            subject="layers",
            remedy="; ".join(f"{name or 'the common group'}: {why}" for name, why in left_out),
        )
    rows = np.array(
        [sum(float(statistics[client].n) for client in groups[name]) for name in inside]
    )
    wanted = _shares(inside, rows, statistics, rules)
    scale = wanted / rows
    scale = scale / scale.max()
    factor = {
        client: float(part)
        for name, part in zip(inside, scale.tolist(), strict=True)
        for client in groups[name]
    }
    counted = sorted(factor)
    whole = merge(counted, factor)
    estimates = dict(graphs) | dict(zip(counted, whole.graphs, strict=True))
    for name, own in inside.items():
        for client, graph in zip(sorted(groups[name]), own.graphs, strict=True):
            edges = _joined(estimates[client].edges, graph.edges)
            estimates[client] = replace(estimates[client], edges=edges)
    models = tuple(
        GroupModel(
            name=name,
            clients=len(groups[name]),
            share=float(share),
            graph=own.merged.graph,
        )
        for (name, own), share in zip(inside.items(), wanted.tolist(), strict=True)
    )
    merged = _of_all(whole.merged, sorted(graphs))
    return Layered(merged=merged, groups=models, left_out=tuple(left_out)), estimates


def _shares(
    inside: Mapping[str, SummedMerge],
    rows: Floats,
    statistics: Mapping[str, Statistics],
    rules: LayerRules,
) -> Floats:
    """Return float64[baskets]: each basket's share of the global sum."""
    by = rows
    if rules.weights == "equal":
        by = np.ones(len(rows))
    elif rules.weights == "trust":
        by = np.array(
            [
                sum(
                    float(weight) * statistics[client].n
                    for client, weight in zip(
                        one.merged.clients, one.merged.weight.tolist(), strict=True
                    )
                )
                for one in inside.values()
            ]
        )
    return capped_shares(by, cap=rules.influence_cap)


def _joined(first: EdgeTable, second: EdgeTable) -> EdgeTable:
    """Return the rows of the first table, and those of the second that it does not have."""
    more = second.take(~np.isin(second.keys, first.keys))
    if not len(more):
        return first
    ends = {
        name: np.concatenate([getattr(first, name), getattr(more, name)])
        for name in (
            "source", "target", "lag", "effect", "ci_low", "ci_high", "confidence", "stability",
            "hits", "n",
        )
    }  # fmt: skip
    return EdgeTable.build(**ends)


def _of_all(merged: Reconciliation, clients: Sequence[str]) -> Reconciliation:
    """Return a merge with a column for each client; one of a basket left out has weight 0."""
    at = np.array([clients.index(client) for client in merged.clients])

    def placed(column: npt.NDArray[np.generic] | None) -> npt.NDArray[np.generic] | None:
        if column is None:
            return None
        out = np.zeros((*column.shape[:-1], len(clients)), dtype=column.dtype)
        out[..., at] = column
        return out

    names = ("trust", "weight", "agreement", "consistency", "assessed", "supporters")
    columns = {name: placed(getattr(merged, name)) for name in names}
    return replace(merged, clients=tuple(clients), **columns)  # type: ignore[arg-type]
