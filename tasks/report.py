"""Report a round: its page, notices, figures and outcome.

The page is in the UI as artifacts, the notices are events, the figures are a text file, and the
outcome is plain data. Text from outside is text in all of them (R-143).
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from hyperfed.coordinator import RoundRunner
from hyperfed.errors import ConfigError
from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.metrics import file_name, metrics_text
from hyperfed.report.notices import notices
from hyperfed.report.outcome import outcome_of
from hyperfed.report.rows import Outcome
from hyperfed.report.site import SiteContent, site_files
from hyperfed.report.summary import headline
from hyperfed.report.view import RoundView, view_of
from hyperfed.report.wording import markdown_text, visible, visible_rows
from hyperfed.storage.local_files import write_durably
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import round_task

__all__ = ["METRICS_DIR", "REPORT_DIR", "REPORT_URL", "report"]

METRICS_DIR = "HYPERFED_METRICS_DIR"
"""Environment variable that names the folder of the figures; without it none are written."""
REPORT_DIR, REPORT_URL = "HYPERFED_REPORT_DIR", "HYPERFED_REPORT_URL"
_SITE_ROUNDS, _SITE_EDGES = 14, 100_000  # what a night can read again without being felt


@round_task("report", run_name="report round {round_id}")
def report(
    coordinator: Coordinator, round_id: int, timings: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """Return the outcome as plain data, once the page is there.

    `timings` are (stage, seconds), in order.
    """
    runner = runner_of(coordinator)
    reader = runner.reader
    view = view_of(reader, round_id)
    page = markdown_page(view, timings=timings, links=_write_files(runner, view, timings))
    create_markdown_artifact(
        key=f"round-{round_id:08d}", markdown=page, description=markdown_text(headline(view))
    )
    if view.edges:
        create_table_artifact(
            key=f"edges-{round_id:08d}",
            table=visible_rows(asdict(row) for row in view.edges),
            description=f"The merged edges of round {round_id}, strongest vote first",
        )
    said = notices(view, reader)
    for notice in said:
        resource = {
            "prefect.resource.id": f"hyperfed.{view.federation}.{notice.about.replace(' ', '.')}",
            "prefect.resource.name": visible(notice.about),
        }
        emit_event(
            event=notice.kind,
            resource=resource,
            payload={
                "text": visible(notice.text),
                "round": round_id,
                "federation": view.federation,
            },
        )
    get_run_logger().info(
        "stage=report round=%d outcome=%s notices=%d", round_id, view.outcome, len(said)
    )
    return outcome_of(view)


def _write_files(
    runner: RoundRunner, view: RoundView, timings: Sequence[tuple[str, float]]
) -> list[tuple[str, str]]:
    """Write the figures, the HTML report and the site, where the environment names a folder.

    Returns (words, address) of what can be linked to.
    """
    if os.environ.get(METRICS_DIR):
        _write(
            Path(os.environ[METRICS_DIR]) / file_name(view.federation),
            metrics_text(view, runner.reader.ledger(), timings=timings),
            METRICS_DIR,
        )
    if not os.environ.get(REPORT_DIR):
        return []
    name = f"{view.federation}-round-{view.round:08d}.html"
    _write(Path(os.environ[REPORT_DIR]) / name, html_report([view]), REPORT_DIR)
    links = [("The report as one HTML file", name)]
    if view.outcome is Outcome.COMMITTED and view.edge_count <= _SITE_EDGES:
        _write_site(runner, Path(os.environ[REPORT_DIR]) / view.federation, view.round)
        links.append(("What the federation knows", f"{view.federation}/index.html"))
    base = os.environ.get(REPORT_URL, "").rstrip("/")
    return [(words, f"{base}/{address}") for words, address in links] if base else []


def _write_site(runner: RoundRunner, folder: Path, round_id: int) -> None:
    """Write the operator's own site; pages of earlier rounds that are there stay as they are."""
    names = (path.stem for path in folder.glob("rounds/*.html"))
    written = {int(name) for name in names if name.isdigit()} - {round_id}
    content = SiteContent.read(
        runner.reader,
        runner.reader.ledger(),
        last=_SITE_ROUNDS,
        written=frozenset(written),
        sets=runner.frozen,
    )
    files = site_files(content)
    for path, text in sorted(files.items(), key=lambda item: item[0] == "index.html"):
        _write(folder / path, text, REPORT_DIR)


def _write(path: Path, text: str, variable: str) -> None:
    """Write a whole file, below the folder that an environment variable names."""
    remedy = f"{variable} must name a folder that this process may write into"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"cannot be made: {exc.strerror}", subject=str(path.parent), remedy=remedy
        ) from exc
    write_durably(path, text, error=ConfigError, remedy=remedy, mode=0o666)
