"""Fire drill: tonight's attacks on a shadow copy of tonight's frozen set; the answer is a table of counts in the UI. It writes nothing to the drop-box."""

from dataclasses import asdict
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from hyperfed.coordinator.runner import RoundRunner

__all__ = ["fire_drill"]


@task(name="fire drill", task_run_name="fire drill round {round_id}", cache_policy=NO_CACHE)
def fire_drill(runner: RoundRunner, round_id: int) -> list[dict[str, Any]]:
    """How many liars the round would have survived, by attack."""
    rows = [asdict(row) for row in runner.fire_drill(round_id)]
    create_table_artifact(key=f"fire-drill-{round_id:08d}", table=rows, description=f"How many liars round {round_id} would have survived, by attack")
    get_run_logger().info("task=fire-drill round=%d least=%d", round_id, min(row["survived"] for row in rows))
    return rows
