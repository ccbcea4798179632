"""Collect: list the round's inbox; wait for stragglers by the task's own retries (DESIGN section 4)."""

from prefect import get_run_logger, runtime, task

from hyperfed.coordinator.runner import Arrivals, RoundRunner
from hyperfed.coordinator.stragglers import await_stragglers
from tasks.faults import is_pending_or_transient
from tasks.stages import StageSerializer, inbox_key

__all__ = ["collect"]


@task(
    name="collect",
    task_run_name="collect round {round_id}",
    persist_result=True,
    result_serializer=StageSerializer(),
    cache_key_fn=inbox_key,
    retry_condition_fn=is_pending_or_transient,
)
def collect(runner: RoundRunner, round_id: int, poll_s: float, delay_s: float) -> Arrivals:
    """Who is there. Raises QuorumPending while stragglers are awaited; the flow sets retries and delay to `delay_s` in steps of `poll_s`."""
    arrivals = runner.collect(round_id)
    waited_s = (runtime.task_run.run_count - 1) * poll_s
    get_run_logger().info(
        "stage=collect round=%d present=%d missing=%d objects=%d waited_s=%.0f",
        round_id,
        len(arrivals.present),
        len(arrivals.missing),
        len(arrivals.keys),
        waited_s,
    )
    return await_stragglers(arrivals, waited_s=waited_s, delay_s=delay_s)
