"""`hyperfed round`: the operator's view. `status` reads the drop-box; `open` and `run` start the Prefect flows of the checkout."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.checkout import import_from_checkout
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation, store_options
from hyperfed.cli.output import instant, plain, show_pairs, show_table
from hyperfed.errors import ConfigError, HyperfedError, ObjectNotFound

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["open_round", "retry", "round_group", "run_round", "status"]


@click.group(name="round")
def round_group() -> None:
    """Open, run and look at rounds. Runs normally come from the deployment's schedules; this is for the operator's hand.

    `open` and `run` need the checkout and `pip install 'hyperfed[coordinator]'`; where and who come from the Prefect blocks. `status` needs neither.
    """


def flow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which Prefect blocks the flow loads, and for which round it runs."""
    decorators: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
        pass_invocation,
        output_options,
        click.option("--now", "clock", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="The clock, for rehearsals, such as 2027-01-01T00:05:00+0000."),
        click.option("--policy", "federation_policy", default="hyperfed", show_default=True, help="Name of the Federation Policy block."),
        click.option("--coordinator-keys", default="hyperfed", show_default=True, help="Name of the Coordinator Keys block."),
        click.option("--drop-box", default="hyperfed", show_default=True, help="Name of the Drop-Box block."),
        click.argument("number", metavar="[N]", type=click.IntRange(min=1), required=False),
    )
    for decorator in decorators:
        command = decorator(command)
    return command


@round_group.command(name="open")
@flow_options
def open_round(invocation: Invocation, number: int | None, drop_box: str, coordinator_keys: str, federation_policy: str, clock: datetime | None) -> None:
    """Create the signed plan of round N; by default of the window that runs now.

    \b
      hyperfed round open
    """
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
@click.option("--delay", "delay_s", type=click.FloatRange(min=0), help="Seconds to wait for stragglers; by default as the policy block says.")
@flow_options
def run_round(
    invocation: Invocation, number: int | None, drop_box: str, coordinator_keys: str, federation_policy: str, clock: datetime | None, delay_s: float | None
) -> int:
    """Run round N, or finish one that was interrupted; by default the round whose window has ended last. Running it again is harmless.

    The exit code is 1 where the round ended without a result, and 4 where it waits for more clients or for an earlier round.

    \b
      hyperfed round run
      hyperfed round run 328 --delay 0
    """
    return _run_flow(
        invocation,
        ("flows.federation_round", "federation_round"),
        round_id=number,
        drop_box=drop_box,
        coordinator_keys=coordinator_keys,
        federation_policy=federation_policy,
        aggregation_delay_s=delay_s,
        now=clock,
    )


def _run_flow(invocation: Invocation, where: tuple[str, str], **parameters: Any) -> int:
    """Run a flow of the checkout in this process; with --json its log stays quiet. The exit code."""
    if invocation.as_json:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    flow = import_from_checkout(*where)
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
            remedy="Save the blocks first (DropBox, CoordinatorKeys, FederationPolicy), or name others with --drop-box, --coordinator-keys, --policy",
        ) from exc
    document = plain(summary) if isinstance(summary, dict) else {"result": plain(summary)}
    single = {name: value for name, value in document.items() if not isinstance(value, dict | list)}
    return invocation.out.finish(document, lambda to: show_pairs(to, single), code=1 if document.get("outcome", "committed") != "committed" else 0)


@round_group.command(name="retry")
@click.argument("number", metavar="N", type=click.IntRange(min=1))
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=0, show_default=True, help="Seconds to wait for the run's end.")
@output_options
@pass_invocation
def retry(invocation: Invocation, number: int, wait_s: float) -> int:
    """Retry the newest run of round N on the Prefect server of $PREFECT_API_URL, as the UI's button does: it goes on where it failed.

    Harmless at any time; a round that has ended is only verified. Exit code 1 where the run fails again.

    \b
      hyperfed round retry 328
      hyperfed round retry 328 --wait 300
    """
    said: dict[str, Any] = import_from_checkout("flows.service", "retry_round")(number, wait_s=wait_s)
    invocation.out.finish(said, lambda to: show_pairs(to, {"Run": said["name"], "State": f"{said['state']}: {said['message']}"}))
    return 0 if said["good"] else 1


