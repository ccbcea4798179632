"""Measure how fast baskets of 10 to 1,000 clients agree, as docs/gossip.md shows it.

1. Each basket is played over several seeds: without noise, with a tenth of the visits missing, and
   with local noise as large as the spread between clients as well (`gossip_lab`).
2. Numbers are kept as they were measured; table and picture follow from them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from hyperfed.gossip import GossipPlan
from hyperfed.simulator.gossip_lab import GossipWorld, honest_errors

__all__ = ["CLIENTS", "MARKS", "measure", "picture", "table", "with_table"]

CLIENTS = (10, 48, 200, 1000)
"""The sizes of baskets that are measured."""
MARKS = ("<!-- figures: made by benchmarks/gossip.py -->", "<!-- end -->")
"""What stands before and after the table in docs/gossip.md."""
_EPOCHS, _AWAY, _GOAL = 12, 0.1, 0.01
_KINDS: dict[str, dict[str, Any]] = {
    "exact": {},
    "away": {"away": _AWAY},
    "noised": {"away": _AWAY, "noise": 1.0},
}
_LEFT, _TOP, _WIDTH, _TALL = 70.0, 60.0, 520.0, 280.0
_COLOURS = {10: "#1b6ca8", 48: "#c25d1e", 200: "#2b7a4b", 1000: "#8a3f8f"}
_DECADES = 4
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}"
    ".page{fill:#ffffff;stroke:#d0d7de}.name{font-weight:600}"
)


def measure(
    *, seeds: int, clients: Sequence[int] = CLIENTS, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return {kind: {clients: the errors of each seed, by epoch}}, ready for a file."""
    numbers: dict[str, Any] = {}
    for kind, about in _KINDS.items():
        for count in clients:
            played = [
                honest_errors(GossipWorld(clients=count, epochs=_EPOCHS, seed=seed, **about))
                for seed in range(seeds)
            ]
            errors = [[float(f"{error:.4g}") for error in one] for one in played]
            numbers.setdefault(kind, {})[str(count)] = errors
            if progress is not None:
                progress(f"{kind}, {count} clients")
    return numbers


def _theory(count: int) -> int:
    """Return how many epochs bring a basket of so many clients to the goal, by theory."""
    return _plan(count).epochs_for(_GOAL)


def _plan(count: int) -> GossipPlan:
    names = tuple(f"c{i:04d}" for i in range(count))
    return GossipPlan(clients=names, round=1, seed=bytes(32), length=1, norm_bound=1.0)


def _epochs_to(errors: Sequence[Sequence[float]]) -> str:
    """Return after how many epochs the goal was reached: "5", or "5 to 6" over the seeds."""
    reached = [next((i for i, e in enumerate(one) if e < _GOAL), len(one)) for one in errors]
    low, high = min(reached), max(reached)
    last = f"more than {_EPOCHS}" if high > _EPOCHS else str(high)
    return last if low == high else f"{low} to {last}"


def table(numbers: Mapping[str, Any]) -> str:
    """Return the table of docs/gossip.md."""
    lines = [
        "| clients | epochs to 0.01 by theory | measured | measured, 10 % away | "
        "error left with noise, 10 % away |",
        "|---|---|---|---|---|",
    ]
    for count in (int(name) for name in numbers["exact"]):
        median = float(np.median([one[-1] for one in numbers["noised"][str(count)]]))
        cells = [
            f"{count:,}",
            str(_theory(count)),
            _epochs_to(numbers["exact"][str(count)]),
            _epochs_to(numbers["away"][str(count)]),
            f"{median:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, numbers: Mapping[str, Any]) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{table(numbers)}\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def picture(numbers: Mapping[str, Any]) -> str:
    """Return the errors by epoch as SVG: the median over the seeds, on a scale of powers of ten."""
    title = "How fast a basket agrees, a tenth of its visits missing"
    width, height = _LEFT + _WIDTH + 180, _TOP + _TALL + 60
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style><title>{escape(title)}</title>",
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}"/>',
        f'<text class="name" x="20" y="28">{escape(title)}</text>',
    ]
    for decade in range(_DECADES + 1):
        y = _y(10.0**-decade)
        parts.append(
            f'<line stroke="#d8dee4" x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 10, y + 4, f"{10.0**-decade:g}", "end"))
    for epoch in range(0, _EPOCHS + 1, 2):
        parts.append(_text(_x(epoch), _TOP + _TALL + 20, str(epoch), "middle"))
    parts.append(_text(_LEFT + _WIDTH / 2, _TOP + _TALL + 42, "epochs", "middle"))
    for count in (int(name) for name in numbers["exact"]):
        colour = _COLOURS.get(count, "#6b6b6b")
        for kind, dash in (("away", ""), ("noised", ' stroke-dasharray="2 3"')):
            parts.append(_curve(numbers[kind][str(count)], colour, dash))
    rows = [*numbers["exact"], "", "line: no noise", "dots: with noise"]
    for i, name in enumerate(rows):
        at, label = _TOP + 20.0 * i, f"{int(name):,} clients" if name.isdigit() else name
        if name.isdigit():
            colour = _COLOURS.get(int(name), "#6b6b6b")
            parts.append(
                f'<rect fill="{colour}" x="{_LEFT + _WIDTH + 20}" y="{at:.0f}" width="12" '
                'height="12"/>'
            )
        parts.append(_text(_LEFT + _WIDTH + 38, at + 11, label, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(epoch: float) -> float:
    return _LEFT + _WIDTH * epoch / _EPOCHS


def _y(error: float) -> float:
    decades = min(max(-math.log10(max(error, 1e-12)), 0.0), float(_DECADES))
    return _TOP + _TALL * decades / _DECADES


def _curve(errors: Sequence[Sequence[float]], colour: str, dash: str) -> str:
    medians = np.median(np.array(errors), axis=0).tolist()
    points = " ".join(f"{_x(i):.1f},{_y(error):.1f}" for i, error in enumerate(medians))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2"{dash} points="{points}"/>'


def _text(x: float, y: float, label: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
