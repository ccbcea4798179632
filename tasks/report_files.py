"""Write a round's files where the environment names folders: figures, HTML pages and the site.

1. Files come after the result. A folder that is full, or that this process may not write into,
   fails no run: each error is returned, names its folder and the remedy, and becomes a notice.
2. The next run makes up for it. It replaces the figures and the site's pages, and writes the HTML
   pages that are missing of the last `LAST_ROUNDS` rounds.
3. A file is replaced as a whole or not at all. One that cannot be written stays as it was.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hyperfed.coordinator import RoundRunner
from hyperfed.errors import ConfigError, HyperfedError, MachineError
from hyperfed.protocol.entries import EntryKind
from hyperfed.report.html import html_report
from hyperfed.report.metrics import file_name, metrics_text
from hyperfed.report.rows import Outcome
from hyperfed.report.site import SiteContent, site_files
from hyperfed.report.view import RoundView, view_of
from hyperfed.storage.local_files import write_durably

__all__ = ["METRICS_DIR", "REPORT_DIR", "REPORT_URL", "write_files"]

METRICS_DIR = "HYPERFED_METRICS_DIR"
"""Environment variable that names the folder of the figures; without it none are written."""
REPORT_DIR, REPORT_URL = "HYPERFED_REPORT_DIR", "HYPERFED_REPORT_URL"
LAST_ROUNDS = 14
"""Rounds that a night can read again without being felt."""
_SITE_EDGES = 100_000

Link = tuple[str, str]
"""Words, and the address of a page relative to the folder of reports."""


def write_files(
    runner: RoundRunner, view: RoundView, timings: Sequence[tuple[str, float]]
) -> tuple[list[Link], list[HyperfedError]]:
    """Return (words, address) of what can be linked to, and why something was not written."""
    links: list[Link] = []
    unwritten: list[HyperfedError] = []
    for variable, write in (
        (METRICS_DIR, lambda folder: _write_figures(runner, view, timings, folder)),
        (REPORT_DIR, lambda folder: _write_pages(runner, view, folder)),
        (REPORT_DIR, lambda folder: _write_site(runner, view, folder)),
    ):
        if os.environ.get(variable):
            _try(write, Path(os.environ[variable]), links, unwritten)
    base = os.environ.get(REPORT_URL, "").rstrip("/")
    return [(words, f"{base}/{address}") for words, address in links] if base else [], unwritten


def _try(
    write: Callable[[Path], Iterator[Link]],
    folder: Path,
    links: list[Link],
    unwritten: list[HyperfedError],
) -> None:
    """Add the links of what is written to `links`, or the error to `unwritten`, each once."""
    try:
        links.extend(write(folder))
    except (ConfigError, MachineError) as error:
        if all(error.remedy != other.remedy for other in unwritten):
            unwritten.append(error)


def _write_figures(
    runner: RoundRunner, view: RoundView, timings: Sequence[tuple[str, float]], folder: Path
) -> Iterator[Link]:
    text = metrics_text(view, runner.reader.ledger(), timings=timings)
    _write(folder / file_name(view.federation), text, METRICS_DIR)
    yield from ()


def _write_pages(runner: RoundRunner, view: RoundView, folder: Path) -> Iterator[Link]:
    """Write the round's page, and those of earlier rounds that are missing."""
    _write(folder / _page_name(view.federation, view.round), html_report([view]), REPORT_DIR)
    yield "The report as one HTML file", _page_name(view.federation, view.round)
    ended = {c.entry.round for c in runner.reader.ledger() if c.entry.kind is not EntryKind.RESERVE}
    for number in sorted(n for n in ended if view.round - LAST_ROUNDS < n < view.round):
        path = folder / _page_name(view.federation, number)
        if not path.exists():
            _write(path, html_report([view_of(runner.reader, number)]), REPORT_DIR)


def _page_name(federation: str, number: int) -> str:
    return f"{federation}-round-{number:08d}.html"


def _write_site(runner: RoundRunner, view: RoundView, folder: Path) -> Iterator[Link]:
    """Write the operator's own site; pages of earlier rounds that are there stay as they are."""
    if view.outcome is not Outcome.COMMITTED or view.edge_count > _SITE_EDGES:
        return
    site = folder / view.federation
    names = (path.stem for path in site.glob("rounds/*.html"))
    written = {int(name) for name in names if name.isdigit()} - {view.round}
    content = SiteContent.read(
        runner.reader,
        runner.reader.ledger(),
        last=LAST_ROUNDS,
        written=frozenset(written),
        sets=runner.frozen,
    )
    files = site_files(content)
    for path, text in sorted(files.items(), key=lambda item: item[0] == "index.html"):
        _write(site / path, text, REPORT_DIR)
    yield "What the federation knows", f"{view.federation}/index.html"


def _write(path: Path, text: str, variable: str) -> None:
    """Write a whole file, below the folder that an environment variable names."""
    remedy = (
        f"Make room in the folder that {variable} names, or let it name one that this process may "
        "write into; the next round writes what is missing"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"cannot be made: {exc.strerror}", subject=str(path.parent), remedy=remedy
        ) from exc
    write_durably(path, text, error=ConfigError, remedy=remedy, mode=0o666)
