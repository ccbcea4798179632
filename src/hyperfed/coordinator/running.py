"""Run a round without Prefect.

The Prefect flows share parts of it: which round is meant, and whether its window has ended.

1. A moment before the first window, or before the first one has ended, means no round: callers say
   so and do nothing.
2. A round whose window is still open is not run (R-60).
3. The runner reads no clock. It waits for stragglers by the caller's `sleep`; without a delay
   nobody is awaited.
4. Running a round again is harmless: one that has ended is only verified, and receipts that are
   missing are written.

What it does not do: it does not remember finished stages (`tasks.stages`), nor show how a round
ended (`hyperfed.report`).
"""

import itertools
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hyperfed.coordinator.runner import RoundRunner, Stage
from hyperfed.coordinator.stragglers import await_stragglers, poll_every
from hyperfed.dropbox.inbox import Arrivals
from hyperfed.errors import ConfigError, QuorumPending, RoundError
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Registry

__all__ = ["check_ended", "opened_as", "round_to_open", "round_to_run", "run_round"]

log = logging.getLogger(__name__)


def round_to_open(
    registry: Registry, moment: datetime, *, wanted: int | None = None
) -> tuple[int, str | None]:
    """Return the number of the round to open at a moment, or 0 and why there is none.

    wanted: the round that was asked for; None: that of the moment's window. The second value is
    None where there is a round. Raises ConfigError for a number below 1.
    """
    if wanted is not None:
        if wanted < 1:
            raise ConfigError(
                f"{wanted} is no round's number",
                subject="round",
                remedy=(
                    "Give a number of 1 or more, or leave it empty for the round of the schedule"
                ),
            )
        return wanted, None
    if moment < registry.genesis:
        return 0, f"round 1 opens at {registry.genesis:%Y-%m-%d %H:%M %Z}: there is no round yet"
    return registry.windows.round_at(moment), None


def round_to_run(
    registry: Registry, moment: datetime, *, wanted: int | None = None
) -> tuple[int, str | None]:
    """Return the number of the round to run at a moment, or 0 and why there is none.

    wanted: the round that was asked for; None: the one whose window has ended last. The second
    value is None where there is a round.
    """
    number, early = round_to_open(registry, moment, wanted=wanted)
    if wanted or early:
        return number, early
    ended = registry.windows.ended_at(moment)
    return (ended, None) if ended >= 1 else (0, "no window has ended yet: there is no round to run")


def check_ended(plan: Plan, now: datetime) -> None:
    """Raise RoundError while the round's window is open."""
    if now < plan.deadline:
        raise RoundError(
            f"its window is open until {plan.deadline:%Y-%m-%d %H:%M %Z}",
            subject=f"round {plan.round}",
            rule="R-60",
            remedy="Wait until then: running it now would shut out clients yet to submit. "
            f"`hyperfed round status {plan.round}` says who is there",
        )


def opened_as(plan: Plan) -> dict[str, Any]:
    """Return the facts of a round that was opened, as JSON-ready data."""
    return {
        "round": plan.round,
        "cohort": len(plan.cohort),
        "quorum": plan.quorum,
        "deadline": plan.deadline.isoformat(),
    }


def run_round(
    runner: RoundRunner,
    number: int,
    *,
    delay_s: float = 0.0,
    poll_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = log.info,
) -> Stage:
    """Run the stages of an opened round whose window has ended, and return how it ended.

    Args:
        runner: The coordinator, at the instant of the run.
        number: The round.
        delay_s: How long stragglers are awaited, in seconds; 0: not at all.
        poll_s: After how many seconds the inbox is listed again meanwhile.
        sleep: Waits for a number of seconds.
        tell: Takes one line of text about how each stage went.

    Raises RoundError while the window is open or an earlier round has not ended, QuorumMissed below
    quorum before the round's `close_by`; nothing was decided then.
    """
    check_ended(runner.plan(number).value, runner.now)
    if end_of(runner.reader.ledger(), number) is not None:
        tell(f"round {number} has ended already: its digests are verified, nothing is run again")
        return runner.conclude(number)
    arrivals = _collected(runner, number, delay_s=delay_s, poll_s=poll_s, sleep=sleep, tell=tell)
    admission = runner.validate(arrivals)
    tell(f"validate: {len(admission.admitted)} admitted, {len(admission.refused)} refused")
    frozen = runner.freeze(number, admission)
    tell(f"score trust: {frozen.counted} counted, {frozen.refused} refused")
    runner.reserve(number)
    tell("check privacy budget: what the round spends stands in the ledger")
    if runner.plan(number).value.policy.aggregation == "secure-sum":
        _opened(runner, number, delay_s=delay_s, poll_s=poll_s, sleep=sleep, tell=tell)
    runner.release(number)
    tell("reconcile: the result is there")
    ended = runner.conclude(number)
    tell("broadcast: state, ledger entry and receipts are there")
    return ended


def _opened(
    runner: RoundRunner,
    number: int,
    *,
    delay_s: float,
    poll_s: float,
    sleep: Callable[[float], None],
    tell: Callable[[str], None],
) -> None:
    """Wait until helpers have opened the round's sum. Raises QuorumMissed once time is used up."""
    poll_s = poll_every(delay_s=delay_s, poll_s=poll_s)
    for looks in itertools.count():
        try:
            runner.open_sum(number, waited_s=looks * poll_s, delay_s=delay_s, poll_s=poll_s)
        except QuorumPending as pending:
            tell(f"{pending.subject}: {pending.problem}; {pending.remedy}")
            sleep(poll_s)
        else:
            tell("open sum: helpers have opened the sum of what is counted")
            return


def _collected(
    runner: RoundRunner,
    number: int,
    *,
    delay_s: float,
    poll_s: float,
    sleep: Callable[[float], None],
    tell: Callable[[str], None],
) -> Arrivals:
    """Wait for stragglers, and return the arrivals that the round goes on with.

    Raises QuorumMissed below quorum once the delay is used up.
    """
    poll_s = poll_every(delay_s=delay_s, poll_s=poll_s)
    for looks in itertools.count():
        arrivals = runner.collect(number)
        try:
            await_stragglers(arrivals, waited_s=looks * poll_s, delay_s=delay_s, poll_s=poll_s)
        except QuorumPending as pending:
            tell(f"{pending.subject}: {pending.problem}; {pending.remedy}")
            sleep(poll_s)
            continue
        break
    cohort = len(arrivals.present) + len(arrivals.missing)
    tell(f"collect: {len(arrivals.present)} of {cohort} clients have an update here")
    return arrivals
