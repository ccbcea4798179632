"""`hyperfed schedule`: the reference scheduler's three numbers as schedules of the deployments; prints them, or applies them."""

from datetime import UTC, datetime
from typing import Any

import click

from hyperfed.cli.checkout import find_checkout, import_from_checkout
from hyperfed.cli.durations import duration
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation, store_options
from hyperfed.cli.output import instant, show_pairs, show_table
from hyperfed.errors import ConfigError

__all__ = ["schedule"]


@click.command()
@click.option("--round-duration", metavar="TIME", help="A round's window, such as 24h; by default the registry's. It must be the registry's.")
@click.option("--gossip-frequency", type=click.IntRange(min=0), default=0, show_default=True, help="Gossip rounds in a round.")
@click.option("--aggregation-delay", metavar="TIME", default="30m", show_default=True, help="How long stragglers are awaited after the window, at most 1h.")
@click.option("--genesis", metavar="INSTANT", help="Start of round 1, such as 2027-01-01T00:00:00Z; by default the registry's.")
@click.option("--apply", "apply_them", is_flag=True, help="Replace the schedules of the deployments on the Prefect server of $PREFECT_API_URL.")
@store_options
@output_options
@pass_invocation
def schedule(invocation: Invocation, round_duration: str | None, gossip_frequency: int, aggregation_delay: str, genesis: str | None, apply_them: bool) -> None:
    """Say when each flow runs, from three numbers: the round's duration, gossip rounds in a round, and the wait for stragglers.

    \b
      hyperfed schedule --round-duration 24h --gossip-frequency 5 --aggregation-delay 30m --genesis 2027-01-01T00:00:00Z
      hyperfed schedule --aggregation-delay 30m --apply
    """
    from hyperfed.scheduling import schedules_of

    start, window_s = _grid(invocation, round_duration, genesis)
    wanted = schedules_of(
        genesis=start, round_duration=window_s, gossip_frequency=gossip_frequency, aggregation_delay=duration(aggregation_delay, subject="--aggregation-delay")
    )
    applied: dict[str, bool] | None = None
    if apply_them:
        applied = import_from_checkout("flows.service", "apply_schedules")(wanted)
    document: dict[str, Any] = {
        "schedules": [{"deployment": s.deployment, "interval_s": s.interval_s, "anchor": s.anchor, "parameters": s.parameters} for s in wanted],
        "applied": applied,
        "without_flow": _without_flow([s.deployment for s in wanted]),
    }

    def render(to: Any) -> None:
        rows = ((s.deployment, f"{s.interval_s:g} s", instant(s.anchor), ", ".join(f"{k}={v:g}" for k, v in s.parameters.items())) for s in wanted)
        show_table(to, "", ("deployment", "every", "counted from", "parameters"), rows)
        for name in document["without_flow"]:
            note = "this version has no such flow: its schedule is only shown, and nothing runs by it"
            show_pairs(to, {name: note})
        if applied is not None:
            missing = [name for name, done in applied.items() if not done]
            show_pairs(to, {"Applied": ", ".join(name for name, done in applied.items() if done) or "to none"})
            if missing:
                show_pairs(to, {"Not deployed": ", ".join(missing)})

    invocation.out.finish(document, render)


def _without_flow(names: list[str]) -> list[str]:
    """Those whose flow the checkout does not have; none where there is no checkout to look into."""
    try:
        flows = find_checkout() / "flows"
    except ConfigError:
        return []
    return [name for name in names if not (flows / f"{name.replace('-', '_')}.py").exists()]


def _grid(invocation: Invocation, round_duration: str | None, genesis: str | None) -> tuple[datetime, float]:
    """(genesis, window in seconds): what was given, and for the rest the registry. Raises ConfigError where they contradict each other."""
    given = duration(round_duration, subject="--round-duration") if round_duration else None
    start = _instant(genesis) if genesis else None
    if given is not None and start is not None and invocation.settings.text("store.url") is None:
        return start, given
    registry = invocation.reader.registry
    if given not in (None, float(registry.window_s)) or start not in (None, registry.genesis):
        raise ConfigError(
            f"the registry says a window of {registry.window_s} s from {registry.genesis.isoformat()}",
            subject="schedule",
            rule="R-52",
            remedy="Windows hold for a federation's whole life: leave --round-duration and --genesis out",
        )
    return registry.genesis, float(registry.window_s)


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r:.40} is no instant", subject="--genesis", remedy="Write it as 2027-01-01T00:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
