"""Run `hyperfed round open | run` in this process, by hyperfed.toml alone and without Prefect.

1. The commands run here where an option says where the drop-box is or who this is (--store,
   --keys), or where no Prefect server is named and hyperfed.toml has [coordinator] key and [rounds]
   variables. They do not run here where an option names a block.
2. They do what the flows do: both call `coordinator.opening` and `coordinator.running`. Policy,
   vocabulary and quorum come from [rounds] and [policy] instead of a block.
3. Stragglers are awaited only where [rounds] aggregation_delay_s or --delay says so.

What the flows do, and the commands here do not: remember finished stages, issue links to clients
without a cloud account (`hyperfed links issue` does), write report pages and figures, and notify
automations.
"""

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.checkout import server_is_named
from hyperfed.cli.invocation import Invocation
from hyperfed.errors import ConfigError, RoundError

if TYPE_CHECKING:
    from hyperfed.coordinator.opening import RoundTerms
    from hyperfed.coordinator.runner import RoundRunner

__all__ = ["WITHOUT_A_SERVER", "open_here", "run_here", "runs_here"]

WITHOUT_A_SERVER = (
    "Or do without Prefect: write [coordinator] key and [rounds] variables into hyperfed.toml"
)
_BLOCKS = {
    "drop_box": "--drop-box",
    "coordinator_keys": "--coordinator-keys",
    "federation_policy": "--policy",
}
_OPTIONS = {"coordinator.key": "--keys", "store.url": "--store"}


def runs_here(invocation: Invocation) -> bool:
    """Return whether the command runs in this process.

    Raises ConfigError where its options contradict each other.
    """
    context = click.get_current_context()
    by_hand = click.core.ParameterSource.COMMANDLINE
    blocks = [
        option for name, option in _BLOCKS.items() if context.get_parameter_source(name) is by_hand
    ]
    option_names = [_OPTIONS.get(setting, setting) for setting in invocation.options]
    if blocks and option_names:
        raise ConfigError(
            f"{option_names[0]} runs the round in this process, {blocks[0]} by a block of a "
            "Prefect server",
            subject=context.command_path,
            remedy="Give one of them",
        )
    if blocks or option_names:
        return bool(option_names)
    if server_is_named():
        return False
    return {"coordinator.key", "rounds.variables"} <= invocation.settings.values.keys()


def open_here(invocation: Invocation, number: int | None, clock: datetime | None) -> dict[str, Any]:
    """Create the signed plan of a round, or adopt the one that is there, and return what it says.

    Raises RoundError before the first window, and what `open_checked` raises.
    """
    from hyperfed.coordinator.opening import open_checked
    from hyperfed.coordinator.running import opened_as, round_to_open

    runner = _runner(invocation, clock)
    choice = round_to_open(runner.reader.registry, runner.now, wanted=number)
    plan = open_checked(runner, _present(choice), _terms(invocation, runner, choice[0]))
    return opened_as(plan)


def run_here(
    invocation: Invocation, number: int | None, clock: datetime | None, delay_s: float | None
) -> dict[str, Any]:
    """Run a round's stages, print a line for each, and return what the round came to.

    A round that nobody has opened is opened first. Raises RoundError where its window is open or
    none has ended yet, QuorumMissed below quorum, and what `open_checked` raises.
    """
    from hyperfed.coordinator.opening import open_checked
    from hyperfed.coordinator.running import round_to_run, run_round
    from hyperfed.report.outcome import outcome_of
    from hyperfed.report.view import view_of

    settings = invocation.settings
    runner = _runner(invocation, clock)
    choice = round_to_run(runner.reader.registry, runner.now, wanted=number)
    number = _present(choice)
    open_checked(runner, number, _terms(invocation, runner, number))
    if delay_s is None:
        delay_s = settings.number("rounds.aggregation_delay_s")
    run_round(
        runner,
        number,
        delay_s=delay_s or 0.0,
        poll_s=settings.number("rounds.poll_s") or 30.0,
        tell=invocation.out.progress,
    )
    return outcome_of(view_of(runner.reader, number))


def _present(choice: tuple[int, str | None]) -> int:
    """Return the round's number. Raises RoundError where there is none yet."""
    number, why_not = choice
    if why_not is not None:
        raise RoundError(
            why_not,
            subject="round 1",
            rule="R-60",
            remedy="Wait for it; `hyperfed schedule` shows when",
        )
    return number


def _runner(invocation: Invocation, clock: datetime | None) -> "RoundRunner":
    """Return the coordinator at this instant. Raises ConfigError for what is not configured."""
    from hyperfed.coordinator.release_marks import ReleaseMarks
    from hyperfed.coordinator.runner import RoundRunner
    from hyperfed.coordinator.timing import instant_of
    from hyperfed.dropbox.ledger_copy import LedgerCopy

    fingerprint = invocation.settings.need_fingerprint()
    return RoundRunner(
        invocation.store,
        key_pair=invocation.opening.coordinator_keys,
        now=instant_of(clock, invocation.now, dry_run=False, environment=os.environ),
        fingerprint=fingerprint,
        copy=LedgerCopy.in_state(fingerprint),
        marks=ReleaseMarks.in_state(fingerprint),
    )


def _terms(invocation: Invocation, runner: "RoundRunner", number: int) -> "RoundTerms":
    """Return what [rounds] and [policy] say.

    A round that is open needs neither, since its plan is signed. Raises ConfigError where a new
    plan needs more.
    """
    from hyperfed.cli.values import as_usage
    from hyperfed.coordinator.opening import RoundTerms

    settings = invocation.settings
    if number and runner.reader.plan(number) is None:
        settings.need("rounds.variables")
    with as_usage():
        return RoundTerms.of(
            variables=settings.names("rounds.variables"),
            domains=settings.names("rounds.domains"),
            units=settings.values.get("rounds.units"),
            ranges=settings.values.get("rounds.ranges"),
            vocabulary_version=settings.whole("rounds.vocabulary_version") or 1,
            quorum=settings.whole("rounds.quorum"),
            policy=settings.section("policy"),
        )
