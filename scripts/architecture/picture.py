"""The picture: the rooms on their storeys, and how the two paths go up and down through them.

Above, each room is a box on its storey, in the column of its group, with the numbers of the stops
in it. Below, each path is a line from stop to stop, as high as the room's storey.
"""

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from architecture.house import House, StaleError
from architecture.paths import APPLICATION, ROUND, UPDATE, Stop, rooms_passed

__all__ = ["GROUPS", "draw"]

GROUPS: dict[str, tuple[str, ...]] = {
    "Data": (
        "errors",
        "config",
        "storage",
        "kernels",
        "tables",
        "codec",
        "packets",
        "crypto",
        "hypergraph",
        "registry",
    ),
    "A round": (
        "scheduler",
        "merge",
        "statistics",
        "aggregation",
        "reconciler",
        "trust_scorer",
        "protocol",
        "privacy",
        "validator",
        "hierarchy",
        "secure_aggregation",
        "gossip",
        "relay",
        "dropbox",
        "coordinator",
        "links",
        "transport",
    ),
    "The edges": (
        "engines",
        "evidence",
        "client_agent",
        "client",
        "report",
        "operations",
        "cli",
    ),
    "Practice": ("demo", "testing", "dev", "simulator"),
}
"""The rooms by what they are for; within a storey they stand in this order."""