@round_group.command(name="status")
@click.argument("number", metavar="[N]", type=click.IntRange(min=1), required=False)
@store_options
@output_options
@pass_invocation
def status(invocation: Invocation, number: int | None) -> None:
    """Show how far round N has come: plan, who is there and who is missing, who was counted or refused and why, trust, result, ledger.

    By default the newest round that was opened. Reads only.

    \b
      hyperfed round status
      hyperfed round status 328
    """
    with invocation.out.step("Reading the drop-box"):
        document = _document(invocation, number if number is not None else _newest(invocation))
    invocation.warn_unless_compared()
    invocation.out.finish(document, lambda to: _show(to, document))


def _newest(invocation: Invocation) -> int:
    """The newest round with a plan. Raises ObjectNotFound before the first."""
    registry = invocation.reader.registry
    if invocation.now >= registry.genesis:
        for round_id in range(registry.windows.round_at(invocation.now), 0, -1):
            if invocation.reader.plan(round_id) is not None:
                return round_id
    raise ObjectNotFound(
        "no round was opened yet", subject="rounds/", remedy="The open-round deployment opens each at its window's start; or `hyperfed round open`"
    )


def _document(invocation: Invocation, round_id: int) -> dict[str, Any]:
    from hyperfed.protocol.documents import end_of
    from hyperfed.protocol.objects import EntryKind, Tombstone
    from hyperfed.protocol.reputation import trust_of
    from hyperfed.rounds import Keys

    reader = invocation.reader
    stored = reader.plan(round_id)
    if stored is None:
        raise ObjectNotFound("was not opened", subject=f"round {round_id}", remedy="The open-round deployment opens it at its window's start")
    plan, frozen, result, state = stored.value, reader.freeze(round_id), reader.result(round_id), reader.state(round_id)
    end = end_of(reader.ledger(), round_id)
    prefix = Keys.inbox(round_id)
    here = {Path(info.key).parts[2] for info in invocation.store.list(prefix) if info.key.count("/") == 3}
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
        "present": [c for c in plan.cohort if c in here],
        "missing": [c for c in plan.cohort if c not in here],
        "strangers": sorted(here - set(plan.cohort)),
        "counted": [{"client": c.client, "made_for": c.made_for, "sequence": c.sequence} for c in frozen.value.counted] if frozen else [],
        "refused": [{"key": r.key, "client": r.client, "rule": r.rule, "reason": r.reason, "remedy": r.remedy} for r in frozen.value.refused] if frozen else [],
        "excluded": list(frozen.value.excluded) if frozen else [],
        "trust": (
            [{"client": c.client, "trust": trust_of(state.value, c.client), "weight": c.weight, "agreement": c.agreement} for c in state.value.clients]
            if state
            else []
        ),
        "edges": len(result.value.edges) if result is not None and not isinstance(result.value, Tombstone) else None,
        "result": result.digest if result else None,
        "ledger_sequence": end.entry.sequence if end else None,
    }


def _show(to: "Console", said: dict[str, Any]) -> None:
    show_pairs(
        to,
        {
            "Round": f"{said['round']} of federation {said['federation']}: {said['outcome']}" + (f" ({said['void_because']})" if said["void_because"] else ""),
            "Window": f"{instant(said['opens'])} to {instant(said['deadline'])}; retried until {instant(said['close_by'])}",
            "Updates": f"{len(said['present'])} of {said['cohort']} clients have one, quorum {said['quorum']}",
            "Missing": ", ".join(said["missing"][:20]) + (" ..." if len(said["missing"]) > 20 else "") or "nobody",
            "Counted": len(said["counted"]) if said["counted"] else "not yet" if said["outcome"] in ("open", "waits to be run") else "none",
        }
        | ({"Edges": said["edges"]} if said["edges"] is not None else {})
        | ({"Ledger": f"entry {said['ledger_sequence']}"} if said["ledger_sequence"] else {}),
    )
    if said["refused"]:
        show_table(to, f"Refused: {len(said['refused'])}", ("object", "rule", "reason"), ((r["key"], r["rule"], r["reason"]) for r in said["refused"]))
    if said["trust"]:
        lowest = sorted(said["trust"], key=lambda t: (t["weight"], t["trust"]))[:10]
        columns = ("client", "trust", "weight", "agreement")
        show_table(to, f"Trust: the lowest {len(lowest)} of {len(said['trust'])}", columns, ([t[c] for c in columns] for t in lowest), right=columns[1:])
