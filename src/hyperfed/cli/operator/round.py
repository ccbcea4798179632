"""Implement `hyperfed round`, the operator's view of rounds.

`status` reads the drop-box. `open` and `run` start the Prefect flows of the checkout, or work
without Prefect in this process (`round_here`).
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hyperfed.cli.checkout import import_for_server, server_is_named
from hyperfed.cli.heads import head_compared, head_pairs
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.operator.round_here import WITHOUT_A_SERVER, open_here, run_here, runs_here
from hyperfed.cli.options import FILE, add_options, output_options, setting_option, store_options
from hyperfed.cli.output import instant, plain, show_pairs, show_table
from hyperfed.errors import ConfigError, HyperfedError, ObjectNotFound

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["open_round", "retry", "round_group", "run_round", "status"]


@click.group(cls=Group, name="round")
def round_group() -> None:
    """Open, run, retry and show rounds.

    Runs normally come from the deployment's schedules; these commands let the operator act by hand.

    `open` and `run` work in one of two ways. If $PREFECT_API_URL or Prefect's active profile names
    a server, or an option names a block, they run its flows from a clone of the repository. Blocks
    then say where the drop-box is and which key to use. Without a server, or with --store or
    --keys, they run in this process, without Prefect, with the settings of hyperfed.toml: [store],
    [federation], [coordinator] key, [rounds] and [policy]. `retry` needs the server, and `status`
    needs neither.

    \b
      hyperfed round status
      hyperfed round retry 328
      hyperfed round run 328 --delay 0
    """


def flow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `open` and `run`.

    They say which round is meant, and which Prefect blocks the flow loads, or what replaces them.
    """
    return add_options(
        command,
        click.argument("number", metavar="[N]", type=click.IntRange(min=1), required=False),
        click.option(
            "--drop-box", default="hyperfed", show_default=True, help="Name of the Drop-Box block."
        ),
        click.option(
            "--coordinator-keys",
            default="hyperfed",
            show_default=True,
            help="Name of the Coordinator Keys block.",
        ),
        click.option(
            "--policy",
            "federation_policy",
            default="hyperfed",
            show_default=True,
            help="Name of the Federation Policy block.",
        ),
        click.option(
            "--now",
            "clock",
            type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
            help="The clock, for rehearsals, such as 2027-01-01T00:05:00+0000. Start the process "
            "with HYPERFED_REHEARSAL=1.",
        ),
        setting_option(
            "--keys",
            setting="coordinator.key",
            metavar="FILE",
            type=FILE,
            help="The coordinator's key file; the command then runs in this process, without "
            "Prefect.",
        ),
        store_options,
        output_options,
        pass_invocation,
    )


@round_group.command(name="open")
@flow_options
def open_round(
    invocation: Invocation,
    number: int | None,
    drop_box: str,
    coordinator_keys: str,
    federation_policy: str,
    clock: datetime | None,
) -> None:
    """Create the signed plan of round N, by default of the running window.

    A flow of the Prefect server does this or, without a server, this process (`hyperfed round
    --help`).

    \b
      hyperfed round open
      hyperfed round open --store file:///mnt/share --keys coordinator.key
    """
    if runs_here(invocation):
        _finish(invocation, open_here(invocation, number, clock))
    _run_flow(
        invocation,
        ("flows.open_round", "open_round"),
        round_id=number,
        drop_box=drop_box,
        coordinator_keys=coordinator_keys,
        federation_policy=federation_policy,
        now=clock,
    )


@round_group.command(name="run")
@click.option(
    "--delay",
    "delay_s",
    type=click.FloatRange(min=0),
    help="How many seconds to wait for stragglers; by default as the policy block or [rounds] "
    "says.",
)
@flow_options
def run_round(
    invocation: Invocation,
    number: int | None,
    drop_box: str,
    coordinator_keys: str,
    federation_policy: str,
    clock: datetime | None,
    delay_s: float | None,
) -> None:
    """Run round N, or finish one that was interrupted.

    By default it is the round of the last window that has ended. Running it again is harmless. A
    flow of the Prefect server does this or, without a server, this process (`hyperfed round
    --help`).

    The exit code is 1 if the round ended without a result, and 4 if it waits for more clients or
    for an earlier round.

    \b
      hyperfed round run
      hyperfed round run 328 --delay 0
      hyperfed round run 328 --store file:///mnt/share --keys coordinator.key
    """
    if runs_here(invocation):
        _finish(invocation, run_here(invocation, number, clock, delay_s))
    _run_flow(
        invocation,
        ("flows.federation_round", "federation_round"),
        round_id=number,
        drop_box=drop_box,
        coordinator_keys=coordinator_keys,
        federation_policy=federation_policy,
        aggregation_delay_s=delay_s,
        now=clock,
    )


