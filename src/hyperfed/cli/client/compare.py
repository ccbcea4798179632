"""Implement `hyperfed compare`, which shows what changed between the models of two rounds."""

from typing import TYPE_CHECKING

import click

from hyperfed.cli.client.committed import committed_models
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import POSITIVE, client_options, output_options, store_options
from hyperfed.cli.output import clean, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.hypergraph.change import Change

__all__ = ["compare"]

_SHOWN = ("what", "source", "target", "lag", "vote before", "vote now", "effect before", "now")


@click.command(cls=Command)
@click.argument("before", type=POSITIVE)
@click.argument("after", type=POSITIVE)
@client_options
@store_options
@output_options
@pass_invocation
def compare(invocation: Invocation, before: int, after: int) -> None:
    """Show which edges appeared, disappeared, changed sign, grew or weakened between two rounds.

    Edges are compared by the names of their variables. Rounds with different vocabularies can
    therefore be compared. Votes decide what counts as a change; effects are shown beside them.

    \b
      hyperfed compare 11 12
    """
    from hyperfed.hypergraph.change import Turn

    first, second = committed_models(invocation, before, after)
    change = first.compare(second)
    differing = change.of(*(turn for turn in Turn if turn is not Turn.SAME))
    document = {
        "before": before,
        "after": after,
        "counts": {turn.value: number for turn, number in change.counts.items()},
        "changes": [
            {
                "turn": edge.turn.value,
                "source": edge.source,
                "target": edge.target,
                "lag": edge.lag,
                "vote_before": edge.before,
                "vote_after": edge.after,
                "effect_before": edge.effect_before,
                "effect_after": edge.effect_after,
            }
            for edge in differing
        ],
    }
    invocation.out.finish(document, lambda to: _render(to, change))


def _render(to: "Console", change: "Change") -> None:
    from hyperfed.hypergraph.change import Turn

    counted = ", ".join(
        f"{number} {turn.value}" for turn, number in change.counts.items() if number
    )
    title = f"From round {change.base_round} to round {change.round}: {counted or 'no edges'}"
    rows = [
        (
            edge.turn.value,
            edge.source,
            edge.target,
            edge.lag,
            edge.before,
            edge.after,
            edge.effect_before,
            edge.effect_after,
        )
        for edge in change.of(*(turn for turn in Turn if turn is not Turn.SAME))
    ]
    if rows:
        show_table(to, title, _SHOWN, rows, right=_SHOWN[3:])
    else:
        to.print(clean(title), style="bold")
    if change.words:
        to.print(clean(change.words))
