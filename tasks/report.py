"""Report: the round's page in the UI, as artifacts, and its outcome in plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner
from hyperfed.report.markdown import markdown_page
from hyperfed.report.outcome import outcome_of
from hyperfed.report.summary import headline
from hyperfed.report.view import view_of
from tasks.faults import is_transient

__all__ = ["report"]


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
    create_markdown_artifact(key=f"round-{round_id:08d}", markdown=markdown_page(view, timings=timings), description=headline(view))
    if view.edges:
        create_table_artifact(
            key=f"edges-{round_id:08d}", table=[asdict(row) for row in view.edges], description=f"The merged edges of round {round_id}, strongest vote first"
        )
    get_run_logger().info("stage=report round=%d outcome=%s", round_id, view.outcome)
    return outcome_of(view)
