"""Read and write statements of the DOT language, which dagitty's language follows.

1. A file is `[kind] [name] { statements }`. A statement names a node or a chain of edges, and may
   have attributes: `"a" -> b [key="value"]`.
2. A text is quoted unless it is a plain word. In quotes, a backslash takes the next character as it
   is.

What it does not do: subgraphs, ports and HTML labels are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperfed.errors import SchemaError

__all__ = ["Statements", "quoted", "read_statements", "word"]

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | \#[^\n]* | /\*.*?\*/
    | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<arrow><->|<-@|@-@|@->|@--|--@|<-|->|--)
    | (?P<mark>[{}\[\]=,;])
    | (?P<word>[^\s"'{}\[\]=,;<>@-]+|-[0-9.][^\s"'{}\[\]=,;<>@]*)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"node", "edge", "graph", "digraph", "subgraph", "strict", "dag", "pdag", "mag", "pag"}


def word(text: str) -> str:
    """Return a text as the language writes it, quoted where it must be."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _RESERVED:
        return text
    return quoted(text)


def quoted(text: str) -> str:
    """Return a text in quotes."""
    inside = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inside}"'


@dataclass(slots=True)
class Statements:
    """Holds what a file says."""

    kind: str = ""
    """The word before the name: "digraph", "graph", "dag", "pdag", "mag" or "pag"."""
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The attributes of each node, in the order of first use."""
    edges: list[tuple[str, str, str, Mapping[str, str]]] = field(default_factory=list)
    """(node, arrow, node, attributes) of each edge."""


class _Reader:
    """Takes tokens from a text, one after the other. Raises SchemaError with the line."""

    def __init__(self, text: str, subject: str) -> None:
        self.text, self.subject, self.at = text, subject, 0
        self.ahead: tuple[str, str] | None = None

    def wrong(self, problem: str) -> SchemaError:
        line = self.text.count("\n", 0, self.at) + 1
        return SchemaError(f"line {line}: {problem}", subject=self.subject)

    def peek(self) -> tuple[str, str]:
        """Return the kind and the text of the next token; the kind is empty at the end."""
        while self.ahead is None:
            if self.at >= len(self.text):
                return "", ""
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                raise self.wrong(f"{self.text[self.at]!r} stands where nothing like it may")
            self.at = match.end()
            if match.lastgroup == "quoted":
                self.ahead = ("word", re.sub(r"\\(.)", r"\1", match[0][1:-1], flags=re.DOTALL))
            elif match.lastgroup is not None:
                self.ahead = (match.lastgroup, match[0])
        return self.ahead

    def take(self, kind: str, text: str = "") -> str:
        """Return the next token's text. Raises SchemaError where it is another one."""
        found = self.peek()
        if found[0] != kind or (text and found[1] != text):
            raise self.wrong(f"{found[1] or 'the end'!r:.40} where {text or kind!r} belongs")
        self.ahead = None
        return found[1]

    def takes(self, text: str) -> bool:
        """Return whether the next token is this mark, and take it then."""
        if self.peek() != ("mark", text):
            return False
        self.ahead = None
        return True

    def attributes(self) -> dict[str, str]:
        """Return what stands in brackets; a word without a value has the value ""."""
        values: dict[str, str] = {}
        while self.takes("["):
            while not self.takes("]"):
                name = self.take("word")
                values[name] = self.take("word") if self.takes("=") else ""
                if not (self.takes(",") or self.takes(";")):
                    self.peek()
        return values


def read_statements(text: str, subject: str) -> Statements:
    """Return what a file says. Raises SchemaError with the line where it cannot be read."""
    reader, said = _Reader(text, subject), Statements()
    head = []
    while not reader.takes("{"):
        head.append(reader.take("word"))
    words = [one for one in head if one.casefold() != "strict"]
    if not words:
        raise reader.wrong("no word says what kind of graph this is")
    said.kind = words[0].casefold()
    while not reader.takes("}"):
        if reader.takes(";"):
            continue
        name = reader.take("word")
        if name in ("subgraph",) or reader.peek() == ("mark", "{"):
            raise reader.wrong("subgraphs are not read")
        if reader.takes("="):  # an attribute of the graph
            reader.take("word")
            continue
        chain, arrows = [name], []
        while reader.peek()[0] == "arrow":
            arrows.append(reader.take("arrow"))
            chain.append(reader.take("word"))
        attributes = reader.attributes()
        if not arrows and name in ("node", "edge", "graph"):
            continue  # defaults of how it looks
        for node in chain:
            said.nodes.setdefault(node, {})
        if not arrows:
            said.nodes[name].update(attributes)
        for i, arrow in enumerate(arrows):
            said.edges.append((chain[i], arrow, chain[i + 1], attributes))
    if reader.peek()[0]:
        raise reader.wrong("something stands after the graph's end")
    return said
