"""Implement `hyperfed helper`, which helps to open secure sums, by a timer like a client's night.

What it does not do: decide anything (`client.helper_night`).
"""

from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command, Group
from hyperfed.cli.options import client_options, output_options, store_options
from hyperfed.cli.output import plain, show_pairs

if TYPE_CHECKING:
    from hyperfed.client.helper_night import HelperVisit

__all__ = ["helper"]


@click.group(cls=Group)
def helper() -> None:
    """Help to open sums that nobody sees one by one, where the registry names you as a helper.

    \b
      hyperfed helper night
    """


@helper.command(cls=Command)
@client_options
@store_options
@output_options
@pass_invocation
def night(invocation: Invocation) -> None:
    """Do what is due: publish keys, confirm boxes, answer manifests, erase old keys.

    Run it several times a window: once while the round is open, once after its end and before the
    coordinator's run, and once after that. Keys and the record of what was answered lie beside your
    key, as NAME.helper; keep that folder on a disk of this machine. If the record is lost, tell the
    operator: you must be revoked and enrolled anew.

    \b
      hyperfed helper night
      hyperfed helper night --json
    """
    from hyperfed.client.helper_memory import HelperMemory
    from hyperfed.client.helper_night import HelperNight

    with invocation.out.step("Helping"):
        session = invocation.session(signing=True)
        memory = HelperMemory(invocation.opening.helper_folder)
        visit = HelperNight(session, memory).visit(now=invocation.now)
    _show(invocation, visit)


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
    invocation.out.finish(plain(visit), lambda to: show_pairs(to, pairs))


def _rounds(numbers: list[int]) -> str:
    return "for round " + ", ".join(map(str, numbers)) if numbers else "nothing is due"
