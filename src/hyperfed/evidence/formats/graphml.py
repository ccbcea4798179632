"""Write and read GraphML: a directed multigraph with typed attributes.

The file is what networkx, igraph, Gephi and yEd read: a key for each attribute, a node for each
variable, an edge for each row, with its lag as an attribute. Source: graphml.graphdrawing.org.
"""

from xml.etree import ElementTree as Tree

from hyperfed.evidence.formats.xml_text import parsed, text_of
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SPACE = "http://graphml.graphdrawing.org/xmlns"
_KINDS = {str: "string", int: "long", float: "double"}


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as GraphML."""
    root = Tree.Element("graphml", xmlns=_SPACE)
    rows = [row.known for row in table.rows]
    kinds = {name: type(value) for row in rows for name, value in row.items()}
    names = [name for name in kinds if name not in ("from", "to")]
    Tree.SubElement(
        root, "key", {"id": "label", "for": "node", "attr.name": "label", "attr.type": "string"}
    )
    for name in names:
        about = {"id": name, "for": "edge", "attr.name": name, "attr.type": _KINDS[kinds[name]]}
        Tree.SubElement(root, "key", about)
    graph = Tree.SubElement(root, "graph", edgedefault="directed")
    for name in table.variables:
        node = Tree.SubElement(graph, "node", id=name)
        Tree.SubElement(node, "data", key="label").text = name
    for row in rows:
        edge = Tree.SubElement(graph, "edge", source=row.pop("from"), target=row.pop("to"))
        for name, value in row.items():
            Tree.SubElement(edge, "data", key=name).text = str(value)
    return text_of(root)


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a GraphML file; an edge without direction has the marks `---`."""
    root = parsed(data, "graphml")
    names = {key.get("id", ""): key.get("attr.name", "") for key in root.iter("key")}
    graph = next(root.iter("graph"))
    labels = {}
    for node in graph.iter("node"):
        values = {names.get(d.get("key", ""), ""): d.text or "" for d in node.iter("data")}
        labels[node.attrib["id"]] = values.get("label") or node.attrib["id"]
    rows = []
    directed = graph.get("edgedefault", "directed") == "directed"
    for edge in graph.iter("edge"):
        values = {names.get(d.get("key", ""), ""): d.text or "" for d in edge.iter("data")}
        values.setdefault("endpoints", "-->" if directed else "---")
        ends = {"from": labels[edge.attrib["source"]], "to": labels[edge.attrib["target"]]}
        rows.append(EvidenceRow.of(values | ends))
    return EdgeEvidence.of_rows(iter(rows), tuple(labels.values()))
