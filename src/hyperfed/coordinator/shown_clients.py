"""Say what single clients estimated of a model's edges, where the plan shows it.

Members see the estimates, under pseudonyms, where the signed plan says so and the registry asks for
no minimum support (R-125). The operator's own pages show them under clients' names (`report.site`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.hypergraph.single_clients import (
    ClientEstimates,
    client_estimates,
    under_pseudonyms,
)
from hyperfed.reconciler.reconcile import Reconciliation

if TYPE_CHECKING:
    from hyperfed.coordinator.federation import FederationCoordinator

__all__ = ["estimates_of", "shown_estimates"]


def shown_estimates(
    coordinator: "FederationCoordinator", keys: npt.NDArray[np.uint64]
) -> ClientEstimates | None:
    """Return clients' estimates under pseudonyms; None where the plan does not show them.

    coordinator: has merged. keys: uint64[edges], ascending: the model's edges. Raises PrivacyError
    where the registry asks for a minimum support above 1.
    """
    if not coordinator.policy.show_clients or coordinator.reconciliation is None:
        return None
    if coordinator.budget.minimum_support > 1:
        raise PrivacyError(
            "shows single clients, and the registry asks for a minimum support",
            subject=f"policy of round {coordinator.round}",
            rule="R-125",
            remedy="Set show_clients = false in the policy",
        )
    return under_pseudonyms(
        estimates_of(keys, coordinator.reconciliation, coordinator.clients, coordinator.graphs())
    )


def estimates_of(
    keys: npt.NDArray[np.uint64],
    merged: Reconciliation,
    clients: Sequence[str],
    graphs: Sequence[HypergraphStore],
) -> ClientEstimates:
    """Return what each client estimated of some edges, numbered in the order of `clients`.

    keys: uint64[edges], ascending. graphs: each client's, in the order of `clients`.
    """
    weights = dict(zip(merged.clients, merged.weight.tolist(), strict=True))
    return client_estimates(
        keys, [graph.edges for graph in graphs], [weights.get(client, 0.0) for client in clients]
    )
