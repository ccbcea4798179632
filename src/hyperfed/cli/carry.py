"""`hyperfed carry in | out`: what travels on a stick between the drop-box and a client without a network (`hyperfed.carry`)."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, client_options, output_options, pass_invocation, store_options
from hyperfed.cli.output import show_pairs, show_table

if TYPE_CHECKING:
    from hyperfed.carry import Carried

__all__ = ["carry", "carry_in", "carry_out"]


@click.group()
def carry() -> None:
    """For a site without a network: carry what it reads in, and what it wrote out, on a stick. Everything is verified, nothing replaced.

    \b
    On a connected machine, then inside, then on the connected machine again:
      hyperfed carry in /media/stick
      hyperfed submit --store file:///media/stick --data series.csv
      hyperfed carry out /media/stick

    The stick is a folder on a file system with hard links, such as ext4. The client's key and memory stay inside.
    """


def carrying_options(last: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What both commands have; last: how many rounds by default."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        decorators: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
            pass_invocation,
            output_options,
            store_options,
            client_options,
            click.option("--last", type=click.IntRange(min=1), default=last, show_default=True, help="Of how many rounds, up to the one that runs now."),
            click.argument("stick", type=click.Path(path_type=Path)),
        )
        for decorator in decorators:
            command = decorator(command)
        return command

    return decorate


@carry.command(name="in")
@carrying_options(8)
def carry_in(invocation: Invocation, stick: Path, last: int) -> int:
    """Copy to STICK what the client reads: registry, ledger, the last rounds' plans and results, its own receipts.

    \b
      hyperfed carry in /media/stick
    """
    from hyperfed import carry as carrying
    from hyperfed.adapters.filesystem import FilesystemStore

    settings, folder = invocation.settings, FilesystemStore(stick)
    with invocation.out.step("Verifying and copying"):
        carried = carrying.carry_in(
            invocation.store, folder, client=settings.need("client.id"), fingerprint=settings.need_fingerprint(), now=invocation.now, last=last
        )
    return _say(invocation, carried, "To the stick", "take it inside, and use it as the drop-box there: --store file://STICK")


@carry.command(name="out")
@carrying_options(2)
def carry_out(invocation: Invocation, stick: Path, last: int) -> int:
    """Copy the client's own updates from STICK to the drop-box. The exit code is 1 where something was left behind.

    \b
      hyperfed carry out /media/stick
    """
    from hyperfed import carry as carrying
    from hyperfed.adapters.filesystem import FilesystemStore

    settings, folder = invocation.settings, FilesystemStore(stick)
    with invocation.out.step("Verifying and copying"):
        carried = carrying.carry_out(
            folder, invocation.store, client=settings.need("client.id"), fingerprint=settings.need_fingerprint(), now=invocation.now, last=last
        )
    return _say(invocation, carried, "To the drop-box", "after the round's night, carry its result and your receipt in")


def _say(invocation: Invocation, carried: "Carried", where: str, following: str) -> int:
    document = {
        "copied": carried.copied,
        "there": carried.there,
        "refused": [{"key": key, "reason": reason} for key, reason in carried.refused],
    }

    def render(to: Any) -> None:
        show_pairs(to, {where: f"{len(carried.copied)} objects copied, {len(carried.there)} were there already", "Next": following})
        if carried.refused:
            show_table(to, f"Left behind: {len(carried.refused)}", ("object", "reason"), carried.refused)

    return invocation.out.finish(document, render, code=1 if carried.refused else 0)
