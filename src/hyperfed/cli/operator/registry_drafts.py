"""Begin and end the commands of `hyperfed registry` that make drafts.

Each begins from the newest published version or from an unsigned draft. It ends by writing and
showing the next draft.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import Armour, before_in, create, read_armour, replace_file, wrap
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.operator.registry_view import show_registry, summary_of
from hyperfed.cli.options import FILE, add_options, output_options, store_options
from hyperfed.cli.output import clean, show_pairs
from hyperfed.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.cli.operator.drafting import Draft

__all__ = ["confirm", "draft_options", "draft_to_change", "finish_draft"]


def draft_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that makes or amends a draft."""
    return add_options(
        command,
        click.option(
            "--draft",
            "draft_file",
            type=FILE,
            help="Amend this unsigned draft instead of starting from the newest published version.",
        ),
        click.option(
            "--out",
            type=FILE,
            help="Where to write the new draft; by default registry-VERSION.draft.",
        ),
        store_options,
        output_options,
        pass_invocation,
    )


def confirm(invocation: Invocation, lines: list[str], question: str, *, yes: bool) -> None:
    """Go on only where the operator agrees.

    Raises ConfigError where nobody can be asked or the answer is no.
    """
    if yes:
        return
    interactive = sys.stdin.isatty() and not invocation.as_json
    for line in lines if interactive else ():
        click.echo(clean(line), err=True)
    if not interactive or not click.confirm(question, err=True):
        raise ConfigError(
            "not confirmed; nothing was written",
            subject="; ".join(lines)[:600],
            remedy=f"{question} Then answer yes, or give --yes",
        )


def draft_to_change(
    invocation: Invocation, draft_file: Path | None, *, renewing: bool = False
) -> "Draft":
    """Return the draft to change.

    It is the unsigned draft, or the version after the newest published one. That one may have
    expired where the draft is `renewing` it, and then says no expiry. Raises RegistryError where it
    has expired otherwise.
    """
    from hyperfed.cli.operator.drafting import Draft
    from hyperfed.codec import PayloadCodec
    from hyperfed.registry.registry import Registry

    if draft_file is not None:
        _, data = read_armour(draft_file, Armour.DRAFT)
        return Draft(registry=PayloadCodec().decode(data, Registry))
    reader = invocation.reader
    newest = reader.registry
    invocation.warn_unless_compared()
    if newest.expires is not None and newest.expires <= invocation.now:
        if not renewing:
            raise RegistryError(
                f"version {newest.version} expired at {newest.expires.isoformat()}, and so would "
                "what is drafted on top of it",
                subject="registry",
                rule="R-122",
                remedy="Draft `hyperfed registry renew --for 90d` first, and amend that draft with "
                "--draft",
            )
        newest = replace(newest, expires=None)
    return Draft.after(newest, reader.registry_digest, issued=invocation.now)


def _before(invocation: Invocation, drafted: "Draft", draft_file: Path | None) -> bytes:
    """Return the version that a draft follows; empty for the first one.

    It lies beside the draft that is amended, or in the drop-box.
    """
    from hyperfed.protocol.object_keys import Keys

    if drafted.registry.version == 1:
        return b""
    if draft_file is not None:
        return before_in(draft_file)
    limit = invocation.reader.limits.max_object_bytes
    return invocation.store.read(Keys.registry(drafted.registry.version - 1), max_bytes=limit)


def finish_draft(
    invocation: Invocation,
    drafted: "Draft",
    out: Path | None,
    *,
    draft_file: Path | None = None,
    amended: bool,
    facts: dict[str, Any] | None = None,
    pairs: dict[str, Any] | None = None,
) -> None:
    """Write the draft, say what is in it, and end the command.

    `facts` and `pairs` are what else to say, to programs and to people.
    """
    from hyperfed.codec import PayloadCodec

    changed = drafted.registry
    path = out or draft_file or Path(f"registry-{changed.version:06d}.draft")
    before = _before(invocation, drafted, draft_file)
    text = wrap(Armour.DRAFT, PayloadCodec().encode(changed)) + (
        wrap(Armour.BEFORE, before) if before else ""
    )
    if amended and path == draft_file:
        replace_file(path, text.encode())
    else:
        create(path, text)

    def render(to: "Console") -> None:
        show_registry(to, changed)
        show_pairs(
            to,
            (pairs or {})
            | {
                "Draft": path,
                "Next": f"{changed.threshold} of {len(changed.roots)} roots run `hyperfed "
                f"registry sign {path}` on their own machines",
            },
        )

    invocation.out.finish({"file": path, **summary_of(changed), **(facts or {})}, render)
