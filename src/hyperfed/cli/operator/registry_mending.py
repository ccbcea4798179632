"""Implement `hyperfed registry renew | annul`: how roots keep a federation alive, and mend it.

1. `renew` drafts the same list with another expiry (R-122), or another bound of `close_by` (R-116).
2. `annul` drafts a version in which ledger entries decide nothing (R-123). It reads them from the
   drop-box, or from the files of an abandoned branch, whose charges then carry over (R-124).

Both make drafts; the roots sign them like any other.
"""

from datetime import timedelta
from pathlib import Path

import click

from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.options import FILE
from hyperfed.cli.values import Duration, as_usage
from hyperfed.errors import ConfigError

__all__ = ["annul", "renew"]


@click.command(cls=Command)
@click.option(
    "--for",
    "lasts",
    type=Duration(least=3600, most=366 * 86_400 * 10, whole=True),
    metavar="TIME",
    help="How long the version is valid, such as 90d; by default until the next one.",
)
@click.option(
    "--close-windows",
    type=click.IntRange(min=0),
    help="For how many windows a round may stay open after its deadline; 0: no limit.",
)
@draft_options
def renew(
    invocation: Invocation,
    lasts: float | None,
    close_windows: int | None,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version with the same clients and keys, which expires later.

    \b
      hyperfed registry renew --for 90d
    """
    from dataclasses import replace

    from hyperfed.cli.operator.drafting import Draft

    drafted = draft_to_change(invocation, draft_file)
    registry = drafted.registry
    with as_usage():
        renewed = replace(
            registry,
            expires=None if lasts is None else registry.issued + timedelta(seconds=lasts),
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
@draft_options
def annul(
    invocation: Invocation,
    sequences: tuple[int, ...],
    files: tuple[Path, ...],
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version in which entries of the ledger decide nothing.

    The chain continues after its actual tail. Charges stay, and a round with an annulled commit
    remains void. `hyperfed audit` names the entries.

    \b
      hyperfed registry annul 412
      hyperfed registry annul --abandoned 000000000412 --abandoned 000000000413
    """
    from dataclasses import replace

    from hyperfed.cli.operator.drafting import Draft
    from hyperfed.crypto.envelope import PacketType
    from hyperfed.protocol.object_keys import Keys
    from hyperfed.registry.annulments import Annulment

    if not sequences and not files:
        raise ConfigError(
            "no entry is named",
            subject="registry annul",
            remedy="Give numbers of ledger entries, or --abandoned FILE",
        )
    drafted, reader = draft_to_change(invocation, draft_file), invocation.reader
    annulled = {(a.sequence, a.digest): a for a in drafted.registry.annulled}
    annulled_files = [
        (key, invocation.store.read(key, max_bytes=1 << 20), b"")
        for key in map(Keys.ledger, sequences)
    ]
    for file in files:
        data = file.read_bytes()
        annulled_files.append((str(file), data, data))
    for name, data, entry_bytes in annulled_files:
        signed = reader.signed(data, key=name, types=PacketType.LEDGER, round_id=None)
        item = Annulment(sequence=signed.header.sequence, digest=signed.digest, entry=entry_bytes)
        annulled[item.sequence, item.digest] = item
    with as_usage():
        changed = replace(
            drafted.registry, annulled=tuple(annulled[name] for name in sorted(annulled))
        )
    finish_draft(
        invocation,
        Draft(registry=changed),
        out,
        draft_file=draft_file,
        amended=draft_file is not None,
    )
