"""Merge edges that are not in the coordinator's memory (`Elsewhere`).

The edges lie in a spool of this process (`streamed`), or in scratch for other machines (`remote`).

1. What is merged from there is, to the last bit, what a merge of whole tables would give.
2. A private round has whole tables in one process: what it holds before its noise must not leave
   it. So does a round with baskets, whose merge needs them, one of statistics, which have no rows,
   and one that shows single clients, whose rows are read once more (`may_lie_elsewhere`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.ranges import Ranges
from hyperfed.packets import PolicyPack, Update
from hyperfed.reconciler.reconcile import Reconciliation, StoreReconciler, group_numbers

__all__ = ["EdgelessUpdate", "Elsewhere", "may_lie_elsewhere"]

Floats = npt.NDArray[np.float64]


def may_lie_elsewhere(policy: PolicyPack) -> bool:
    """Return whether a round's merge can do without whole tables in one process."""
    whole = policy.basket_minimum or policy.payload != "edges" or policy.show_clients
    return policy.privacy == "none" and not whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgelessUpdate:
    """Holds an update whose edges lie elsewhere."""

    update: Update
    """The update without its edges."""
    largest: float
    """The largest sample count of its edges; 0 where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Elsewhere:
    """Merges edges outside of the coordinator's graphs."""

    ranges: Callable[[Sequence[str]], Ranges]
    """Returns the ranges of the edges of these clients, whose ids ascend."""
    largest: Mapping[str, float]
    """The largest sample count of each client's edges."""
    accuracies: Callable[[], Mapping[str, float]]
    """Returns the accuracy of each client, as `trust_scorer.accuracy_of` computes it. It may read
    all edges once more.
    """

    def merge(
        self,
        reconciler: StoreReconciler,
        graphs: Sequence[HypergraphStore],
        *,
        clients: tuple[str, ...],
        base: Floats,
        losses: Sequence[float | None],
        shares: Sequence[float],
        domains: Sequence[str] | None = None,
    ) -> Reconciliation:
        """Return what `reconciler.merge` would give if the graphs had their edges.

        graphs: each client's graph without edges. clients: their ids, ascending; graphs, base,
        losses and shares are aligned with them. base: float64[clients], the base weights without
        shares and sample counts. losses: what each client claims, for the rule adaptive. shares:
        what organisation caps leave of each weight.
        """
        part = np.asarray(shares, dtype=np.float64)
        weighed = base * part
        hyper = [
            float(int(graph.hyperedges.n.max())) if len(graph.hyperedges) else 0.0
            for graph in graphs
        ]
        samples = np.maximum([self.largest[client] for client in clients], hyper)
        if reconciler.n_cap:
            weighed = weighed * np.minimum(np.maximum(samples, 1.0), float(reconciler.n_cap))
        return reconciler.merge_ranges(
            self.ranges(clients),
            graphs,
            clients=clients,
            base=weighed,
            losses=losses,
            shares=part,
            samples=samples,
            groups=group_numbers(domains),
        )
