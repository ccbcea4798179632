"""Write and read DOT, which Graphviz draws, with the evidence as attributes of the edges.

Marks become arrowheads and arrowtails, a negative effect a dashed line, so that the picture says
what the attributes do. Source: graphviz.org, The DOT Language.
"""

from hyperfed.evidence.formats.statements import quoted, read_statements, word
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SHAPES = {"-": "none", "<": "normal", ">": "normal", "o": "odot"}


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as DOT."""
    lines = ["digraph hyperfed {", *(f"  {word(name)};" for name in table.variables)]
    for row in table.rows:
        known = row.known
        ends = f"{word(known.pop('from'))} -> {word(known.pop('to'))}"
        looks = {
            "dir": "both",
            "arrowtail": _SHAPES[row.endpoints[0]],
            "arrowhead": _SHAPES[row.endpoints[-1]],
            "style": "dashed" if (row.effect or 0.0) < 0 else "solid",
        }
        shown = ", ".join(f"{name}={quoted(str(value))}" for name, value in (known | looks).items())
        lines.append(f"  {ends} [{shown}];")
    return "\n".join([*lines, "}", ""]).encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a DOT file; one without direction has the marks `---`."""
    said = read_statements(data.decode("utf-8-sig"), "dot file")
    rows = []
    for source, arrow, target, attributes in said.edges:
        marks = {"endpoints": "-->" if arrow == "->" else "---"}
        rows.append(EvidenceRow.of(marks | dict(attributes) | {"from": source, "to": target}))
    return EdgeEvidence.of_rows(iter(rows), tuple(said.nodes))
