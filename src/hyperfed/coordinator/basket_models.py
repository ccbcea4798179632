"""Make the model of each basket, which is published beside the global one.

Where nothing is private it is the basket's merge; in a private round it comes from the basket's own
noised sum. A basket without a model is listed with the reason. `origins_of` says from which baskets
the edges of the global model come.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.hierarchy.layers import Layered
from hyperfed.hypergraph.evidence import Evidence
from hyperfed.hypergraph.global_model import BasketModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.hypergraph.origins import basket_supports, unadjusted_edges
from hyperfed.hypergraph.suppression import suppress
from hyperfed.privacy.groups import Grouped
from hyperfed.privacy.release import released_graph
from hyperfed.reconciler.reconcile import Reconciliation
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["merged_baskets", "noised_baskets", "origins_of"]


def merged_baskets(
    layered: Layered,
    groups: Mapping[str, tuple[str, ...]],
    graphs: Mapping[str, HypergraphStore],
    *,
    minimum_support: int,
) -> tuple[BasketModel, ...]:
    """Return each group's model, ascending by name, suppressed below the minimum support.

    layered: the merge in two layers. groups: the clients of each group. graphs: each client's
    graph. minimum_support: how many clients must stand behind what is published, as in the global
    model. A group that was left out has an empty model that says why.
    """
    models = []
    for group in layered.groups:
        suppressed = suppress(
            group.graph, [graphs[c] for c in groups[group.name]], minimum_support
        ).graph
        if suppressed.evidence is not None:
            models.append(
                BasketModel(
                    name=group.name,
                    clients=group.clients,
                    share=group.share,
                    left_out="",
                    edges=suppressed.edges,
                    evidence=suppressed.evidence.edges,
                    hyperedges=suppressed.hyperedges,
                    hyper_evidence=suppressed.evidence.hyperedges or Evidence.empty(),
                )
            )
    nothing = EdgeTable.empty()
    for name, why in layered.left_out:
        models.append(
            BasketModel(
                name=name,
                clients=len(groups[name]),
                share=0.0,
                left_out=why,
                edges=nothing,
                evidence=Evidence.empty(),
            )
        )
    return tuple(sorted(models, key=lambda model: model.name))


def noised_baskets(
    released: Grouped,
    left_out: Iterable[tuple[str, str]],
    groups: Mapping[str, tuple[str, ...]],
    *,
    vocabulary: Vocabulary,
    least: float,
) -> tuple[BasketModel, ...]:
    """Return each group's model from its own noised means, ascending by name.

    Each model is cut by the group's own noise. left_out: the groups without a model, each with the
    reason. groups: the clients of each group. least: the smallest |effect| that is published.
    """
    models = []
    for group in released.groups:
        graph = released_graph(group.released, vocabulary=vocabulary, least=least)
        evidence = graph.evidence.edges if graph.evidence is not None else Evidence.empty()
        models.append(
            BasketModel(
                name=group.name,
                clients=group.released.clients,
                share=group.share,
                left_out="",
                edges=graph.edges,
                evidence=evidence,
            )
        )
    for name, why in left_out:
        models.append(
            BasketModel(
                name=name,
                clients=len(groups[name]),
                share=0.0,
                left_out=why,
                edges=EdgeTable.empty(),
                evidence=Evidence.empty(),
            )
        )
    return tuple(sorted(models, key=lambda model: model.name))


def origins_of(
    graph: HypergraphStore,
    merged: Reconciliation,
    *,
    measured: Mapping[str, npt.NDArray[np.uint32]],
    domains: Mapping[str, str],
    minimum: int,
) -> dict[str, Any]:
    """Return where the edges of a model come from, as fields of a model.

    graph: the merged graph after suppression. measured, domains: what each client measured, and its
    basket. minimum: the fewest clients whose count is shown.
    """
    if merged.supporters is None:
        return {}
    is_shown, supporters = np.isin(merged.graph.edges.keys, graph.edges.keys), merged.supporters
    if not is_shown.all():  # of many clients a copy is large
        supporters = supporters[is_shown]
    return {
        "support_by": basket_supports(supporters, merged.clients, domains, minimum=minimum),
        "unadjusted": unadjusted_edges(
            graph.edges, supporters, [measured[client] for client in merged.clients]
        ),
    }
