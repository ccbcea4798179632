"""The pages of a round: what they say, what they cut, and that nothing from outside becomes markup,
a link or a terminal command.
"""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from hyperfed.errors import ConfigError
from hyperfed.packets import Update
from hyperfed.report import RoundView, html_report, markdown_page, view_of
from hyperfed.report.rows import Outcome, RefusedRow
from hyperfed.report.summary import headline
from hyperfed.report.text import render_round, render_rounds
from hyperfed.report.wording import and_more, count, fixed, markdown_text, signed, visible
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/a.png)",
    "[x](javascript:alert(1)) **b** `c`",
    "a | b || c",
    "http://evil.example www.evil.example //evil.example e@evil.example",
    "&lt;b&gt; &amp; <b>",
    "# no heading",
    "1. no list",
    "_no_ *emphasis* ~~at~~ __all__",
    '" onmouseover="alert(1)',
]


@pytest.fixture(scope="module")
def hostile() -> RoundView:
    """A committed round in which every name and reason tries something."""
    fed = SmallFederation(clients=4, vocabulary=Vocabulary.of(*HOSTILE))
    n = len(HOSTILE)
    table = EdgeTable.build(
        source=np.arange(n),
        target=(np.arange(n) + 1) % n,
        lag=1,
        effect=1.0,
        confidence=0.9,
        stability=0.9,
        hits=1,
        n=1,
    )
    fed.open()
    for client in fed.clients:
        fed.submit(client, Update(measured=np.arange(n), edges=table))
    fed.run()
    fed.open(2)
    for client in fed.clients:
        fed.submit(
            client, Update(measured=np.arange(n), edges=table.take(np.arange(n - 2))), round_id=2
        )
    fed.run(2)
    view = view_of(fed.reader(), 2)
    assert view.edge_count == n - 2
    refused = [
        RefusedRow(
            key=f"inbox/{text}\x1b[2J\r\n\n## gotcha",
            client=text,
            made_for=2,
            rule=text,
            reason=f"{text}\u202e\n| x |",
            remedy=text,
        )
        for text in HOSTILE
    ]
    trust = tuple(
        replace(row, organisation=text) for row, text in zip(view.trust, HOSTILE, strict=False)
    )
    return replace(
        view,
        refused=tuple(refused),
        trust=trust,
        missing=tuple(HOSTILE),
        statement=" ".join(HOSTILE),
    )


class _Page(HTMLParser):
    """Tags with their attributes, and the text of each table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.cells and any(tag in ("td", "th") for tag in self.open):
            self.cells[-1] += data


def _assert_harmless(page: _Page, allowed_href: str) -> None:
    for tag, attributes in page.tags:
        assert tag not in (
            "script",
            "iframe",
            "object",
            "embed",
            "link",
            "base",
            "form",
            "foreignobject",
        ), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            if name in ("href", "src", "xlink:href", "action", "srcset"):
                assert re.match(allowed_href, value or ""), (tag, value)


@pytest.mark.parametrize("dialect", ["commonmark", "js-default"])
def test_markdown_renders_hostile_names_as_themselves(hostile: RoundView, dialect: str) -> None:
    markdown = MarkdownIt(dialect, {"html": True}).enable("table")
    markdown.validateLink = lambda _: True  # type: ignore[method-assign]  # a renderer that lets everything through, `javascript:` and our pictures
    page = _Page(markdown.render(markdown_page(hostile)))
    _assert_harmless(page, r"data:image/svg\+xml;base64,")
    for text in HOSTILE:
        # as the client of "not counted", whole and alone in its cell
        assert text in page.cells, text
    assert [a["src"] is not None for tag, a in page.tags if tag == "img"] == [True] * 3
    assert len([tag for tag, _ in page.tags if tag == "h1"]) == 1
    assert not [
        tag for tag, _ in page.tags if tag in ("em", "b", "s", "a", "ol", "pre", "blockquote")
    ]
    assert "gotcha" not in {text.strip("# ") for text in page.cells}


def test_markdown_has_no_raw_markup_and_no_mermaid(hostile: RoundView) -> None:
    page = markdown_page(hostile)
    assert "<" not in page
    assert "```" not in page
    # what linkifiers look for
    assert not re.search(r"www\.|\w@\w|(?<!:)//", re.sub(r"data:[^)]*", "", page))
    assert "http" not in re.sub(r"data:[^)]*", "", page).replace("http&#58;", "")


def test_html_renders_hostile_names_as_themselves_and_needs_nothing(hostile: RoundView) -> None:
    text = html_report([hostile])
    page = _Page(text)
    _assert_harmless(page, r"#round-\d+$")
    for name in HOSTILE:
        assert name in page.cells, name
    policies = [
        a["content"]
        for tag, a in page.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"""(?<!xmlns=)["']http://""", text), "no attribute begins with an address"


def test_html_tables_have_scoped_headers_and_pictures_labels(hostile: RoundView) -> None:
    page = _Page(html_report([hostile]))
    assert {a.get("scope") for tag, a in page.tags if tag == "th"} == {"col", "row"}
    pictures = [a for tag, a in page.tags if tag == "svg"]
    assert len(pictures) == 3
    assert all(a.get("role") == "img" and a.get("aria-label") for a in pictures)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(set(ids)) == len(ids)


