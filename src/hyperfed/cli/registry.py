"""`hyperfed registry`: the ceremony behind the list of clients and keys. This module drafts; `registry_signing` signs, merges and publishes.

1. A draft is an unsigned file. Its first version is made by `init`, every later one by `add`, `revoke` and `roots` on top of the newest published
   one, or, with --draft, by amending a draft that nobody has signed yet.
2. An enrolment is added only after its fingerprint was compared on another channel: --expect does it, or the operator says so.
3. What ends keeps its past: a key is closed at a round, so that old rounds can still be verified.
"""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import Armour, create, read_armour, read_public_keys, replace_file, wrap
from hyperfed.cli.invocation import Invocation, config_option, output_options, pass_invocation, store_options
from hyperfed.cli.lazy import Entry, LazyGroup
from hyperfed.cli.output import clean, grouped, show_pairs
from hyperfed.cli.registry_view import current_round, show_registry, summary_of
from hyperfed.cli.settings import check_fingerprint
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.cli.drafting import Draft
    from hyperfed.enrolment import Enrolment

__all__ = ["add", "confirm", "init", "registry", "revoke", "roots"]

_FILE = click.Path(path_type=Path)
_HERE, _SIGNING = "hyperfed.cli.registry", "hyperfed.cli.registry_signing"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command(
    cls=LazyGroup,
    entries={
        "init": Entry(f"{_HERE}:init", "Draft version 1 and print the root fingerprint."),
        "add": Entry(f"{_HERE}:add", "Draft a version with more clients, or with their next keys."),
        "revoke": Entry(f"{_HERE}:revoke", "Draft a version in which a client or a key no longer speaks."),
        "roots": Entry(f"{_HERE}:roots", "Draft a version with other root keys."),
        "sign": Entry(f"{_SIGNING}:sign", "Sign a draft with a root key, offline."),
        "merge": Entry(f"{_SIGNING}:merge", "Join the signatures of several roots."),
        "publish": Entry(f"{_SIGNING}:publish", "Create the version in the drop-box."),
        "show": Entry(f"{_SIGNING}:show", "Show the newest version, an earlier one, or a file."),
    },
)
def registry() -> None:
    """Who may speak, with which key: the root-signed list that everything else hangs on.

    \b
    The ceremony, with two roots of which both must sign:
      hyperfed registry init --federation demo --root r1.key.pub --root r2.key.pub --threshold 2 --coordinator coordinator.key.pub
      hyperfed registry add hospital-1.enrolment --draft registry-000001.draft
      hyperfed registry sign registry-000001.draft --root-key r1.key          (on root 1's offline machine)
      hyperfed registry sign registry-000001.draft --root-key r2.key          (on root 2's)
      hyperfed registry merge registry-000001.*.signed
      hyperfed registry publish registry-000001.signed
    Everybody compares the root fingerprint that `init` prints, on another channel.
    """


@click.command()
@click.option("--federation", required=True, metavar="ID", help="The federation's name: 3 to 32 of a-z, 0-9 and '-'.")
@click.option("--root", "root_files", type=_FILE, multiple=True, help="A root's .pub file; once for each root. By default those of [root] keys.")
@click.option("--threshold", type=int, help="How many roots must sign; by default more than half.")
@click.option("--coordinator", "coordinator_files", type=_FILE, multiple=True, required=True, help="A coordinator's .pub file.")
@click.option("--auditor", "auditor_files", type=_FILE, multiple=True, help="An auditor's .pub file: can open sealed updates.")
@click.option("--genesis", metavar="INSTANT", help="Start of round 1, such as 2027-01-01T00:00:00Z; by default today, 00:00 UTC.")
@click.option("--window", default="1d", show_default=True, metavar="TIME", help="A round's length: 90s, 30m, 24h, 1d.")
@click.option("--epsilon", default="10", show_default=True, help="Privacy budget, in all.")
@click.option("--delta", default="0.0001", show_default=True, help="Privacy budget, in all.")
@click.option("--unit", type=click.Choice(["client", "record"]), default="client", show_default=True, help="What the budget protects.")
@click.option("--minimum-support", type=int, default=1, show_default=True, help="Clients that must stand behind a released value.")
@click.option("--out", type=_FILE, default="registry-000001.draft", show_default=True, help="Where to write the draft.")
@config_option
@output_options
@pass_invocation
def init(
    invocation: Invocation,
    federation: str,
    root_files: tuple[Path, ...],
    threshold: int | None,
    coordinator_files: tuple[Path, ...],
    auditor_files: tuple[Path, ...],
    genesis: str | None,
    window: str,
    epsilon: str,
    delta: str,
    unit: str,
    minimum_support: int,
    out: Path,
) -> None:
    """Draft version 1 of a federation's registry, and print the root fingerprint that everybody compares out of band.

    Genesis, window and federation hold for the federation's whole life.

    \b
      hyperfed registry init --federation demo --root root.key.pub --coordinator coordinator.key.pub
    """
    from hyperfed.cli.drafting import Draft
    from hyperfed.registry import Budget, KeyRecord, Registry

    files = root_files or invocation.settings.files("root.keys")
    if not files:
        raise ConfigError("no root keys are given", subject="registry init", remedy="Give --root FILE.pub once for each root, or [root] keys in hyperfed.toml")
    drafted = Registry(
        federation=federation,
        version=1,
        previous=b"",
        issued=invocation.now,
        genesis=_instant(genesis) if genesis else invocation.now.replace(hour=0, minute=0, second=0),
        window_s=_seconds(window),
        roots=tuple(read_public_keys(file) for file in files),
        threshold=len(files) // 2 + 1 if threshold is None else threshold,
        coordinators=tuple(KeyRecord(keys=read_public_keys(file)) for file in coordinator_files),
        auditors=tuple(KeyRecord(keys=read_public_keys(file)) for file in auditor_files),
        budget=Budget(epsilon=_decimal("--epsilon", epsilon), delta=_decimal("--delta", delta), unit=unit, minimum_support=minimum_support),
    )
    _finish(invocation, Draft(registry=drafted), out, amended=False)


