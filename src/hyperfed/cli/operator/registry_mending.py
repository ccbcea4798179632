"""Implement `hyperfed registry renew | annul`, by which roots keep a federation alive and mend it.

1. `renew` drafts the same list with another expiry (R-122), or another bound of `close_by` (R-116).
   It is the one command that starts from a version that has expired.
2. `annul` drafts a version in which ledger entries decide nothing (R-123). It reads them from the
   drop-box, or from the files of an abandoned branch, whose charges then carry over (R-124).

Both make drafts; the roots sign them like any other.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from hyperfed.cli.files import read_bytes
from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.options import FILE, add_options
from hyperfed.cli.values import Duration, as_usage
from hyperfed.errors import ConfigError

__all__ = ["annul", "renew", "term_options"]

F = TypeVar("F", bound=Callable[..., Any])


def term_options(command: F) -> F:
    """Add the options that say how long a version holds, and a round stays open."""
    return add_options(
        command,
        click.option(
            "--for",
            "lasts",
            type=Duration(least=3600, most=366 * 86_400 * 10, whole=True),
            metavar="TIME",
            help="How long the version is valid from now on, such as 90d; the roots renew it.",
        ),
        click.option(
            "--close-windows",
            type=click.IntRange(0, 10_000),
            help="For how many windows a round may stay open after its deadline; 0: no limit.",
        ),
    )


@click.command(cls=Command)
@term_options
@click.option("--no-expiry", is_flag=True, help="The version is valid until there is a next one.")
@draft_options
def renew(
    invocation: Invocation,
    lasts: float | None,
    close_windows: int | None,
    no_expiry: bool,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version with the same clients and keys, which expires later.

    Nobody sends or merges under a version that has expired. A newer version can therefore not be
    hidden for ever. Options that you leave out change nothing.

    \b
      hyperfed registry renew --for 90d
    """
    from hyperfed.cli.operator.drafting import Draft

    if (lasts is not None) + no_expiry > 1 or (lasts, close_windows, no_expiry) == (
        None,
        None,
        False,
    ):
        raise ConfigError(
            "says twice when the version expires" if no_expiry else "nothing to change",
            subject="registry renew",
            remedy="Give either --for TIME or --no-expiry, or --close-windows",
        )
    drafted = draft_to_change(invocation, draft_file, renewing=lasts is not None or no_expiry)
    registry = drafted.registry
    expires = None if no_expiry else registry.expires
    with as_usage():
        renewed = replace(
            registry,
            expires=expires if lasts is None else registry.issued + timedelta(seconds=lasts),
            close_windows=registry.close_windows if close_windows is None else close_windows,
        )
    finish_draft(
        invocation,
        Draft(registry=renewed),
        out,
        draft_file=draft_file,
        amended=draft_file is not None,
    )


@click.command(cls=Command)
@click.argument("sequences", metavar="ENTRY...", type=click.IntRange(min=1), nargs=-1)
@click.option(
    "--abandoned",
    "files",
    type=FILE,
    multiple=True,
    help="An entry of an abandoned branch, as it lay in its bucket. Its charge carries over.",
)
@click.option(
    "--abandoned-state",
    "state_files",
    type=FILE,
    multiple=True,
    help="A state that such a commit names, rounds/NUMBER/state. What it counted never counts "
    "again.",
)
@draft_options
def annul(
    invocation: Invocation,
    sequences: tuple[int, ...],
    files: tuple[Path, ...],
    state_files: tuple[Path, ...],
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version in which entries of the ledger decide nothing.

    The chain continues after its actual tail. Charges stay, and a round with an annulled commit
    remains void. `hyperfed audit` names the entries.

    If a ledger was split, name every entry of the abandoned branch from the fork on, and the state
    of its newest commit.

    \b
      hyperfed registry annul 412
      hyperfed registry annul --abandoned 000000000412 --abandoned 000000000413 \\
          --abandoned-state state
    """
    from hyperfed.cli.operator.drafting import Draft
    from hyperfed.dropbox.annulling import abandoned_entry, annulled_here, sequences_of

    if not sequences and not files and not state_files:
        raise ConfigError(
            "no entry is named",
            subject="registry annul",
            remedy="Give numbers of ledger entries, or --abandoned FILE",
        )
    drafted, reader = draft_to_change(invocation, draft_file), invocation.reader
    registry = drafted.registry
    named = [annulled_here(reader, sequence) for sequence in sequences]
    named += [abandoned_entry(reader, read_bytes(file), subject=str(file)) for file in files]
    annulled = {(a.sequence, a.digest): a for a in (*registry.annulled, *named)}
    least = dict(registry.least_sequences)
    for file in state_files:
        counted = sequences_of(reader, read_bytes(file), list(annulled.values()), subject=str(file))
        least |= {name: max(least.get(name, 0), highest) for name, highest in counted.items()}
    if files and not state_files:
        invocation.out.note(
            "no state of the abandoned branch was given: what it counted may count again "
            "(--abandoned-state)"
        )
    with as_usage():
        changed = replace(
            registry,
            annulled=tuple(annulled[name] for name in sorted(annulled)),
            least_sequences=tuple(sorted(least.items())),
        )
    finish_draft(
        invocation,
        Draft(registry=changed),
        out,
        draft_file=draft_file,
        amended=draft_file is not None,
    )