def _run_flow(invocation: Invocation, where: tuple[str, str], **parameters: Any) -> None:
    """Run a flow of the checkout in this process, by the blocks of the server.

    With --json its log stays quiet.
    """
    if invocation.as_json:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    flow = _flow(*where)
    try:
        summary = flow(**parameters)
    except HyperfedError:
        raise
    except ValueError as exc:
        if "block" not in str(exc).lower():
            raise
        raise ConfigError(
            " ".join(str(exc).split())[:300],
            subject=where[0],
            remedy="Save the blocks first (DropBox, CoordinatorKeys, FederationPolicy), or "
            "name others with --drop-box, --coordinator-keys, --policy",
        ) from exc
    _finish(invocation, summary if isinstance(summary, dict) else {"result": summary})


def _flow(module: str, attribute: str) -> Any:
    """Return the flow.

    Raises ConfigError; where no server is named, the error names both ways out.
    """
    try:
        return import_for_server(module, attribute)
    except ConfigError as exc:
        if server_is_named():
            raise
        remedy = f"{exc.remedy}. {WITHOUT_A_SERVER}"
        raise ConfigError(exc.problem, subject=exc.subject, rule=exc.rule, remedy=remedy) from exc


def _finish(invocation: Invocation, summary: dict[str, Any]) -> NoReturn:
    """Say what the round came to, and end the command.

    The exit code is 1 where the round ended without a result.
    """
    document = plain(summary)
    single = {name: value for name, value in document.items() if not isinstance(value, dict | list)}
    outcome = document.get("outcome", "committed")
    invocation.out.finish(
        document,
        lambda to: show_pairs(to, single),
        code=1 if outcome != "committed" else 0,
        because=f"the round is {outcome}",
    )


@round_group.command(name="retry")
@click.argument("number", metavar="N", type=click.IntRange(min=1))
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="How many seconds to wait for the run to end.",
)
@output_options
@pass_invocation
def retry(invocation: Invocation, number: int, wait_s: float) -> None:
    """Retry the newest run of round N on the Prefect server of $PREFECT_API_URL.

    This does what the UI's button does: the run continues where it failed. It is harmless at any
    time; a round that has ended is only verified. The exit code is 1 if the run fails again.

    \b
      hyperfed round retry 328
      hyperfed round retry 328 --wait 300
    """
    answer: dict[str, Any] = import_for_server("flows.service", "retry_round")(
        number, wait_s=wait_s
    )
    pairs = {"Run": answer["name"], "State": f"{answer['state']}: {answer['message']}"}
    invocation.out.finish(
        answer,
        lambda to: show_pairs(to, pairs),
        code=0 if answer["good"] else 1,
        because=f"the run is {answer['state']}",
    )


@round_group.command(name="status")
@click.argument("number", metavar="[N]", type=click.IntRange(min=1), required=False)
@store_options
@output_options
@pass_invocation
def status(invocation: Invocation, number: int | None) -> None:
    """Show how far round N has come, by default the newest round that was opened.

    The answer shows its plan, which clients are there and which are missing, which were counted or
    refused and why, trust, result and ledger. The command only reads.

    \b
      hyperfed round status
      hyperfed round status 328
    """
    with invocation.out.step("Reading the drop-box"):
        document = _document(invocation, number if number is not None else _newest(invocation))
    invocation.warn_unless_compared()
    invocation.out.finish(document, lambda to: _show(to, document))


def _newest(invocation: Invocation) -> int:
    """Return the newest round with a plan. Raises ObjectNotFound before the first."""
    registry = invocation.reader.registry
    if invocation.now >= registry.genesis:
        for round_id in range(registry.windows.round_at(invocation.now), 0, -1):
            if invocation.reader.plan(round_id) is not None:
                return round_id
    raise ObjectNotFound(
        "no round was opened yet",
        subject="rounds/",
        remedy=(
            "Open one with `hyperfed round open`; the open-round deployment opens each at its "
            "window's start"
        ),
    )


