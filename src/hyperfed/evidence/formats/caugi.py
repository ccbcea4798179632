"""Write and read caugi, version 1: the JSON that the R package caugi saves a graph as.

The class is DAG, PDAG or ADMG where the edges are of these classes and have no cycle, else UNKNOWN.
A lagged cause is a node of its own, `x:1`. Source: caugi's vignette on serialisation.
"""

import json

from hyperfed.errors import SchemaError
from hyperfed.evidence.formats.json_table import json_object
from hyperfed.evidence.names import at_lag, nodes_of, now_and_before, row_of
from hyperfed.evidence.order import cycle_in
from hyperfed.evidence.table import MARKS, EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SCHEMA = "https://caugi.org/schemas/caugi-v1.schema.json"
_CLASSES = {"DAG": {"-->"}, "PDAG": {"-->", "---"}, "ADMG": {"-->", "<->"}}
_TURNED = {"<--": "-->", "<-o": "o->", "o--": "--o"}
"""Marks that caugi writes from the other end."""


def encode(table: EdgeEvidence) -> bytes:
    """Return the graph as caugi's JSON."""
    pairs, edges = table.pairs, []
    for row in pairs:
        ends = [at_lag(row.source, row.lag), row.target]
        marks = _TURNED.get(row.endpoints, row.endpoints)
        if marks != row.endpoints:
            ends.reverse()
        edges.append({"from": ends[0], "to": ends[1], "edge": marks})
    used = {edge["edge"] for edge in edges}
    fitting = [name for name, marks in _CLASSES.items() if used <= marks]
    document = {
        "$schema": _SCHEMA,
        "format": "caugi",
        "version": "1.0.0",
        "graph": {
            "class": fitting[0] if fitting and not cycle_in(pairs) else "UNKNOWN",
            "nodes": nodes_of(table),
            "edges": edges,
        },
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the graph of caugi's JSON. Raises SchemaError for another version."""
    document = json_object(data)
    version = str(document.get("version", ""))
    if document.get("format") != "caugi" or version.split(".")[0] != "1":
        raise SchemaError(
            f"has version {version!r:.20}; version 1 of caugi's format is read",
            subject="caugi file",
        )
    graph = document["graph"]
    rows: list[EvidenceRow] = []
    for edge in graph["edges"]:
        marks = {"--": "---"}.get(edge["edge"], edge["edge"])
        if marks not in MARKS:
            raise SchemaError(f"has the edge {marks!r:.20}", subject="caugi file")
        rows.append(row_of(str(edge["from"]), str(edge["to"]), marks))
    names = tuple(dict.fromkeys(now_and_before(str(node))[0] for node in graph["nodes"]))
    return EdgeEvidence.of_rows(iter(rows), names)
