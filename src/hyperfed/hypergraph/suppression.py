"""Suppress what fewer than k clients stand behind, so that it does not read like what is absent.

1. An edge that would stay in the merge with a support below k is suppressed: its key is named, its
   values are not.
2. A variable that fewer than k clients measured is `few`: whatever touches it is suppressed,
   whether or not anybody found it.
3. Hyperedges, `dag_edges` and confounders below k are left out without a name. Interventions are
   published by their clients on purpose, and stay.
4. An edge is then present, suppressed, unmeasured (nobody measured one of its ends, or fewer than k
   looked at its lag) or absent (`EdgeStatus`). In a private release it is present or hidden: there
   no count decides, and what the noise does not let through is neither absent nor unmeasured.

Source: DESIGN section 3 (minimum support is the registry's).

What it does not do: it makes nothing differentially private. A count of k says nothing about who
knows the other k - 1; suppression keeps single clients out of sight of a casual reader.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.evidence import StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import CausalSemanticPack
from hyperfed.tables.hyperedges import HyperedgeTable

__all__ = ["EdgeStatus", "Suppressed", "suppress"]


class EdgeStatus(StrEnum):
    """Says how an edge stands in a model."""

    PRESENT = "present"
    SUPPRESSED = "suppressed: too few clients stand behind it"
    UNMEASURED = "not measured"
    ABSENT = "absent"
    HIDDEN = "not shown: below the noise, whether or not it is there"

    @property
    def word(self) -> str:
        """The status in one or two words, which never stand for another status."""
        return {
            EdgeStatus.PRESENT: "present",
            EdgeStatus.SUPPRESSED: "suppressed",
            EdgeStatus.UNMEASURED: "missing",
            EdgeStatus.ABSENT: "absent",
            EdgeStatus.HIDDEN: "not released",
        }[self]

    @property
    def meaning(self) -> str:
        """The sentence that the word stands for."""
        return {
            EdgeStatus.PRESENT: "The merge keeps this edge.",
            EdgeStatus.SUPPRESSED: "Fewer clients stand behind this edge than the registry asks "
            "for, so that its values are not published.",
            EdgeStatus.UNMEASURED: "Nobody measured both ends at this lag, or too few did: nothing "
            "is known.",
            EdgeStatus.ABSENT: "Clients measured both ends at this lag, and the merge keeps no "
            "edge.",
            EdgeStatus.HIDDEN: "It is below the noise of a private release, whether or not it is "
            "there.",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Holds a graph without the rows that too few clients stand behind."""

    graph: HypergraphStore
    """The graph without those rows."""
    edges: npt.NDArray[np.uint64]
    """uint64[rows], ascending: the keys of edges that were taken out.

    Edges that touch a variable in `few` are taken out too, and are not listed.
    """
    few: npt.NDArray[np.uint32]
    """uint32[variables], ascending: the variables that too few clients measured."""


def suppress(graph: HypergraphStore, graphs: Sequence[HypergraphStore], minimum: int) -> Suppressed:
    """Return the merged `graph` with everything below `minimum` clients taken out.

    `graphs` are the graphs of the clients that were merged. A minimum of 1 takes out nothing.
    """
    nothing = Suppressed(
        graph=graph, edges=np.zeros(0, dtype=np.uint64), few=np.zeros(0, dtype=np.uint32)
    )
    evidence = graph.evidence
    if minimum <= 1 or evidence is None:
        return nothing
    measured, count = np.unique(np.concatenate([s.measured for s in graphs]), return_counts=True)
    few = measured[count < minimum].astype(np.uint32)
    touches = np.isin(graph.edges.source, few) | np.isin(graph.edges.target, few)
    weak = (evidence.edges.support < minimum) | touches
    hyper = graph.hyperedges
    stays = (
        np.zeros(0, dtype=bool)
        if evidence.hyperedges is None
        else np.asarray(evidence.hyperedges.support >= minimum)
    )
    named = np.concatenate([np.array(s.semantic.confounders, dtype=np.int64) for s in graphs])
    semantic = graph.semantic
    dag = [
        i
        for i, edge in enumerate(semantic.dag_edges)
        if evidence.dag_support[i] >= minimum and not np.isin(edge[:2], few).any()
    ]
    confounders = [
        i
        for i, variable in enumerate(semantic.confounders)
        if int((named == variable).sum()) >= minimum
    ]
    remaining = HypergraphStore(
        edges=graph.edges.take(~weak),
        hyperedges=hyper.take(stays) if len(stays) and stays.any() else HyperedgeTable.empty(),
        semantic=CausalSemanticPack(
            dag_edges=[semantic.dag_edges[i] for i in dag],
            confounders=[semantic.confounders[i] for i in confounders],
            interventions=semantic.interventions,
        ),
        measured=np.setdiff1d(graph.measured, few),
        lags=_looked_at([s.lags for s in graphs], minimum),
        vocabulary=graph.vocabulary,
        evidence=None,
    )
    about = StoreEvidence(
        edges=evidence.edges.take(~weak),
        hyperedges=evidence.hyperedges.take(stays)
        if evidence.hyperedges is not None and stays.any()
        else None,
        confounder_scores=tuple(evidence.confounder_scores[i] for i in confounders),
        dag_support=tuple(evidence.dag_support[i] for i in dag),
        intervention_clients=evidence.intervention_clients,
    )
    return Suppressed(
        graph=replace(remaining, evidence=about), edges=graph.edges.keys[weak & ~touches], few=few
    )


def _looked_at(lags: Sequence[tuple[int, ...] | None], minimum: int) -> tuple[int, ...] | None:
    """Return the lags that `minimum` clients looked at; None where so many looked at all lags."""
    of_all = sum(client_lags is None for client_lags in lags)
    if of_all >= minimum:
        return None
    named = Counter(lag for client_lags in lags if client_lags is not None for lag in client_lags)
    return tuple(sorted(lag for lag, count in named.items() if count + of_all >= minimum))
