"""Implement `hyperfed explain`, which says what a round's model knows of one pair."""

from typing import TYPE_CHECKING

import click

from hyperfed.cli.client.committed import committed_models
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import (
    client_options,
    committed_round_option,
    output_options,
    store_options,
)
from hyperfed.cli.output import clean

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.hypergraph.explanation import Explanation

__all__ = ["explain"]


@click.command(cls=Command)
@click.argument("source")
@click.argument("target")
@committed_round_option
@client_options
@store_options
@output_options
@pass_invocation
def explain(invocation: Invocation, source: str, target: str, round_id: int | None) -> None:
    """Explain what the federation knows of the effect of one variable on another.

    The answer shows each edge with its interval, its q-value, how far clients differ, and who
    supports it. A lag without an edge is absent, suppressed, missing or not released; each of these
    words has a meaning of its own.

    \b
      hyperfed explain output employment
      hyperfed explain output employment --round 12
    """
    (model,) = committed_models(invocation, round_id)
    told = model.explain(source, target)
    document = {
        "round": told.round,
        "source": told.source,
        "target": told.target,
        "edges": told.edges,
        "reverse": told.reverse,
        "status": [{"lag": lag, "status": status.word} for lag, status in told.status],
        "sentences": told.sentences,
    }
    invocation.out.finish(document, lambda to: _render(to, told))


def _render(to: "Console", told: "Explanation") -> None:
    first, *others = told.sentences
    to.print(clean(first), style="bold")
    for sentence in others:
        to.print(f"  {clean(sentence)}")
