"""Make the table and the pictures of docs/sums.md from the numbers that were played."""

from collections.abc import Sequence
from typing import Any

from hyperfed.simulator.evidence.pictures import lines_svg, mean_and_error
from hyperfed.simulator.evidence.sums import CLIENTS, ROWS, WAYS

__all__ = ["PICTURES", "filled", "picture"]

PICTURES = {"var": "sums-var.svg", "sem": "sums-sem.svg"}
"""The picture of each world."""
_TITLES = {
    "var": "VAR(1), 6 variables, 1,280 rows in all: F1",
    "sem": "SEM by PC, 20 variables, 2,560 rows in all: F1 of pairs",
}
_BEGIN, _END = "<!-- made: sums -->", "<!-- end -->"

Cells = Sequence[dict[str, Any]]


def picture(cells: Cells, kind: str) -> str:
    """Return a world's picture: F1 over how many clients share the rows, a line for each way."""
    lines: dict[str, dict[int, Sequence[float]]] = {way: {} for way in WAYS}
    for cell in cells:
        if cell["world"] == kind and not cell["liars"] and cell["way"] in lines:
            lines[cell["way"]][cell["clients"]] = cell["f1"]
    return lines_svg(_TITLES[kind], lines)


def filled(page: str, cells: Cells) -> str:
    """Return the page with its table made anew."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}\n\n{_tables(cells)}\n\n{_END}{after}"


def _tables(cells: Cells) -> str:
    kinds = [kind for kind in ROWS if any(cell["world"] == kind for cell in cells)]
    rows = [
        "| clients | " + " | ".join(f"{k.upper()}, {way}" for k in kinds for way in WAYS) + " |"
    ]
    rows.append("|---" * (1 + len(kinds) * len(WAYS)) + "|")
    for clients in CLIENTS:
        values = [_said(cells, kind, clients, 0, way) for kind in kinds for way in WAYS]
        rows.append(f"| {clients} | " + " | ".join(values) + " |")
    lied = ["", "| 10 clients, 3 lie | votes | sums | plain sum |", "|---|---|---|---|"]
    liars = max((cell["liars"] for cell in cells), default=0)
    for kind in kinds:
        values = [_said(cells, kind, 10, liars, way) for way in ("votes", "sums", "plain sum")]
        lied.append(f"| {kind.upper()} | " + " | ".join(values) + " |")
    return "\n".join([*rows, *lied])


def _said(cells: Cells, kind: str, clients: int, liars: int, way: str) -> str:
    """Return a mean F1 with its standard error, as text."""
    for cell in cells:
        key = (cell["world"], cell["clients"], cell["liars"], cell["way"])
        if key == (kind, clients, liars, way):
            mean, error = mean_and_error(cell["f1"])
            return f"{mean:.2f} ± {error:.2f}".replace("0.", ".")
    return ""
