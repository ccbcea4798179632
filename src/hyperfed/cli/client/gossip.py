"""Implement `hyperfed gossip`: exchange noised messages with the client's peers, and say how far.

1. `run` goes through one epoch of the running round. Data are read only in the first epoch of a
   round, and not where a round of local noise has its message already.
2. `status` reads this client's own files and the plan, and sends nothing.

The average is shown by `hyperfed pull --gossip` (`gossip_shown`).
"""

from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.client.source_options import source_options
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command, Group
from hyperfed.cli.options import POSITIVE, client_options, output_options, store_options
from hyperfed.cli.output import instant, plain, show_pairs, show_table
from hyperfed.client.sources import given_source, read_source
from hyperfed.errors import PrivacyError

if TYPE_CHECKING:
    from hyperfed.client.gossip import Exchange, GossipAtDropBox

__all__ = ["gossip"]

_ROUND = click.option(
    "--round",
    "round_id",
    type=POSITIVE,
    metavar="N",
    help="A round other than the running one, until the end of the window after it.",
)


@click.group(cls=Group)
def gossip() -> None:
    """Average noised messages with the clients of your basket, without a coordinator.

    \b
      hyperfed gossip run --data series.csv
      hyperfed gossip status
      hyperfed pull --gossip
    """


@gossip.command(cls=Command)
@source_options
@_ROUND
@client_options
@store_options
@output_options
@pass_invocation
def run(invocation: Invocation, round_id: int | None) -> None:
    """Run one epoch: read what peers have left, and leave your part for the next.

    The first epoch of a round sends your message with local noise, which is drawn once a round. In
    a round of local noise, this is the round's own message. In other rounds, it is charged to the
    share of your budget that the registry keeps for gossip. Later epochs look at no data, and cost
    nothing. A run that comes too early only reads.

    \b
      hyperfed gossip run --data series.csv
      hyperfed gossip run                        (with [data] in hyperfed.toml)
    """
    from hyperfed.client.gossip import GossipAtDropBox
    from hyperfed.client.night import discovering

    source = read_source(invocation.settings, given_source(invocation.options))
    with invocation.out.step("Exchanging with peers"):
        session = invocation.session(signing=True)
        around = GossipAtDropBox(session)
        exchange = around.exchange(
            discovering(source, session.client_id), now=invocation.now, round_id=round_id
        )
    _show(invocation, around, exchange)


@gossip.command(cls=Command)
@_ROUND
@client_options
@store_options
@output_options
@pass_invocation
def status(invocation: Invocation, round_id: int | None) -> None:
    """Show how far this client is in a round's gossip, and what is left of gossip's share.

    \b
      hyperfed gossip status
      hyperfed gossip status --round 12
    """
    from hyperfed.client.gossip import GossipAtDropBox

    around = GossipAtDropBox(invocation.session(signing=False))
    _show(invocation, around, around.standing(now=invocation.now, round_id=round_id))


def _share(around: "GossipAtDropBox") -> dict[str, Any] | None:
    """Return what is spent of gossip's share, or None where the registry keeps none."""
    try:
        guard = around.guard()
    except PrivacyError:
        return None
    return {
        "epsilon": guard.max_epsilon,
        "delta": guard.max_delta,
        "spent_share": guard.accountant.share,
    }


def _show(invocation: Invocation, around: "GossipAtDropBox", exchange: "Exchange | None") -> None:
    share = _share(around)
    pairs: dict[str, Any] = {}
    if exchange is None:
        pairs["Gossip"] = "this client has no part in it yet: `hyperfed gossip run` begins"
    else:
        pairs |= _pairs(exchange)
    pairs["Gossip's share"] = (
        "none: gossip is free in rounds of local noise, and refused in others"
        if share is None
        else f"{100 * share['spent_share']:.2f} % spent of epsilon {share['epsilon']} and delta "
        f"{share['delta']}"
    )
    document = {"exchange": plain(exchange), "share": share}

    def render(to: Any) -> None:
        show_pairs(to, pairs)
        if exchange is not None and exchange.dropped:
            show_table(to, "Left out", ("peer", "epoch", "why"), exchange.dropped)

    invocation.out.finish(document, render)


def _pairs(exchange: "Exchange") -> dict[str, Any]:
    terms = (
        "its own plan"
        if exchange.announced == exchange.round
        else f"the plan of round {exchange.announced}: nobody opened this one"
    )
    did = (
        f"wrote {exchange.sent}"
        if exchange.sent
        else f"the next epoch waits until {instant(exchange.waits_until)}"
        if exchange.waits_until is not None
        else "every epoch of the round is done"
        if exchange.epoch >= exchange.epochs
        else "nothing to send: nothing has moved"
    )
    basket = f"basket {exchange.basket}" if exchange.basket else "all clients"
    return {
        "Round": f"{exchange.round}, on {terms}; {basket}, {exchange.members} members",
        "Epoch": f"{exchange.epoch} of {exchange.epochs}; {did}",
        "Shares of peers": f"{exchange.added} new, {exchange.heard} in all",
        "Next": "`hyperfed pull --gossip` shows the average",
    }
