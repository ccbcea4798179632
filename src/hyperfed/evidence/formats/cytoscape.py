"""Write and read Cytoscape JSON (.cyjs), which Cytoscape, cytoscape.js and networkx read."""

import json

from hyperfed.evidence.formats.json_table import json_object
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as Cytoscape JSON; parallel edges have an id and a key each."""
    edges = []
    for number, row in enumerate(table.rows):
        known = row.known
        ends = {"id": f"e{number}", "source": known.pop("from"), "target": known.pop("to")}
        edges.append({"data": {**ends, "key": number, "interaction": row.endpoints, **known}})
    document = {
        "data": [],
        "directed": True,
        "multigraph": True,
        "elements": {
            "nodes": [
                {"data": {"id": name, "value": name, "name": name}} for name in table.variables
            ],
            "edges": edges,
        },
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of Cytoscape JSON."""
    elements = json_object(data)["elements"]
    names = {}
    for node in elements["nodes"]:
        about = node["data"]
        names[str(about["id"])] = str(about.get("name") or about["id"])
    rows = []
    for edge in elements["edges"]:
        about = edge["data"]
        ends = {"from": names[str(about["source"])], "to": names[str(about["target"])]}
        rows.append(EvidenceRow.of(about | ends))
    return EdgeEvidence.of_rows(iter(rows), tuple(names.values()))
