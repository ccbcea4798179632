"""Implement `hyperfed carry in | out`.

The commands copy what travels on a stick between the drop-box and a client without a network
(`hyperfed.operations.offline_transfer`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Group
from hyperfed.cli.options import (
    FILE,
    add_options,
    client_options,
    last_option,
    output_options,
    store_options,
)
from hyperfed.cli.output import show_pairs, show_table

if TYPE_CHECKING:
    from hyperfed.operations.offline_transfer import Transferred

__all__ = ["carry", "transfer_in", "transfer_out"]


@click.group(cls=Group)
def carry() -> None:
    """Carry a client's objects on a stick, for a site without a network.

    Everything is verified, and nothing is replaced. The stick is a folder on a file system with
    hard links, such as ext4. The client's key and memory stay on the inside machine.

    \b
    On a connected machine, then inside, then on the connected machine again:
      hyperfed carry in /media/stick
      hyperfed submit --store file:///media/stick --data series.csv
      hyperfed carry out /media/stick
    """


def transfer_options(last: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of both commands.

    `last` is how many rounds are carried unless --last says otherwise.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return add_options(
            command,
            click.argument("stick", type=FILE),
            last_option(last, "How many rounds to copy, up to the running one."),
            client_options,
            store_options,
            output_options,
            pass_invocation,
        )

    return decorate


@carry.command(name="in")
@transfer_options(8)
def transfer_in(invocation: Invocation, stick: Path, last: int) -> None:
    """Copy the objects that the client reads to STICK.

    These are the registry, the ledger, the last rounds' plans and results, and the client's own
    receipts; of secure sums also the helpers' keys and, for a helper, what it confirms and answers.

    \b
      hyperfed carry in /media/stick
    """
    from hyperfed.operations import offline_transfer
    from hyperfed.storage.filesystem import FilesystemStore

    settings, folder = invocation.settings, FilesystemStore(stick)
    with invocation.out.step("Verifying and copying"):
        transferred = offline_transfer.transfer_in(
            invocation.store,
            folder,
            client=settings.need("client.id"),
            fingerprint=settings.need_fingerprint(),
            now=invocation.now,
            last=last,
        )
    _say(
        invocation,
        transferred,
        "To the stick",
        "take it inside, and use it as the drop-box there: --store file://STICK",
    )


@carry.command(name="out")
@transfer_options(2)
def transfer_out(invocation: Invocation, stick: Path, last: int) -> None:
    """Copy the client's own updates, and its parts of secure sums, from STICK to the drop-box.

    The exit code is 1 if something was left behind.

    \b
      hyperfed carry out /media/stick
    """
    from hyperfed.operations import offline_transfer
    from hyperfed.storage.filesystem import FilesystemStore

    settings, folder = invocation.settings, FilesystemStore(stick)
    with invocation.out.step("Verifying and copying"):
        transferred = offline_transfer.transfer_out(
            folder,
            invocation.store,
            client=settings.need("client.id"),
            fingerprint=settings.need_fingerprint(),
            now=invocation.now,
            last=last,
        )
    _say(
        invocation,
        transferred,
        "To the drop-box",
        "after the round's night, carry its result and your receipt in",
    )


def _say(invocation: Invocation, transferred: "Transferred", where: str, following: str) -> None:
    document = {
        "copied": transferred.copied,
        "there": transferred.there,
        "refused": [{"key": key, "reason": reason} for key, reason in transferred.refused],
    }

    def render(to: Any) -> None:
        show_pairs(
            to,
            {
                where: f"{len(transferred.copied)} objects copied, {len(transferred.there)} were "
                "there already",
                "Next": following,
            },
        )
        if transferred.refused:
            show_table(
                to,
                f"Left behind: {len(transferred.refused)}",
                ("object", "reason"),
                transferred.refused,
            )

    because = f"{len(transferred.refused)} objects were left behind"
    invocation.out.finish(document, render, code=1 if transferred.refused else 0, because=because)
