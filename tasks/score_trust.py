"""Score trust: exclude whom the base state does not trust, choose one update a client, and freeze (step 3)."""

from prefect import get_run_logger, task
from prefect.tasks import exponential_backoff

from hyperfed.coordinator.runner import RoundRunner, Stage
from hyperfed.validator import Admission
from tasks.faults import is_transient
from tasks.stages import StageSerializer, stage_key

__all__ = ["score_trust"]


@task(
    name="score trust",
    task_run_name="score trust, freeze round {round_id}",
    persist_result=True,
    result_serializer=StageSerializer(),
    cache_key_fn=stage_key,
    retries=3,
    retry_delay_seconds=exponential_backoff(2),
    retry_condition_fn=is_transient,
)
def score_trust(runner: RoundRunner, round_id: int, admission: Admission) -> Stage:
    """How many the freeze counts. Raises QuorumMissed below quorum before `close_by`: nothing was decided then."""
    stage = runner.freeze(round_id, admission)
    get_run_logger().info("stage=score-trust round=%d counted=%d refused=%d", round_id, stage.counted, stage.refused)
    return stage
