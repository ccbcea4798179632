"""Implement `hyperfed client rebut`: answer helpers of secure sums that refused one's boxes."""

from dataclasses import asdict

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import client_options, output_options, store_options
from hyperfed.cli.output import show_pairs

__all__ = ["rebut"]


@click.command(cls=Command)
@click.option("--round", "round_id", type=click.IntRange(min=1), required=True, help="The round.")
@click.option(
    "--helper",
    "helpers",
    multiple=True,
    help="A helper to answer; repeat for more, up to as many as may collude. By default all that "
    "have refused your boxes.",
)
@client_options
@store_options
@output_options
@pass_invocation
def rebut(invocation: Invocation, round_id: int, helpers: tuple[str, ...]) -> None:
    """Show that a helper of secure sums refused your boxes wrongly, once a round.

    The keys of your boxes for these helpers are published, so that everybody can open them and see
    who was wrong. Your numbers stay masked: the seeds of so few helpers open nothing. Nothing is
    published where it would not show that the helper was wrong. The round goes on without you.

    \b
      hyperfed client rebut --round 12
      hyperfed client rebut --round 12 --helper clinic-b
    """
    from hyperfed.client.rebuttal import rebut as publish

    with invocation.out.step("Looking at the boxes"):
        session = invocation.session(signing=True)
        verdicts = publish(session, round_id, helpers=helpers, now=invocation.now)
    invocation.out.finish(
        {"round": round_id, "verdicts": [asdict(verdict) for verdict in verdicts]},
        lambda to: show_pairs(to, {f"{one.helper} against you": one.said for one in verdicts}),
    )
