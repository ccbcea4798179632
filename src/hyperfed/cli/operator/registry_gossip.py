"""Implement `hyperfed registry gossip`: keep a share of the privacy budget for gossip.

Without a share, gossip is free in rounds of local noise and refused in all others.
"""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import click

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.values import Number, as_usage

__all__ = ["gossip"]


@click.command(cls=Command)
@click.option(
    "--epsilon",
    type=Number(zero=True),
    required=True,
    help="The share of the budget's epsilon; 0 with --delta 0 takes the share back for good.",
)
@click.option(
    "--delta", type=Number(zero=True), required=True, help="The share of the budget's delta."
)
@draft_options
def gossip(
    invocation: Invocation,
    epsilon: Decimal,
    delta: Decimal,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version that keeps a share of the privacy budget for gossip.

    The share is taken from what rounds may spend. Set it before the first private round:
    afterwards, a registry that changes the budget is refused. Clients use the smallest share ever
    signed: you can lower it, but never raise it.

    \b
      hyperfed registry gossip --epsilon 2 --delta 1e-5
      hyperfed registry gossip --epsilon 2 --delta 1e-5 --draft registry-000001.draft
    """
    from hyperfed.cli.operator.drafting import Draft

    drafted = draft_to_change(invocation, draft_file)
    with as_usage():
        budget = replace(drafted.registry.budget, gossip_epsilon=epsilon, gossip_delta=delta)
        drafted = Draft(registry=replace(drafted.registry, budget=budget))
    finish_draft(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)