def test_the_terminal_gets_no_command_and_no_markup(hostile: RoundView) -> None:
    evil = replace(hostile, missing=("[red]x[/red]", "\x1b]0;title\x07"), federation="x")
    console = Console(width=160, file=None, record=True, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render_round(evil, max_rows=20))
    out = capture.get()
    assert not {c for c in out if ord(c) < 32 and c != "\n"}
    assert "\u202e" not in out
    assert "[red]x[/red], \\x1b]0;title\\x07" in out


def test_long_lists_are_cut_with_their_number() -> None:
    fed = SmallFederation(clients=30)
    fed.play(but=fed.clients[:5])
    view = replace(view_of(fed.reader(), 1), missing=fed.clients)
    page = markdown_page(view, max_rows=10)
    assert "*20 more clients left out.*" in page
    assert len(re.findall(r"^\| site-\d\d \| missing ", page, re.MULTILINE)) == 10
    table = html_report([view])
    assert "<summary>16 more</summary>" in table
    assert all(f">{client}<" in table for client in fed.clients)
    with (console := Console(width=120, color_system=None)).capture() as capture:
        console.print(render_round(view, max_rows=4))
    assert "26 more rows" in capture.get()


def test_several_rounds_are_compared_and_shown_newest_first() -> None:
    fed = SmallFederation(clients=3)
    for round_id in (1, 2):
        fed.play(round_id)
    views = [view_of(fed.reader(), r) for r in (2, 1, 3)]
    text = html_report(views)
    assert [int(r) for r in re.findall(r'<section class="card" id="round-(\d)"', text)] == [3, 2, 1]
    page = _Page(text)
    at = page.cells.index("heat \u2192 load")
    assert page.cells[at : at + 4] == ["heat \u2192 load", "1", "+0.72", "+0.72"]
    assert "Round 3 was never opened" in text
    with (console := Console(width=120, color_system=None)).capture() as capture:
        console.print(render_rounds(views))
    assert re.search(r"2 . committed +.\s+3 of 3", capture.get())
    other = SmallFederation(name="other-fed")
    other.play()
    with pytest.raises(ConfigError, match="one federation, not of 2"):
        html_report([*views, view_of(other.reader(), 1)])
    with pytest.raises(ConfigError, match="not of 0"):
        html_report([])


def test_markdown_carries_timings_links_and_the_graph(hostile: RoundView) -> None:
    page = markdown_page(
        hostile,
        timings=[("collect", 1.26)],
        links=[("whole report", "http://127.0.0.1:4200/a?b=c")],
    )
    assert "| collect | 1.3 |" in page
    assert "[whole report](http://127.0.0.1:4200/a?b=c)" in page
    encoded = re.findall(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", page)
    assert len(encoded) == 3
    assert all(base64.b64decode(picture).startswith(b"<svg") for picture in encoded)
    for address in (
        "javascript:alert",
        "data:text/html,x",
        "http://x/)[a](http://y",
        "http://x/ y",
        "http://x/\u202e",
    ):
        with pytest.raises(ConfigError, match="not an http"):
            markdown_page(hostile, links=[("x", address)])


def test_words() -> None:
    assert visible("a\x1b\u202e\n\ud800\uffff b\u0301") == "a\\x1b\\u202e\\n\\ud800\\uffff b\u0301"
    assert visible("x" * 10, 4) == "xxx\u2026"
    assert markdown_text("Round 3: 12:30, a.b 0.15 a/b") == "Round 3: 12:30, a&#46;b 0.15 a/b"
    assert (markdown_text("- x"), markdown_text("12. x"), markdown_text("= x")) == (
        "&#45; x",
        "12&#46; x",
        "&#61; x",
    )
    assert (signed(-0.004), signed(0.5), signed(-1)) == ("0.00", "+0.50", "\u22121.00")
    assert (fixed(-0.001), fixed(-0.5)) == ("0.00", "\u22120.50")
    assert (count(1, "edge"), count(1200, "edge"), and_more(["a", "b", "c"], 2)) == (
        "1 edge",
        "1,200 edges",
        "a and 2 more",
    )


def test_the_head_says_headline_and_outcome_of_the_newest_round(hostile: RoundView) -> None:
    earlier = replace(hostile, round=1, outcome=Outcome.VOID, reason="too few")
    page = _Page(html_report([hostile, earlier]))
    meta = {a["name"]: a["content"] for tag, a in page.tags if tag == "meta" and a.get("name")}
    assert meta["description"] == headline(hostile)
    assert meta["hyperfed-outcome"] == "committed"


def test_pages_have_one_word_for_what_the_past_adds_up_to(hostile: RoundView) -> None:
    left_out = replace(hostile.trust[0], barred=True)
    view = replace(hostile, excluded=("somebody",), trust=(left_out, *hostile.trust[1:]))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_round(view))
    for page in (html_report([view]), markdown_page(view), console.export_text()):
        assert "left out" in page.lower()
        assert "trust" in page.lower()
        assert "reputation" not in page.lower()
