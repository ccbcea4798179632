"""Merge a round of statistics by the sum of what is held, in place of a merge of edges."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.coordinator.summed_baskets import summed_layers
from hyperfed.errors import AggregationError
from hyperfed.hierarchy.layers import Layered
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.reconciler.reconcile import Reconciliation, group_numbers
from hyperfed.reconciler.summed import merge_statistics

__all__ = ["summed_round"]


def summed_round(
    updates: Mapping[str, Update],
    graphs: Sequence[HypergraphStore],
    policy: PolicyPack,
    *,
    staleness: npt.NDArray[np.float64],
    shares: Sequence[float],
    domains: Sequence[str] | None,
    groups: Mapping[str, Sequence[str]],
) -> tuple[Reconciliation, dict[str, HypergraphStore], Layered | None]:
    """Return the merge of clients' statistics, each client's own estimates, and baskets' models.

    updates: those held, by client. graphs, staleness, shares and domains are in the order of the
    clients' ids. groups: the clients of each basket, used where the policy has baskets; None is
    returned where it has none. Raises AggregationError where an update has no statistics, or the
    sum does not suffice, and BreakdownError where too few baskets have a model.
    """
    statistics = {
        client: update.statistics
        for client, update in updates.items()
        if update.statistics is not None
    }
    lacking = sorted(updates.keys() - statistics.keys())
    if lacking:
        raise AggregationError(
            "its update has no statistics, which the policy's payload asks for",
            subject=lacking[0],
            remedy="Make such an update with client_agent.statistics_update",
        )
    vocabulary = graphs[0].vocabulary
    if vocabulary is None:
        raise AggregationError("has no vocabulary", subject=min(updates))
    clients = sorted(updates)
    if policy.basket_minimum:
        layered, estimates = summed_layers(
            dict(zip(clients, graphs, strict=True)),
            statistics,
            groups,
            policy=policy,
            vocabulary=vocabulary,
            staleness=dict(zip(clients, staleness.tolist(), strict=True)),
            shares=dict(zip(clients, shares, strict=True)),
        )
        return layered.merged, estimates, layered
    summed = merge_statistics(
        graphs,
        statistics,
        policy=policy,
        vocabulary=vocabulary,
        staleness=staleness,
        shares=np.asarray(shares, dtype=np.float64),
        groups=group_numbers(domains),
    )
    return summed.merged, dict(zip(clients, summed.graphs, strict=True)), None