_WIDTH, _LEFT, _RIGHT, _TOP = 1000.0, 44.0, 12.0, 92.0
_ROW, _BOX, _GAP = 46.0, 37.0, 8.0
_STEP, _HEAD, _FOOT = 17.0, 54.0, 32.0
_LEGEND = "where an update and a round stop; below, each from stop to stop, at its rooms' heights"
_SHARES = {"Data": 2.0, "A round": 2.2, "The edges": 2.8, "Practice": 2.0}
_STYLE = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.page{fill:#ffffff}.column{fill:#f3f5f9}.box{fill:#ffffff;stroke:#7a869a;stroke-width:1.2}
.idle{stroke:#c3cad6}.name{fill:#1c2430;font-size:13px}.head{font-weight:650}
.soft{fill:#566173;font-size:12px}.title{fill:#1c2430;font-size:17px;font-weight:650}
.stop{fill:#1c2430;font-size:12px;paint-order:stroke;stroke:#f3f5f9;stroke-width:4px}
.guide{stroke:#e1e6ee;stroke-width:1}.border{stroke:#8893a5;stroke-width:1.2;stroke-dasharray:4 4}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.axis{stroke:#8893a5;stroke-width:1.4}
.tip{fill:#8893a5}.update{stroke:#1f5fd0}.round{stroke:#c25200}
.update-dot{fill:#1f5fd0}.round-dot{fill:#c25200}
.number{fill:#ffffff;font-size:10.5px;font-weight:650}
@media (prefers-color-scheme:dark){
.page{fill:#0f131a}.column{fill:#171c24}.box{fill:#232b37;stroke:#8390a4}.idle{stroke:#47515f}
.name,.title,.stop{fill:#e7ebf2}.stop{stroke:#171c24}.soft{fill:#a3aebd}
.guide{stroke:#262e3a}.axis{stroke:#7c8798}.border{stroke:#7c8798}.tip{fill:#7c8798}
.update{stroke:#6ea3ff}.round{stroke:#ff9a4d}.update-dot{fill:#6ea3ff}.round-dot{fill:#ff9a4d}
.number{fill:#0f131a}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """What is drawn of a path."""

    title: str
    stops: tuple[Stop, ...]
    sides: tuple[tuple[int, str], ...] = ()
    """From which stop on it is where."""


_PATHS = {
    "update": _Path(
        title="An update",
        stops=UPDATE,
        sides=((1, "at the client's"), (8, "at the coordinator's"), (15, "client's")),
    ),
    "round": _Path(title="A round", stops=ROUND),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Where a room is drawn."""

    x: float
    y: float
    width: float


def draw(house: House) -> str:
    """The picture, as SVG. Raises StaleError where a room has no group."""
    storeys = max(house.storeys.values()) + 1
    boxes = _places(house, storeys)
    floor = _TOP + (storeys + 1) * _ROW + 16
    heights = {**house.storeys, "application": storeys}
    height = floor + 12 + sum(_height(path, heights) + 12 for path in _PATHS)
    counts = {path: len(rooms_passed(drawn.stops)) for path, drawn in _PATHS.items()}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
        'role="img" aria-labelledby="title about">',
        '<title id="title">The rooms of hyperfed</title>',
        f'<desc id="about">{len(house.rooms)} rooms on {storeys} storeys; every import goes down. '
        f"An update passes {counts['update']} rooms, a round {counts['round']}.</desc>",
        f"<style>{_STYLE.strip()}</style>",
        f'<rect class="page" width="{_WIDTH:.0f}" height="{height:.0f}"/>',
        _text(_LEFT, 26, "The rooms of hyperfed: every import goes down", "title"),
        _dot(_LEFT + 8, 46, "1", "update"),
        _dot(_LEFT + 28, 46, "1", "round"),
        _text(_LEFT + 42, 50, _LEGEND, "soft"),
        *_columns(floor),
        *_axis(floor),
        *(_boxed(room, box) for room, box in boxes.items()),
    ]
    top = floor + 12
    for path in _PATHS:
        parts += _journey(path, counts[path], heights, top=top)
        top += _height(path, heights) + 12
    return "\n".join([*parts, "</svg>"]) + "\n"


# -- the rooms ---------------------------------------------------------------------------------


def _spans() -> dict[str, tuple[float, float]]:
    """Left edge and width of each group's column."""
    unit = (_WIDTH - _LEFT - _RIGHT - _GAP * (len(GROUPS) - 1)) / sum(_SHARES.values())
    spans, x = {}, _LEFT
    for group in GROUPS:
        spans[group] = (x, unit * _SHARES[group])
        x += unit * _SHARES[group] + _GAP
    return spans


def _places(house: House, storeys: int) -> dict[str, _Box]:
    """A box for each room, and one for the application above them all."""
    strangers = set(house.rooms) - {room for rooms in GROUPS.values() for room in rooms}
    if strangers:
        raise StaleError(f"GROUPS in {Path(__file__).name} lacks {', '.join(sorted(strangers))}")
    boxes = {}
    for group, (left, width) in _spans().items():
        for storey in range(storeys):
            there = [r for r in GROUPS[group] if house.storeys.get(r) == storey]
            each = (width - _GAP) / max(2, len(there)) - _GAP
            start = left + (width - len(there) * (each + _GAP) + _GAP) / 2
            y = _TOP + 12 + (storeys - storey) * _ROW
            for i, room in enumerate(there):
                boxes[room] = _Box(x=start + i * (each + _GAP), y=y, width=each)
    left, width = _spans()["A round"]
    boxes["application"] = _Box(x=left + _GAP, y=_TOP + 12, width=width - 2 * _GAP)
    return boxes


def _columns(floor: float) -> list[str]:
    parts = []
    for group, (left, width) in _spans().items():
        parts.append(_panel(left, _TOP - 26, width, floor - _TOP + 26))
        parts.append(_text(left + width / 2, _TOP - 7, group, "name head", anchor="middle"))
    return parts


def _axis(floor: float) -> list[str]:
    """The arrow beside the rooms that says which way imports go."""
    return [
        f'<path class="axis" d="M20 {_TOP + 12:.0f}V{floor - 20:.0f}"/>',
        f'<path class="tip" d="M20 {floor - 10:.0f}l-5 -11h10z"/>',
        f'<text class="soft" transform="translate(36 {(_TOP + floor) / 2:.0f}) rotate(-90)" '
        'text-anchor="middle">imports</text>',
    ]


def _boxed(room: str, box: _Box) -> str:
    """A room's box with its name and the numbers of the stops in it."""
    dots = [
        (str(number), path)
        for path, drawn in _PATHS.items()
        for number, stop in enumerate(drawn.stops, 1)
        if stop.room == room
    ]
    x = box.x + box.width / 2
    kind = "box" if dots else "box idle"
    parts = [
        f'<rect class="{kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{_BOX:.0f}" rx="6"/>'
    ]
    name = " → ".join(reversed(APPLICATION)) if room == "application" else room
    parts.append(_text(x, box.y + (14 if dots else _BOX / 2 + 4.5), name, "name", anchor="middle"))
    for i, (number, path) in enumerate(dots):
        parts.append(_dot(x + 19 * (i - (len(dots) - 1) / 2), box.y + 26.5, number, path))
    return "".join(parts)


# -- the paths ---------------------------------------------------------------------------------


def _rows(path: str, heights: dict[str, int]) -> tuple[int, int]:
    """The lowest and the highest storey that a path reaches."""
    reached = [heights[stop.room] for stop in _PATHS[path].stops]
    return min(reached), max(reached)


def _height(path: str, heights: dict[str, int]) -> float:
    low, high = _rows(path, heights)
    return _HEAD + (high - low) * _STEP + _FOOT


def _journey(path: str, count: int, heights: dict[str, int], *, top: float) -> list[str]:
    """One path, from stop to stop; each as high as its room lies in the house."""
    drawn, (low, high) = _PATHS[path], _rows(path, heights)
    pace = (_WIDTH - _LEFT - _RIGHT - 92) / (len(drawn.stops) - 1)
    points = [
        (_LEFT + 46 + i * pace, top + _HEAD + (high - heights[stop.room]) * _STEP)
        for i, stop in enumerate(drawn.stops)
    ]
    bottom = top + _height(path, heights)
    left, right = _LEFT + 8, _WIDTH - _RIGHT - 8
    parts = [
        _panel(_LEFT, top, _WIDTH - _LEFT - _RIGHT, bottom - top),
        _text(_LEFT + 14, top + 21, f"{drawn.title}, through {count} rooms", "name head"),
    ]
    for storey in range(high - low + 1):
        y = top + _HEAD + storey * _STEP
        parts.append(f'<path class="guide" d="M{left:.0f} {y:.1f}H{right:.0f}"/>')
    for number, said in drawn.sides:
        x = points[number - 1][0] - pace / 2 if number > 1 else _LEFT + 236
        if number > 1:
            parts.append(f'<path class="border" d="M{x:.1f} {top + 8:.0f}V{bottom - 8:.0f}"/>')
        parts.append(_text(x + 8, top + 21, said, "soft"))
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts.append(f'<path class="line {path}" d="M{line}"/>')
    slopes = [after[1] - before[1] for before, after in pairwise(points)]
    for i, ((x, y), stop) in enumerate(zip(points, drawn.stops, strict=True)):
        came = slopes[i - 1] if i else -slopes[0]
        goes = slopes[i] if i < len(slopes) else -slopes[-1]
        parts.append(_dot(x, y, str(i + 1), path))
        parts.append(_beside(x, y, stop.room, came=came, goes=goes))
    return parts


def _beside(x: float, y: float, name: str, *, came: float, goes: float) -> str:
    """A stop's name where the line is not. came, goes: how far down the line comes and leads."""
    if came > 0 and goes > 0:
        return _text(x + 3, y - 11, name, "stop")
    if came < 0 and goes < 0:
        return _text(x - 3, y - 11, name, "stop", anchor="end")
    if goes == 0:
        return _text(x + 12, y + 21, name, "stop", anchor="end")
    return _text(x, y + (21 if came >= 0 >= goes else -12), name, "stop", anchor="middle")


# -- shapes ------------------------------------------------------------------------------------


def _panel(x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="column" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="8"/>'
    )


def _dot(x: float, y: float, number: str, path: str) -> str:
    return (
        f'<circle class="{path}-dot" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        f'<text class="number" x="{x:.1f}" y="{y + 3.8:.1f}" text-anchor="middle">{number}</text>'
    )


def _text(x: float, y: float, said: str, kind: str, *, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
    )
