"""Hold what a command works with: settings, store, reader and keys, each opened when first used.

1. The clock is read once in each invocation.
2. A passphrase comes from $HYPERFED_PASSPHRASE or from a prompt that does not echo. It is asked for
   only where a locked key is about to be used.

What it does not do: read options (`options`), print (`output`) or decide (the commands do).
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.output import Output
from hyperfed.client.settings import Settings, find_config, load_settings

if TYPE_CHECKING:
    from hyperfed.client import ClientSession
    from hyperfed.client.opening import Opening
    from hyperfed.crypto.keys import KeyPair
    from hyperfed.dropbox.reader import DropBoxReader
    from hyperfed.storage.store import ObjectStore

__all__ = [
    "Invocation",
    "load_key",
    "pass_invocation",
]


class Invocation:
    """Holds one run of the command.

    `options` holds what the command line gives, by the setting's name. `config` is the file that
    --config names, and `as_json` says whether --json was given.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.config: Path | None = None
        self.as_json = False

    @cached_property
    def out(self) -> Output:
        """Return where the command's answer goes."""
        return Output(as_json=self.as_json)

    @cached_property
    def now(self) -> datetime:
        """Return the instant of this invocation, in UTC and whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)

    @cached_property
    def settings(self) -> Settings:
        """Return the settings of hyperfed.toml, overridden by the options. Raises ConfigError."""
        return load_settings(find_config(self.config)).with_overrides(self.options)

    @cached_property
    def opening(self) -> "Opening":
        """Return what the settings open. Each part is opened when first used."""
        from hyperfed.client.opening import Opening

        option_names = frozenset(self.options)
        return Opening(
            self.settings,
            given=option_names,
            now=lambda: self.now,
            tell=self.out.note,
            ask=_asked(),
        )

    @cached_property
    def store(self) -> "ObjectStore":
        """Return the object store of the drop-box."""
        return self.opening.store

    @cached_property
    def client_keys(self) -> "KeyPair":
        """Return the client's key pair."""
        return self.opening.client_keys

    @cached_property
    def reader(self) -> "DropBoxReader":
        """Return the reader of the drop-box."""
        return self.opening.reader

    def session(self, *, signing: bool) -> "ClientSession":
        """Return the client's session.

        `signing` says whether it will sign; otherwise it only reads.
        """
        return self.opening.session(signing=signing)

    def warn_unless_compared(self) -> None:
        """Print a note where no root fingerprint is configured.

        Without one nothing vouches for the registry.
        """
        if self.settings.fingerprint is None:
            self.out.note(
                "no root fingerprint is configured: nothing but the registry itself vouches for it"
            )


pass_invocation = click.make_pass_decorator(Invocation)


def _asked() -> Callable[[str], str] | None:
    """Return what asks for a passphrase without an echo, or None where nobody can be asked."""
    if not sys.stdin.isatty():
        return None
    return lambda question: str(click.prompt(question, hide_input=True, err=True))


def load_key(path: Path) -> "KeyPair":
    """Return the key pair in `path`, and ask for its passphrase where it is locked.

    Raises ConfigError.
    """
    from hyperfed.client.opening import load_key as load

    return load(path, ask=_asked())