def _document(invocation: Invocation, round_id: int) -> dict[str, Any]:
    from hyperfed.coordinator.reputation import trust_of
    from hyperfed.protocol.documents import end_of
    from hyperfed.protocol.entries import (
        EntryKind,
    )
    from hyperfed.protocol.object_keys import Keys
    from hyperfed.protocol.objects import (
        Tombstone,
    )

    reader = invocation.reader
    stored = reader.plan(round_id)
    if stored is None:
        raise ObjectNotFound(
            "was not opened",
            subject=f"round {round_id}",
            remedy="Wait for its window: the open-round deployment opens it at the window's start",
        )
    plan, frozen, result, state = (
        stored.value,
        reader.freeze(round_id),
        reader.result(round_id),
        reader.state(round_id),
    )
    ledger = reader.ledger()
    end = end_of(ledger, round_id)
    prefix = Keys.inbox(round_id)
    local = {
        Path(info.key).parts[2]
        for info in invocation.store.list(prefix)
        if info.key.count("/") == 3
    }
    if end is not None:
        outcome = "committed" if end.entry.kind is EntryKind.COMMIT else "void"
    elif result is not None:
        outcome = "released, not concluded"
    elif frozen is not None:
        outcome = "frozen"
    elif invocation.now < plan.deadline:
        outcome = "open"
    else:
        outcome = "void is due" if invocation.now >= plan.close_by else "waits to be run"
    tombstone = result.value if result is not None and isinstance(result.value, Tombstone) else None
    return {
        "round": round_id,
        "federation": plan.federation,
        "outcome": outcome,
        "void_because": tombstone.reason if tombstone else None,
        "opens": plan.opens,
        "deadline": plan.deadline,
        "close_by": plan.close_by,
        "quorum": plan.quorum,
        "cohort": len(plan.cohort),
        "present": [c for c in plan.cohort if c in local],
        "missing": [c for c in plan.cohort if c not in local],
        "strangers": sorted(local - set(plan.cohort)),
        "counted": [
            {"client": c.client, "made_for": c.made_for, "sequence": c.sequence}
            for c in frozen.value.counted
        ]
        if frozen
        else [],
        "refused": [
            {
                "key": r.key,
                "client": r.client,
                "rule": r.rule,
                "reason": r.reason,
                "remedy": r.remedy,
            }
            for r in frozen.value.refused
        ]
        if frozen
        else [],
        "excluded": list(frozen.value.excluded) if frozen else [],
        "trust": (
            [
                {
                    "client": c.client,
                    "trust": trust_of(state.value, c.client),
                    "weight": c.weight,
                    "agreement": c.agreement,
                }
                for c in state.value.clients
            ]
            if state
            else []
        ),
        "edges": len(result.value.edges)
        if result is not None and not isinstance(result.value, Tombstone)
        else None,
        "result": result.digest if result else None,
        "ledger_sequence": end.entry.sequence if end else None,
        "ledger_head": head_compared(ledger, None, reader.registry),
    }


def _show(to: "Console", answer: dict[str, Any]) -> None:
    show_pairs(
        to,
        {
            "Round": f"{answer['round']} of federation {answer['federation']}: {answer['outcome']}"
            + (f" ({answer['void_because']})" if answer["void_because"] else ""),
            "Window": f"{instant(answer['opens'])} to {instant(answer['deadline'])}; retried until "
            f"{instant(answer['close_by'])}",
            "Updates": f"{len(answer['present'])} of {answer['cohort']} clients have one, quorum "
            f"{answer['quorum']}",
            "Missing": ", ".join(answer["missing"][:20])
            + (" ..." if len(answer["missing"]) > 20 else "")
            or "nobody",
            "Counted": len(answer["counted"])
            if answer["counted"]
            else "not yet"
            if answer["outcome"] in ("open", "waits to be run")
            else "none",
        }
        | ({"Edges": answer["edges"]} if answer["edges"] is not None else {})
        | ({"Ledger": f"entry {answer['ledger_sequence']}"} if answer["ledger_sequence"] else {})
        | head_pairs(answer["ledger_head"]),
    )
    if answer["refused"]:
        show_table(
            to,
            f"Refused: {len(answer['refused'])}",
            ("object", "rule", "reason"),
            ((r["key"], r["rule"], r["reason"]) for r in answer["refused"]),
        )
    if answer["trust"]:
        lowest = sorted(answer["trust"], key=lambda t: (t["weight"], t["trust"]))[:10]
        columns = ("client", "trust", "weight", "agreement")
        show_table(
            to,
            f"Trust: the lowest {len(lowest)} of {len(answer['trust'])}",
            columns,
            ([t[c] for c in columns] for t in lowest),
            right=columns[1:],
        )
