"""`federation_round`: collect -> validate -> score trust -> check privacy budget -> reconcile -> broadcast -> report (DESIGN section 4).

1. It may be run for any round at any time, any number of times, beside another: the protocol in the object store makes that harmless.
2. The clock is read once, here. Below quorum after the stragglers' time the run fails, naming who is missing; Retry works until `close_by`.
3. It needs no Prefect server: without one, Prefect starts its own for the run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from prefect import flow, get_client, get_run_logger, runtime
from prefect.states import Completed, State

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.coordinator.stragglers import polls
from tasks.broadcast import broadcast
from tasks.check_privacy_budget import check_privacy_budget
from tasks.collect import collect
from tasks.reconcile import reconcile
from tasks.report import report
from tasks.score_trust import score_trust
from tasks.validate import validate

__all__ = ["federation_round"]


@flow(name="federation-round", flow_run_name="federation round", persist_result=False)
def federation_round(
    round_id: int | None = None,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    federation_policy: str = "hyperfed",
    aggregation_delay_s: float | None = None,
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Run one federation round, or finish one that was interrupted.

    Args:
        round_id: The round; empty: the one whose window had ended when this run was scheduled.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        aggregation_delay_s: How long stragglers are awaited, in seconds; empty: as the policy block says.
        now: The clock, for rehearsals; empty: the real one.
    """
    clock = now or datetime.now(UTC)
    box, policy = DropBox.load(drop_box), FederationPolicy.load(federation_policy)
    runner = RoundRunner(box.open(), keys=CoordinatorKeys.load(coordinator_keys).load_keys(), now=clock, fingerprint=box.fingerprint or None)
    number = round_id or runner.reader.registry.windows.ended_at(now or runtime.flow_run.scheduled_start_time or clock)
    runner.open_round(number, policy=policy.pack(), vocabulary=policy.vocabulary(), quorum=policy.quorum)

    delay_s = policy.aggregation_delay_s if aggregation_delay_s is None else aggregation_delay_s
    patient_collect = collect.with_options(retries=max(3, polls(delay_s=delay_s, poll_s=policy.poll_s)), retry_delay_seconds=policy.poll_s)
    timings: list[tuple[str, float]] = []
    with _timed("collect", timings):
        arrivals = patient_collect(runner, number, policy.poll_s, delay_s)
    with _timed("validate", timings):
        admission = validate(runner, arrivals)
    with _timed("score trust", timings):
        score_trust(runner, number, admission)
    with _timed("check privacy budget", timings):
        check_privacy_budget(runner, number)
    with _timed("reconcile", timings):
        reconcile(runner, number)
    with _timed("broadcast", timings):
        broadcast(runner, number)
    summary: dict[str, Any] = report(runner, number, timings)

    get_run_logger().info("flow=federation-round round=%d outcome=%s counted=%d", number, summary["outcome"], summary["counted"])
    _rename_run(f"round {number}, {runner.reader.registry.windows.opens(number):%Y-%m-%d}, {summary['counted']} of {summary['cohort']}")
    return Completed(name="Completed" if summary["outcome"] == "committed" else "Void", message=summary["headline"], data=summary)


@contextmanager
def _timed(stage: str, timings: list[tuple[str, float]]) -> Iterator[None]:
    """Note how long a stage took, in seconds, for the round's page."""
    began = perf_counter()
    yield
    timings.append((stage, perf_counter() - began))


def _rename_run(name: str) -> None:
    """A name that says how the round went, for the UI's list of runs."""
    run = runtime.flow_run.id
    if run:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, name=name)
