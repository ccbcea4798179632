"""Write and read GEXF 1.2: a directed graph with typed attributes, as Gephi and networkx read it.

Two edges between the same variables at different lags are parallel edges with an id each.
"""

from xml.etree import ElementTree as Tree

from hyperfed.evidence.formats.xml_text import parsed, text_of
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SPACE = "http://www.gexf.net/1.2draft"
_KINDS = {str: "string", int: "long", float: "double"}


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as GEXF; the weight of an edge is its |vote| where that is known."""
    root = Tree.Element("gexf", xmlns=_SPACE, version="1.2")
    graph = Tree.SubElement(root, "graph", defaultedgetype="directed", mode="static")
    rows = [row.known for row in table.rows]
    kinds = {name: type(value) for row in rows for name, value in row.items()}
    titles = [name for name in kinds if name not in ("from", "to")]
    attributes = Tree.SubElement(graph, "attributes", {"class": "edge", "mode": "static"})
    for name in titles:
        Tree.SubElement(attributes, "attribute", id=name, title=name, type=_KINDS[kinds[name]])
    nodes = Tree.SubElement(graph, "nodes")
    for name in table.variables:
        Tree.SubElement(nodes, "node", id=name, label=name)
    edges = Tree.SubElement(graph, "edges")
    for number, row in enumerate(rows):
        about = {"id": str(number), "source": row.pop("from"), "target": row.pop("to")}
        if "vote" in row:
            about["weight"] = str(abs(row["vote"]))
        values = Tree.SubElement(Tree.SubElement(edges, "edge", about), "attvalues")
        for name, value in row.items():
            Tree.SubElement(values, "attvalue", {"for": name, "value": str(value)})
    return text_of(root)


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a GEXF file."""
    root = parsed(data, "gexf")
    graph = next(root.iter("graph"))
    titles = {
        one.get("id", ""): one.get("title", "")
        for block in graph.iter("attributes")
        if block.get("class") == "edge"
        for one in block.iter("attribute")
    }
    labels = {
        node.attrib["id"]: node.get("label") or node.attrib["id"] for node in graph.iter("node")
    }
    default = graph.get("defaultedgetype", "undirected")
    rows = []
    for edge in graph.iter("edge"):
        values = {
            titles.get(one.get("for", ""), ""): one.get("value", "")
            for one in edge.iter("attvalue")
        }
        directed = edge.get("type", default) == "directed"
        values.setdefault("endpoints", "-->" if directed else "---")
        ends = {"from": labels[edge.attrib["source"]], "to": labels[edge.attrib["target"]]}
        rows.append(EvidenceRow.of(values | ends))
    return EdgeEvidence.of_rows(iter(rows), tuple(labels.values()))
