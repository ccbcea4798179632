"""Write and read BIF 0.15, the structure alone, as bnlearn and pgmpy read it.

The structure is the variables and their parents. The federation knows no probabilities, so the file
has none: it says so, and each variable has the two states that the format asks for. An edge whose
direction is not known is named in a comment.
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
from hyperfed.evidence.order import refuse_cycle
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow

__all__ = ["decode", "encode"]

_SIGN = "_lag"


def encode(table: EdgeEvidence) -> bytes:
    """Return the structure as BIF. Raises ConfigError where it has a cycle."""
    pairs = table.pairs
    refuse_cycle(pairs, "bif")
    plain = plain_names(nodes_of(table, _SIGN))
    parents: dict[str, list[str]] = {name: [] for name in plain.values()}
    comments = [*name_comments(plain, "//"), "// structure only: no probabilities are known"]
    for row in pairs:
        ends = [plain[at_lag(row.source, row.lag, _SIGN)], plain[row.target]]
        if row.endpoints in ("-->", "<--"):
            source, target = ends if row.endpoints == "-->" else reversed(ends)
            parents[target].append(source)
        else:
            comments.append(f"// without direction: {ends[0]} {row.endpoints} {ends[1]}")
    lines = [*comments, "network hyperfed {", "}"]
    for name in parents:
        lines += [f"variable {name} {{", "  type discrete [ 2 ] { low, high };", "}"]
    for name, causes in parents.items():
        given = f" | {', '.join(causes)}" if causes else ""
        lines += [f"probability ( {name}{given} ) {{", "}"]
    return "\n".join([*lines, ""]).encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the structure of a BIF file; its probabilities are not read."""
    text = data.decode("utf-8-sig")
    names = read_names(text, "//")
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    listed = [one.strip('"') for one in re.findall(r'variable\s+("[^"]*"|\S+)\s*\{', bare)]
    if not listed:
        raise SchemaError("names no variable", subject="bif file")
    rows: list[EvidenceRow] = []
    for inside in re.findall(r"probability\s*\(([^)]*)\)", bare):
        target, _, causes = inside.partition("|")
        for cause in filter(None, (one.strip(' "\n') for one in causes.split(","))):
            ends = [names.get(one, one) for one in (cause, target.strip(' "\n'))]
            rows.append(row_of(ends[0], ends[1], "-->", _SIGN))
    stated = (now_and_before(names.get(one, one), _SIGN)[0] for one in listed)
    return EdgeEvidence.of_rows(iter(rows), tuple(dict.fromkeys(stated)))
