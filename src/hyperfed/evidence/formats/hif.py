"""Write and read HIF, the Hypergraph Interchange Format: joint effects, beside plain edges.

1. Each effect is one directed hyperedge: its causes are the tail, what they act on is the head.
   Lag and numbers are attributes of the edge; names are the nodes.
2. `check_hif` holds a document to the standard: which fields there are, which are needed, of what
   type. A compliant document that says nothing of direction, or has several heads, describes no
   effect of causes, and `decode` says so.

Source: HIF-org/HIF-standard, its schema of 2026.
"""

import json
from collections.abc import Mapping
from typing import Any

from hyperfed.errors import SchemaError
from hyperfed.evidence.formats.json_table import json_object
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow, JointEffect
from hyperfed.hypergraph.frames import library_named

__all__ = ["check_hif", "decode", "encode", "from_hif", "to_hif", "to_xgi"]

_NUMBER, _ID, _MAP = (int, float), (str, int), (dict,)
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "incidences": {"edge": _ID, "node": _ID, "weight": _NUMBER, "direction": (str,), "attrs": _MAP},
    "nodes": {"node": _ID, "weight": _NUMBER, "attrs": _MAP},
    "edges": {"edge": _ID, "weight": _NUMBER, "attrs": _MAP},
}
_NEEDED = {"incidences": ("edge", "node"), "nodes": ("node",), "edges": ("edge",)}


def check_hif(document: Any) -> None:
    """Raise SchemaError where a document does not comply with the standard."""
    if not isinstance(document, dict):
        raise _wrong("is not an object")
    for name, value in document.items():
        if name == "network-type":
            if value not in ("undirected", "directed", "asc"):
                raise _wrong(f"network-type is {value!r:.40}")
        elif name == "metadata":
            if not isinstance(value, dict):
                raise _wrong("metadata is not an object")
        elif name in _FIELDS:
            _check_records(name, value)
        else:
            raise _wrong(f"has a field {name!r:.40}, which HIF has not")
    if "incidences" not in document:
        raise _wrong("has no incidences")


def _check_records(part: str, records: Any) -> None:
    if not isinstance(records, list):
        raise _wrong(f"{part} is not a list")
    fields = _FIELDS[part]
    for i, record in enumerate(records):
        where = f"{part}[{i}]"
        if not isinstance(record, dict):
            raise _wrong(f"{where} is not an object")
        for name in _NEEDED[part]:
            if name not in record:
                raise _wrong(f"{where} has no {name}")
        for name, value in record.items():
            if name not in fields:
                raise _wrong(f"{where} has a field {name!r:.40}, which HIF has not")
            if not isinstance(value, fields[name]) or isinstance(value, bool):
                raise _wrong(f"{where}.{name} is a {type(value).__name__}")
        if record.get("direction", "head") not in ("head", "tail"):
            raise _wrong(f"{where}.direction is {record['direction']!r:.40}")


def _wrong(problem: str) -> SchemaError:
    return SchemaError(problem, subject="hif file", remedy="See the schema of HIF-org/HIF-standard")


def to_hif(table: EdgeEvidence) -> dict[str, Any]:
    """Return the edges and joint effects as an HIF document."""
    effects: list[tuple[tuple[str, ...], str, dict[str, Any]]] = []
    for row in table.rows:
        known = row.known
        effects.append(((known.pop("from"),), known.pop("to"), known))
    for one in table.joint:
        about = {n: getattr(one, n) for n in ("lag", "effect", "vote", "support", "measured")}
        known = {name: value for name, value in about.items() if value is not None}
        effects.append((one.sources, one.target, known))
    incidences, edges = [], []
    for number, (sources, target, known) in enumerate(effects):
        edge = f"e{number}"
        incidences += [{"edge": edge, "node": name, "direction": "tail"} for name in sources]
        incidences.append({"edge": edge, "node": target, "direction": "head"})
        edges.append({"edge": edge, "attrs": known})
    return {
        "network-type": "directed",
        "metadata": {"format": "hyperfed-edge-evidence"},
        "incidences": incidences,
        "nodes": [{"node": name} for name in table.variables],
        "edges": edges,
    }


def from_hif(document: Mapping[str, Any]) -> EdgeEvidence:
    """Return the table of an HIF document.

    Raises SchemaError where it does not comply, or holds what is no effect of causes.
    """
    check_hif(document)
    tails: dict[Any, list[str]] = {}
    heads: dict[Any, list[str]] = {}
    for one in document["incidences"]:
        if "direction" not in one:
            raise _wrong(f"edge {one['edge']!r:.40} has no direction: it says no cause and effect")
        (tails if one["direction"] == "tail" else heads).setdefault(one["edge"], []).append(
            str(one["node"])
        )
    known = {one["edge"]: one.get("attrs", {}) for one in document.get("edges", ())}
    rows, joint = [], []
    for edge in dict.fromkeys((*tails, *heads)):
        sources, targets = tails.get(edge, []), heads.get(edge, [])
        if not sources or len(targets) != 1:
            raise _wrong(
                f"edge {edge!r:.40} has {len(sources)} causes and {len(targets)} effects; at "
                "least one and exactly one are needed"
            )
        about = known.get(edge, {})
        if len(sources) == 1:
            rows.append(EvidenceRow.of({**about, "from": sources[0], "to": targets[0]}))
            continue
        names = ("lag", "effect", "vote", "support", "measured")
        values = {name: about[name] for name in names if about.get(name) is not None}
        joint.append(JointEffect(sources=tuple(sources), target=targets[0], **values))
    listed = [str(one["node"]) for one in document.get("nodes", ())]
    ends = [str(one["node"]) for one in document["incidences"]]
    return EdgeEvidence(
        variables=tuple(dict.fromkeys((*listed, *ends))), rows=tuple(rows), joint=tuple(joint)
    )


def to_xgi(table: EdgeEvidence) -> Any:
    """Return the effects as an xgi.DiHypergraph. Raises ConfigError where xgi is not installed."""
    xgi = library_named("xgi", "to_xgi")
    return xgi.from_hif_dict(to_hif(table))


def encode(table: EdgeEvidence) -> bytes:
    """Return the table as an HIF file."""
    return (json.dumps(to_hif(table), indent=1, allow_nan=False) + "\n").encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the table of an HIF file."""
    return from_hif(json_object(data))
