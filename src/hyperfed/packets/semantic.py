"""Define higher-level structure as a packet: votes on a graph, confounders, interventions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.packets.fields import index, integer, keep_checked, number

__all__ = ["CausalSemanticPack"]


@dataclass(frozen=True, slots=True)
class CausalSemanticPack:
    """Holds higher-level structure that a client reports or a merge returns (DESIGN section 2).

    Edges and confounders are kept in ascending order. Raises BoundsError where a field is out of
    range, or where an edge or a confounder is given twice.
    """

    dag_edges: list[tuple[int, int, float]] = field(default_factory=list)
    """(source, target, weight) for each edge that is voted for. In a merged pack the weight is the
    weighted mean vote.
    """
    confounders: list[int] = field(default_factory=list)
    """Indices of the variables that are suspected to be confounded: each shares a cause with
    another one that nobody measured. A merged pack holds those that a share of the clients names.
    """
    interventions: list[dict[str, Any]] = field(default_factory=list)
    """What the client did: one flat map for each intervention. Where it has `variable`, the index
    of a variable, an experiment set that variable (`intervened`).
    """

    def __post_init__(self) -> None:
        kind = "CausalSemanticPack"
        edges = []
        for edge in self.dag_edges:
            if not isinstance(edge, tuple | list) or len(edge) != 3:
                raise BoundsError(
                    f"dag edge {edge!r:.80}; (source, target, weight) is needed", subject=kind
                )
            source, target = (
                index(kind, "dag edge source", edge[0]),
                index(kind, "dag edge target", edge[1]),
            )
            if source == target:
                raise BoundsError(f"dag edge {edge!r:.80} points at its own source", subject=kind)
            edges.append((source, target, number(kind, "dag edge weight", edge[2])))
        if len({edge[:2] for edge in edges}) != len(edges):
            raise BoundsError("a dag edge is given twice", subject=kind)
        confounders = [index(kind, "confounder", variable) for variable in self.confounders]
        if len(set(confounders)) != len(confounders):
            raise BoundsError("a confounder is given twice", subject=kind)
        keep_checked(
            self,
            dag_edges=sorted(edges),
            confounders=sorted(confounders),
            interventions=[_intervention(i) for i in self.interventions],
        )

    @property
    def intervened(self) -> tuple[int, ...]:
        """The variables that an experiment set, ascending."""
        variables = {act.get("variable") for act in self.interventions}
        return tuple(sorted(i for i in variables if type(i) is int and 0 <= i < MAX_VARIABLES))


def _intervention(value: object) -> dict[str, Any]:
    """Return a checked copy of an intervention.

    An intervention is a flat map from texts to texts, numbers, booleans or None. Nothing nests.
    Raises BoundsError for anything else.
    """
    kind = "CausalSemanticPack"
    fields: dict[str, Any] = {}
    if not isinstance(value, dict) or len(value) > 64:
        raise BoundsError("an intervention is a map of at most 64 entries", subject=kind)
    for name, entry in value.items():
        if not isinstance(name, str) or len(name) > 200:
            raise BoundsError(
                f"intervention entry {name!r:.80}: names are texts of at most 200 characters",
                subject=kind,
            )
        if type(entry) is int or isinstance(entry, np.integer):
            fields[name] = integer(kind, f"intervention {name!r:.80}", entry, -(2**63), 2**63)
        elif type(entry) is float or isinstance(entry, np.floating):
            fields[name] = number(kind, f"intervention {name!r:.80}", entry)
        elif entry is None or type(entry) is bool or (type(entry) is str and len(entry) <= 2000):
            fields[name] = entry
        else:
            what = (
                f"a text of {len(entry)} characters"
                if isinstance(entry, str)
                else f"a {type(entry).__name__}"
            )
            what = "a binary field" if isinstance(entry, bytes | memoryview) else what
            raise BoundsError(
                f"intervention {name!r:.80} is {what}; texts of at most 2000 characters, "
                "numbers, booleans and null are allowed",
                subject=kind,
            )
    return fields
