"""Run a federation round, stage by stage (DESIGN section 4).

The stages are collect -> validate -> score trust -> check privacy budget -> reconcile -> broadcast
-> report; a round of secure sums has its sum opened before it is reconciled.

1. The flow may be run for any round at any time, any number of times, beside another: the protocol
   in the object store makes that harmless.
2. The clock is read once, here. A window that is still open is not run. Below quorum after the
   stragglers' time the run fails and names who is missing; Retry works until `close_by`.
3. Finished stages are remembered in the drop-box (`tasks.stages`), so that a Retry goes on where
   the round failed. A round that has ended is only verified. A run of the schedule that comes so
   late that its round cannot be opened any more ends well, and says so.
4. A store that does not answer, or a clock that is wrong, ends a run for a while (`flows.again`).
5. A dry run says who would count now, and writes nothing: no plan, no copy, no freeze, no result.
6. The flow needs no Prefect server: without one, Prefect starts its own for the run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Annotated, Any

from prefect import State, flow, get_run_logger
from prefect.states import Completed
from pydantic import Field

from blocks import FederationPolicy, StageResults
from blocks.bounds import bounds
from flows.again import again_later
from flows.coordination import await_instant, rehearsing, rename_run, scheduled
from flows.task_runners import task_runner
from hyperfed.coordinator.opening import open_checked
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.coordinator.running import check_ended, round_to_run
from hyperfed.coordinator.stragglers import poll_every, polls
from hyperfed.coordinator.timing import instant_of
from hyperfed.errors import PrivacyError, RoundPassed
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.objects import Plan
from hyperfed.report.outcome import outcome_of
from hyperfed.report.view import view_of
from tasks.broadcast import broadcast
from tasks.check_privacy_budget import check_privacy_budget
from tasks.collect import collect
from tasks.coordinator import Coordinator, coordinating, runner_of
from tasks.fire_drill import fire_drill as drill
from tasks.open_sum import open_sum
from tasks.reconcile import reconcile
from tasks.report import report
from tasks.score_trust import score_trust
from tasks.shuffle import shuffle
from tasks.validate import validate

__all__ = ["federation_round"]


@flow(
    name="federation-round",
    flow_run_name="federation round",
    persist_result=False,
    task_runner=task_runner(),
)
def federation_round(
    round_id: int | None = None,
    dry_run: bool = False,
    policy_overrides: dict[str, Any] | None = None,
    aggregation_delay_s: Annotated[float, Field(ge=0, le=3600)] | None = None,
    fire_drill: bool = False,
    shards: Annotated[int, Field(ge=1, le=1024)] = 1,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    federation_policy: str = "hyperfed",
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Run one federation round, or finish one that was interrupted. Running it again is harmless.

    Args:
        round_id: The round's number; when empty, the round whose window had ended when this run was
            scheduled.
        dry_run: Only say who would be counted now. Nothing is written.
        policy_overrides: Fields of the policy pack for a round that nobody has opened yet, such as
            {"vote_min": 0.25}. They are refused where the signed plan of the round says otherwise.
        aggregation_delay_s: How long stragglers are awaited, in seconds; when empty, as the policy
            block says.
        fire_drill: Afterwards, attack a shadow copy of what was counted and publish how many liars
            the round would have survived. This is refused in a private round.
        shards: In how many parts updates are verified and merged, at the same time where
            HYPERFED_TASK_RUNNER names a Dask or Ray cluster (docs/scale.md). A private round, and
            one with baskets, is merged in one piece.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        now: The clock, for dry runs, and for processes that were started with
            HYPERFED_REHEARSAL=1; when empty, the real one.
    """
    policy = FederationPolicy.load(federation_policy)
    with again_later(policy.poll_s):
        await_instant()
    instant = instant_of(now, datetime.now(UTC), dry_run=dry_run, environment=os.environ)
    coordinator = Coordinator(drop_box, coordinator_keys, instant)
    acting = rehearsing(coordinator) if dry_run else coordinating(coordinator)
    with again_later(policy.poll_s), acting as runner:
        registry = runner.reader.registry
        number, early = round_to_run(registry, scheduled(now, runner), wanted=round_id)
        if early:
            return _skipped(0, early)
        bounds().check_round(round_id, registry.windows.ended_at(runner.now))
        dry = ", dry run" if dry_run else ""
        rename_run(f"round {number}, {registry.windows.opens(number):%Y-%m-%d}{dry}")
        try:
            plan = open_checked(
                runner,
                number,
                policy.terms(policy_overrides),
                overrides=policy_overrides,
                rehearse=dry_run,
            )
        except RoundPassed as passed:
            if round_id is not None:
                raise
            return _skipped(number, str(passed))
        if dry_run:
            return _rehearsed(runner, number)
        check_ended(plan, runner.now)
        if end_of(runner.reader.ledger(), number) is not None:
            return _verified(coordinator, number)
        if fire_drill:
            _check_drill(plan)
        delay_s = policy.aggregation_delay_s if aggregation_delay_s is None else aggregation_delay_s
        summary = _run(coordinator, number, delay_s=delay_s, poll_s=policy.poll_s, shards=shards)
        if fire_drill and summary["outcome"] == "committed":
            summary["fire_drill"] = drill(coordinator, number)
        message = ". ".join((summary["headline"], *summary["unwritten"]))
        return Completed(name=_outcome_name(summary), message=message, data=summary)


