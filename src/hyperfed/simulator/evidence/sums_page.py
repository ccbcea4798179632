"""Make the tables and pictures of docs/sums.md and of the evidence on sums, from their numbers."""

from collections.abc import Sequence
from typing import Any

from hyperfed.simulator.evidence.pictures import lines_svg, mean_and_error
from hyperfed.simulator.evidence.sums import CLIENTS, LIARS, ROWS, WAYS

__all__ = ["PICTURES", "filled", "picture", "sums_section"]

PICTURES = {
    "sums-var.svg": "var",
    "sums-sem.svg": "sem",
    "sums-liars-var.svg": "var",
    "sums-liars-sem.svg": "sem",
}
"""The world of each picture."""
_TITLES = {
    "var": "VAR(1), 6 variables, 1,280 rows in all",
    "sem": "SEM by PC, 20 variables, 2,560 rows in all",
}
_SHORT = ("votes", "sums", "pooled rows")
_DRAWN = tuple(way for way in WAYS if way != "plain sum")
_LIED = ("votes", "pooled effects", "sums", "plain sum")
_BEGIN, _END = "<!-- made: sums -->", "<!-- end -->"
_SECTION = """
## Sums of statistics beside votes

    python benchmarks/sums.py     # plays this section again; a quarter of an hour of a core

The total of rows stays the same, and 2 to 64 clients share it. `votes` is the default merge, and
`pooled effects` the same tables merged with `cut = "fdr"`. `sums` is the default merge of
[statistics](sums.md), and `plain sum` that without trust or corrections. `centred rows` is the
plan's engine on all rows in one place, after each client's means are taken away; `pooled rows` has
one intercept instead. F1 is that of signed edges (VAR), or of pairs (SEM, by PC).
"""
_EQUAL = """
A plain sum finds exactly the edges of centred rows, in every federation played: point for point
they are one column. Sums differ from pooled rows by {most:.3f} at most. What else differs is the
intercepts: with 20 rows a client, an intercept each costs a VAR up to {lost:.3f} of F1 (centred
rows), and the correction for short series, which `sums` has, brings it back. `cut = "fdr"` needs
more than two clients: between two, no spread can be told.
"""
_LYING = """
Some of ten clients have data of another world, which they share. Trust is in Fisher's z of all
correlations ([how](sums.md#what-a-coordinator-makes-of-them)). On an honest night it costs nothing
that a table of this size shows.
"""
_TIME = """
Processor time: that of one client, and that of whoever merges; the best of all seeds. Votes of a
VAR have 50 resamples, those of PC five, and so many have the sums of PC.
"""

Cells = Sequence[dict[str, Any]]


def picture(cells: Cells, name: str) -> str:
    """Return a picture: F1 over how many clients share the rows, or how many of ten lie."""
    kind, lied = PICTURES[name], "liars" in name
    lines: dict[str, dict[int, Sequence[float]]] = {way: {} for way in (_LIED if lied else _DRAWN)}
    for cell in cells:
        if cell["world"] != kind or cell["way"] not in lines:
            continue
        if lied and cell["clients"] == 10:
            lines[cell["way"]][cell["liars"]] = cell["f1"]
        if not lied and cell["clients"] != 10:
            lines[cell["way"]][cell["clients"]] = cell["f1"]
    title = f"{_TITLES[kind]}: F1{' of pairs' if kind == 'sem' else ''}"
    axis = {"axis": "liars among ten clients"} if lied else {}
    played = {way: line for way, line in lines.items() if line}
    return lines_svg(title, played, **axis)