def draft_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command has that makes or amends a draft."""
    decorators: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
        pass_invocation,
        output_options,
        store_options,
        click.option("--out", type=_FILE, help="Where to write the new draft; by default registry-VERSION.draft."),
        click.option("--draft", "draft_file", type=_FILE, help="Amend this unsigned draft instead of starting from the newest published version."),
    )
    for decorator in decorators:
        command = decorator(command)
    return command


@click.command()
@click.argument("enrolments", type=_FILE, nargs=-1, metavar="[ENROLMENT]...")
@click.option("--replace-key", is_flag=True, help="The client is known; this is its next key.")
@click.option("--overlap", type=click.IntRange(min=0), default=1, show_default=True, help="Rounds in which the old key and the new one both speak.")
@click.option("--coordinator", "coordinator_files", type=_FILE, multiple=True, help="Add a coordinator's .pub file.")
@click.option("--auditor", "auditor_files", type=_FILE, multiple=True, help="Add an auditor's .pub file.")
@click.option("--expect", multiple=True, metavar="HEX", help="The fingerprint that the client read to you; once for each enrolment.")
@click.option("--yes", is_flag=True, help="The fingerprints were compared; do not ask.")
@click.option("--from-round", type=click.IntRange(min=1), help="The first round the new keys speak in.")
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

    A new key speaks from the round that runs now; one that replaces another (--replace-key) from the next round on, overlapping with the old one. A
    coordinator's next key speaks from the first round that has not ended: where the old key is lost, the new one finishes what it began. What the old one
    has signed up to the round that runs now stays valid.

    \b
      hyperfed registry add hospital-1.enrolment --draft registry-000001.draft
      hyperfed registry add --replace-key hospital-1.enrolment --expect "3f2a 88c1 ..."
    """
    from hyperfed.cli.drafting import add_client, add_party
    from hyperfed.enrolment import read_enrolment

    if not (enrolments or coordinator_files or auditor_files):
        raise ConfigError("nothing to add", subject="registry add", remedy="Give enrolment files, --coordinator or --auditor")
    found = [read_enrolment(read_armour(path, Armour.ENROLMENT)[1], now=invocation.now, subject=str(path)) for path in enrolments]
    drafted = _base(invocation, draft_file)
    current = current_round(drafted.registry, invocation.now)
    first = from_round or (current + 1 if replace_key else current)
    for enrolment, _ in found:
        drafted = add_client(drafted, enrolment, from_round=first, replace_key=replace_key, overlap=overlap)
    for role, files in (("coordinators", coordinator_files), ("auditors", auditor_files)):
        for file in files:
            start, until = first, None
            if replace_key:
                start = from_round or min(_first_open(invocation, draft_file), current)
                until = max(start, current) + overlap - 1
            drafted = add_party(drafted, role, read_public_keys(file), from_round=start, until=until)
    _compare(invocation, found, expect=expect, yes=yes)
    _finish(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)


def _first_open(invocation: Invocation, draft_file: Path | None) -> int:
    """The first round that is neither committed nor void: rounds end in order. 1 where an unpublished draft is amended."""
    from hyperfed.protocol.objects import EntryKind

    if draft_file is not None:
        return 1
    return 1 + max((c.entry.round for c in invocation.reader.ledger() if c.entry.kind is not EntryKind.RESERVE), default=0)


def _compare(invocation: Invocation, found: "list[tuple[Enrolment, str]]", *, expect: tuple[str, ...], yes: bool) -> None:
    """Were the fingerprints compared? Raises ConfigError where they were not, or differ."""
    expected = {check_fingerprint(text, subject="--expect") for text in expect}
    if expected:
        for enrolment, fingerprint in found:
            if fingerprint not in expected:
                raise ConfigError(
                    f"its fingerprint is {fingerprint}, which is not among those expected",
                    subject=f"enrolment of {enrolment.client_id}",
                    remedy="Somebody may have replaced the file: ask the client for it again",
                )
        return
    if found:
        lines = [f"{e.client_id} ({e.organisation}): {grouped(f)}" for e, f in found]
        confirm(invocation, lines, "Did you compare these fingerprints with the clients on another channel?", yes=yes)


