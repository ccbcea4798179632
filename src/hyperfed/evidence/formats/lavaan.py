"""Write and read regressions, one line for each target, as R's lavaan, semopy and pgmpy read them.

1. `y ~ x1 + x2` has the edges from x1 and x2 to y; `x ~~ y` is a shared cause that nobody measured.
   An edge whose direction is not known has no place in a regression, and is named in a comment.
2. Names are made plain; a comment has the names as they were. `x_lag1` is x one step ago.
3. Of a file from elsewhere, coefficients and labels (`0.5*x`) are left out; `=~` and `:=` are
   refused, as they are no edges between measured variables.
"""

import re

from hyperfed.errors import SchemaError
from hyperfed.evidence.names import (
    at_lag,
    name_comments,
    nodes_of,
    now_and_before,
    plain_names,
    read_names,
    row_of,
)
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SIGN = "_lag"


def encode(table: EdgeEvidence) -> bytes:
    """Return the graph as regressions. Raises ConfigError where two names would become one."""
    plain = plain_names(nodes_of(table, _SIGN))
    variables = " ".join(plain[name] for name in table.variables)
    lines = [*name_comments(plain, "#"), f"# variables: {variables}"]
    causes: dict[str, list[str]] = {}
    shared, undirected = [], []
    for row in table.pairs:
        ends = [plain[at_lag(row.source, row.lag, _SIGN)], plain[row.target]]
        if row.endpoints in ("-->", "<--"):
            source, target = ends if row.endpoints == "-->" else reversed(ends)
            causes.setdefault(target, []).append(source)
        elif row.endpoints == "<->":
            shared.append(f"{ends[0]} ~~ {ends[1]}")
        else:
            undirected.append(f"# without direction: {ends[0]} {row.endpoints} {ends[1]}")
    lines += [f"{target} ~ {' + '.join(sources)}" for target, sources in causes.items()]
    return "\n".join([*lines, *shared, *undirected, ""]).encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the graph of regressions. Raises SchemaError for a line that is none."""
    text = data.decode("utf-8-sig")
    names = read_names(text, "#")
    listed = re.search(r"^# variables: (.*)$", text, re.MULTILINE)
    rows: list[EvidenceRow] = []
    for number, line in enumerate(text.splitlines(), 1):
        model = line.partition("#")[0].strip()
        if not model:
            continue
        parts = [part.strip() for part in re.split(r"(=~|:=|~~|~)", model, maxsplit=1)]
        left, operator, right = parts if len(parts) == 3 else ("", "", "")
        terms = [term.rpartition("*")[2].strip() for term in right.split("+")]
        if operator not in ("~", "~~") or not left or not all(map(_is_name, [left, *terms])):
            raise SchemaError(
                f"line {number}: {model!r:.60} is no regression",
                subject="lavaan file",
                remedy="Lines are y ~ x1 + x2, or x ~~ y",
            )
        for term in terms:
            first, second = (names.get(one, one) for one in (term, left))
            if operator == "~~" and first == second:
                continue  # a variance
            marks = "-->" if operator == "~" else "<->"
            rows.append(row_of(first, second, marks, _SIGN))
    if not rows and listed is None:
        raise SchemaError("has no regression", subject="lavaan file")
    stated = [names.get(one, one) for one in (listed[1].split() if listed else ())]
    return EdgeEvidence.of_rows(iter(rows), tuple(now_and_before(n, _SIGN)[0] for n in stated))


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[^\W\d][\w.]*", text) is not None
