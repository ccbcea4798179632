"""Simulate what complete blocks cost secure sums without noise, as docs/secure-sums.md shows it.

1. Clients are away for spells of some nights, each by itself, so that a stated share of them is
   missing on any night.
2. A night's cohort is what `complete_blocks` makes of those who are there. A client that is there
   and waits for another is left out. A night is lost when fewer than half of the clients are
   summed.
3. A wait is a run of nights in which a client's numbers are in no sum, away or left out.
4. Every figure has its standard error over the years played; everything follows from seeds.

What it does not do: protocol, masks, clients that are away together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.secure_aggregation import complete_blocks
from hyperfed.simulator.panels import Estimate, Panel, panels_svg

__all__ = [
    "ABSENCES",
    "BLOCKS",
    "MARKS",
    "BlockWorld",
    "BlockYear",
    "measure",
    "picture",
    "play",
    "table",
    "with_table",
]

ABSENCES = (0.02, 0.1)
"""The shares of clients away on a night that are simulated."""
BLOCKS = (1, 4, 6, 8, 12, 16, 24)
"""The sizes of blocks that are simulated; 1 stands for no blocks."""
MARKS = ("<!-- blocks: made by benchmarks/secure_blocks.py -->", "<!-- end -->")
"""What stands before and after the table in docs/secure-sums.md."""

_QUORUM = 0.5
_FIGURES = ("left_out", "missed_nights", "longest_wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockWorld:
    """Describes one year of a federation with blocks of one size."""

    clients: int = 48
    """How many clients there are, each of an organisation of its own."""
    block: int = 6
    """How many clients a block has; the last block takes what is left."""
    absence: float = 0.1
    """Which share of the clients is away on a night, in (0, 1)."""
    spell: float = 3.0
    """For how many nights a client is away at a time on average, at least 1."""
    nights: int = 365
    """How many nights are played."""
    seed: int = 0
    """The seed of everything random here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockYear:
    """Holds what a year of blocks cost."""

    left_out: float
    """Which share of the clients that were there waited for another of their block."""
    missed_nights: float
    """On which share of the nights fewer than half of the clients were summed."""
    longest_wait: float
    """The mean over the clients of the longest run of nights in which a client was in no sum."""


def play(world: BlockWorld) -> BlockYear:
    """Return what one year of `world` costs."""
    names = tuple(f"c{i:03d}" for i in range(world.clients))
    blocks = [names[i : i + world.block] for i in range(0, world.clients, world.block)]
    if len(blocks) > 1 and len(blocks[-1]) < world.block:
        blocks[-2:] = [blocks[-2] + blocks[-1]]
    there = _there(world)
    waiting, longest = np.zeros(world.clients, dtype=int), np.zeros(world.clients, dtype=int)
    left_out = missed = 0
    for night in there:
        cohort = complete_blocks(blocks, {names[i] for i in np.flatnonzero(night)})
        left_out += len(cohort.left_out)
        missed += len(cohort.clients) < _QUORUM * world.clients
        summed = np.isin(names, cohort.clients)
        waiting = np.where(summed, 0, waiting + 1)
        longest = np.maximum(longest, waiting)
    return BlockYear(
        left_out=left_out / max(1, int(there.sum())),
        missed_nights=missed / world.nights,
        longest_wait=float(longest.mean()),
    )


def _there(world: BlockWorld) -> npt.NDArray[np.bool_]:
    """Return who is there on which night, bool[nights, clients]."""
    rng = np.random.default_rng(world.seed)
    ends = 1.0 / world.spell
    begins = ends * world.absence / (1.0 - world.absence)
    here = rng.random(world.clients) >= world.absence
    nights = np.empty((world.nights, world.clients), dtype=bool)
    for night in nights:
        night[:] = here
        drawn = rng.random(world.clients)
        here = np.where(here, drawn >= begins, drawn < ends)
    return nights


def measure(
    *,
    years: int,
    blocks: Sequence[int] = BLOCKS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Return {absence: {size of block: {figure: [mean, standard error]}}}, ready for a file."""
    numbers: dict[str, Any] = {}
    for absence in ABSENCES:
        for size in blocks:
            played = [
                play(BlockWorld(block=size, absence=absence, seed=seed)) for seed in range(years)
            ]
            numbers.setdefault(f"{absence:g}", {})[str(size)] = {
                figure: _estimate([getattr(year, figure) for year in played]) for figure in _FIGURES
            }
            if progress is not None:
                progress(f"{absence:.0%} away, blocks of {size}")
    return numbers


def _estimate(values: Sequence[float]) -> list[float]:
    error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return [float(f"{value:.4g}") for value in (float(np.mean(values)), float(error))]


def table(numbers: Mapping[str, Any]) -> str:
    """Return the table of docs/secure-sums.md."""
    titles = [
        f"{float(absence):.0%} away: {title}"
        for absence in numbers
        for title in ("left out", "nights lost", "longest wait")
    ]
    lines = [f"| block | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for size in next(iter(numbers.values())):
        cells = ["none" if size == "1" else size]
        for rows in numbers.values():
            row = rows[size]
            cells += [f"{row['left_out'][0]:.1%}", f"{row['missed_nights'][0]:.1%}"]
            cells.append(f"{row['longest_wait'][0]:.0f} nights")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, numbers: Mapping[str, Any]) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{table(numbers)}\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def picture(numbers: Mapping[str, Any]) -> str:
    """Return the clients and the nights that blocks cost as SVG, with their standard errors."""

    def series(figure: str) -> dict[str, dict[str, Estimate]]:
        return {
            f"{float(absence):.0%} away": {
                "none" if size == "1" else size: (row[figure][0], row[figure][1])
                for size, row in rows.items()
            }
            for absence, rows in numbers.items()
        }

    titles = {
        "left_out": "Clients that are there and left out",
        "missed_nights": "Nights with fewer than half summed",
    }
    panels = [
        Panel(
            title=title,
            across="clients in a block",
            series=series(figure),
            ticks=(0.0, 0.25, 0.5, 0.75, 1.0),
        )
        for figure, title in titles.items()
    ]
    return panels_svg("What complete blocks cost: 48 clients, a year of nights", panels)