def confirm(invocation: Invocation, lines: list[str], question: str, *, yes: bool) -> None:
    """Go on only where the operator says so. Raises ConfigError where nobody can be asked or the answer is no."""
    if yes:
        return
    interactive = sys.stdin.isatty() and not invocation.as_json
    for line in lines if interactive else ():
        click.echo(clean(line), err=True)
    if not interactive or not click.confirm(question, err=True):
        raise ConfigError("not confirmed; nothing was written", subject="; ".join(lines)[:600], remedy=f"{question} Then answer yes, or give --yes")


@click.command()
@click.argument("who", metavar="CLIENT-OR-KEY-ID")
@click.option("--from-round", type=click.IntRange(min=1), help="The first round it does not speak in; by default the one that runs now.")
@draft_options
def revoke(invocation: Invocation, who: str, from_round: int | None, draft_file: Path | None, out: Path | None) -> None:
    """Draft a version in which a client, or one key of any party (by its key id), does not speak any more.

    It holds from the round that runs now on, unless --from-round says otherwise; it works at the next freeze after publication.

    \b
      hyperfed registry revoke hospital-1
    """
    from hyperfed.cli.drafting import revoke_client, revoke_key

    drafted = _base(invocation, draft_file)
    first = from_round or current_round(drafted.registry, invocation.now)
    is_key = re.fullmatch(r"[0-9a-f]{32}", who) is not None and all(c.client_id != who for c in drafted.registry.clients)
    drafted = revoke_key(drafted, who, from_round=first) if is_key else revoke_client(drafted, who, from_round=first)
    _finish(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)


@click.command()
@click.option("--root", "root_files", type=_FILE, multiple=True, required=True, help="A root's .pub file; once for each of the new set.")
@click.option("--threshold", type=int, help="How many roots must sign; by default more than half.")
@draft_options
def roots(invocation: Invocation, root_files: tuple[Path, ...], threshold: int | None, draft_file: Path | None, out: Path | None) -> None:
    """Draft a version with another set of root keys. It needs the signatures of both the old roots' threshold and the new one's.

    \b
      hyperfed registry roots --root r1.key.pub --root r3.key.pub --threshold 2
    """
    from hyperfed.cli.drafting import replace_roots

    drafted = _base(invocation, draft_file)
    keys = [read_public_keys(file) for file in root_files]
    drafted = replace_roots(drafted, keys, len(keys) // 2 + 1 if threshold is None else threshold)
    _finish(invocation, drafted, out, draft_file=draft_file, amended=draft_file is not None)


def _base(invocation: Invocation, draft_file: Path | None) -> "Draft":
    """What is changed: the unsigned draft, or the version after the newest published one."""
    from hyperfed.cli.drafting import Draft
    from hyperfed.codec import PayloadCodec
    from hyperfed.registry import Registry

    if draft_file is not None:
        _, data = read_armour(draft_file, Armour.DRAFT)
        return Draft(registry=PayloadCodec().decode(data, Registry))
    reader = invocation.reader
    newest = reader.registry
    invocation.warn_unless_compared()
    return Draft.after(newest, reader.registry_digest, issued=invocation.now)


def _finish(invocation: Invocation, drafted: "Draft", out: Path | None, *, draft_file: Path | None = None, amended: bool) -> None:
    """Write the draft and say what is in it."""
    from hyperfed.codec import PayloadCodec

    changed = drafted.registry
    path = out or draft_file or Path(f"registry-{changed.version:06d}.draft")
    text = wrap(Armour.DRAFT, PayloadCodec().encode(changed))
    if amended and path == draft_file:
        replace_file(path, text.encode())
    else:
        create(path, text)

    def render(to: "Console") -> None:
        show_registry(to, changed)
        show_pairs(to, {"Draft": path, "Next": f"{changed.threshold} of {len(changed.roots)} roots run `hyperfed registry sign {path}` on their own machines"})

    invocation.out.finish({"file": path, **summary_of(changed)}, render)


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError("not an instant", subject=f"--genesis {text!r:.60}", remedy="Write it as 2027-01-01T00:00:00Z") from exc
    if moment.tzinfo is None:
        raise ConfigError("has no time zone", subject=f"--genesis {text!r:.60}", remedy="Write it as 2027-01-01T00:00:00Z")
    return moment.astimezone(UTC)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    if match is None or not int(match[1]):
        raise ConfigError("not a length of time", subject=f"--window {text!r:.60}", remedy="Write it as 90s, 30m, 24h or 1d")
    return int(match[1]) * _UNITS[match[2] or "s"]


def _decimal(name: str, text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ConfigError("not a number", subject=f"{name} {text!r:.60}")
    return number
