"""Draw the home page's graph, in which every edge links to its page and can be filtered.

1. Variables that belong together stand together: the layout's order brings linked ones close. Above
   `PILL_LIMIT` variables they are dots with their names turned outward: sixty stay readable.
2. Colour, a dash and the words of the link say the sign. The width says |vote|.
3. Each edge carries what the filters need as data attributes; without a script all are shown.
"""

from collections.abc import Mapping, Sequence
from html import escape

from hyperfed.hypergraph.graph_layout import Arrow, Curve, Layout, Place, lay_out, text_width
from hyperfed.report.html_cells import text_cell
from hyperfed.report.pictures.graph_svg import STYLE
from hyperfed.report.pictures.labels import distinct_labels
from hyperfed.report.rows import EdgeRow
from hyperfed.report.wording import signed, visible

__all__ = ["data_of", "graph_part"]

_NAME, _LABEL = 14.0, 12.0
_LABELLED = 40
_MARGIN = 20.0


def data_of(edge: EdgeRow, number: int, baskets: Sequence[str]) -> str:
    """Return the attributes by which the script filters an edge, in the graph and in the table."""
    share = 1.0 if edge.support is None else edge.support / max(1, edge.measured_by)
    names = "\n".join(visible(name) for name in baskets)
    return (
        f'data-edge="{number}" data-source="{text_cell(edge.source)}" '
        f'data-target="{text_cell(edge.target)}" data-vote="{abs(edge.vote):.4f}" '
        f'data-support="{share:.4f}" data-baskets="{escape(names)}"'
    )


def graph_part(
    edges: Sequence[EdgeRow], addresses: Sequence[str], baskets: Mapping[int, Sequence[str]]
) -> str:
    """Return the graph as SVG. Edges are numbered by their place; `addresses` are aligned."""
    names = sorted({end for edge in edges for end in (edge.source, edge.target)})
    labels = dict(zip(names, distinct_labels([visible(n) for n in names], 24), strict=True))
    index = {name: i for i, name in enumerate(names)}
    one_lag = len({edge.lag for edge in edges}) == 1
    words = [_label(edge, len(edges), one_lag) for edge in edges]
    arrows = [
        Arrow(
            source=index[edge.source],
            target=index[edge.target],
            width=1.4 + 5.0 * min(1.0, abs(edge.vote)),
            label_width=text_width(text, _LABEL) + 4 if text else 0.0,
        )
        for edge, text in zip(edges, words, strict=True)
    ]
    layout = lay_out([text_width(labels[name], _NAME) for name in names], arrows)
    left, top, width, height = layout.frame
    box = (left - _MARGIN, top - _MARGIN, width + 2 * _MARGIN, height + 2 * _MARGIN)
    drawn = "".join(
        _edge(edge, text, arrow.width, curve, address, data_of(edge, i, baskets.get(i, ())))
        for i, (edge, text, arrow, curve, address) in enumerate(
            zip(edges, words, arrows, layout.curves, addresses, strict=True)
        )
    )
    placed = "".join(
        _node(name, labels[name], place, layout)
        for name, place in zip(names, layout.places, strict=True)
    )
    shape = " ".join(f"{value:.1f}" for value in box)
    return (
        f'<svg id="graph" class="hfp" xmlns="http://www.w3.org/2000/svg" viewBox="{shape}" '
        'role="group" aria-label="The graph: each edge is a link to its page. The table below has '
        f'the same edges."><style>{STYLE}</style>{drawn}{placed}</svg>'
    )


def _label(edge: EdgeRow, edges: int, one_lag: bool) -> str:
    """Return the words on an edge: few where there are many edges."""
    if edges > _LABELLED:
        return ""
    lag = "" if one_lag else f", lag {edge.lag}"
    return f"{signed(edge.effect)}{lag}"


def _edge(edge: EdgeRow, text: str, width: float, curve: Curve, address: str, data: str) -> str:
    a, b, c, d = (f"{x:.1f} {y:.1f}" for x, y in curve.points)
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve.head)
    look = "up" if edge.effect >= 0 else "down"
    dash = "" if edge.effect >= 0 else ' stroke-dasharray="7 6"'
    said = (
        f"{visible(edge.source)} \u2192 {visible(edge.target)}, lag {edge.lag}: effect "
        f"{signed(edge.effect, 3)}, vote {signed(edge.vote)}, support {edge.support_words}"
    )
    label = ""
    if curve.label is not None and text:
        label = (
            f'<rect class="hfp-back" x="{curve.label.x - curve.label.w / 2:.1f}" '
            f'y="{curve.label.y - curve.label.h / 2:.1f}" width="{curve.label.w:.1f}" '
            f'height="{curve.label.h:.1f}" rx="6"/><text x="{curve.label.x:.1f}" '
            f'y="{curve.label.y + 4:.1f}" font-size="12" text-anchor="middle">{escape(text)}</text>'
        )
    return (
        f'<a class="edge" href="{escape(address)}" aria-label="{escape(said)}" {data}>'
        f"<title>{escape(said)}</title>"
        f'<path class="hfp-line hfp-{look}" d="M{a}C{b} {c} {d}" stroke-width="{width:.1f}"{dash}/>'
        f'<polygon class="hfp-solid hfp-{look}" points="{head}"/>{label}</a>'
    )


def _node(name: str, shown: str, place: Place, layout: Layout) -> str:
    box = place.box
    opening = f'<g class="node" data-name="{text_cell(name)}"'
    tip = f"<title>{text_cell(name)}</title>"
    if layout.pills:
        return (
            f'{opening}>{tip}<rect class="hfp-node" x="{box.x - box.w / 2:.1f}" '
            f'y="{box.y - box.h / 2:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" rx="18"/>'
            f'<text x="{box.x:.1f}" y="{box.y + 5:.1f}" font-size="14" '
            f'text-anchor="middle">{escape(shown)}</text></g>'
        )
    angle = (place.angle + 180) % 360 - 180
    turned = abs(angle) > 90
    side, anchor = (-14, "end") if turned else (14, "start")
    return (
        f'{opening} transform="translate({box.x:.1f} {box.y:.1f}) '
        f'rotate({angle + 180 if turned else angle:.1f})">{tip}'
        f'<circle class="hfp-node" r="{box.w / 2:.1f}"/><text x="{side}" y="5" font-size="13" '
        f'text-anchor="{anchor}">{escape(shown)}</text></g>'
    )
