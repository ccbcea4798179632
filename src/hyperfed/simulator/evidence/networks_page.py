"""Make the evidence's section on networks of other kinds from what was played."""

from collections.abc import Sequence
from typing import Any

from hyperfed.simulator.evidence.many_genes import CLIENTS as EXPERIMENTS
from hyperfed.simulator.evidence.many_genes import ENOUGH, FEW, SHRINKAGE
from hyperfed.simulator.evidence.pictures import mean_and_error
from hyperfed.simulator.evidence.sums import WAYS

__all__ = ["networks_section"]

_SHOWN = tuple(way for way in WAYS if way != "plain sum")
_RANKED = ("votes", "mean effects", "sums", "centred rows", "shrunk", "pooled rows", "guessing")
_NETWORKS = """
## Sums of statistics, on other networks

These worlds are not linear, or real. *brain*: ten regions in the manner of NetSim, 3,200 scans of
all subjects together. *genes*: ten genes in the manner of DREAM4, 1,600 measurements; kinetics are
not linear. *cells*: 7,466 cells of Sachs et al. (2005), whose published network is the truth.
*states*: the demonstration's 48 states; they have no truth, and the score is agreement with centred
rows. F1 is that of signed edges at lag 1 (genes, states), or of pairs. Engines are VAR and PC.
"""
_NETWORKS_SAY = """
Where clients differ, pooled rows estimate something else. They have one intercept: an experiment
that shifts genes together makes effects of its shift, and F1 is lower. A model of centred rows has
an intercept for each client, and a plain sum, without trust or corrections, finds exactly its edges
(a test holds it). The default merge of sums differs from that by its weights: trust takes rows from
experiments and states that are unlike most others.

Where a linear model is wrong, more rows find more edges that are not there: with 8 experiments of
200 measurements (genes), votes, which see only strong effects, are nearest to the truth.
"""
_MANY = """
**A hundred genes.** Ten experiments are the clients, and all 9,900 directed pairs are ranked: the
score is the area under precision over recall (AUPR), a mean over {seeds} seeds.
"""
_MANY_SAY = """
With {few} measurements each, as in DREAM4, no round takes sums: of 20 rows, moments of 200 columns
tell the rows (R-162). Nor has an engine rows enough to vote. The first line simulates what a sum
would find, on all centred rows in one place. *shrunk* takes {shrinkage:.0%} of each correlation
away: it gains most where no round is allowed, and loses where one is. So plans have no such setting
([ADR 0085](adr/0085-a-hundred-genes.md)). With {enough} measurements all ways agree. The kinetics
are ours and easier than the challenge's, whose data are not played.
"""

Cells = Sequence[dict[str, Any]]


def networks_section(cells: Cells, many: Cells) -> list[str]:
    """Return the lines of the section: networks of ten variables and more, and a hundred genes."""
    seeds = max(len(cell["aupr"]) for cell in many)
    lines = [_NETWORKS.strip(), "", *_table(cells), "", _NETWORKS_SAY.strip()]
    lines += ["", _MANY.strip().format(seeds=seeds), "", *_many_table(many)]
    said = _MANY_SAY.strip().format(few=FEW, enough=ENOUGH, shrinkage=SHRINKAGE)
    return [*lines, "", said]


def _table(cells: Cells) -> list[str]:
    rows = [f"| network | clients | {' | '.join(_SHOWN)} |", "|---" * (2 + len(_SHOWN)) + "|"]
    for network, clients in dict.fromkeys((cell["network"], cell["clients"]) for cell in cells):
        by_way = {
            cell["way"]: cell["f1"]
            for cell in cells
            if (cell["network"], cell["clients"]) == (network, clients)
        }
        said = [_said(by_way.get(way)) for way in _SHOWN]
        rows.append(f"| {network} | {clients} | {' | '.join(said)} |")
    return rows


def _many_table(many: Cells) -> list[str]:
    rows = [f"| clients, measurements | {' | '.join(_RANKED)} |", "|---" * (1 + len(_RANKED)) + "|"]
    for points in (FEW, ENOUGH):
        by_way = {cell["way"]: cell["aupr"] for cell in many if cell["points"] == points}
        said = [_said(by_way.get(way)) for way in _RANKED]
        rows.append(f"| {EXPERIMENTS}, {points} each | {' | '.join(said)} |")
    return rows


def _said(values: Sequence[float] | None) -> str:
    """Return a mean with its standard error, or a dash where nothing was played."""
    if not values:
        return "-"
    mean, error = mean_and_error(values)
    return f"{mean:.3f} ± {error:.3f}".replace("0.", ".")