def filled(page: str, cells: Cells) -> str:
    """Return docs/sums.md with its table made anew."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    heads = [f"{kind.upper()}, {way}" for kind in ROWS for way in _SHORT]
    rows = [
        [_said(cells, kind, clients, 0, way) for kind in ROWS for way in _SHORT]
        for clients in CLIENTS
    ]
    lied = ("votes", "sums", "plain sum")
    tables = [
        *_table("clients", heads, CLIENTS, rows),
        "",
        *_table(
            "10 clients, 3 lie",
            lied,
            [kind.upper() for kind in ROWS],
            [[_said(cells, kind, 10, 3, way) for way in lied] for kind in ROWS],
        ),
    ]
    made = "\n".join(tables)
    return f"{before}{_BEGIN}\n\n{made}\n\n{_END}{after}"


def sums_section(cells: Cells) -> list[str]:
    """Return the lines of the evidence about sums."""
    lines = [_SECTION.strip()]
    for kind in ROWS:
        values = [[_said(cells, kind, n, 0, way) for way in _DRAWN] for n in CLIENTS]
        lines += ["", f"{_TITLES[kind]}; {_seeds(cells, kind)}:", ""]
        lines += [f"![F1 by clients](sums-{kind}.svg)", ""]
        lines += _table("clients", _DRAWN, CLIENTS, values)
    most = max(_apart(cells, kind, "sums", "pooled rows") for kind in ROWS)
    lost = _apart(cells, "var", "centred rows", "pooled rows")
    lines += ["", _EQUAL.strip().format(most=most, lost=lost), "", _LYING.strip()]
    for kind in ROWS:
        lied = [n for n in (0, *LIARS) if _cell(cells, kind, 10, n, "sums") is not None]
        values = [[_said(cells, kind, 10, liars, way) for way in _LIED] for liars in lied]
        lines += ["", f"{_TITLES[kind]}, 10 clients:", ""]
        lines += [f"![F1 by liars](sums-liars-{kind}.svg)", ""]
        lines += _table("liars", _LIED, lied, values)
    heads = [
        f"{kind.upper()}, {who}, {way}"
        for kind in ROWS
        for who in ("client", "merge")
        for way in ("votes", "sums")
    ]
    took = [
        [
            _took(cells, kind, clients, way, f"{who}_s")
            for kind in ROWS
            for who in ("client", "merge")
            for way in ("votes", "sums")
        ]
        for clients in CLIENTS
    ]
    return [*lines, "", _TIME.strip(), "", *_table("clients", heads, CLIENTS, took)]


def _table(
    corner: str, heads: Sequence[str], names: Sequence[object], rows: Sequence[Sequence[str]]
) -> list[str]:
    return [
        f"| {corner} | {' | '.join(heads)} |",
        "|---" * (1 + len(heads)) + "|",
        *(f"| {name} | {' | '.join(row)} |" for name, row in zip(names, rows, strict=True)),
    ]


def _cell(cells: Cells, kind: str, clients: int, liars: int, way: str) -> dict[str, Any] | None:
    """Return a cell, or None where it was not played."""
    wanted = (kind, clients, liars, way)
    return next(
        (
            cell
            for cell in cells
            if (cell["world"], cell["clients"], cell["liars"], cell["way"]) == wanted
        ),
        None,
    )


def _mean(cells: Cells, kind: str, clients: int, way: str) -> float:
    """Return the mean F1 of a way where nobody lies. Raises KeyError where it was not played."""
    cell = _cell(cells, kind, clients, 0, way)
    if cell is None:
        raise KeyError(f"{kind}, {clients} clients, {way}")
    return mean_and_error(cell["f1"])[0]


def _said(cells: Cells, kind: str, clients: int, liars: int, way: str) -> str:
    """Return a mean F1 with its standard error, as text."""
    cell = _cell(cells, kind, clients, liars, way)
    if cell is None:
        return "-"
    mean, error = mean_and_error(cell["f1"])
    return f"{mean:.2f} ± {error:.2f}".replace("0.", ".")


def _took(cells: Cells, kind: str, clients: int, way: str, who: str) -> str:
    """Return seconds as text."""
    cell = _cell(cells, kind, clients, 0, way)
    if cell is None or who not in cell:
        return "-"
    seconds = float(cell[who])
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _apart(cells: Cells, kind: str, first: str, second: str) -> float:
    """Return the largest distance of two ways' mean F1, over the numbers of clients."""
    return max(
        abs(_mean(cells, kind, clients, first) - _mean(cells, kind, clients, second))
        for clients in CLIENTS
    )


def _seeds(cells: Cells, kind: str) -> str:
    """Return how many seeds there are, as text."""
    counts = {}
    for way in ("votes", "sums"):
        cell = _cell(cells, kind, CLIENTS[0], 0, way)
        counts[way] = 0 if cell is None else len(cell["f1"])
    votes, sums = counts["votes"], counts["sums"]
    return f"{sums} seeds" if votes == sums else f"{sums} seeds, of votes {votes}"
