"""Implement `hyperfed registry set`, and the options that name budget and floors.

What a draft does not name stays as it is. The bounds themselves are `hyperfed.registry.floors`.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.options import add_options
from hyperfed.cli.values import Number, as_usage
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.registry.floors import Floors

__all__ = ["floor_options", "floors_of", "set_promises"]

F = TypeVar("F", bound=Callable[..., Any])

_SHARE = click.FloatRange(0, 1)


def floor_options(command: F) -> F:
    """Add the options that name the floors of every plan."""
    return add_options(
        command,
        click.option(
            "--floor-privacy",
            type=click.Choice(["none", "central", "shares", "local"]),
            help="The least noise that a plan must ask for: none, the coordinator's, the clients' "
            "in shares, each client's.",
        ),
        click.option(
            "--floor-sealed/--no-floor-sealed",
            default=None,
            help="Whether every plan must ask for sealed bodies.",
        ),
        click.option(
            "--floor-vote-min",
            type=_SHARE,
            help="Smallest vote_min of a plan; needs --floor-fdr-max.",
        ),
        click.option(
            "--floor-fdr-max",
            type=_SHARE,
            help="Largest fdr_max of a plan; needs --floor-vote-min.",
        ),
        click.option("--floor-trust-min-least", type=_SHARE, help="Smallest trust_min of a plan."),
        click.option("--floor-trust-min-most", type=_SHARE, help="Largest trust_min of a plan."),
        click.option(
            "--floor-trust-nights",
            type=click.IntRange(0, 366),
            help="Smallest trust_nights of a plan.",
        ),
        click.option(
            "--floor-organisation-cap",
            type=click.FloatRange(min=0),
            help="Largest organisation_cap of a plan, which must then have one. 0: no limit.",
        ),
    )


def floors_of(named: dict[str, Any], before: "Floors | None") -> "Floors":
    """Return the floors `before`, or the default ones, with what the options name.

    Raises BoundsError where they contradict each other.
    """
    from hyperfed.registry.floors import Floors

    fields = {
        name.removeprefix("floor_"): value for name, value in named.items() if value is not None
    }
    return replace(before or Floors(), **fields)


@click.command("set", cls=Command)
@click.option("--epsilon", type=Number(), help="The whole privacy budget.")
@click.option("--delta", type=Number(zero=True), help="The whole privacy budget.")
@click.option(
    "--minimum-support",
    type=click.IntRange(min=1),
    help="How many clients must support a released value.",
)
@floor_options
@draft_options
def set_promises(
    invocation: Invocation,
    /,
    epsilon: Decimal | None,
    delta: Decimal | None,
    minimum_support: int | None,
    draft_file: Path | None,
    out: Path | None,
    **floors: Any,
) -> None:
    """Draft a version with another budget, or with other floors of every plan.

    No plan goes below the floors, whoever signs it: clients send nothing for such a plan, and the
    audit names it. Higher floors hold at once, even for an open round. If you loosen a budget after
    something was charged, private rounds end.

    \b
      hyperfed registry set --floor-privacy local
      hyperfed registry set --floor-vote-min 0.2 --floor-fdr-max 0.1
    """
    budget: dict[str, Any] = {
        name: value
        for name, value in (
            ("epsilon", epsilon),
            ("delta", delta),
            ("minimum_support", minimum_support),
        )
        if value is not None
    }
    drafted = draft_to_change(invocation, draft_file)
    stated_floors = {name: value for name, value in floors.items() if value is not None}
    if not budget and not stated_floors:
        raise ConfigError(
            "nothing to change",
            subject="registry set",
            remedy="Give --epsilon, --delta, --minimum-support or a --floor-... option",
        )
    registry = drafted.registry
    with as_usage():
        changed = replace(
            registry,
            budget=replace(registry.budget, **budget),
            floors=floors_of(stated_floors, registry.floors) if stated_floors else registry.floors,
        )
    finish_draft(
        invocation,
        replace(drafted, registry=changed),
        out,
        draft_file=draft_file,
        amended=draft_file is not None,
    )
