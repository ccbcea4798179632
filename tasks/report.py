"""Report a round: its page, notices, files and outcome.

The page is in the UI as artifacts, the notices are events, files go into the folders of
`report_files`, and the outcome is plain data. Text from outside is text in all of them (R-143).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from hyperfed.report.markdown import markdown_page
from hyperfed.report.notices import notices, unwritten_notice
from hyperfed.report.outcome import outcome_of
from hyperfed.report.summary import headline
from hyperfed.report.view import view_of
from hyperfed.report.wording import markdown_text, visible, visible_rows
from tasks.coordinator import Coordinator, runner_of
from tasks.report_files import write_files
from tasks.stages import round_task

__all__ = ["report"]


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
    links, unwritten = write_files(runner, view, timings)
    page = markdown_page(view, timings=timings, links=links)
    create_markdown_artifact(
        key=f"round-{round_id:08d}", markdown=page, description=markdown_text(headline(view))
    )
    if view.edges:
        create_table_artifact(
            key=f"edges-{round_id:08d}",
            table=visible_rows(asdict(row) for row in view.edges),
            description=f"The merged edges of round {round_id}, strongest vote first",
        )
    missing = [unwritten_notice(view.round, error) for error in unwritten]
    said = [*notices(view, reader), *missing]
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
    for notice in missing:
        get_run_logger().warning("%s", visible(notice.text))
    get_run_logger().info(
        "stage=report round=%d outcome=%s notices=%d", round_id, view.outcome, len(said)
    )
    return outcome_of(view, unwritten=[notice.text for notice in missing])
