"""The merged graph as an SVG picture, and what changed in it; text in, text out, no dependency.

1. Colour says the sign (blue raises, orange lowers, told apart by all common kinds of colour blindness), the label says it again; width is |vote|.
2. At most `MAX_EDGES` edges between at most `MAX_VARIABLES` variables are drawn, the strongest, and the picture says so.
3. It brings its own background, light or dark as the reader's system asks, and uses no ids, scripts or outside resources: it can stand in a page
   more than once and in an `<img>`.
4. Names come from outside: made visible, then escaped; the full name is in the tooltip.

What it does not do: decide where things go (`graph_layout`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from hyperfed.report.change import Change, EdgeChange, Turn
from hyperfed.report.graph_layout import Box, Curve, Layout, Link, Place, lay_out, text_width
from hyperfed.report.rows import EdgeRow
from hyperfed.report.view import RoundView
from hyperfed.report.wording import MINUS, count, signed, visible

__all__ = ["MAX_EDGES", "MAX_VARIABLES", "change_svg", "edges_svg", "graph_svg"]

MAX_EDGES = 60
MAX_VARIABLES = 40
_NAME_SIZE, _LABEL_SIZE = 14.0, 12.0
_LABELLED = 26  # so many edges carry their vote; more would only cover each other
_MARGIN, _TITLE = 24.0, 46.0

STYLE = """
.hfp-page{fill:#fff;stroke:#d8dde5}.hfp-node{fill:#f4f6fa;stroke:#7a869a;stroke-width:1.4}.hfp-idle{stroke:#b9c1cd;stroke-dasharray:3 3}
.hfp text,text.hfp-t{fill:#1c2430;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.hfp text.hfp-soft{fill:#5b6675}.hfp-back{fill:#fff;opacity:.93}
.hfp-line{fill:none;stroke-linecap:round}.hfp-axis{stroke:#c4cbd6}
.hfp-up{stroke:#1f5fd0}.hfp-up.hfp-solid{fill:#1f5fd0;stroke:none}.hfp-down{stroke:#cf5a00}.hfp-down.hfp-solid{fill:#cf5a00;stroke:none}
.hfp-new{stroke:#0f8a4d}.hfp-new.hfp-solid{fill:#0f8a4d;stroke:none}.hfp-gone{stroke:#c02637}.hfp-gone.hfp-solid{fill:#c02637;stroke:none}
.hfp-turned{stroke:#8b3fc4}.hfp-turned.hfp-solid{fill:#8b3fc4;stroke:none}.hfp-same{stroke:#aab3c0}.hfp-same.hfp-solid{fill:#aab3c0;stroke:none}
.hfp-part.hfp-solid{fill:#8fb0ea;stroke:none}
@media screen and (prefers-color-scheme:dark){
.hfp-page{fill:#171c24;stroke:#323b49}.hfp-node{fill:#232b37;stroke:#8390a4}.hfp-idle{stroke:#55606f}.hfp text,text.hfp-t{fill:#e7ebf2}
.hfp text.hfp-soft{fill:#a3aebd}.hfp-back{fill:#171c24}.hfp-axis{stroke:#465162}
.hfp-up{stroke:#6ea3ff}.hfp-up.hfp-solid{fill:#6ea3ff}.hfp-part.hfp-solid{fill:#3f5f96}.hfp-down{stroke:#ff9a4d}.hfp-down.hfp-solid{fill:#ff9a4d}
.hfp-new{stroke:#3fce86}.hfp-new.hfp-solid{fill:#3fce86}.hfp-gone{stroke:#ff7381}.hfp-gone.hfp-solid{fill:#ff7381}
.hfp-turned{stroke:#c58bf2}.hfp-turned.hfp-solid{fill:#c58bf2}.hfp-same{stroke:#5d6878}.hfp-same.hfp-solid{fill:#5d6878}}
""".replace("\n", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrow:
    """What is drawn of an edge. look: a class of `STYLE`; dashed; strength: |vote|; tip: the tooltip."""

    source: str
    target: str
    lag: int
    strength: float
    look: str
    dashed: bool
    label: str
    tip: str


_LEGENDS = {
    "up": "raises its target",
    "down": "lowers its target",
    "new": "new",
    "gone": "gone",
    "turned": "sign changed",
    "same": "unchanged",
}


def graph_svg(view: RoundView) -> str:
    """The merged graph of a committed round; of another an empty picture that says why."""
    total = len(view.counted)
    heard = f"{total - len(view.silenced)} of {count(total, 'client')} heard" if view.silenced else f"{count(total, 'client')} heard"
    title = f"Round {view.round}: {count(view.edge_count, 'edge')}, {heard}" if view.change is not None else f"Round {view.round} has no model"
    return edges_svg(view.edges, view.variables, title=title, total=view.edge_count)


def edges_svg(edges: Sequence[EdgeRow], variables: Sequence[str], *, title: str, total: int | None = None) -> str:
    """These edges, strongest first, among these variables. total: how many edges there are, where more than are given."""
    arrows = []
    for e in edges:
        tip = f"{visible(e.source)} \u2192 {visible(e.target)}, lag {e.lag}: vote {signed(e.vote)}, effect {signed(e.effect, 3)}, "
        tip += f"support {e.support_words}"
        label = f"{signed(e.vote)} \u00b7 lag {e.lag}"
        arrows.append(_arrow(e, look="up" if e.vote >= 0 else "down", strength=abs(e.vote), label=label, tip=tip))
    return _draw(arrows, variables, title=title, total=len(edges) if total is None else total)


def change_svg(view: RoundView) -> str:
    """What became of each edge since the last committed round."""
    change = view.change if view.change is not None else Change(base_round=0, counts={}, edges=())
    title = f"Round {view.round}, changes since round {change.base_round}" if change.base_round else f"Round {view.round}: nothing to compare with"
    arrows = [_changed(e) for e in sorted(change.edges, key=lambda e: (e.turn is Turn.SAME, -e.strength, e.source, e.target, e.lag))]
    return _draw(arrows, view.variables, title=title, total=sum(change.counts.values()))


def _changed(e: EdgeChange) -> _Arrow:
    looks = {Turn.NEW: "new", Turn.GONE: "gone", Turn.FLIPPED: "turned", Turn.SAME: "same"}
    look = looks.get(e.turn) or ("up" if (e.after or 0.0) >= 0 else "down")
    before, after = ("absent" if v is None else signed(v) for v in (e.before, e.after))
    label = {Turn.NEW: f"{after} \u00b7 lag {e.lag}", Turn.GONE: f"{before} \u00b7 lag {e.lag}", Turn.SAME: f"{after} \u00b7 lag {e.lag}"}.get(
        e.turn, f"{before} \u2192 {after} \u00b7 lag {e.lag}"
    )
    tip = f"{visible(e.source)} \u2192 {visible(e.target)}, lag {e.lag}: {e.turn.value}, vote {before} before, {after} now"
    return _arrow(
        e, look=look, strength=abs(e.after if e.after is not None else e.before or 0.0), label=label, tip=tip, dashed=e.turn in (Turn.GONE, Turn.WEAKER)
    )


def _arrow(e: EdgeRow | EdgeChange, *, look: str, strength: float, label: str, tip: str, dashed: bool = False) -> _Arrow:
    return _Arrow(source=e.source, target=e.target, lag=e.lag, strength=strength, look=look, dashed=dashed, label=label, tip=tip)


def _draw(arrows: Sequence[_Arrow], variables: Sequence[str], *, title: str, total: int) -> str:
    drawn, names = _selection(arrows, variables)
    shown = {name: _short(name) for name in names}
    same_lag = len({a.lag for a in drawn}) <= 1
    labelled: Callable[[_Arrow], str] = (lambda a: a.label) if len(drawn) <= _LABELLED else (lambda a: "" if same_lag else f"lag {a.lag}")
    index = {name: i for i, name in enumerate(names)}
    links = [
        Link(source=index[a.source], target=index[a.target], width=_width(a), label_width=text_width(labelled(a), _LABEL_SIZE) + 4 if labelled(a) else 0.0)
        for a in drawn
    ]
    layout = lay_out([text_width(shown[name], _NAME_SIZE) for name in names], links)
    linked = {end for a in drawn for end in (a.source, a.target)}
    body = [_line(a, curve) for a, curve in zip(drawn, layout.curves, strict=True)]
    body += [_node(name, shown[name], place, layout, name in linked) for name, place in zip(names, layout.places, strict=True)]
    body += [_tag(labelled(a), curve) for a, curve in zip(drawn, layout.curves, strict=True) if curve.label is not None]
    notes = _notes(drawn, names, variables, total, same_lag)
    return _page(body, layout.frame, title=title, notes=notes, looks=_looks(drawn))


def _selection(arrows: Sequence[_Arrow], variables: Sequence[str]) -> tuple[list[_Arrow], list[str]]:
    """The arrows and variables to draw: all, or the first ones as long as they fit; without an edge a variable is drawn only where there is room."""
    chosen: list[_Arrow] = []
    used: set[str] = set()
    for arrow in arrows:
        ends = {arrow.source, arrow.target} | used
        if len(chosen) < MAX_EDGES and len(ends) <= MAX_VARIABLES:
            chosen.append(arrow)
            used = ends
    known = [name for name in variables if name in used or len(variables) <= 12]
    return chosen, known + sorted(used - set(known))


def _short(name: str) -> str:
    text = visible(name)
    return text if len(text) <= 24 else text[:23] + "\u2026"


def _width(arrow: _Arrow) -> float:
    return 1.4 + 5.0 * min(1.0, arrow.strength)


def _notes(drawn: Sequence[_Arrow], names: Sequence[str], variables: Sequence[str], total: int, same_lag: bool) -> list[str]:
    notes = []
    if len(drawn) < total:
        notes.append(f"the {len(drawn)} strongest of {count(total, 'edge')}")
    left = len(set(variables) - set(names))
    if left:
        notes.append(f"{count(left, 'variable')} without a drawn edge left out")
    if len(drawn) > _LABELLED and same_lag:
        notes.append(f"all at lag {drawn[0].lag}")
    return notes


def _looks(drawn: Sequence[_Arrow]) -> list[tuple[str, bool, str]]:
    """(look, dashed, words) of the legend, in a fixed order."""
    there = {(a.look, a.dashed) for a in drawn}
    rows = []
    for look, words in _LEGENDS.items():
        for dashed in (False, True):
            if (look, dashed) in there:
                rows.append((look, dashed, words + (", weaker" if dashed and look in ("up", "down") else "")))
    return rows


def _number(value: float) -> str:
    return f"{value:.1f}"


def _line(arrow: _Arrow, curve: Curve) -> str:
    a, b, c, d = (f"{_number(x)} {_number(y)}" for x, y in curve.points)
    head = " ".join(f"{_number(x)},{_number(y)}" for x, y in curve.head)
    dash = ' stroke-dasharray="7 7"' if arrow.dashed else ""
    return (
        f'<g><title>{escape(arrow.tip)}</title><path class="hfp-line hfp-{arrow.look}" d="M{a}C{b} {c} {d}" stroke-width="{_number(_width(arrow))}"{dash}/>'
        f'<polygon class="hfp-solid hfp-{arrow.look}" points="{head}"/></g>'
    )


def _node(name: str, shown: str, place: Place, layout: Layout, linked: bool) -> str:
    box, tip = place.box, f"<title>{escape(visible(name))}</title>"
    look = "hfp-node" if linked else "hfp-node hfp-idle"
    if layout.pills:
        soft = "" if linked else ' class="hfp-soft"'
        text = f'<text{soft} x="{_number(box.x)}" y="{_number(box.y + 5)}" font-size="{_NAME_SIZE:g}" text-anchor="middle">{escape(shown)}</text>'
        return f"<g>{tip}{_rectangle(look, box, 18)}{text}</g>"
    angle = (place.angle + 180) % 360 - 180
    turned = abs(angle) > 90
    spin = angle + 180 if turned else angle
    side, anchor = (-38, "end") if turned else (38, "start")
    text = f'<text x="{side}" y="5" font-size="{_NAME_SIZE - 1:g}" text-anchor="{anchor}">{escape(shown)}</text>'
    place_at = f"translate({_number(box.x)} {_number(box.y)}) rotate({_number(spin)})"
    return f'<g transform="{place_at}">{tip}<circle class="{look}" r="{_number(box.w / 2)}"/>{text}</g>'


def _rectangle(look: str, box: Box, round_: int) -> str:
    corner = f'x="{_number(box.x - box.w / 2)}" y="{_number(box.y - box.h / 2)}"'
    return f'<rect class="{look}" {corner} width="{_number(box.w)}" height="{_number(box.h)}" rx="{round_}"/>'


def _tag(text: str, curve: Curve) -> str:
    box = curve.label
    if box is None:
        return ""
    back = _rectangle("hfp-back", box, 8)
    return f'{back}<text x="{_number(box.x)}" y="{_number(box.y + 4)}" font-size="{_LABEL_SIZE:g}" text-anchor="middle">{escape(text)}</text>'


def _page(body: Sequence[str], frame: tuple[float, float, float, float], *, title: str, notes: Sequence[str], looks: Sequence[tuple[str, bool, str]]) -> str:
    heading = title + (f" ({'; '.join(notes)})" if notes else "")
    inner = max(frame[2], min(text_width(heading, 14.0), 900.0), 560.0)
    legend, rows = _legend(looks, inner)
    width, height = inner + 2 * _MARGIN, _TITLE + 8 + max(frame[3], 60.0) + 18 + 22.0 * rows + 14
    shift_x = _MARGIN + (inner - frame[2]) / 2 - frame[0]
    shift_y = _TITLE + 8 - frame[1]
    empty = (
        "" if body else f'<text class="hfp-soft" x="{_number(width / 2)}" y="{_number(height / 2)}" font-size="14" text-anchor="middle">nothing to draw</text>'
    )
    return (
        f'<svg class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} {_number(height)}" width="{_number(width)}"'
        f' height="{_number(height)}" role="img" aria-label="{escape(heading)}"><style>{STYLE}</style><title>{escape(heading)}</title>'
        f'<rect class="hfp-page" x="0.5" y="0.5" width="{_number(width - 1)}" height="{_number(height - 1)}" rx="12"/>'
        f'<text x="{_number(_MARGIN)}" y="32" font-size="15" font-weight="600">{escape(heading)}</text>'
        f'<g transform="translate({_number(shift_x)} {_number(shift_y)})">{"".join(body)}</g>{empty}'
        f'<g transform="translate({_number(_MARGIN)} {_number(height - 14 - 22.0 * rows + 12)})">{legend}</g></svg>'
    )


def _legend(looks: Sequence[tuple[str, bool, str]], room: float) -> tuple[str, int]:
    """(what it consists of, its rows), no wider than `room`."""
    if not looks:
        return "", 0
    entries = [(f"hfp-{look}", 3.5, dashed, words) for look, dashed, words in looks]
    entries += [("hfp-same", 1.4 + 5 * vote, False, f"|vote| {vote}") for vote in (0.3, 0.9)]
    out, x, row = [], 0.0, 0
    for look, thick, dashed, words in [*entries, ("", 0.0, False, f"label: vote ({MINUS}1 to 1) and lag")]:
        line = 38.0 if look else 0.0
        long = line + text_width(words, 11.0)
        if x and x + long > room:
            x, row = 0.0, row + 1
        dash = ' stroke-dasharray="7 6"' if dashed else ""
        out.append(f'<path class="hfp-line {look}" d="M{_number(x)} {22 * row}h30" stroke-width="{_number(thick)}"{dash}/>' if look else "")
        out.append(f'<text class="hfp-soft" x="{_number(x + line)}" y="{22 * row + 4}" font-size="12">{escape(words)}</text>')
        x += long + 20
    return "".join(out), row + 1
