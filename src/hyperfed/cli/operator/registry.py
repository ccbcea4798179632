"""Implement `hyperfed registry`, the ceremony behind the list of clients and keys.

This module makes drafts. `registry_adding` drafts new clients and keys, and `registry_signing`
signs, merges and publishes.

1. A draft is an unsigned file. `init` makes that of the first version. `add`, `revoke` and `roots`
   make every later one: on top of the newest published version, or, with --draft, by amending a
   draft that nobody has signed yet (`registry_drafts`).
2. Whatever ends keeps its past: a key is closed at a round, so that old rounds can still be
   verified.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.files import read_public_keys
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command, Entry, LazyGroup
from hyperfed.cli.operator.registry_drafts import draft_options, draft_to_change, finish_draft
from hyperfed.cli.operator.registry_floors import floor_options, floors_of
from hyperfed.cli.operator.registry_mending import term_options
from hyperfed.cli.operator.registry_view import current_round
from hyperfed.cli.options import FILE, config_option, output_options, threshold_option
from hyperfed.cli.values import Duration, Instant, Number, as_usage
from hyperfed.errors import ConfigError

__all__ = ["init", "registry", "revoke", "roots"]


_HERE, _SIGNING = "hyperfed.cli.operator.registry", "hyperfed.cli.operator.registry_signing"
# a worker needs seconds to begin a run; dates end with the year 9999
_WINDOW = Duration(least=10, most=366 * 86_400, whole=True)
_CLOSE_WINDOWS = 7  # a long holiday; who holds the coordinator's key stops later rounds no longer


@click.command(
    cls=LazyGroup,
    entries={
        "init": Entry(f"{_HERE}:init", "Draft version 1 and print the root fingerprint."),
        "add": Entry(
            "hyperfed.cli.operator.registry_adding:add",
            "Draft a version with more clients, or with their next keys.",
        ),
        "revoke": Entry(f"{_HERE}:revoke", "Draft a version that revokes a client or a key."),
        "roots": Entry(f"{_HERE}:roots", "Draft a version with other root keys."),
        "renew": Entry(
            "hyperfed.cli.operator.registry_mending:renew", "Draft a version that expires later."
        ),
        "annul": Entry(
            "hyperfed.cli.operator.registry_mending:annul",
            "Draft a version in which ledger entries decide nothing.",
        ),
        "gossip": Entry(
            "hyperfed.cli.operator.registry_gossip:gossip",
            "Draft a version that keeps a share of the privacy budget for gossip.",
        ),
        "helpers": Entry(
            "hyperfed.cli.operator.registry_helpers:helpers",
            "Draft a version that names helpers of secure sums, and blocks of clients.",
        ),
        "set": Entry(
            "hyperfed.cli.operator.registry_floors:set_promises",
            "Draft a version with another budget, or other floors of every plan.",
        ),
        "sign": Entry(f"{_SIGNING}:sign", "Sign a draft with a root key, offline."),
        "merge": Entry(f"{_SIGNING}:merge", "Join the signatures of several roots."),
        "publish": Entry(f"{_SIGNING}:publish", "Create the version in the drop-box."),
        "show": Entry(f"{_SIGNING}:show", "Show the newest version, an earlier one, or a file."),
    },
)
def registry() -> None:
    """Keep the root-signed list of parties and their keys.

    Everything else relies on this list. Everybody compares the root fingerprint that `init` prints,
    on another channel.

    \b
    The ceremony, with two roots of which both must sign:
      hyperfed registry init --federation demo --root r1.key.pub --root r2.key.pub \\
          --threshold 2 --coordinator coordinator.key.pub
      hyperfed registry add hospital-1.enrolment --draft registry-000001.draft
      hyperfed registry sign registry-000001.draft --root-key r1.key          (on root 1's machine)
      hyperfed registry sign registry-000001.draft --root-key r2.key          (on root 2's)
      hyperfed registry merge registry-000001.*.signed
      hyperfed registry publish registry-000001.signed
    """


@click.command(cls=Command)
@click.option(
    "--federation",
    required=True,
    metavar="ID",
    help="The federation's name: 3 to 32 of a-z, 0-9 and '-'.",
)
@click.option(
    "--root",
    "root_files",
    type=FILE,
    multiple=True,
    help="A root's .pub file, once for each root; by default those of [root] keys.",
)
@threshold_option
@click.option(
    "--coordinator",
    "coordinator_files",
    type=FILE,
    multiple=True,
    required=True,
    help="A coordinator's .pub file.",
)
@click.option(
    "--auditor",
    "auditor_files",
    type=FILE,
    multiple=True,
    help="An auditor's .pub file; an auditor can open sealed updates.",
)
@click.option(
    "--genesis",
    type=Instant(),
    metavar="INSTANT",
    help="Start of round 1, such as 2027-01-01T00:00:00Z; by default today, 00:00 UTC.",
)
@click.option(
    "--window",
    type=_WINDOW,
    default="1d",
    show_default=True,
    metavar="TIME",
    help="A round's length: 90s, 30m, 24h, 1d; any from 10s to 366d.",
)
@click.option(
    "--epsilon", type=Number(), default="10", show_default=True, help="The whole privacy budget."
)
@click.option(
    "--delta",
    type=Number(zero=True),
    default="0.0001",
    show_default=True,
    help="The whole privacy budget.",
)
@click.option(
    "--unit",
    type=click.Choice(["client", "record"]),
    default="client",
    show_default=True,
    help="What the budget protects.",
)
@click.option(
    "--minimum-support",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many clients must support a released value.",
)
@term_options
@floor_options
@click.option(
    "--out",
    type=FILE,
    default="registry-000001.draft",
    show_default=True,
    help="Where to write the draft.",
)
@config_option
@output_options
@pass_invocation
def init(
    invocation: Invocation,
    /,
    federation: str,
    root_files: tuple[Path, ...],
    threshold: int | None,
    coordinator_files: tuple[Path, ...],
    auditor_files: tuple[Path, ...],
    genesis: datetime | None,
    window: float,
    epsilon: Decimal,
    delta: Decimal,
    unit: str,
    minimum_support: int,
    lasts: float | None,
    close_windows: int | None,
    out: Path,
    **floors: Any,
) -> None:
    """Draft version 1 of a federation's registry, and print the root fingerprint.

    Everybody compares the fingerprint on another channel. Genesis, window and federation never
    change. No plan goes below the floors, whoever signs it. By default they require sealed bodies,
    and a round stays open for at most 7 windows after its deadline. With --for the version expires,
    and the roots renew it with `hyperfed registry renew`.

    \b
      hyperfed registry init --federation demo --root root.key.pub --coordinator coordinator.key.pub
    """
    from hyperfed.cli.operator.drafting import Draft
    from hyperfed.registry.registry import Budget, KeyRecord, Registry

    files = root_files or invocation.settings.files("root.keys")
    if not files:
        raise ConfigError(
            "no root keys are given",
            subject="registry init",
            remedy="Give --root FILE.pub once for each root, or [root] keys in hyperfed.toml",
        )
    roots, coordinators, auditors = (
        [read_public_keys(file) for file in key_files]
        for key_files in (files, coordinator_files, auditor_files)
    )
    with as_usage():
        drafted = Registry(
            federation=federation,
            version=1,
            previous=b"",
            issued=invocation.now,
            genesis=genesis or invocation.now.replace(hour=0, minute=0, second=0),
            window_s=int(window),
            roots=tuple(roots),
            threshold=len(files) // 2 + 1 if threshold is None else threshold,
            coordinators=tuple(KeyRecord(keys=keys) for keys in coordinators),
            auditors=tuple(KeyRecord(keys=keys) for keys in auditors),
            budget=Budget(epsilon=epsilon, delta=delta, unit=unit, minimum_support=minimum_support),
            close_windows=_CLOSE_WINDOWS if close_windows is None else close_windows,
            expires=None if lasts is None else invocation.now + timedelta(seconds=lasts),
            floors=floors_of(floors, None),
        )
    finish_draft(invocation, Draft(registry=drafted), out, amended=False)


@click.command(cls=Command)
@click.argument("who", metavar="CLIENT-OR-KEY-ID")
@click.option(
    "--from-round",
    type=click.IntRange(min=1),
    help="The first round in which it is not valid; by default the running round.",
)
@draft_options
def revoke(
    invocation: Invocation,
    who: str,
    from_round: int | None,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version that revokes a client, or one key of any party.

    Name a key by its key id. The revocation holds from the running round on, unless --from-round
    says otherwise. It takes effect at the next freeze after publication.

    \b
      hyperfed registry revoke hospital-1
    """
    from hyperfed.cli.operator.drafting import revoke_client, revoke_key

    drafted = draft_to_change(invocation, draft_file)
    first = from_round or current_round(drafted.registry, invocation.now)
    is_key = re.fullmatch(r"[0-9a-f]{32}", who) is not None and all(
        c.client_id != who for c in drafted.registry.clients
    )
    drafted = (
        revoke_key(drafted, who, from_round=first)
        if is_key
        else revoke_client(drafted, who, from_round=first)
    )
    finish_draft(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)


@click.command(cls=Command)
@click.option(
    "--root",
    "root_files",
    type=FILE,
    multiple=True,
    required=True,
    help="A root's .pub file, once for each root of the new set.",
)
@threshold_option
@draft_options
def roots(
    invocation: Invocation,
    root_files: tuple[Path, ...],
    threshold: int | None,
    draft_file: Path | None,
    out: Path | None,
) -> None:
    """Draft a version with another set of root keys.

    It needs the signatures of both the old roots' threshold and the new one's.

    \b
      hyperfed registry roots --root r1.key.pub --root r3.key.pub --threshold 2
    """
    from hyperfed.cli.operator.drafting import replace_roots

    drafted = draft_to_change(invocation, draft_file)
    keys = [read_public_keys(file) for file in root_files]
    with as_usage():
        drafted = replace_roots(
            drafted, keys, len(keys) // 2 + 1 if threshold is None else threshold
        )
    finish_draft(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)
