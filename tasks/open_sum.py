"""Open a sum: name what helpers are to open, and wait for them by the task's retries (step 4)."""

from prefect import get_run_logger, runtime

from hyperfed.coordinator.runner import Stage
from tasks.coordinator import Coordinator, runner_of
from tasks.faults import is_pending_or_transient
from tasks.stages import round_task
from tasks.waiting import say_waiting

__all__ = ["open_sum"]

say_waiting()


@round_task(
    "open sum", run_name="open the sum of round {round_id}", retried=is_pending_or_transient
)
def open_sum(coordinator: Coordinator, round_id: int, poll_s: float, delay_s: float) -> Stage:
    """Return how far the round has come once helpers have opened its sum.

    The flow sets retries and their delay so that `delay_s` passes in steps of `poll_s`.
    """
    waited_s = (runtime.task_run.run_count - 1) * poll_s
    stage = runner_of(coordinator).open_sum(
        round_id, waited_s=waited_s, delay_s=delay_s, poll_s=poll_s
    )
    get_run_logger().info("stage=open-sum round=%d waited_s=%.0f", round_id, waited_s)
    return stage
