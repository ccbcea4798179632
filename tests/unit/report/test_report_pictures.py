"""The pictures of a round: well-formed, escaped, the same every time, and readable: nothing covers
anything else, heads touch what they point at.
"""

import math
import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from hyperfed.hypergraph.change import Change, EdgeChange, Turn
from hyperfed.hypergraph.graph_layout import Arrow, lay_out, text_width
from hyperfed.report import change_svg, edges_svg, graph_svg, trust_svg, view_of
from hyperfed.report.rows import EdgeRow
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NS = "{http://www.w3.org/2000/svg}"
DEMO = ("public_capital", "private_capital", "output", "employment", "unemployment")
DEMO_EDGES = ((0, 0), (2, 4), (2, 3), (2, 2), (3, 4), (3, 2))


def _row(source: str, target: str, vote: float = 0.5, lag: int = 1) -> EdgeRow:
    rest = {
        "support": 3,
        "reporting": 3,
        "measured_by": 4,
        "samples": 9,
        "i2": 0.0,
        "ci_low": None,
        "ci_high": None,
    }
    return EdgeRow(source=source, target=target, lag=lag, effect=vote, vote=vote, **rest)


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own picture


def _texts(root: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in root.iter(f"{NS}text")]


def _lines(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Tooltip of an edge -> its line."""
    return {
        str(g[0].text): g[1] for g in root.iter(f"{NS}g") if len(g) == 3 and g[1].tag == f"{NS}path"
    }


@pytest.mark.parametrize("n", range(1, 13))
def test_boxes_never_cover_each_other_and_heads_touch_them(n: int) -> None:
    rng = np.random.default_rng(n)
    widths = rng.uniform(120, 215, n).tolist()
    pairs = sorted({(int(a), int(b)) for a, b in rng.integers(0, n, (2 * n, 2))})
    links = [Arrow(source=a, target=b, width=3.0, label_width=80.0) for a, b in pairs]
    layout = lay_out(widths, links)
    boxes = [p.box for p in layout.places]
    assert all(a.overlap(b) == 0 for a, b in combinations(boxes, 2))
    x, y, w, h = layout.frame
    for box in [*boxes, *(c.label for c in layout.curves if c.label)]:
        assert x - 1e-6 <= box.x - box.w / 2
        assert box.x + box.w / 2 <= x + w + 1e-6
        assert y - 1e-6 <= box.y - box.h / 2
        assert box.y + box.h / 2 <= y + h + 1e-6
    for link, curve in zip(links, layout.curves, strict=True):
        tip, target = curve.head[0], boxes[link.target]
        assert target.holds(tip, 3.0)
        assert not target.holds(tip, -1.0)
        assert not boxes[link.source].holds(curve.points[0], -1.0)


def test_the_ordinary_picture_has_no_label_on_another() -> None:
    links = [
        Arrow(source=a, target=b, width=3.0, label_width=text_width("+0.50 . lag 1", 12.0))
        for a, b in DEMO_EDGES
    ]
    layout = lay_out([text_width(name, 14.0) for name in DEMO], links)
    labels = [c.label for c in layout.curves]
    assert all(label is not None for label in labels)
    things = [*(label for label in labels if label), *(p.box for p in layout.places)]
    assert all(a.overlap(b) == 0 for a, b in combinations(things, 2))


def test_labels_make_way_where_edges_cross() -> None:
    pairs = list(combinations(range(4), 2))
    layout = lay_out(
        [80.0] * 4, [Arrow(source=a, target=b, width=3.0, label_width=80.0) for a, b in pairs]
    )
    labels = [c.label for c in layout.curves if c.label]
    assert len(labels) == 6
    assert all(
        a.overlap(b) == 0 for a, b in combinations([*labels, *(p.box for p in layout.places)], 2)
    )


def test_the_same_edges_stand_in_the_same_places_whatever_their_votes() -> None:
    def places(width: float) -> list[tuple[float, float]]:
        links = [
            Arrow(source=a, target=b, width=width * (i + 1)) for i, (a, b) in enumerate(DEMO_EDGES)
        ]
        return [(p.box.x, p.box.y) for p in lay_out([90.0] * 5, links).places]

    assert places(1.0) == places(0.3)


def test_two_ways_between_two_variables_are_two_curves() -> None:
    layout = lay_out(
        [60.0, 60.0], [Arrow(source=0, target=1, width=2.0), Arrow(source=1, target=0, width=2.0)]
    )
    middles = [(c.points[1][1] + c.points[2][1]) / 2 for c in layout.curves]
    assert abs(middles[0] - middles[1]) > 40


def test_colour_width_and_label_say_sign_strength_and_lag() -> None:
    root = _parsed(
        edges_svg(
            [_row("a", "b", 0.9), _row("b", "a", -0.3, lag=4), _row("a", "a", 0.5, lag=2)],
            ("a", "b", "c"),
            title="t",
        )
    )
    lines = {tip.split(":")[0]: line for tip, line in _lines(root).items()}
    assert {tip: line.get("class") for tip, line in lines.items()} == {
        "a \u2192 b, lag 1": "hfp-line hfp-up",
        "b \u2192 a, lag 4": "hfp-line hfp-down",
        "a \u2192 a, lag 2": "hfp-line hfp-up",
    }
    assert (
        float(lines["a \u2192 b, lag 1"].get("stroke-width", 0))
        > 2 * float(lines["b \u2192 a, lag 4"].get("stroke-width", 0)) - 1
    )
    assert {
        "+0.90 \u00b7 lag 1",
        "\u22120.30 \u00b7 lag 4",
        "+0.50 \u00b7 lag 2",
        "a",
        "b",
        "c",
    } <= set(_texts(root))
    assert "raises its target" in _texts(root)
    assert "lowers its target" in _texts(root)


def test_long_names_that_share_a_beginning_stay_apart_in_the_picture() -> None:
    names = [f"resting_arterial_blood_pressure_{end}" for end in ("systolic", "diastolic", "mean")]
    root = _parsed(
        edges_svg([_row(names[0], names[1]), _row(names[1], names[2])], names, title="t")
    )
    shown = [text for text in _texts(root) if "\u2026" in text]
    assert len({*shown}) == 3, shown
    assert all(
        any(text.endswith(end) for text in shown) for end in ("_systolic", "diastolic", "_mean")
    )
    tips = {str(e.text) for e in root.iter(f"{NS}title")}
    assert {*names} <= tips, "the full name is in the tooltip"


def _legend(root: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in root[-1].iter(f"{NS}text")]


def test_the_legend_says_what_the_labels_say_and_nothing_else() -> None:
    few = _legend(_parsed(edges_svg([_row("a", "b")], ("a", "b"), title="t")))
    assert few == [
        "raises its target",
        "|vote| 0.3",
        "|vote| 0.9",
        "label: vote (\u22121 to 1) and lag",
    ]
    lonely = _legend(_parsed(edges_svg([_row("a", "b")], ("a", "b", "c"), title="t")))
    assert lonely == [*few, "dashed outline: no edge"]
    names = [f"v{i}" for i in range(40)]
    rows = [_row(names[i], names[(i + 7) % 40], lag=1) for i in range(40)]
    assert not any(
        words.startswith("label") for words in _legend(_parsed(edges_svg(rows, names, title="t")))
    )
    several = [replace(row, lag=1 + i % 2) for i, row in enumerate(rows)]
    root = _parsed(edges_svg(several, names, title="t"))
    assert [words for words in _legend(root) if words.startswith("label")] == ["label: lag"]
    assert "lag 2" in _texts(root)


def test_a_change_is_told_by_colour_and_dash() -> None:
    fed = SmallFederation()
    fed.play()
    kinds = [
        (Turn.NEW, None, 0.5),
        (Turn.GONE, 0.5, None),
        (Turn.FLIPPED, 0.4, -0.4),
        (Turn.WEAKER, 0.8, 0.5),
        (Turn.STRONGER, -0.5, -0.8),
        (Turn.SAME, 0.4, 0.4),
    ]
    edges = tuple(
        EdgeChange(source="heat", target="load", lag=i, before=b, after=a, turn=turn)
        for i, (turn, b, a) in enumerate(kinds)
    )
    view = replace(
        view_of(fed.reader(), 1),
        change=Change(base_round=1, counts={t: 1 for t, _, _ in kinds}, edges=edges),
    )
    root = _parsed(change_svg(view))
    lines = {re.findall(r"lag \d+: ([^,]+),", tip)[0]: line for tip, line in _lines(root).items()}
    looks = {
        turn: (line.get("class", "").split("hfp-")[-1], line.get("stroke-dasharray") is not None)
        for turn, line in lines.items()
    }
    assert looks == {
        "new": ("new", False),
        "gone": ("gone", True),
        "sign changed": ("turned", False),
        "weaker": ("up", True),
        "stronger": ("down", False),
        "unchanged": ("same", False),
    }
    assert _legend(root) == [
        "raises its target, weaker",
        "lowers its target, stronger",
        "new",
        "gone",
        "sign changed",
        "unchanged",
        "|vote| 0.3",
        "|vote| 0.9",
        "label: vote (\u22121 to 1) and lag",
        "label: vote before \u2192 now (\u22121 to 1) and lag",
        "dashed outline: no edge",
    ]
    samples = [e.get("class") for e in root[-1].iter(f"{NS}path")][-2:]
    assert samples == ["hfp-line hfp-ink"] * 2, "a sample of width has the colour of no edge"


def test_of_too_much_the_strongest_is_drawn_and_the_picture_says_so() -> None:
    names = [f"variable-{i:03d}" for i in range(200)]
    rng = np.random.default_rng(7)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, 200, (400, 2)) if a != b}
    rows = sorted(
        (
            _row(names[a], names[b], float(v))
            for (a, b), v in zip(sorted(pairs), rng.uniform(0.3, 1, len(pairs)), strict=True)
        ),
        key=lambda e: -e.vote,
    )
    root = _parsed(edges_svg(rows, names, title="many"))
    drawn = _lines(root)
    assert 20 <= len(drawn) <= 60
    heading = next(t for t in _texts(root) if t.startswith("many"))
    assert f"the {len(drawn)} strongest of {len(rows)} edges" in heading
    assert len([t for t in _texts(root) if t.startswith("variable-")]) <= 40
    assert any(f"{rows[0].source} \u2192 {rows[0].target}" in tip for tip in drawn)


def test_outside_names_stay_text_in_every_picture() -> None:
    evil = ("</text><script>alert(1)</script>", '" onload="x', "a\x00b\u202ec\ud800")
    root = _parsed(edges_svg([_row(evil[0], evil[1]), _row(evil[2], evil[2])], evil, title=evil[0]))
    assert {e.tag.removeprefix(NS) for e in root.iter()} <= {
        "svg",
        "style",
        "title",
        "rect",
        "text",
        "g",
        "path",
        "polygon",
        "circle",
    }
    assert all(not name.startswith("on") for e in root.iter() for name in e.attrib)
    assert "a\\x00b\\u202ec\\ud800" in _texts(root)


def test_pictures_are_pure_and_refer_to_nothing() -> None:
    fed = SmallFederation(clients=5)
    fed.play()
    view = view_of(fed.reader(), 1)
    for draw in (graph_svg, change_svg, trust_svg):
        svg = draw(view)
        assert svg == draw(view_of(fed.reader(), 1))
        root = _parsed(svg)
        assert root.get("role") == "img"
        assert not [
            e
            for e in root.iter()
            if {"id", "href", "{http://www.w3.org/1999/xlink}href"} & set(e.attrib)
        ]
        assert "url(" not in svg
    nothing = _parsed(graph_svg(replace(view, edges=(), edge_count=0, variables=(), change=None)))
    assert "nothing to draw" in _texts(nothing)


def test_every_counted_client_is_a_dot_where_it_agrees() -> None:
    fed = SmallFederation(clients=5)
    fed.open()
    for client in fed.clients:
        update = fed.update()
        assert update.edges is not None
        table = replace(
            update.edges,
            effect=-update.edges.effect,
            ci_low=-update.edges.ci_high,
            ci_high=-update.edges.ci_low,
        )
        fed.submit(client, replace(update, edges=table) if client == "site-05" else update)
    fed.run()
    dots = {
        str(d[0].text): d
        for d in _parsed(trust_svg(view_of(fed.reader(), 1))).iter(f"{NS}circle")
        if len(d)
    }
    assert len(dots) == 5
    liar = next(
        d for tip, d in dots.items() if tip.startswith("site-05: agreement \u22121.00, weight 0.00")
    )
    honest = [d for tip, d in dots.items() if not tip.startswith("site-05")]
    assert liar.get("class") == "hfp-solid hfp-down"
    assert {d.get("class") for d in honest} == {"hfp-solid hfp-up"}
    assert float(liar.get("cx", 0)) < min(float(d.get("cx", 0)) for d in honest)
    for a, b in combinations(dots.values(), 2):
        apart = math.dist(*((float(d.get("cx", 0)), float(d.get("cy", 0))) for d in (a, b)))
        assert apart >= float(a.get("r", 0)) + float(b.get("r", 0))
