"""`federation_round`: collect -> validate -> score trust -> check privacy budget -> reconcile -> broadcast -> report (DESIGN section 4).

1. It may be run for any round at any time, any number of times, beside another: the protocol in the object store makes that harmless.
2. The clock is read once, here. A window that is still open is not run.
   Below quorum after the stragglers' time the run fails, naming who is missing; Retry works until `close_by`.
3. Finished stages are remembered in the drop-box (`tasks.stages`): a Retry goes on where the round failed. A round that has ended is only verified.
4. A dry run says who would count now, and writes nothing: no plan, no copy, no freeze, no result.
5. It needs no Prefect server: without one, Prefect starts its own for the run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import perf_counter
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture
from prefect.states import Completed, State

from blocks import FederationPolicy, StageResults
from flows.coordination import load_runner, open_proven, rename_run, scheduled
from flows.task_runners import from_the_flow, same_place, task_runner
from hyperfed.coordinator.inbox import Arrivals, Judged
from hyperfed.coordinator.intake import combined, shards_of
from hyperfed.coordinator.remote import merging
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.coordinator.stragglers import polls
from hyperfed.errors import PrivacyError, RoundError
from hyperfed.protocol.documents import end_of
from hyperfed.report.outcome import outcome_of
from hyperfed.report.view import view_of
from tasks.answer_step import answer_step
from tasks.broadcast import broadcast
from tasks.check_privacy_budget import check_privacy_budget
from tasks.collect import collect
from tasks.fire_drill import fire_drill as drill
from tasks.reconcile import reconcile
from tasks.report import report
from tasks.score_trust import score_trust
from tasks.shuffle_shard import shuffle_shard
from tasks.stages import code_digest
from tasks.validate import validate
from tasks.validate_shard import validate_shard

__all__ = ["federation_round"]


@flow(name="federation-round", flow_run_name="federation round", persist_result=False, task_runner=task_runner())
def federation_round(
    round_id: int | None = None,
    dry_run: bool = False,
    policy_overrides: dict[str, Any] | None = None,
    aggregation_delay_s: float | None = None,
    fire_drill: bool = False,
    shards: int = 1,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    federation_policy: str = "hyperfed",
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Run one federation round, or finish one that was interrupted. Running it again is harmless.

    Args:
        round_id: The round's number; empty: the round whose window had ended when this run was scheduled.
        dry_run: Only say who would be counted now. Nothing is written.
        policy_overrides: Fields of the policy pack for a round that nobody has opened yet, such as {"vote_min": 0.25}; refused where the signed plan of the
            round says otherwise.
        aggregation_delay_s: How long stragglers are awaited, in seconds; empty: as the policy block says.
        fire_drill: Afterwards, attack a shadow copy of what was counted and publish how many liars the round would have survived; refused in a private round.
        shards: In how many parts updates are judged and merged, at the same time where HYPERFED_TASK_RUNNER names a Dask or Ray cluster (docs/scale.md);
            a private round, and one with baskets, is merged in one piece.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block.
        federation_policy: Name of the Hyperfed Federation Policy block.
        now: The clock, for rehearsals; empty: the real one.
    """
    runner = load_runner(drop_box, coordinator_keys, now, rehearse=dry_run)
    policy = FederationPolicy.load(federation_policy)
    windows = runner.reader.registry.windows
    number = round_id or windows.ended_at(scheduled(now, runner))
    if number < 1:
        return Completed(name="Skipped", message="no window has ended yet: there is no round to run", data={"round": 0, "outcome": "none"})
    rename_run(f"round {number}, {windows.opens(number):%Y-%m-%d}" + (", dry run" if dry_run else ""))
    plan = open_proven(runner, number, policy, policy_overrides, rehearse=dry_run)
    delay_s = policy.aggregation_delay_s if aggregation_delay_s is None else aggregation_delay_s
    if dry_run:
        return _rehearsed(runner, number)
    if runner.now < plan.deadline:
        raise RoundError(
            f"its window is open until {plan.deadline:%Y-%m-%d %H:%M %Z}",
            subject=f"round {number}",
            rule="R-60",
            remedy="Running it now would shut out who submits until then. A dry run says who is there",
        )
    if end_of(runner.reader.ledger(), number) is not None:
        return _verified(runner, number)
    if fire_drill and plan.policy.privacy != "none":
        raise PrivacyError("a fire drill computes from updates without noise", subject=f"round {number}", remedy="Run the round without it")
    kept = StageResults.beside(drop_box, coordinator_keys)
    state = _run(runner, number, kept, delay_s=delay_s, poll_s=policy.poll_s, shards=shards)
    if fire_drill and state.data["outcome"] == "committed":
        state.data["fire_drill"] = drill(runner, number)
    return state


