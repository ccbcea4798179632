"""Show what an object of the drop-box says: tables as rows, variables by name."""

from typing import Any

from hyperfed.cli.moments_shown import moments_shown
from hyperfed.cli.output import plain
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.receipt_objects import Receipt
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["content_of"]


def content_of(value: Any, vocabulary: Vocabulary | None = None) -> dict[str, Any]:
    """Return an object's value, with tables as rows and variables by name."""
    if isinstance(value, GlobalModel):
        return {
            "clients": value.clients,
            "time": value.time,
            "freeze": value.freeze,
            "statement": value.statement,
            "privacy": value.privacy,
            "suppressed": value.suppressed_rows(),
            "measured_by_too_few": [value.vocabulary.names[int(i)] for i in value.few],
            "policy": value.policy,
            "vocabulary": list(value.vocabulary.names),
            **_units(value.vocabulary),
            "hyperedges": len(value.hyperedges),
            "edges": value.rows(),
        }
    if isinstance(value, Update):
        names = [
            vocabulary.names[int(i)] if vocabulary and int(i) < len(vocabulary) else int(i)
            for i in value.measured
        ]
        content: dict[str, Any] = {
            "measured": names,
            **(_units(vocabulary) if vocabulary else {}),
            "lags": "all of the plan's" if value.lags is None else list(value.lags),
            "claims": value.claims,
            "semantic": value.semantic,
        }
        if value.base is not None:
            content["base"] = value.base
        if value.edges is not None:
            content["edges"] = _rows(value.edges, vocabulary)
        if value.deltas is not None:
            content["deltas"] = len(value.deltas)
        if value.statistics is not None:
            content |= moments_shown(value.statistics, vocabulary)
        return content
    fields: dict[str, Any] = plain(value)
    if isinstance(value, Plan):
        fields |= _units(value.vocabulary)
    if isinstance(value, Receipt):
        # the leaf is a text: what the Merkle tree holds of this update
        fields["leaf"] = value.leaf.decode(errors="replace")
    return fields


def _units(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the units of variables, and what is plausible in them; nothing where none is stated.

    An effect is in the target's units for one of the source's.
    """
    units = {v.name: v.unit for v in vocabulary.variables if v.unit}
    plausible = {
        v.name: " to ".join("any" if end is None else f"{end:g}" for end in (v.low, v.high))
        for v in vocabulary.variables
        if (v.low, v.high) != (None, None)
    }
    return ({"units": units} if units else {}) | ({"plausible": plausible} if plausible else {})


def _rows(edges: EdgeTable, vocabulary: Vocabulary | None) -> list[dict[str, Any]]:
    if vocabulary is None:
        return list(edges.rows())
    names = vocabulary.names

    def name(index: float) -> Any:
        return names[int(index)] if int(index) < len(names) else int(index)

    return [
        {**row, "source": name(row["source"]), "target": name(row["target"])}
        for row in edges.rows()
    ]
