"""Names, units and reasons that would be markup, a command or a formula where people look (R-143):
what the page in Prefect, its tables, the HTML report, the pictures and the terminal show of them.
"""

import io
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from hyperfed.cli.output import say_error
from hyperfed.errors import ConfigError
from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.notices import notices
from hyperfed.report.site import SiteContent, site_files
from hyperfed.report.text import render_round
from hyperfed.report.view import RoundView, view_of
from hyperfed.report.wording import markdown_text, visible_rows
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

NAMES = (
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example/?x)",
    "</text><script>alert(1)</script>",
    "# a | b `code`",
)
COMMANDS = ("\x1b]0;owned\x07\x1b[2J", "a\u202etxt.exe | b\u2028`code`")
"""No vocabulary takes these. A key, a reason or a later version's name could hold them."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x9b\u202a-\u202e\u2066-\u2069\u2028\u2029]")


@pytest.fixture(scope="module")
def view() -> RoundView:
    fed = SmallFederation(vocabulary=Vocabulary.of(*NAMES))
    fed.open(1)
    fed.submit_all(round_id=1, but=["site-03"])
    fed.put(b"<script>alert(1)</script>", "site-03")
    fed.run(1)
    found = view_of(fed.reader(), 1)
    assert {row.source for row in found.edges} & set(NAMES), "the names reach the pages"
    assert notices(found, fed.reader()) is not None
    first, *others = found.edges
    said = replace(first, source=COMMANDS[0], target=COMMANDS[1])
    return replace(found, edges=(said, *others))


class Tags(HTMLParser):
    """Every element, with its attributes, and the addresses it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_html_report_has_no_element_of_a_names(view: RoundView) -> None:
    page = html_report([view])
    assert not CONTROL.search(page)
    for tag, attributes in Tags(page).seen:
        assert tag not in ("img", "script", "iframe", "object"), attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert "evil.example" not in str(attributes.get("href")) + str(attributes.get("src"))


def test_no_page_of_the_site_has_an_element_of_a_names() -> None:
    fed = SmallFederation(vocabulary=Vocabulary.of(*NAMES))
    fed.play(1)
    reader = fed.reader()
    files = site_files(SiteContent.read(reader, reader.ledger(), last=1))
    assert len(files) > 2
    for path, page in files.items():
        assert not CONTROL.search(page)
        tags = Tags(page).seen
        scripts = [attributes for tag, attributes in tags if tag == "script"]
        assert scripts == ([{}] if path == "index.html" else []), "the one that its policy names"
        for tag, attributes in tags:
            assert tag not in ("img", "iframe", "object", "form"), attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert "evil.example" not in str(attributes.get("href")) + str(attributes.get("src"))


def test_the_page_in_prefect_has_no_element_or_link_of_a_names(view: RoundView) -> None:
    page = markdown_page(view)
    pictures = re.compile(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)")
    text = pictures.sub("", page)
    assert not CONTROL.search(text)
    for syntax in ("<img", "<script", "](http", "`code`", "https://evil"):
        assert syntax not in text
    assert markdown_text(NAMES[1]).count("[") == 0


def test_no_picture_holds_an_element_of_a_names(view: RoundView) -> None:
    from hyperfed.report.pictures.graph_svg import graph_svg
    from hyperfed.report.pictures.trust_svg import trust_svg

    for picture in (graph_svg(view), trust_svg(view)):
        assert not CONTROL.search(picture)
        tags = {
            element.tag.rpartition("}")[2]
            for element in ElementTree.fromstring(picture).iter()  # noqa: S314 - our own picture
        }
        assert tags <= {
            "svg",
            "style",
            "title",
            "g",
            "path",
            "text",
            "rect",
            "circle",
            "line",
            "polygon",
        }, tags


def test_a_table_of_prefects_shows_text_without_control_characters(view: RoundView) -> None:
    rows = visible_rows(asdict(row) for row in view.edges)
    assert rows
    assert not CONTROL.search(str([list(row.values()) for row in rows]))
    assert {row["weight"] for row in rows if "weight" in row} == {
        row.weight for row in view.edges if hasattr(row, "weight")
    }


def test_the_terminal_gets_no_command(view: RoundView, capsys: pytest.CaptureFixture[str]) -> None:
    to = Console(file=io.StringIO(), markup=False, highlight=False, width=160)
    to.print(render_round(view))
    assert not CONTROL.search(to.file.getvalue())  # type: ignore[attr-defined]
    error = ConfigError(f"knows no {COMMANDS[0]}", subject=COMMANDS[1], remedy=COMMANDS[0])
    say_error(error, as_json=False, code=2)
    assert not CONTROL.search(capsys.readouterr().err)


def test_ordinary_names_are_shown_as_they_are() -> None:
    fed = SmallFederation(vocabulary=Vocabulary.of("Größe", "heat load", "prix_€", "雨"))
    fed.play(1)
    found = view_of(fed.reader(), 1)
    shown = {row.source for row in found.edges}
    assert shown
    page, html = markdown_page(found), html_report([found])
    assert {row["source"] for row in visible_rows(asdict(row) for row in found.edges)} == shown
    assert "Größe" in page
    assert "Größe" in html
