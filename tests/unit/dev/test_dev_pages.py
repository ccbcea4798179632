"""The address of the reports opens on a list of rounds; nothing of the folder is listed beside
it.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperfed.dev.pages import _Handler, index_page
from hyperfed.report import html_report, view_of
from hyperfed.report.rows import Outcome
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


class Wire:
    """A connection that holds one request and keeps the answer."""

    def __init__(self, request: str) -> None:
        self.request, self.answer = request.encode(), b""

    def makefile(self, mode: str, size: int) -> io.BytesIO:
        return io.BytesIO(self.request)

    def sendall(self, data: Any) -> None:
        self.answer += bytes(data)


def asked(folder: Path, what: str) -> tuple[int, str]:
    wire = Wire(f"{what} HTTP/1.0\r\n\r\n")
    _Handler(wire, ("127.0.0.1", 0), None, directory=str(folder))  # type: ignore[arg-type]
    head, _, body = wire.answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fed = SmallFederation()
    fed.play()
    view = view_of(fed.reader(), 1)
    here = tmp_path_factory.mktemp("reports")
    for number, outcome in ((2, Outcome.VOID), (10, Outcome.COMMITTED), (9, Outcome.COMMITTED)):
        report = html_report([replace(view, round=number, outcome=outcome, reason="<too few>")])
        (here / f"small-fed-round-{number:08d}.html").write_text(report)
    (here / "secret.txt").write_text("not for the list")
    (here / "below").mkdir()
    return here


def test_the_list_has_the_newest_round_first_with_outcome_headline_and_link(folder: Path) -> None:
    page = index_page(folder)
    places = [page.index(f"small-fed-round-{number:08d}.html") for number in (10, 9, 2)]
    assert places == sorted(places)
    assert "Round 10 is committed: 3 of 3 clients counted" in page
    assert '<span class="void">void</span>' in page
    assert "Round 2 is void: &lt;too few&gt;" in page
    assert "secret" not in page


@pytest.mark.parametrize("path", ["/", "/index.html", "/?again=1"])
def test_the_address_opens_on_the_list(folder: Path, path: str) -> None:
    assert asked(folder, f"GET {path}") == (200, index_page(folder))
    assert asked(folder, f"HEAD {path}") == (200, "")


def test_reports_are_served_and_folders_are_not_listed(folder: Path) -> None:
    status, report = asked(folder, "GET /small-fed-round-00000010.html")
    assert status == 200
    assert report == (folder / "small-fed-round-00000010.html").read_text()
    status, body = asked(folder, "GET /below/")
    assert status == 404
    assert "Directory listing" not in body


def test_before_the_first_round_the_page_says_so(tmp_path: Path) -> None:
    assert "No round has a report yet" in index_page(tmp_path)


def test_the_list_leads_to_the_federations_site_once_it_is_there(folder: Path) -> None:
    link = '<a href="small-fed/index.html">'
    assert link not in index_page(folder)
    (folder / "small-fed").mkdir()
    (folder / "small-fed" / "index.html").write_text("the graph")
    assert link in index_page(folder)
    assert asked(folder, "GET /small-fed/index.html") == (200, "the graph")
