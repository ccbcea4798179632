"""Collect arrivals: list the round's inbox, and wait for stragglers by the task's own retries.

DESIGN section 4 describes the stages.
"""

from prefect import get_run_logger, runtime

from hyperfed.coordinator.runner import Arrivals
from hyperfed.coordinator.stragglers import await_stragglers
from tasks.coordinator import Coordinator, runner_of
from tasks.faults import is_pending_or_transient
from tasks.stages import inbox_key, round_task
from tasks.waiting import say_waiting

__all__ = ["collect"]

say_waiting()


@round_task(
    "collect",
    run_name="collect round {round_id}",
    kept_by=inbox_key,
    retried=is_pending_or_transient,
)
def collect(coordinator: Coordinator, round_id: int, poll_s: float, delay_s: float) -> Arrivals:
    """Return who has sent an update. Raises QuorumPending while stragglers are awaited.

    The flow sets retries and their delay so that `delay_s` passes in steps of `poll_s`.
    """
    arrivals = runner_of(coordinator).collect(round_id)
    waited_s = (runtime.task_run.run_count - 1) * poll_s
    get_run_logger().info(
        "stage=collect round=%d present=%d missing=%d objects=%d waited_s=%.0f",
        round_id,
        len(arrivals.present),
        len(arrivals.missing),
        len(arrivals.keys),
        waited_s,
    )
    return await_stragglers(arrivals, waited_s=waited_s, delay_s=delay_s, poll_s=poll_s)
