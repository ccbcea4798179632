"""Answer a step: what one step of a merge asks of some key ranges, worked out where a worker is and left, sealed, in scratch (step 5, across machines)."""

from datetime import datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.remote import answer
from tasks.coordinator import shuffle_of
from tasks.faults import is_transient

__all__ = ["answer_step"]


@task(
    name="answer step",
    task_run_name="merge {round_id}, step {address}, lot {lot}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def answer_step(drop_box: str, coordinator_keys: str, now: datetime, round_id: int, address: str, lot: int) -> int:
    """How many ranges had rows; no value of them passes through here."""
    ranges = answer(shuffle_of(drop_box, coordinator_keys, now, round_id), address, lot)
    get_run_logger().debug("stage=merge round=%d step=%s lot=%d ranges=%d", round_id, address, lot, ranges)
    return ranges
