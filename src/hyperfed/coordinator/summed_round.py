"""A round of statistics: the sum of what is held, in place of a merge of edges."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError
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
) -> tuple[Reconciliation, dict[str, HypergraphStore]]:
    """Return the merge of clients' statistics, and each client's own estimates of its edges.

    updates: those held, by client. graphs, staleness, shares and domains are in the order of the
    clients' ids. Raises AggregationError where an update has no statistics, or the sum does not
    suffice.
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
            remedy="client_agent.statistics_update makes such an update",
        )
    vocabulary = graphs[0].vocabulary
    if vocabulary is None:
        raise AggregationError("has no vocabulary", subject=min(updates))
    summed = merge_statistics(
        graphs,
        statistics,
        policy=policy,
        vocabulary=vocabulary,
        staleness=staleness,
        shares=np.asarray(shares, dtype=np.float64),
        groups=group_numbers(domains),
    )
    return summed.merged, dict(zip(sorted(updates), summed.graphs, strict=True))