def _skipped(number: int, why: str) -> State[dict[str, Any]]:
    """Return the good end of a run that has nothing to do; round 0 is none at all."""
    return Completed(name="Skipped", message=why, data={"round": number, "outcome": "none"})


def _check_drill(plan: Plan) -> None:
    """Raise PrivacyError where a fire drill would tell about single clients."""
    if plan.policy.privacy != "none":
        raise PrivacyError(
            "a fire drill computes from updates without noise",
            subject=f"round {plan.round}",
            remedy="Run the round without it",
        )


def _run(
    coordinator: Coordinator, number: int, *, delay_s: float, poll_s: float, shards: int
) -> dict[str, Any]:
    """Run the stages, and return what the round came to."""
    kept = StageResults.beside(coordinator.drop_box, coordinator.coordinator_keys)
    poll_s = poll_every(delay_s=delay_s, poll_s=poll_s)
    tries = max(3, polls(delay_s=delay_s, poll_s=poll_s))
    timings: list[tuple[str, float]] = []
    with _timed("collect", timings):
        collecting = collect.with_options(
            result_storage=kept, retries=tries, retry_delay_seconds=poll_s
        )
        arrivals = collecting(coordinator, number, poll_s, delay_s)
    with _timed("validate", timings):
        admission = validate.with_options(result_storage=kept)(coordinator, arrivals, shards)
    with _timed("score trust", timings):
        score_trust.with_options(result_storage=kept)(coordinator, number, admission)
    with _timed("check privacy budget", timings):
        check_privacy_budget.with_options(result_storage=kept)(coordinator, number)
    if runner_of(coordinator).plan(number).value.policy.aggregation == "secure-sum":
        with _timed("open sum", timings):
            opening = open_sum.with_options(retries=tries, retry_delay_seconds=poll_s)
            opening(coordinator, number, poll_s, delay_s)
    if shards > 1:
        with _timed("shuffle", timings):
            shuffle(coordinator, number, shards)
    with _timed("reconcile", timings):
        reconcile(coordinator, number, shards)
    with _timed("broadcast", timings):
        broadcast(coordinator, number)
    summary = report(coordinator, number, timings)
    get_run_logger().info(
        "flow=federation-round round=%d outcome=%s counted=%d",
        number,
        summary["outcome"],
        summary["counted"],
    )
    _name_after(summary, coordinator)
    return summary


def _verified(coordinator: Coordinator, number: int) -> State[dict[str, Any]]:
    """Compare an ended round's digests with the ledger, and write only missing receipts."""
    broadcast(coordinator, number)
    summary = outcome_of(view_of(runner_of(coordinator).reader, number))
    _name_after(summary, coordinator)
    get_run_logger().info(
        "flow=federation-round round=%d outcome=%s already=ended", number, summary["outcome"]
    )
    message = f"already {summary['outcome']}, digests verified; nothing was run again. "
    return Completed(
        name=_outcome_name(summary), message=message + summary["headline"], data=summary
    )


def _rehearsed(runner: RoundRunner, number: int) -> State[dict[str, Any]]:
    """Say who would be counted now: the stages up to the freeze, in memory.

    No value of the merge is computed: a second one must never be readable.
    """
    runner.freeze(number, runner.validate(runner.collect(number)))
    summary = outcome_of(view_of(runner.reader, number))
    message = (
        f"dry run, nothing was written: {summary['counted']} of {summary['cohort']} would "
        f"be counted, {len(summary['refused'])} refused"
    )
    return Completed(name="Completed", message=message, data=summary)


def _outcome_name(summary: dict[str, Any]) -> str:
    return "Completed" if summary["outcome"] == "committed" else "Void"


def _name_after(summary: dict[str, Any], coordinator: Coordinator) -> None:
    opens = runner_of(coordinator).reader.registry.windows.opens(summary["round"])
    counted = f"{summary['counted']} of {summary['cohort']}"
    rename_run(f"round {summary['round']}, {opens:%Y-%m-%d}, {counted}")


@contextmanager
def _timed(stage: str, timings: list[tuple[str, float]]) -> Iterator[None]:
    """Note how long a stage took, in seconds, for the round's page."""
    began = perf_counter()
    yield
    timings.append((stage, perf_counter() - began))