def _run(runner: RoundRunner, number: int, kept: StageResults, *, delay_s: float, poll_s: float, shards: int) -> State[dict[str, Any]]:
    """The stages, and what the round came to."""
    retries = max(3, polls(delay_s=delay_s, poll_s=poll_s))
    timings: list[tuple[str, float]] = []
    with _timed("collect", timings):
        arrivals = collect.with_options(result_storage=kept, retries=retries, retry_delay_seconds=poll_s)(runner, number, poll_s, delay_s)
    with _timed("validate", timings):
        if shards > 1 and not arrivals.decided:
            admission = _in_shards(runner, arrivals, kept, shards)
        else:
            admission = validate.with_options(result_storage=kept)(runner, arrivals)
    with _timed("score trust", timings):
        score_trust.with_options(result_storage=kept)(runner, number, admission)
    with _timed("check privacy budget", timings):
        check_privacy_budget.with_options(result_storage=kept)(runner, number)
    if shards > 1 and runner.needs_merge(number):
        with _timed("shuffle", timings):
            _shuffled(runner, number, kept, shards)
    with _timed("reconcile", timings):
        reconcile(runner, number)
    with _timed("broadcast", timings):
        broadcast(runner, number)
    summary: dict[str, Any] = report(runner, number, timings)
    get_run_logger().info("flow=federation-round round=%d outcome=%s counted=%d", number, summary["outcome"], summary["counted"])
    _name_after(summary, runner)
    return Completed(name="Completed" if summary["outcome"] == "committed" else "Void", message=summary["headline"], data=summary)


def _in_shards(runner: RoundRunner, arrivals: Arrivals, kept: StageResults, shards: int) -> Judged:
    """What `validate` returns, judged by `shards` tasks wherever the flow's task runner has workers: keys and digests go there and come back."""
    parts = shards_of(arrivals, shards)
    futures = [validate_shard.submit(kept.drop_box, kept.coordinator_keys, runner.now, part, i) for i, part in enumerate(parts)]
    return combined([future.result() for future in futures])


def _shuffled(runner: RoundRunner, number: int, kept: StageResults, shards: int) -> None:
    """Have the rows cut by key range, and the steps of the merge answered, by tasks wherever the flow's task runner has workers (docs/scale.md)."""
    where = (kept.drop_box, kept.coordinator_keys, runner.now, number)
    runner.code = code_digest()
    layout = runner.shuffle(number).layout(shards)
    _ended([shuffle_shard.submit(*where, shard) for shard in range(len(layout.shards) - 1)])

    def asked(address: str, lot: int) -> PrefectFuture[int]:
        with from_the_flow(), same_place(lot):
            return answer_step.submit(*where, address, lot)

    runner.merges_elsewhere = merging(lambda address, lots: _ended([asked(address, lot) for lot in lots]))


def _ended(futures: Sequence[PrefectFuture[int]]) -> None:
    """Wait for all; the first failure is the flow's."""
    for future in futures:
        future.result()


def _verified(runner: RoundRunner, number: int) -> State[dict[str, Any]]:
    """A round that has ended: its digests are compared with the ledger's, missing receipts written, and nothing else."""
    broadcast(runner, number)
    summary = outcome_of(view_of(runner.reader, number))
    _name_after(summary, runner)
    get_run_logger().info("flow=federation-round round=%d outcome=%s already=ended", number, summary["outcome"])
    return Completed(
        name="Completed" if summary["outcome"] == "committed" else "Void",
        message=f"already {summary['outcome']}, digests verified; nothing was run again. {summary['headline']}",
        data=summary,
    )


def _rehearsed(runner: RoundRunner, number: int) -> State[dict[str, Any]]:
    """Who would be counted now; stages up to the freeze, in memory. No value of the merge is computed: a second one must never be readable."""
    runner.freeze(number, runner.validate(runner.collect(number)))
    summary = outcome_of(view_of(runner.reader, number))
    message = f"dry run, nothing was written: {summary['counted']} of {summary['cohort']} would be counted, {len(summary['refused'])} refused"
    return Completed(name="Completed", message=message, data=summary)


def _name_after(summary: dict[str, Any], runner: RoundRunner) -> None:
    opens = runner.reader.registry.windows.opens(summary["round"])
    rename_run(f"round {summary['round']}, {opens:%Y-%m-%d}, {summary['counted']} of {summary['cohort']}")


@contextmanager
def _timed(stage: str, timings: list[tuple[str, float]]) -> Iterator[None]:
    """Note how long a stage took, in seconds, for the round's page."""
    began = perf_counter()
    yield
    timings.append((stage, perf_counter() - began))
