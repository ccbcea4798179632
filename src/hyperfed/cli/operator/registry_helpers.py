"""Implement `hyperfed registry helpers`: name who helps to open secure sums, and the blocks."""

from dataclasses import replace
from pathlib import Path

import click

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.values import as_usage

__all__ = ["helpers"]


@click.command(cls=Command)
@click.option(
    "--helper",
    "helper_ids",
    multiple=True,
    required=True,
    help="A client that helps, as ID or ID@FIRST-ROUND; give 4 to 7 of different organisations.",
)
@click.option(
    "--colluding",
    type=click.IntRange(1, 3),
    default=1,
    show_default=True,
    help="How many helpers may collude with coordinator and bucket. The coordinator's own "
    "organisation counts.",
)
@click.option(
    "--colluding-clients",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many organisations of clients may collude with the coordinator.",
)
@click.option(
    "--together",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="How many other organisations hide each other in a sum.",
)
@click.option(
    "--block",
    "blocks",
    multiple=True,
    help="Clients that are counted all or none, separated by commas; repeat for more blocks. Only "
    "rounds with noise in shares need none.",
)
@draft_options
def helpers(
    invocation: Invocation,
    helper_ids: tuple[str, ...],
    colluding: int,
    colluding_clients: int,
    together: int,
    blocks: tuple[str, ...],
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version that names helpers of secure sums, and blocks of clients.

    Any quorum of the helpers opens the sum of a night, and fewer learn nothing. A block is counted
    whole or not at all, so that nobody can single out a client by comparing two nights. Keep the
    blocks: helpers refuse what would cut a small group out of earlier ones.

    \b
      hyperfed registry helpers --helper clinic-a --helper clinic-b --helper clinic-c \\
          --helper clinic-d --together 3 --block ward-1,ward-2,ward-3
    """
    from hyperfed.cli.operator.drafting import Draft
    from hyperfed.registry.secure_sums import HelperRecord, SecureSums, told_apart_by_blocks

    drafted = draft_to_change(invocation, draft_file)
    with as_usage():
        records = []
        for text in sorted(helper_ids):
            name, _, first = text.partition("@")
            if first and not first.isdecimal():
                raise click.UsageError(f"--helper {text}: give ID or ID@FIRST-ROUND")
            records.append(HelperRecord(client_id=name, first_round=int(first or 1)))
        secure_sums = SecureSums(
            helpers=tuple(records),
            colluding_helpers=colluding,
            colluding_clients=colluding_clients,
            together=together,
            blocks=tuple(
                tuple(sorted(name.strip() for name in block.split(","))) for block in blocks
            ),
        )
        earlier = [drafted.registry.secure_sums]
        if draft_file is None:
            reader = invocation.reader
            newest = reader.registry.version
            earlier = [reader.registry_at(v).secure_sums for v in range(1, newest + 1)]
        drafted = Draft(registry=replace(drafted.registry, secure_sums=secure_sums))
    known = [one for one in earlier if one is not None]
    alone = told_apart_by_blocks(known, secure_sums, drafted.registry.clients)
    if alone and secure_sums.blocks:
        invocation.out.note(
            f"Sums of these blocks and of earlier ones together tell {', '.join(alone)} apart. "
            "Helpers refuse them, and such a night is lost. "
            "Keep the earlier blocks, unless nothing was summed under them."
        )
    if not secure_sums.group.checkable:
        invocation.out.note(
            f"{len(records)} helpers of whom {colluding} may collude cannot be checked: too few "
            "hold the same seeds. Privacy holds, but colluding helpers could shift a sum unseen. "
            "4 to 7 helpers with --colluding 1, or 7 with 2, can be checked."
        )
    finish_draft(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)
