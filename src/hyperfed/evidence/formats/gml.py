"""Write and read GML: a directed multigraph as nested lists of keys and values.

Texts are ASCII, with other characters as `&#n;`, as the format's author asks and networkx writes.
Source: Himsolt 1997, GML: a portable graph file format.
"""

import html
import re
from typing import Any

from hyperfed.errors import SchemaError
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_TOKEN = re.compile(r"\s*(?:#[^\n]*\n|(\[)|(\])|\"([^\"]*)\"|([^\s\[\]\"]+))")
_DEPTH = 16
_OURS = {"ci_low": "ciLow", "ci_high": "ciHigh"}  # a key has letters and digits only
_THEIRS = {ours: name for name, ours in _OURS.items()}


def encode(table: EdgeEvidence) -> bytes:
    """Return the edges as GML."""
    lines = ["graph [", " directed 1", " multigraph 1"]
    index = {name: i for i, name in enumerate(table.variables)}
    for name, i in index.items():
        lines += [" node [", f"  id {i}", f"  label {_value(name)}", " ]"]
    for number, row in enumerate(table.rows):
        known = row.known
        source, target = index[known.pop("from")], index[known.pop("to")]
        lines += [" edge [", f"  source {source}", f"  target {target}", f"  key {number}"]
        lines += [f"  {_OURS.get(name, name)} {_value(value)}" for name, value in known.items()]
        lines.append(" ]")
    return "\n".join([*lines, "]", ""]).encode("ascii")


def _value(value: object) -> str:
    if not isinstance(value, str):
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    safe = (
        c if c.isascii() and c.isprintable() and c not in '"&' else f"&#{ord(c)};" for c in value
    )
    return f'"{"".join(safe)}"'


def decode(data: bytes) -> EdgeEvidence:
    """Return the edges of a GML file."""
    tokens = list(_tokens(data.decode("utf-8-sig")))
    graph = dict(_list(tokens, 0)).get("graph")
    if not isinstance(graph, list):
        raise SchemaError("has no graph", subject="gml file")
    directed = ("directed", "1") in graph
    nodes = [dict(value) for key, value in graph if key == "node"]
    labels = {node["id"]: str(node.get("label", node["id"])) for node in nodes}
    rows = []
    for value in (value for key, value in graph if key == "edge"):
        edge = {_THEIRS.get(key, key): cell for key, cell in value}
        edge.setdefault("endpoints", "-->" if directed else "---")
        edge |= {"from": labels[edge.pop("source")], "to": labels[edge.pop("target")]}
        rows.append(EvidenceRow.of(edge))
    return EdgeEvidence.of_rows(iter(rows), tuple(labels.values()))


def _tokens(text: str) -> Any:
    """Yield the tokens from the last to the first, so that they can be taken off the end."""
    found = []
    for match in _TOKEN.finditer(text):
        opening, closing, quoted, word = match.groups()
        if quoted is not None:
            found.append(("text", html.unescape(quoted)))
        elif opening or closing or word:
            found.append(("word", opening or closing or word))
    return reversed(found)


def _list(tokens: list[tuple[str, str]], depth: int) -> list[tuple[str, Any]]:
    """Return the keys and values up to the end of a list; the tokens are used up."""
    if depth > _DEPTH:
        raise SchemaError(f"nests deeper than {_DEPTH} lists", subject="gml file")
    pairs: list[tuple[str, Any]] = []
    while tokens:
        kind, key = tokens.pop()
        if (kind, key) == ("word", "]"):
            break
        if not tokens:
            raise SchemaError("ends after a key", subject="gml file")
        kind, value = tokens.pop()
        pairs.append((key, _list(tokens, depth + 1) if (kind, value) == ("word", "[") else value))
    return pairs
