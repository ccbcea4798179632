"""Lay out a picture of a graph: the places of variables, the curves of edges and their labels.

This is pure geometry: the same graph gives the same picture.

1. Variables stand on an ellipse, so that no straight edge runs through a third one. Their order is
   found by a hill climb that brings connected ones together.
2. Up to `PILL_LIMIT` variables are boxes with their names inside. More are dots, with their names
   turned outward.
3. Edges between the same two variables fan out. An edge from a variable to itself is a loop on the
   outer side. Arrowheads touch the edge of a box, not its middle.
4. A label takes the place along its curve where it covers the least of what is drawn already.
   Between dots it is left out where the edge is too short for it.

What it does not do: choose colours, or draw (`plotting`, `report.pictures.graph_svg`).
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["PILL_LIMIT", "Arrow", "Box", "Curve", "Layout", "Place", "lay_out", "text_width"]

PILL_LIMIT = 12
"""The most variables that are drawn as boxes."""
_PLACES = (0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72, 0.22, 0.78)

Point = tuple[float, float]


def text_width(text: str, size: float) -> float:
    """Return an upper estimate of the width of `text`, in the unit of `size`."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.62 for c in text) * size


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """Describes an edge to draw."""

    source: int
    """The index of the variable that it starts from."""
    target: int
    """The index of the variable that it points to."""
    width: float
    """The width of its line."""
    label_width: float = 0.0
    """The width of its label; 0 where it has none."""


