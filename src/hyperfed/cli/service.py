"""`hyperfed service`: what a coordinator needs on a Prefect server, made or brought up to date from hyperfed.toml and the drop-box."""

from typing import Any

import click

from hyperfed.cli.checkout import find_checkout, import_from_checkout
from hyperfed.cli.durations import duration
from hyperfed.cli.invocation import Invocation, output_options, pass_invocation, store_options
from hyperfed.cli.output import show_pairs
from hyperfed.errors import ConfigError

__all__ = ["install", "service"]


@click.group()
def service() -> None:
    """A federation in service: blocks, work pool, deployments, schedules and automations on the Prefect server of $PREFECT_API_URL.

    Needs the checkout and `pip install 'hyperfed[coordinator]'`.
    """


@service.command()
@click.option("--variables", metavar="A,B,...", help="The vocabulary of the rounds to come; by default that of the newest plan.")
@click.option("--quorum", type=click.IntRange(min=1), help="How many clients must be counted; by default as in the newest plan, else more than half.")
@click.option("--aggregation-delay", metavar="TIME", default="30m", show_default=True, help="How long stragglers are awaited after the window, at most 1h.")
@click.option("--poll", metavar="TIME", default="30s", show_default=True, help="How often the inbox is looked at meanwhile.")
@click.option("--set", "overrides", metavar="NAME=VALUE", multiple=True, help="A field of the policy pack, such as vote_min=0.25; once for each.")
@click.option("--notify", metavar="TYPE/NAME", help="A saved notification block, such as custom-webhook/ops: turns the automations that tell people on.")
@click.option("--name", default="hyperfed", show_default=True, help="The blocks' name; deployments use hyperfed.")
@store_options
@output_options
@pass_invocation
def install(
    invocation: Invocation,
    variables: str | None,
    quorum: int | None,
    aggregation_delay: str,
    poll: str,
    overrides: tuple[str, ...],
    notify: str | None,
    name: str,
) -> None:
    """Install, or bring up to date; again is harmless. On a new machine with the bucket and a key that the registry names, this is the restore.

    \b
      hyperfed service install --variables output,employment,unemployment
      hyperfed service install --notify custom-webhook/ops
    """
    from hyperfed.scheduling import schedules_of

    settings = invocation.settings
    wanted_type = import_from_checkout("flows.service", "Wanted")
    delay_s = duration(aggregation_delay, subject="--aggregation-delay")
    registry = invocation.reader.registry
    schedules = schedules_of(genesis=registry.genesis, round_duration=float(registry.window_s), gossip_frequency=0, aggregation_delay=delay_s)
    wanted = wanted_type(
        checkout=find_checkout(),
        url=settings.need("store.url"),
        endpoint=settings.text("store.endpoint"),
        region=settings.text("store.region"),
        access_key_file=settings.file("store.access_key_file"),
        key_file=settings.need("coordinator.key"),
        fingerprint=settings.need_fingerprint(),
        name=name,
        variables=tuple(v.strip() for v in variables.split(",") if v.strip()) if variables else (),
        quorum=quorum,
        aggregation_delay_s=delay_s,
        poll_s=duration(poll, subject="--poll"),
        policy=dict(_override(text) for text in overrides),
        notify=notify,
    )
    with invocation.out.step("Saving blocks, deploying, creating automations"):
        done: dict[str, Any] = import_from_checkout("flows.service", "install")(wanted)
        done["schedules"] = import_from_checkout("flows.service", "apply_schedules")(schedules)
    on = [n for n, enabled in done["automations"].items() if enabled]
    pairs = {
        "Federation": f"{done['federation']}, registry version {done['registry_version']}",
        "Blocks": f"{done['blocks']} (Drop-Box, Coordinator Keys, Federation Policy, Stage Results), {done['variables']} variables",
        "Schedules": ", ".join(n for n, applied in done["schedules"].items() if applied),
        "Automations": f"{len(done['automations'])}, on: {', '.join(on)}",
        "Next": f"prefect worker start --pool {done['work_pool']}",
    }
    invocation.out.finish(done, lambda to: show_pairs(to, pairs))


def _override(text: str) -> tuple[str, Any]:
    """("vote_min", 0.25) of "vote_min=0.25". Raises ConfigError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"{text!r:.60} is not NAME=VALUE", subject="--set", remedy="Write it as vote_min=0.25")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
