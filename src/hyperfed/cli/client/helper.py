"""Implement `hyperfed helper`, which helps to open secure sums, by a timer like a client's night.

`night` ends with 0 where it did what was due, with 1 where it has just refused a round, which
somebody should look at, and with the codes of every command otherwise (3: the store does not
answer). A refusal is told by one visit: a timer's retries would help nothing.

What it does not do: decide anything (`client.helper_night`).
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command, Group
from hyperfed.cli.options import (
    client_options,
    config_option,
    output_options,
    scheduler_option,
    store_options,
)
from hyperfed.cli.output import plain, show_pairs
from hyperfed.cli.values import Duration
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client.helper_night import HelperVisit

__all__ = ["helper"]


@click.group(cls=Group)
def helper() -> None:
    """Help to open sums that nobody sees one by one, where the registry names you as a helper.

    \b
      hyperfed helper night
      hyperfed helper timer
    """


@helper.command(cls=Command)
@client_options
@store_options
@output_options
@pass_invocation
def night(invocation: Invocation) -> None:
    """Do what is due: publish keys, confirm boxes, answer manifests, erase old keys.

    Run it several times a window: once while the round is open, once after its end and before the
    coordinator's run, and once after that (`hyperfed helper timer`). Keys and the record of what
    was answered lie beside your key, as NAME.helper; keep that folder on a disk of this machine. If
    the record is lost, tell the operator: you must be revoked and enrolled anew.

    The exit code is 1 where this run has refused to help with a round.

    \b
      hyperfed helper night
      hyperfed helper night --json
    """
    from hyperfed.client.helper_night import helper_visit

    with invocation.out.step("Helping"):
        visit = helper_visit(invocation.opening, now=invocation.now)
    _show(invocation, visit)


@helper.command(cls=Command)
@scheduler_option
@click.option(
    "--at",
    "moment",
    metavar="HH:MM",
    default="00:05",
    show_default=True,
    help="When to run for the first time in a day, in UTC.",
)
@click.option(
    "--every",
    "every_s",
    type=Duration(least=600, whole=True),
    default="15m",
    show_default=True,
    metavar="TIME",
    help="How often to run: 10m, 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h or 1d.",
)
@config_option
@output_options
@pass_invocation
def timer(invocation: Invocation, kind: str, moment: str, every_s: float) -> None:
    """Print what runs this helper by itself: for systemd, cron or Prefect.

    The answer is a systemd service and timer, a cron line, or a Prefect deployment. Nothing is
    changed. The coordinator waits for helpers for as long as for stragglers: its aggregation delay
    should be at least twice the time between two runs.

    \b
      hyperfed helper timer
      hyperfed helper timer --kind cron --every 30m
    """
    from hyperfed.cli.client.timers import HELPING, Times, timer_text

    config = invocation.settings.path
    if config is None:
        raise ConfigError(
            "no hyperfed.toml was found",
            subject="helper timer",
            remedy="Make it with `hyperfed client init`, or give --config",
        )
    path = config.resolve()
    text = timer_text(
        kind,
        times=Times.of(moment, every_s),
        words=[str(Path(sys.argv[0]).resolve()), "helper", "night", "--config", str(path)],
        parameters={"config": path},
        here=datetime.now(UTC).astimezone(),
        job=HELPING,
    )
    invocation.out.finish({"kind": kind, "text": text}, lambda to: to.print(text, soft_wrap=True))


def _show(invocation: Invocation, visit: "HelperVisit") -> None:
    pairs: dict[str, Any] = {
        "Keys published": _rounds(visit.published),
        "Confirmed": "; ".join(
            f"{count} clients of round {round_id}" for round_id, count in visit.confirmed.items()
        )
        or "nothing is due",
        "Answered": _rounds(visit.answered),
        "Keys erased": _rounds(visit.erased),
    }
    pairs |= {f"Not confirmed: {client}": why for client, why in visit.unconfirmed.items()}
    pairs |= {f"Refused: round {number}": why for number, why in visit.refused.items()}
    because = "; ".join(f"round {number} was refused" for number in visit.told)
    invocation.out.finish(
        plain(visit),
        lambda to: show_pairs(to, pairs),
        code=1 if visit.told else 0,
        because=because,
    )


def _rounds(numbers: list[int]) -> str:
    return "for round " + ", ".join(map(str, numbers)) if numbers else "nothing is due"
