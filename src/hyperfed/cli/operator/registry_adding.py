"""Implement `hyperfed registry add`: draft new clients, and next keys of coordinators and auditors.

An enrolment is added only once its fingerprint has been compared on another channel: --expect
compares it, or the operator confirms that it was compared.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import Armour, read_armour, read_public_keys
from hyperfed.cli.invocation import Invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_drafts import (
    confirm,
    draft_options,
    draft_to_change,
    finish_draft,
)
from hyperfed.cli.operator.registry_view import current_round
from hyperfed.cli.options import FILE
from hyperfed.cli.output import grouped, instant, listed
from hyperfed.client.settings import check_fingerprint
from hyperfed.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from hyperfed.registry.enrolment import Enrolment
    from hyperfed.registry.registry import Registry

__all__ = ["add"]


@click.command(cls=Command)
@click.argument("enrolments", type=FILE, nargs=-1, metavar="[ENROLMENT]...")
@click.option(
    "--replace-key",
    is_flag=True,
    help="This is the next key of a client that is already registered.",
)
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="For how many rounds the old key and the new one are both valid.",
)
@click.option(
    "--coordinator",
    "coordinator_files",
    type=FILE,
    multiple=True,
    help="Add a coordinator's .pub file.",
)
@click.option(
    "--auditor", "auditor_files", type=FILE, multiple=True, help="Add an auditor's .pub file."
)
@click.option(
    "--expect",
    multiple=True,
    metavar="HEX",
    help="The fingerprint that the client read to you, once for each enrolment.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether the fingerprints were compared.")
@click.option(
    "--from-round",
    type=click.IntRange(min=1),
    help="The first round in which the new keys are valid.",
)
@draft_options
def add(
    invocation: Invocation,
    enrolments: tuple[Path, ...],
    replace_key: bool,
    overlap: int,
    coordinator_files: tuple[Path, ...],
    auditor_files: tuple[Path, ...],
    expect: tuple[str, ...],
    yes: bool,
    from_round: int | None,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version with the clients of these ENROLMENT files.

    A new client counts from the first round that is not open yet, because the cohort of an open
    round is already signed. A key that replaces another (--replace-key) is valid from the next
    round on, and overlaps with the old key.

    A coordinator's next key is valid from the first round that has not ended. If the old key is
    lost, the new one finishes what it began. What the old key has signed up to the running round
    remains valid.

    \b
      hyperfed registry add hospital-1.enrolment --draft registry-000001.draft
      hyperfed registry add --replace-key hospital-1.enrolment --expect "3f2a 88c1 ..."
    """
    from hyperfed.cli.operator.drafting import add_client, add_party
    from hyperfed.registry.enrolment import read_enrolment

    if not (enrolments or coordinator_files or auditor_files):
        raise ConfigError(
            "nothing to add",
            subject="registry add",
            remedy="Give enrolment files, --coordinator or --auditor",
        )
    new_enrolments = [
        read_enrolment(
            read_armour(path, Armour.ENROLMENT)[1], now=invocation.now, subject=str(path)
        )
        for path in enrolments
    ]
    drafted = draft_to_change(invocation, draft_file)
    current = current_round(drafted.registry, invocation.now)
    first = from_round or (
        current + 1 if replace_key else _first_unopened(invocation, drafted.registry, current)
    )
    for enrolment, _ in new_enrolments:
        drafted = add_client(
            drafted, enrolment, from_round=first, replace_key=replace_key, overlap=overlap
        )
    for role, files in (("coordinators", coordinator_files), ("auditors", auditor_files)):
        for file in files:
            start, until = from_round or (current + 1 if replace_key else current), None
            if replace_key:
                start = from_round or min(_first_open(invocation, draft_file), current)
                until = max(start, current) + overlap - 1
            drafted = add_party(
                drafted, role, read_public_keys(file), from_round=start, until=until
            )
    _compare(invocation, new_enrolments, expect=expect, yes=yes)
    additions: dict[str, Any] = {}
    pairs: dict[str, Any] = {}
    if new_enrolments:
        opens = drafted.registry.windows.opens(first)
        names = listed([enrolment.client_id for enrolment, _ in new_enrolments])
        additions = {"counts_from": first, "opens": opens}
        pairs["Counts from"] = (
            f"round {first} on, which opens at {instant(opens)} ({names}); where this is "
            "published later, from the first round opened after it"
        )
    finish_draft(
        invocation,
        drafted,
        out,
        draft_file=draft_file,
        amended=draft_file is not None,
        facts=additions,
        pairs=pairs,
    )


def _first_unopened(invocation: Invocation, drafted: "Registry", current: int) -> int:
    """Return the first round whose cohort is not signed yet.

    Where nobody can look, the cohort of the running round is taken to be signed.
    """
    if drafted.version == 1:
        return current
    with suppress(ConfigError, TransportError):  # a draft can be amended without a drop-box
        return current if invocation.reader.plan(current) is None else current + 1
    return current + 1


def _first_open(invocation: Invocation, draft_file: Path | None) -> int:
    """Return the first round that is neither committed nor void; rounds end in order.

    Returns 1 where an unpublished draft is amended.
    """
    from hyperfed.protocol.entries import (
        EntryKind,
    )

    if draft_file is not None:
        return 1
    return 1 + max(
        (
            c.entry.round
            for c in invocation.reader.ledger()
            if c.entry.kind is not EntryKind.RESERVE
        ),
        default=0,
    )


def _compare(
    invocation: Invocation,
    enrolments: "list[tuple[Enrolment, str]]",
    *,
    expect: tuple[str, ...],
    yes: bool,
) -> None:
    """Check that the fingerprints were compared.

    Raises ConfigError where they were not, or where they differ.
    """
    expected = {check_fingerprint(text, subject="--expect") for text in expect}
    if expected:
        for enrolment, fingerprint in enrolments:
            if fingerprint not in expected:
                raise ConfigError(
                    f"its fingerprint is {fingerprint}, which is not among those expected",
                    subject=f"enrolment of {enrolment.client_id}",
                    remedy="Somebody may have replaced the file: ask the client for it again",
                )
        return
    if enrolments:
        lines = [f"{e.client_id} ({e.organisation}): {grouped(f)}" for e, f in enrolments]
        confirm(
            invocation,
            lines,
            "Did you compare these fingerprints with the clients on another channel?",
            yes=yes,
        )
