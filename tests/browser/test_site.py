"""The dossier site as a person uses it, opened from a folder: filter, focus, zoom, keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperfed.report import SiteContent, site_files
from hyperfed.testing.federation import SmallFederation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    fed = SmallFederation(clients=5)
    for round_id in (1, 2):
        fed.play(round_id)
    reader = fed.reader()
    files = site_files(SiteContent.read(reader, reader.ledger(), last=5))
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return out


@pytest.fixture
def home(chromium: Any, folder: Path) -> Iterator[Any]:
    """The home page; it asks for files of its folder alone, and reports no error."""
    page = chromium.new_page(viewport={"width": 1024, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.goto((folder / "index.html").as_uri())
    yield page
    assert wrong == []
    assert [url for url in asked if not url.startswith(folder.as_uri())] == []
    page.close()


def _shown(page: Any) -> int:
    return int(page.locator("tr[data-edge]:not(.off)").count())


def test_filters_say_how_many_edges_are_left_in_graph_and_table(home: Any) -> None:
    everything = _shown(home)
    assert everything == 3
    home.fill("#search", "heat")
    assert _shown(home) == 1
    assert home.text_content("#said") == f"1 of {everything} edges shown"
    assert home.locator("a.edge:not(.off)").count() == 1
    home.click("#everything")
    home.select_option("#focus", "load")
    assert _shown(home) == 2
    home.click("#everything")
    home.locator("#vote").evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    assert _shown(home) == 0
    home.click("#everything")
    assert _shown(home) == everything


def test_a_click_on_a_variable_focuses_and_zoom_changes_what_is_seen(home: Any) -> None:
    home.locator('[data-name="wear"]').click()
    assert home.input_value("#focus") == "wear"
    before = home.get_attribute("#graph", "viewBox")
    home.click("#closer")
    assert home.get_attribute("#graph", "viewBox") != before
    home.click("#everything")
    assert home.get_attribute("#graph", "viewBox") == before


def test_the_keyboard_alone_leads_to_an_edges_page_and_back(home: Any) -> None:
    home.keyboard.press("Tab")
    assert home.evaluate("document.activeElement.className") == "skip"
    home.locator("a.edge").first.focus()
    home.keyboard.press("Enter")
    home.wait_for_url("**/edges/*.html")
    assert "What is known" in home.text_content("main")
    home.click("nav a")
    home.wait_for_url("**/index.html")


@pytest.mark.parametrize("width", [390, 1024, 1600])
def test_no_page_is_wider_than_its_screen(chromium: Any, folder: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    for file in sorted(folder.rglob("*.html")):
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file
    page.close()
