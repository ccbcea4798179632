"""Implement `hyperfed schedule`, which prints or applies the schedules of the deployments.

They follow from the window and the wait for stragglers.
"""

from datetime import datetime
from typing import Any

import click

from hyperfed.cli.checkout import import_for_server
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import output_options, store_options
from hyperfed.cli.output import instant, show_pairs, show_table
from hyperfed.cli.values import Duration, Instant
from hyperfed.errors import ConfigError

__all__ = ["schedule"]


@click.command(cls=Command)
@click.option(
    "--round-duration",
    type=Duration(least=1, whole=True),
    metavar="TIME",
    help="A round's window, such as 24h; by default the registry's. It must be the registry's.",
)
@click.option(
    "--aggregation-delay",
    type=Duration(),
    metavar="TIME",
    help="How long to wait for stragglers after the window, at most 1h; by default 30m, or a "
    "quarter of the window if that is shorter.",
)
@click.option(
    "--gossip-frequency",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Epochs of gossip a round, on a client's own Prefect server; by default none.",
)
@click.option(
    "--genesis",
    type=Instant(),
    metavar="INSTANT",
    help="Start of round 1, such as 2027-01-01T00:00:00Z; by default the registry's.",
)
@click.option(
    "--apply",
    "apply_them",
    is_flag=True,
    help="Replace the schedules of the deployments on the Prefect server of $PREFECT_API_URL.",
)
@store_options
@output_options
@pass_invocation
def schedule(
    invocation: Invocation,
    round_duration: float | None,
    aggregation_delay: float | None,
    gossip_frequency: int,
    genesis: datetime | None,
    apply_them: bool,
) -> None:
    """Show when each flow runs, from the round's duration and the wait for stragglers.

    \b
      hyperfed schedule --round-duration 24h --aggregation-delay 30m --genesis 2027-01-01T00:00:00Z
      hyperfed schedule --aggregation-delay 30m --apply
      hyperfed schedule --gossip-frequency 6
    """
    from hyperfed.operations.schedules import schedules_of

    apply = import_for_server("flows.service", "apply_schedules") if apply_them else None
    start, window_s = _grid(invocation, round_duration, genesis)
    schedules = schedules_of(
        genesis=start,
        round_duration=window_s,
        aggregation_delay=aggregation_delay,
        gossip_frequency=gossip_frequency,
    )
    applied: dict[str, bool] | None = apply(schedules) if apply else None
    document: dict[str, Any] = {
        "schedules": [
            {
                "deployment": s.deployment,
                "interval_s": s.interval_s,
                "anchor": s.anchor,
                "parameters": s.parameters,
            }
            for s in schedules
        ],
        "applied": applied,
    }

    missing = [name for name, done in (applied or {}).items() if not done]

    def render(to: Any) -> None:
        rows = (
            (
                s.deployment,
                f"{s.interval_s:g} s",
                instant(s.anchor),
                ", ".join(f"{k}={v:g}" for k, v in s.parameters.items()),
            )
            for s in schedules
        )
        show_table(to, "", ("deployment", "every", "counted from", "parameters"), rows)
        if applied is not None:
            show_pairs(
                to,
                {
                    "Applied": ", ".join(name for name, was_set in applied.items() if was_set)
                    or "to none"
                },
            )
            if missing:
                show_pairs(to, {"Not deployed": ", ".join(missing)})

    because = f"not deployed: {', '.join(missing)}; `hyperfed service install` does it"
    invocation.out.finish(document, render, code=4 if missing else 0, because=because)


def _grid(
    invocation: Invocation, window_s: float | None, start: datetime | None
) -> tuple[datetime, float]:
    """Return genesis and the window in seconds: what was given, and for the rest the registry's.

    Raises ConfigError where they contradict each other.
    """
    if window_s is not None and start is not None and invocation.settings.text("store.url") is None:
        return start, window_s
    registry = invocation.reader.registry
    if window_s not in (None, float(registry.window_s)) or start not in (None, registry.genesis):
        raise ConfigError(
            f"the registry says a window of {registry.window_s} s from "
            f"{registry.genesis.isoformat()}",
            subject="schedule",
            rule="R-52",
            remedy=(
                "Leave --round-duration and --genesis out: windows hold for a federation's whole "
                "life"
            ),
        )
    return registry.genesis, float(registry.window_s)
