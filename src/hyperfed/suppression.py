"""Minimum support: what fewer than k clients stand behind is not released, and reads differently from what is not there.

1. An edge that would stay in the merge with a support below k is suppressed: its key is named, its values are not.
2. A variable that fewer than k clients measured is `few`: whatever touches it is suppressed, whether or not anybody found it.
3. Hyperedges, `dag_edges` and confounders below k are left out without a name. Interventions are published by their clients on purpose, and stay.
4. An edge is then present, suppressed, unmeasured (nobody measured one of its ends) or absent (`EdgeStatus`). In a private release it is present or
   hidden: there no count decides, and what the noise does not let through is neither absent nor unmeasured.

Source: DESIGN section 3 (minimum support is the registry's). What it does not do: make anything differentially private. A count of k says nothing
about who knows the other k - 1; suppression keeps single clients out of sight of a casual reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore, StoreEvidence
from hyperfed.packets import CausalSemanticPack
from hyperfed.tables import HyperedgeTable

__all__ = ["EdgeStatus", "Suppressed", "suppress"]


class EdgeStatus(StrEnum):
    """How an edge stands in a model."""

    PRESENT = "present"
    SUPPRESSED = "suppressed: too few clients stand behind it"
    UNMEASURED = "not measured"
    ABSENT = "absent"
    HIDDEN = "not shown: below the noise, whether or not it is there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A store without what too few stand behind. edges: uint64[rows] ascending keys that were taken out; few: uint32[variables] ascending."""

    store: HypergraphStore
    edges: npt.NDArray[np.uint64]
    few: npt.NDArray[np.uint32]


def suppress(store: HypergraphStore, stores: Sequence[HypergraphStore], minimum: int) -> Suppressed:
    """The merged `store` of these clients' stores, with everything below `minimum` clients taken out. A minimum of 1 takes out nothing."""
    nothing = Suppressed(store=store, edges=np.zeros(0, dtype=np.uint64), few=np.zeros(0, dtype=np.uint32))
    evidence = store.evidence
    if minimum <= 1 or evidence is None:
        return nothing
    measured, count = np.unique(np.concatenate([s.measured for s in stores]), return_counts=True)
    few = measured[count < minimum].astype(np.uint32)
    touches = np.isin(store.edges.source, few) | np.isin(store.edges.target, few)
    weak = (evidence.edges.support < minimum) | touches
    hyper = store.hyperedges
    stays = np.zeros(0, dtype=bool) if evidence.hyperedges is None else np.asarray(evidence.hyperedges.support >= minimum)
    named = np.concatenate([np.array(s.semantic.confounders, dtype=np.int64) for s in stores])
    semantic = store.semantic
    dag = [i for i, edge in enumerate(semantic.dag_edges) if evidence.dag_support[i] >= minimum and not np.isin(edge[:2], few).any()]
    confounders = [i for i, variable in enumerate(semantic.confounders) if int((named == variable).sum()) >= minimum]
    kept = HypergraphStore(
        edges=store.edges.take(~weak),
        hyperedges=hyper.take(stays) if len(stays) and stays.any() else HyperedgeTable.empty(),
        semantic=CausalSemanticPack(
            dag_edges=[semantic.dag_edges[i] for i in dag],
            confounders=[semantic.confounders[i] for i in confounders],
            interventions=semantic.interventions,
        ),
        measured=np.setdiff1d(store.measured, few),
        vocabulary=store.vocabulary,
        evidence=None,
    )
    about = StoreEvidence(
        edges=evidence.edges.take(~weak),
        hyperedges=evidence.hyperedges.take(stays) if evidence.hyperedges is not None and stays.any() else None,
        confounder_scores=tuple(evidence.confounder_scores[i] for i in confounders),
        dag_support=tuple(evidence.dag_support[i] for i in dag),
        intervention_clients=evidence.intervention_clients,
    )
    return Suppressed(store=replace(kept, evidence=about), edges=store.edges.keys[weak & ~touches], few=few)
