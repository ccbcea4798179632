"""Write lagged variables and unusual names in formats that know neither.

1. A format without lags gets a node for each variable at each lag that an edge has: `x` is now,
   `x:1` one step ago, as Tetrad writes it; `x_lag1` where a name takes no colon.
2. A format that takes letters, digits, dots and underscores only gets names as R's `make.names`
   makes them. A comment at the beginning of the file has the names as they were, and the reader
   gives them back.

Two names that would become one are refused.
"""

import json
import re
from collections.abc import Iterable, Mapping

from hyperfed.errors import ConfigError
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = [
    "at_lag",
    "name_comments",
    "nodes_of",
    "now_and_before",
    "plain_names",
    "read_names",
    "row_of",
    "turned",
]

_COMMENT = "hyperfed names: "


def at_lag(name: str, lag: int, sign: str = ":") -> str:
    """Return the node of a variable so many steps ago."""
    return f"{name}{sign}{lag}" if lag else name


def now_and_before(node: str, sign: str = ":") -> tuple[str, int]:
    """Return the variable and the lag of a node."""
    match = re.fullmatch(rf"(.+){re.escape(sign)}([1-9][0-9]{{0,4}})", node)
    return (match[1], int(match[2])) if match else (node, 0)


def nodes_of(table: EdgeEvidence, sign: str = ":") -> list[str]:
    """Return the nodes of a graph without lags, those of now first.

    Raises ConfigError where a variable's name looks like one at a lag.
    """
    for name in table.variables:
        if now_and_before(name, sign)[1]:
            raise ConfigError(
                "its name reads as a variable at a lag in this format",
                subject=f"variable {name!r:.80}",
                remedy="Export to a format that has lags, such as graphml",
            )
    before = sorted({(row.source, row.lag) for row in table.pairs if row.lag})
    return [*table.variables, *(at_lag(name, lag, sign) for name, lag in before)]


def row_of(
    source: str, target: str, marks: str, sign: str = ":", *, effect: float | None = None
) -> EvidenceRow:
    """Return the edge between two nodes of a graph without lags.

    Raises ConfigError where both are in the past, or the arrow runs back in time.
    """
    (first, lag), (second, later) = now_and_before(source, sign), now_and_before(target, sign)
    if later and not lag:  # written from the effect's side
        return row_of(target, source, turned(marks), sign, effect=effect)
    if later:
        raise ConfigError(
            "joins two nodes of the past",
            subject=f"edge {source!r:.80} -> {target!r:.80}",
            remedy="Give each edge once, with its target now",
        )
    if not lag and marks in ("<--", "<-o"):
        first, second, marks = second, first, turned(marks)
    return EvidenceRow(source=first, target=second, lag=lag, endpoints=marks, effect=effect)


def turned(marks: str) -> str:
    """Return an edge's marks, read from its other end."""
    return marks[::-1].translate(str.maketrans("<>", "><"))


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name of letters, digits, dots and underscores for each name.

    Raises ConfigError where two names would become one.
    """
    plain: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        made = re.sub(r"[^A-Za-z0-9._]", ".", name)
        if not re.match(r"[A-Za-z]", made):
            made = f"X{made}"
        if made in taken:
            raise ConfigError(
                f"has the same name as {taken[made]!r:.80} in this format",
                subject=f"variable {name!r:.80}",
                remedy="Export to a format that takes any name, such as graphml",
            )
        plain[name] = made
        taken[made] = name
    return plain


def name_comments(plain: Mapping[str, str], mark: str) -> list[str]:
    """Return the comment that says which names were changed; empty where none was."""
    changed = {made: name for name, made in plain.items() if made != name}
    return [f"{mark} {_COMMENT}{json.dumps(changed)}"] if changed else []


def read_names(text: str, mark: str) -> dict[str, str]:
    """Return the names as they were, from the comment of `name_comments`."""
    start = f"{mark} {_COMMENT}"
    line = next((line for line in text.splitlines() if line.startswith(start)), None)
    names = json.loads(line.removeprefix(start)) if line is not None else {}
    return {str(made): str(name) for made, name in names.items()}
