"""Run a fire drill: try attacks on a shadow copy of the round's frozen set.

The answer is a table of counts in the UI. Nothing is written to the drop-box.
"""

from dataclasses import asdict
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact

from hyperfed.simulator.fire_drill import drill_round
from tasks.coordinator import Coordinator, runner_of
from tasks.stages import round_task

__all__ = ["fire_drill"]


@round_task("fire drill", run_name="fire drill round {round_id}")
def fire_drill(coordinator: Coordinator, round_id: int) -> list[dict[str, Any]]:
    """Return how many liars the round would have survived, by attack."""
    rows = [asdict(row) for row in drill_round(runner_of(coordinator), round_id)]
    create_table_artifact(
        key=f"fire-drill-{round_id:08d}",
        table=rows,
        description=f"How many liars round {round_id} would have survived, by attack",
    )
    least = min(row["survived"] for row in rows)
    get_run_logger().info("task=fire-drill round=%d least=%d", round_id, least)
    return rows
