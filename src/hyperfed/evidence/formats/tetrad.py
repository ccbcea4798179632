"""Write and read the text that Tetrad and causal-learn save a graph as.

`x:1` is x one step ago, as in Tetrad's time series graphs. Names have no spaces in this format, and
nothing could restore them: such a name is refused.
"""

import re

from hyperfed.errors import ConfigError, SchemaError
from hyperfed.evidence.names import at_lag, nodes_of, now_and_before, row_of
from hyperfed.evidence.table import MARKS, EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_EDGE = re.compile(r"\d+\. (\S+) (\S{3})(?: (\S+))")


def encode(table: EdgeEvidence) -> bytes:
    """Return the graph as Tetrad's text. Raises ConfigError for a name that it cannot hold."""
    nodes = nodes_of(table)
    for node in nodes:
        if re.search(r"[\s;,]", node):
            raise ConfigError(
                "has a space, a comma or a semicolon, which no name in this format has",
                subject=f"variable {node!r:.80}",
                remedy="Export to a format that takes any name, such as graphml",
            )
    edges = [
        f"{number}. {at_lag(row.source, row.lag)} {row.endpoints} {row.target}"
        for number, row in enumerate(table.pairs, 1)
    ]
    return "\n".join(["Graph Nodes:", ";".join(nodes), "", "Graph Edges:", *edges, ""]).encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the graph of Tetrad's text; names may be parted by commas, as older versions do."""
    lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    nodes: list[str] = []
    rows: list[EvidenceRow] = []
    part = ""
    for number, line in enumerate(lines, 1):
        if line in ("Graph Nodes:", "Graph Edges:"):
            part = line
        elif line and part == "Graph Nodes:":
            nodes += [name for name in re.split(r"[;,]", line) if name]
        elif part == "Graph Edges:" and line and line[0].isdigit():
            match = _EDGE.match(line)
            if match is None or match[2] not in MARKS:
                raise SchemaError(f"line {number}: {line!r:.60} is no edge", subject="tetrad file")
            rows.append(row_of(match[1], match[3], match[2]))
    if not part:
        raise SchemaError("has no line 'Graph Nodes:'", subject="tetrad file")
    names = tuple(dict.fromkeys(now_and_before(node)[0] for node in nodes))
    return EdgeEvidence.of_rows(iter(rows), names)