@dataclass(frozen=True, slots=True)
class Box:
    """Describes a rectangle by its centre and its sides."""

    x: float
    """The centre's horizontal coordinate."""
    y: float
    """The centre's vertical coordinate, which grows downwards."""
    w: float
    """The width."""
    h: float
    """The height."""

    def overlap(self, other: "Box") -> float:
        """Return the area that both rectangles cover."""
        across = min(self.x + self.w / 2, other.x + other.w / 2) - max(
            self.x - self.w / 2, other.x - other.w / 2
        )
        down = min(self.y + self.h / 2, other.y + other.h / 2) - max(
            self.y - self.h / 2, other.y - other.h / 2
        )
        return across * down if across > 0 and down > 0 else 0.0

    def holds(self, p: Point, margin: float = 0.0) -> bool:
        """Return whether the point lies in the rectangle, widened by `margin` on each side."""
        return (
            abs(p[0] - self.x) <= self.w / 2 + margin and abs(p[1] - self.y) <= self.h / 2 + margin
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Says where a variable stands."""

    box: Box
    """Its box or dot."""
    angle: float
    """The angle in degrees at which it stands on the ellipse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Says how an edge is drawn."""

    points: tuple[Point, Point, Point, Point]
    """The points of a cubic Bézier curve that ends inside the arrowhead."""
    head: tuple[Point, Point, Point]
    """The corners of the arrowhead, the tip first."""
    label: Box | None
    """The label's box; None where no label is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Says where everything in the picture goes."""

    pills: bool
    """Whether variables are boxes with their names inside, and not dots."""
    places: tuple[Place, ...]
    """The place of each variable, in the order in which they were given."""
    curves: tuple[Curve, ...]
    """The curve of each link, in the order in which they were given."""
    frame: tuple[float, float, float, float]
    """The rectangle around everything: left, top, width, height."""


def lay_out(name_widths: Sequence[float], links: Sequence[Arrow]) -> Layout:
    """Return places for the variables and curves for the links between them.

    `name_widths` holds the width of each variable's name.
    """
    n = len(name_widths)
    pills = n <= PILL_LIMIT
    order = _order(n, links)
    places = _places(name_widths, order, pills)
    curves: list[Curve] = []
    routes = [route for _, route in sorted(_routes(links, places, pills), key=lambda r: r[0])]
    samples = [[_at(route, t / 12) for t in range(13)] for route in routes]
    boxes: list[Box] = [p.box for p in places]
    for i, (link, route) in enumerate(zip(links, routes, strict=True)):
        points, head = _with_head(route, link, places)
        others = [p for j, sample in enumerate(samples) if j != i for p in sample]
        label = (
            _label(points, link, places, boxes, others)
            if link.label_width and (pills or _has_room(points, link))
            else None
        )
        if label is not None:
            boxes.append(label)
        curves.append(Curve(points=points, head=head, label=label))
    return Layout(
        pills=pills,
        places=places,
        curves=tuple(curves),
        frame=_frame(name_widths, places, curves, pills),
    )


def _order(n: int, links: Sequence[Arrow]) -> list[int]:
    """Return the variable that stands at each place.

    Two variables are swapped while that shortens the connections, in at most 12 passes.
    """
    # widths have no say, so that the same edges look the same in every round
    pairs = sorted({(link.source, link.target) for link in links if link.source != link.target})
    spot = list(range(n))  # spot[variable] = place

    def length() -> int:
        return sum(min(abs(spot[a] - spot[b]), n - abs(spot[a] - spot[b])) for a, b in pairs)

    best, better = length(), n > 3
    for _ in range(12):
        if not better:
            break
        better = False
        for a in range(n):
            for b in range(a + 1, n):
                spot[a], spot[b] = spot[b], spot[a]
                now = length()
                if now < best:
                    best, better = now, True
                else:
                    spot[a], spot[b] = spot[b], spot[a]
    return sorted(range(n), key=lambda variable: spot[variable])


def _places(name_widths: Sequence[float], order: Sequence[int], pills: bool) -> tuple[Place, ...]:
    n = len(order)
    first = -90.0 if n % 2 or not pills else (180.0 if n == 2 else -90.0 + 180.0 / max(n, 1))
    rx, ry = (170.0 + 22.0 * n, 95.0 + 14.0 * n) if pills else (190.0 + 4.0 * n, 190.0 + 4.0 * n)
    if n < 2:
        rx = ry = 0.0
    while True:
        places = {}
        for spot, variable in enumerate(order):
            angle = first + 360.0 * spot / n
            x, y = rx * math.cos(math.radians(angle)), ry * math.sin(math.radians(angle))
            size = (name_widths[variable] + 30.0, 36.0) if pills else (13.0, 13.0)
            places[variable] = Place(box=Box(x, y, *size), angle=angle)
        boxes = [Box(p.box.x, p.box.y, p.box.w + 24.0, p.box.h + 24.0) for p in places.values()]
        if not pills or not any(a.overlap(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
            return tuple(places[i] for i in range(n))
        rx, ry = rx * 1.08, ry * 1.08


Route = tuple[Point, Point, Point, Point]


def _routes(
    links: Sequence[Arrow], places: Sequence[Place], pills: bool
) -> list[tuple[int, Route]]:
    """Return (the link's number, its route) for each link, grouped by the variables it joins.

    A route runs from the middle of one box to the middle of the other, or is a loop.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for i, link in enumerate(links):
        groups.setdefault(
            (min(link.source, link.target), max(link.source, link.target)), []
        ).append(i)
    routes: list[tuple[int, Route]] = []
    for (low, high), members in groups.items():
        for rank, i in enumerate(members):
            if low == high:
                routes.append((i, _loop(places[low], rank, pills)))
                continue
            a, b = places[low].box, places[high].box
            dx, dy = b.x - a.x, b.y - a.y
            distance = math.hypot(dx, dy) or 1.0
            middle = ((a.x + b.x) / 2, (a.y + b.y) / 2)
            if len(members) == 1:  # it bends a little toward the middle of the picture
                side = -1.0 if middle[0] * -dy + middle[1] * dx > 0 else 1.0
                bow = side * 0.10 * distance
            else:
                bow = (rank - (len(members) - 1) / 2) * min(max(0.34 * distance, 70.0), 130.0)
            control = (middle[0] - dy / distance * bow, middle[1] + dx / distance * bow)
            start, end = (
                ((a.x, a.y), (b.x, b.y)) if links[i].source == low else ((b.x, b.y), (a.x, a.y))
            )
            routes.append((i, _cubic(start, control, end)))
    return routes


def _cubic(a: Point, c: Point, b: Point) -> Route:
    """Return the quadratic curve a, c, b as a cubic one."""
    return (
        a,
        (a[0] + 2 / 3 * (c[0] - a[0]), a[1] + 2 / 3 * (c[1] - a[1])),
        (b[0] + 2 / 3 * (c[0] - b[0]), b[1] + 2 / 3 * (c[1] - b[1])),
        b,
    )


def _outward(place: Place, pills: bool) -> Point:
    """Return the direction away from the picture's middle; on boxes it is straight up or down."""
    x, y = math.cos(math.radians(place.angle)), math.sin(math.radians(place.angle))
    if not pills:
        return x, y
    return 0.0, 1.0 if y > 0.05 else -1.0


def _loop(place: Place, rank: int, pills: bool) -> Route:
    box, (ox, oy) = place.box, _outward(place, pills)
    px, py = -oy, ox
    edge = box.h / 2
    foot, far, wide = (
        (13.0 + 5 * rank, 58.0 + 46.0 * rank, 40.0 + 14.0 * rank)
        if pills
        else (2.0, 30.0 + 16.0 * rank, 20.0 + 6.0 * rank)
    )

    def at(out: float, along: float) -> Point:
        return box.x + ox * (edge + out) + px * along, box.y + oy * (edge + out) + py * along

    return at(0, -foot), at(far, -wide), at(far, wide), at(0, foot)


def _at(route: Route, t: float) -> Point:
    a, b, c, d = route
    s = 1 - t
    k = (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
    return k[0] * a[0] + k[1] * b[0] + k[2] * c[0] + k[3] * d[0], k[0] * a[1] + k[1] * b[1] + k[
        2
    ] * c[1] + k[3] * d[1]


def _part(route: Route, t0: float, t1: float) -> Route:
    """Return the part of a curve between two of its parameters, by de Casteljau's algorithm."""

    def blossom(u: float, v: float, w: float) -> Point:
        points: list[Point] = list(route)
        for t in (u, v, w):
            points = [
                ((1 - t) * p[0] + t * q[0], (1 - t) * p[1] + t * q[1]) for p, q in pairwise(points)
            ]
        return points[0]

    return blossom(t0, t0, t0), blossom(t0, t0, t1), blossom(t0, t1, t1), blossom(t1, t1, t1)


def _search(low: float, high: float, is_low: Callable[[float], bool]) -> float:
    """Return where `is_low` changes from true to false between `low` and `high`."""
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if is_low(middle) else (low, middle)
    return (low + high) / 2


def _with_head(
    route: Route, link: Arrow, places: Sequence[Place]
) -> tuple[Route, tuple[Point, Point, Point]]:
    source, target = places[link.source].box, places[link.target].box
    t0, t1 = 0.0, 1.0
    if link.source != link.target:
        t0 = _search(0.0, 0.5, lambda t: source.holds(_at(route, t), 1.0))
        t1 = _search(0.5, 1.0, lambda t: not target.holds(_at(route, t), 2.0))
    tip = _at(route, t1)
    size = 8.0 + 1.3 * link.width
    base = _search((t0 + t1) / 2, t1, lambda t: math.dist(_at(route, t), tip) > size)
    back = _at(route, base)
    length = math.dist(tip, back) or 1.0
    ux, uy = (tip[0] - back[0]) / length, (tip[1] - back[1]) / length
    half = 0.45 * size
    corners = (
        tip,
        (back[0] - uy * half, back[1] + ux * half),
        (back[0] + uy * half, back[1] - ux * half),
    )
    inside = _search(base, t1, lambda t: math.dist(_at(route, t), tip) > 0.6 * size)
    return _part(route, t0, inside), corners


def _has_room(points: Route, link: Arrow) -> bool:
    """Return whether a label between dots leaves enough of its edge to see."""
    return link.source != link.target and math.dist(points[0], points[3]) > 2.5 * link.label_width


def _label(
    points: Route,
    link: Arrow,
    places: Sequence[Place],
    boxes: Sequence[Box],
    others: Sequence[Point],
) -> Box:
    height = 17.0
    if link.source == link.target:
        apex, (ox, oy) = _at(points, 0.5), _outward(places[link.source], True)
        return Box(
            apex[0] + ox * (link.label_width / 2 + 6),
            apex[1] + oy * (height / 2 + 5),
            link.label_width,
            height,
        )
    best: tuple[float, Box] | None = None
    for rank, t in enumerate(_PLACES):
        box = Box(*_at(points, t), link.label_width, height)
        cost = (
            sum(box.overlap(other) for other in boxes)
            + 40.0 * sum(box.holds(p, 2.0) for p in others)
            + 4.0 * rank
        )
        if best is None or cost < best[0]:
            best = (cost, box)
    assert best is not None  # noqa: S101 - _PLACES is not empty
    return best[1]


def _frame(
    name_widths: Sequence[float], places: Sequence[Place], curves: Sequence[Curve], pills: bool
) -> tuple[float, float, float, float]:
    xs: list[float] = []
    ys: list[float] = []
    boxes = [p.box for p in places] + [c.label for c in curves if c.label is not None]
    for box in boxes:
        xs += [box.x - box.w / 2, box.x + box.w / 2]
        ys += [box.y - box.h / 2, box.y + box.h / 2]
    for curve in curves:
        for t in range(11):
            x, y = _at(curve.points, t / 10)
            xs.append(x)
            ys.append(y)
    if not pills:
        for place, width in zip(places, name_widths, strict=True):
            ox, oy = _outward(place, False)
            xs.append(place.box.x + ox * (width + 46))
            ys.append(place.box.y + oy * (width + 46))
    x, y = min(xs, default=0.0), min(ys, default=0.0)
    return x, y, max(xs, default=0.0) - x, max(ys, default=0.0) - y
