"""Report: the round's page in the UI as artifacts, its notices as events, its figures as a text file, and its outcome in plain data."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner
from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.metrics import metrics_text
from hyperfed.report.notices import notices
from hyperfed.report.outcome import outcome_of
from hyperfed.report.summary import headline
from hyperfed.report.view import RoundView, view_of
from tasks.faults import is_transient

__all__ = ["METRICS_DIR", "REPORT_DIR", "REPORT_URL", "report"]

METRICS_DIR = "HYPERFED_METRICS_DIR"
REPORT_DIR, REPORT_URL = "HYPERFED_REPORT_DIR", "HYPERFED_REPORT_URL"


@task(
    name="report",
    task_run_name="report round {round_id}",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def report(runner: RoundRunner, round_id: int, timings: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """The outcome as plain data, once the page is there."""
    view = view_of(runner.reader, round_id)
    page = markdown_page(view, timings=timings, links=_write_files(view, timings))
    create_markdown_artifact(key=f"round-{round_id:08d}", markdown=page, description=headline(view))
    if view.edges:
        create_table_artifact(
            key=f"edges-{round_id:08d}", table=[asdict(row) for row in view.edges], description=f"The merged edges of round {round_id}, strongest vote first"
        )
    said = notices(view, runner.reader)
    for notice in said:
        resource = {"prefect.resource.id": f"hyperfed.{view.federation}.{notice.about.replace(' ', '.')}", "prefect.resource.name": notice.about}
        emit_event(event=notice.kind, resource=resource, payload={"text": notice.text, "round": round_id, "federation": view.federation})
    get_run_logger().info("stage=report round=%d outcome=%s notices=%d", round_id, view.outcome, len(said))
    return outcome_of(view)


def _write_files(view: RoundView, timings: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    """The figures and the HTML report, each where the worker's environment names a folder; (words, address) of what can be linked to."""
    if os.environ.get(METRICS_DIR):
        _replace(Path(os.environ[METRICS_DIR]) / f"hyperfed_{view.federation}.prom", metrics_text(view, timings=timings))
    if not os.environ.get(REPORT_DIR):
        return []
    name = f"{view.federation}-round-{view.round:08d}.html"
    _replace(Path(os.environ[REPORT_DIR]) / name, html_report([view]))
    base = os.environ.get(REPORT_URL, "").rstrip("/")
    return [("The report as one HTML file", f"{base}/{name}")] if base else []


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
