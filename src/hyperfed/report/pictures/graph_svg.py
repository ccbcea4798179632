"""Draw the merged graph, or what changed in it, as an SVG picture.

1. The colour says the sign, and the label says it again: blue raises its target, orange lowers it.
   The two differ in all common kinds of colour blindness. The line's width says |vote|.
2. The strongest edges are drawn, at most `MAX_EDGES` between at most `MAX_VARIABLES` variables. The
   picture says where there are more.
3. The picture has its own background, light or dark as the reader's system asks. It uses no ids,
   scripts or outside resources, so that it can stand in a page more than once and in an `<img>`.
4. Names come from outside, so they are made visible, then escaped. A long one is shortened so that
   it stays distinct from the others (`labels`). The full name is in the tooltip.
5. The legend explains what is in this picture and nothing else, in the words of its labels.

What it does not do: decide where things go (`hypergraph.graph_layout`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from hyperfed.hypergraph.change import Change, EdgeChange, Turn
from hyperfed.hypergraph.graph_layout import (
    Arrow,
    Box,
    Curve,
    Layout,
    Place,
    lay_out,
    text_width,
)
from hyperfed.report.pictures.labels import distinct_labels
from hyperfed.report.rows import EdgeRow
from hyperfed.report.view import RoundView
from hyperfed.report.wording import MINUS, count, signed, visible

__all__ = ["MAX_EDGES", "MAX_VARIABLES", "change_svg", "edges_svg", "graph_svg"]

MAX_EDGES = 60
"""The most edges that a picture draws."""
MAX_VARIABLES = 40
"""The most variables that its edges join."""
_NAME_SIZE, _LABEL_SIZE = 14.0, 12.0
_LABELLED = 26  # up to so many edges are labelled with votes; more labels would cover each other
_MARGIN, _TITLE = 24.0, 46.0
_NAME_LENGTH = 24

STYLE = """
.hfp-page{fill:#fff;stroke:#d8dde5}.hfp-node{fill:#f4f6fa;stroke:#7a869a;stroke-width:1.4}
.hfp-idle{stroke:#b9c1cd;stroke-dasharray:3 3}
.hfp text,text.hfp-t{fill:#1c2430;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.hfp text.hfp-soft{fill:#5b6675}.hfp-back{fill:#fff;opacity:.93}
.hfp-line{fill:none;stroke-linecap:round}.hfp-ink{stroke:#1c2430}.hfp-axis{stroke:#c4cbd6}
.hfp-up{stroke:#1f5fd0}.hfp-up.hfp-solid{fill:#1f5fd0;stroke:none}
.hfp-down{stroke:#cf5a00}.hfp-down.hfp-solid{fill:#cf5a00;stroke:none}
.hfp-new{stroke:#0f8a4d}.hfp-new.hfp-solid{fill:#0f8a4d;stroke:none}
.hfp-gone{stroke:#c02637}.hfp-gone.hfp-solid{fill:#c02637;stroke:none}
.hfp-turned{stroke:#8b3fc4}.hfp-turned.hfp-solid{fill:#8b3fc4;stroke:none}
.hfp-same{stroke:#aab3c0}.hfp-same.hfp-solid{fill:#aab3c0;stroke:none}
.hfp-part.hfp-solid{fill:#8fb0ea;stroke:none}
@media screen and (prefers-color-scheme:dark){
.hfp-page{fill:#171c24;stroke:#323b49}.hfp-node{fill:#232b37;stroke:#8390a4}
.hfp-idle{stroke:#55606f}.hfp text,text.hfp-t{fill:#e7ebf2}
.hfp text.hfp-soft{fill:#a3aebd}.hfp-ink{stroke:#e7ebf2}.hfp-back{fill:#171c24}
.hfp-axis{stroke:#465162}
.hfp-up{stroke:#6ea3ff}.hfp-up.hfp-solid{fill:#6ea3ff}.hfp-part.hfp-solid{fill:#3f5f96}
.hfp-down{stroke:#ff9a4d}.hfp-down.hfp-solid{fill:#ff9a4d}
.hfp-new{stroke:#3fce86}.hfp-new.hfp-solid{fill:#3fce86}
.hfp-gone{stroke:#ff7381}.hfp-gone.hfp-solid{fill:#ff7381}
.hfp-turned{stroke:#c58bf2}.hfp-turned.hfp-solid{fill:#c58bf2}
.hfp-same{stroke:#5d6878}.hfp-same.hfp-solid{fill:#5d6878}}
""".replace("\n", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrow:
    """What is drawn of an edge."""

    source: str
    """The variable that acts."""
    target: str
    """The variable that it acts on."""
    lag: int
    """The number of steps after which it acts."""
    strength: float
    """The |vote|, which decides the width."""
    look: str
    """One of `_LOOKS`, which decides the colour."""
    dashed: bool
    """Whether the line is dashed."""
    meaning: str
    """What colour and dashes say, for the legend."""
    label: str
    """The text on the line."""
    label_kind: str
    """What the label says, for the legend."""
    tip: str
    """The tooltip."""


_LOOKS = ("up", "down", "new", "gone", "turned", "same")
_RAISES = {"up": "raises its target", "down": "lowers its target"}
_VOTE_LABEL = f"label: vote ({MINUS}1 to 1) and lag"
_CHANGE_LABEL = f"label: vote before \u2192 now ({MINUS}1 to 1) and lag"


def graph_svg(view: RoundView) -> str:
    """Return the merged graph of a committed round.

    For any other round the picture is empty and says so.
    """
    total = len(view.counted)
    people = f"{count(total, 'client')} counted"
    if view.silenced:
        people += f", {total - len(view.silenced)} with weight"
    title = (
        f"Round {view.round}: {count(view.edge_count, 'edge')}, {people}"
        if view.change is not None
        else f"Round {view.round} has no model"
    )
    return edges_svg(view.edges, view.variables, title=title, total=view.edge_count)


def edges_svg(
    edges: Sequence[EdgeRow], variables: Sequence[str], *, title: str, total: int | None = None
) -> str:
    """Return a picture of these edges, the strongest first, among these variables.

    `total` is the number of edges there are; None: no more than are given.
    """
    arrows = []
    for e in edges:
        tip = (
            f"{visible(e.source)} \u2192 {visible(e.target)}, lag {e.lag}: vote "
            f"{signed(e.vote)}, effect {signed(e.effect, 3)}, "
        )
        tip += f"support {e.support_words}"
        label = f"{signed(e.vote)} \u00b7 lag {e.lag}"
        look = "up" if e.vote >= 0 else "down"
        arrows.append(
            _arrow(e, look=look, strength=abs(e.vote), meaning=_RAISES[look], label=label, tip=tip)
        )
    return _draw(arrows, variables, title=title, total=len(edges) if total is None else total)


def change_svg(view: RoundView) -> str:
    """Return a picture of what became of each edge since the last committed round."""
    change = view.change if view.change is not None else Change(base_round=0, counts={}, edges=())
    title = (
        f"Round {view.round}, changes since round {change.base_round}"
        if change.base_round
        else f"Round {view.round}: nothing to compare with"
    )
    arrows = [
        _changed(e)
        for e in sorted(
            change.edges,
            key=lambda e: (e.turn is Turn.SAME, -e.strength, e.source, e.target, e.lag),
        )
    ]
    return _draw(arrows, view.variables, title=title, total=sum(change.counts.values()))


def _changed(e: EdgeChange) -> _Arrow:
    looks = {Turn.NEW: "new", Turn.GONE: "gone", Turn.FLIPPED: "turned", Turn.SAME: "same"}
    look = looks.get(e.turn) or ("up" if (e.after or 0.0) >= 0 else "down")
    before, after = ("absent" if v is None else signed(v) for v in (e.before, e.after))
    both = f"{before} \u2192 {after}"
    shown = {Turn.NEW: after, Turn.GONE: before, Turn.SAME: after}.get(e.turn, both)
    meaning = f"{_RAISES[look]}, {e.turn.value}" if look in _RAISES else e.turn.value
    tip = (
        f"{visible(e.source)} \u2192 {visible(e.target)}, lag {e.lag}: {e.turn.value}, vote "
        f"{before} before, {after} now"
    )
    return _arrow(
        e,
        look=look,
        strength=abs(e.after if e.after is not None else e.before or 0.0),
        meaning=meaning,
        label=f"{shown} \u00b7 lag {e.lag}",
        label_kind=_CHANGE_LABEL if shown == both else _VOTE_LABEL,
        tip=tip,
        dashed=e.turn in (Turn.GONE, Turn.WEAKER),
    )


def _arrow(
    e: EdgeRow | EdgeChange,
    *,
    look: str,
    strength: float,
    meaning: str,
    label: str,
    tip: str,
    label_kind: str = _VOTE_LABEL,
    dashed: bool = False,
) -> _Arrow:
    return _Arrow(
        source=e.source,
        target=e.target,
        lag=e.lag,
        strength=strength,
        look=look,
        dashed=dashed,
        meaning=meaning,
        label=label,
        label_kind=label_kind,
        tip=tip,
    )


def _draw(arrows: Sequence[_Arrow], variables: Sequence[str], *, title: str, total: int) -> str:
    drawn, names = _selection(arrows, variables)
    labels = distinct_labels([visible(name) for name in names], _NAME_LENGTH)
    shown = dict(zip(names, labels, strict=True))
    same_lag = len({a.lag for a in drawn}) <= 1
    labelled: Callable[[_Arrow], str] = (
        (lambda a: a.label)
        if len(drawn) <= _LABELLED
        else (lambda a: "" if same_lag else f"lag {a.lag}")
    )
    index = {name: i for i, name in enumerate(names)}
    links = [
        Arrow(
            source=index[a.source],
            target=index[a.target],
            width=_width(a),
            label_width=text_width(labelled(a), _LABEL_SIZE) + 4 if labelled(a) else 0.0,
        )
        for a in drawn
    ]
    layout = lay_out([text_width(shown[name], _NAME_SIZE) for name in names], links)
    linked = {end for a in drawn for end in (a.source, a.target)}
    body = [_line(a, curve) for a, curve in zip(drawn, layout.curves, strict=True)]
    body += [
        _node(name, shown[name], place, layout, name in linked)
        for name, place in zip(names, layout.places, strict=True)
    ]
    body += [
        _tag(labelled(a), curve)
        for a, curve in zip(drawn, layout.curves, strict=True)
        if curve.label is not None
    ]
    notes = _notes(drawn, names, variables, total, same_lag)
    label_kinds = {
        a.label_kind if len(drawn) <= _LABELLED else "label: lag"
        for a, curve in zip(drawn, layout.curves, strict=True)
        if curve.label is not None
    }
    kinds = [kind for kind in (_VOTE_LABEL, _CHANGE_LABEL, "label: lag") if kind in label_kinds]
    idle = len(linked) < len(names)
    return _page(
        body,
        layout.frame,
        title=title,
        notes=notes,
        looks=_looks(drawn),
        words=kinds + (["dashed outline: no edge"] if idle and drawn else []),
    )


def _selection(
    arrows: Sequence[_Arrow], variables: Sequence[str]
) -> tuple[list[_Arrow], list[str]]:
    """Return the arrows and the variables to draw.

    Arrows are taken in their order, and those that no longer fit are left out. A variable without
    an arrow is drawn only where there are at most 12 variables.
    """
    chosen: list[_Arrow] = []
    used: set[str] = set()
    for arrow in arrows:
        ends = {arrow.source, arrow.target} | used
        if len(chosen) < MAX_EDGES and len(ends) <= MAX_VARIABLES:
            chosen.append(arrow)
            used = ends
    named = [name for name in variables if name in used or len(variables) <= 12]
    return chosen, named + sorted(used - set(named))


def _width(arrow: _Arrow) -> float:
    return _thickness(arrow.strength)


def _thickness(vote: float) -> float:
    return 1.4 + 5.0 * min(1.0, vote)


def _notes(
    drawn: Sequence[_Arrow],
    names: Sequence[str],
    variables: Sequence[str],
    total: int,
    same_lag: bool,
) -> list[str]:
    notes = []
    if len(drawn) < total:
        notes.append(f"the {len(drawn)} strongest of {count(total, 'edge')}")
    undrawn = len(set(variables) - set(names))
    if undrawn:
        notes.append(f"{count(undrawn, 'variable')} without a drawn edge left out")
    if len(drawn) > _LABELLED and same_lag:
        notes.append(f"all at lag {drawn[0].lag}")
    return notes


def _looks(drawn: Sequence[_Arrow]) -> list[tuple[str, bool, str]]:
    """Return the legend's entries as (look, dashed, words), in a fixed order."""
    there = {(_LOOKS.index(a.look), a.dashed, a.meaning) for a in drawn}
    return [(_LOOKS[look], dashed, meaning) for look, dashed, meaning in sorted(there)]


def _number(value: float) -> str:
    return f"{value:.1f}"


def _line(arrow: _Arrow, curve: Curve) -> str:
    a, b, c, d = (f"{_number(x)} {_number(y)}" for x, y in curve.points)
    head = " ".join(f"{_number(x)},{_number(y)}" for x, y in curve.head)
    dash = ' stroke-dasharray="7 7"' if arrow.dashed else ""
    return (
        f'<g><title>{escape(arrow.tip)}</title><path class="hfp-line hfp-{arrow.look}" '
        f'd="M{a}C{b} {c} {d}" stroke-width="{_number(_width(arrow))}"{dash}/>'
        f'<polygon class="hfp-solid hfp-{arrow.look}" points="{head}"/></g>'
    )


def _node(name: str, shown: str, place: Place, layout: Layout, linked: bool) -> str:
    box, tip = place.box, f"<title>{escape(visible(name))}</title>"
    look = "hfp-node" if linked else "hfp-node hfp-idle"
    if layout.pills:
        soft = "" if linked else ' class="hfp-soft"'
        text = (
            f'<text{soft} x="{_number(box.x)}" y="{_number(box.y + 5)}" '
            f'font-size="{_NAME_SIZE:g}" text-anchor="middle">{escape(shown)}</text>'
        )
        return f"<g>{tip}{_rectangle(look, box, 18)}{text}</g>"
    angle = (place.angle + 180) % 360 - 180
    turned = abs(angle) > 90
    spin = angle + 180 if turned else angle
    side, anchor = (-38, "end") if turned else (38, "start")
    text = (
        f'<text x="{side}" y="5" font-size="{_NAME_SIZE - 1:g}" '
        f'text-anchor="{anchor}">{escape(shown)}</text>'
    )
    place_at = f"translate({_number(box.x)} {_number(box.y)}) rotate({_number(spin)})"
    return (
        f'<g transform="{place_at}">{tip}<circle class="{look}" '
        f'r="{_number(box.w / 2)}"/>{text}</g>'
    )


def _rectangle(look: str, box: Box, round_: int) -> str:
    corner = f'x="{_number(box.x - box.w / 2)}" y="{_number(box.y - box.h / 2)}"'
    return (
        f'<rect class="{look}" {corner} width="{_number(box.w)}" height="{_number(box.h)}" '
        f'rx="{round_}"/>'
    )


def _tag(text: str, curve: Curve) -> str:
    box = curve.label
    if box is None:
        return ""
    back = _rectangle("hfp-back", box, 8)
    return (
        f'{back}<text x="{_number(box.x)}" y="{_number(box.y + 4)}" '
        f'font-size="{_LABEL_SIZE:g}" text-anchor="middle">{escape(text)}</text>'
    )


def _page(
    body: Sequence[str],
    frame: tuple[float, float, float, float],
    *,
    title: str,
    notes: Sequence[str],
    looks: Sequence[tuple[str, bool, str]],
    words: Sequence[str],
) -> str:
    heading = title + (f" ({'; '.join(notes)})" if notes else "")
    inner = max(frame[2], min(text_width(heading, 14.0), 900.0), 560.0)
    legend, rows = _legend(looks, words, inner)
    width, height = inner + 2 * _MARGIN, _TITLE + 8 + max(frame[3], 60.0) + 18 + 22.0 * rows + 14
    shift_x = _MARGIN + (inner - frame[2]) / 2 - frame[0]
    shift_y = _TITLE + 8 - frame[1]
    empty = (
        ""
        if body
        else f'<text class="hfp-soft" x="{_number(width / 2)}" y="{_number(height / 2)}" '
        'font-size="14" text-anchor="middle">nothing to draw</text>'
    )
    return (
        f'<svg class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} '
        f'{_number(height)}" width="{_number(width)}"'
        f' height="{_number(height)}" role="img" '
        f'aria-label="{escape(heading)}"><style>{STYLE}</style><title>{escape(heading)}</title>'
        f'<rect class="hfp-page" x="0.5" y="0.5" width="{_number(width - 1)}" '
        f'height="{_number(height - 1)}" rx="12"/>'
        f'<text x="{_number(_MARGIN)}" y="32" font-size="15" '
        f'font-weight="600">{escape(heading)}</text>'
        f'<g transform="translate({_number(shift_x)} '
        f'{_number(shift_y)})">{"".join(body)}</g>{empty}'
        f'<g transform="translate({_number(_MARGIN)} '
        f'{_number(height - 14 - 22.0 * rows + 12)})">{legend}</g></svg>'
    )


def _legend(
    looks: Sequence[tuple[str, bool, str]], words: Sequence[str], room: float
) -> tuple[str, int]:
    """Return the legend's elements and the number of its rows, none wider than `room`."""
    if not looks:
        return "", 0
    entries = [(f"hfp-{look}", 3.5, dashed, meaning) for look, dashed, meaning in looks]
    entries += [("hfp-ink", _thickness(vote), False, f"|vote| {vote}") for vote in (0.3, 0.9)]
    entries += [("", 0.0, False, text) for text in words]
    out, x, row = [], 0.0, 0
    for look, thick, dashed, text in entries:
        line = 38.0 if look else 0.0
        long = line + text_width(text, 11.0)
        if x and x + long > room:
            x, row = 0.0, row + 1
        dash = ' stroke-dasharray="7 6"' if dashed else ""
        out.append(
            f'<path class="hfp-line {look}" d="M{_number(x)} {22 * row}h30" '
            f'stroke-width="{_number(thick)}"{dash}/>'
            if look
            else ""
        )
        out.append(
            f'<text class="hfp-soft" x="{_number(x + line)}" y="{22 * row + 4}" '
            f'font-size="12">{escape(text)}</text>'
        )
        x += long + 20
    return "".join(out), row + 1
