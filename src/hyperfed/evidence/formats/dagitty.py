"""Write and read the language of dagitty.net and of its R package, which pgmpy reads as well.

1. The graph is a `dag` where all edges have an arrow at one end or at both, a `pag` where one has a
   circle (written @), a `pdag` where one has no direction.
2. A lagged cause is a node of its own, `x:1`. An effect is the edge's `beta`.
"""

import numpy as np

from hyperfed.evidence.formats.statements import read_statements, word
from hyperfed.evidence.names import at_lag, nodes_of, now_and_before, row_of
from hyperfed.evidence.order import refuse_cycle
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_ARROWS = {
    "-->": "->",
    "<--": "<-",
    "<->": "<->",
    "---": "--",
    "o->": "@->",
    "<-o": "<-@",
    "o-o": "@-@",
    "o--": "@--",
    "--o": "--@",
}
_MARKS = {arrow: marks for marks, arrow in _ARROWS.items()}


def encode(table: EdgeEvidence) -> bytes:
    """Return the graph in dagitty's language. Raises ConfigError where a `dag` has a cycle."""
    pairs = table.pairs
    marks = "".join(row.endpoints for row in pairs)
    kind = "pag" if "o" in marks else "pdag" if any(r.endpoints == "---" for r in pairs) else "dag"
    if kind == "dag":
        refuse_cycle(pairs, "dagitty")
    lines = [f"{kind} {{", *map(word, nodes_of(table))]
    for row in pairs:
        ends = (word(at_lag(row.source, row.lag)), word(row.target))
        # pgmpy reads no quoted number, and no exponent
        number = "" if row.effect is None else np.format_float_positional(row.effect, trim="-")
        beta = f" [beta={number}]" if number else ""
        lines.append(f"{ends[0]} {_ARROWS[row.endpoints]} {ends[1]}{beta}")
    return "\n".join([*lines, "}", ""]).encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the graph of a file in dagitty's language."""
    said = read_statements(data.decode("utf-8-sig"), "dagitty file")
    rows: list[EvidenceRow] = []
    for source, arrow, target, attributes in said.edges:
        beta = float(attributes["beta"]) if "beta" in attributes else None
        rows.append(row_of(source, target, _MARKS[arrow], effect=beta))
    names = tuple(dict.fromkeys(now_and_before(node)[0] for node in said.nodes))
    return EdgeEvidence.of_rows(iter(rows), names)
