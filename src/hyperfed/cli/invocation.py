"""What a command works with: settings, store, reader and keys, each opened when first asked for; and the options all commands share.

1. Options override hyperfed.toml, whether they stand before or after the command's name.
2. The clock is read once an invocation.
3. A passphrase comes from $HYPERFED_PASSPHRASE or a prompt that does not echo. It is asked for only where a locked key is about to be used.

What it does not do: print (`output`), decide (the commands).
"""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hyperfed.cli.output import Output
from hyperfed.cli.settings import Settings, find_config, load_settings
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client import ClientSession
    from hyperfed.dropbox import DropBoxReader
    from hyperfed.keys import KeyPair
    from hyperfed.store import ObjectStore

__all__ = [
    "PASSPHRASE_VARIABLE",
    "Invocation",
    "client_options",
    "config_option",
    "load_key",
    "output_options",
    "pass_invocation",
    "setting_option",
    "store_options",
]

PASSPHRASE_VARIABLE = "HYPERFED_PASSPHRASE"  # noqa: S105 - the name of a variable, no secret
F = TypeVar("F", bound=Callable[..., Any])


class Invocation:
    """One run of the command. options: what was given on the command line, by the setting's name."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.config: Path | None = None
        self.as_json = False

    @cached_property
    def out(self) -> Output:
        return Output(as_json=self.as_json)

    @cached_property
    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)

    @cached_property
    def settings(self) -> Settings:
        return load_settings(find_config(self.config)).with_overrides(self.options)

    @cached_property
    def store(self) -> "ObjectStore":
        """The configured store; a person is waiting, so it is tried less often than a flow would."""
        from hyperfed.stores import open_store

        settings = self.settings
        links = self._links_path()
        if links is not None:
            return self._linked_store(links)
        url, from_option = settings.need("store.url"), "store.url" in self.options
        return open_store(
            url,
            endpoint=settings.text("store.endpoint"),
            region=settings.text("store.region"),
            access_key_file=settings.file("store.access_key_file"),
            base=None if from_option else settings.base,
            attempts=3,
            request_attempts=2,
        )

    def _links_path(self) -> Path | None:
        """The file of links where the drop-box is reached by them. Raises ConfigError where an address is configured too."""
        settings, given = self.settings, {"store.url", "store.links"} & set(self.options)
        named = given or {name for name in ("store.url", "store.links") if settings.values.get(name) is not None}
        if len(named) == 2:
            raise ConfigError(
                "the drop-box is reached by its url or by links, not by both",
                subject=str(settings.path or "options"),
                remedy="Leave out [store] url, or [store] links",
            )
        return settings.file("store.links") if named == {"store.links"} else None

    def _linked_store(self, links: Path) -> "ObjectStore":
        """What the operator's file of links reaches, and the newer links that it leads to."""
        from hyperfed.adapters.http import PresignedStore
        from hyperfed.client.links import LinkChain
        from hyperfed.patience import PatientStore

        settings = self.settings
        client_id, fingerprint = settings.need("client.id"), settings.need_fingerprint()
        chain = LinkChain(links, client_id=client_id, keys=self.client_keys, fingerprint=fingerprint, now=lambda: self.now)
        return PatientStore(PresignedStore(chain), attempts=3)

    @cached_property
    def client_keys(self) -> "KeyPair":
        """The client's own pair; a passphrase is asked for once."""
        return load_key(self.settings.need("client.key"))

    @cached_property
    def reader(self) -> "DropBoxReader":
        """The drop-box as verified values; the fingerprint is compared where one is configured."""
        from hyperfed.dropbox import DropBoxReader
        from hyperfed.ledger_copy import LedgerCopy

        fingerprint = self.settings.fingerprint
        return DropBoxReader(self.store, fingerprint=fingerprint, copy=LedgerCopy.in_cache(fingerprint))

    def warn_unless_compared(self) -> None:
        """Say so where nothing vouches for the registry."""
        if self.settings.fingerprint is None:
            self.out.note("no root fingerprint is configured, so the registry was checked against itself only")

    def session(self, *, signing: bool) -> "ClientSession":
        """The client's session. signing: with its key; without, for commands that only read, a passphrase is not asked for."""
        from hyperfed.client import ClientMemory, ClientSession
        from hyperfed.keys import KeyPair

        settings = self.settings
        # Reading needs no secret: a throw-away pair stands in for the client's.
        keys = self.client_keys if signing else KeyPair.generate()
        return ClientSession(
            self.store,
            client_id=settings.need("client.id"),
            keys=keys,
            fingerprint=settings.need_fingerprint(),
            memory=ClientMemory(self._memory_path()),
            record_bound=settings.number("client.record_bound"),
        )

    def _memory_path(self) -> Path:
        """[client] memory, by default beside the key: hospital.key -> hospital.memory.json."""
        path = self.settings.file("client.memory")
        if path is not None:
            return path
        key: Path = self.settings.need("client.key")
        return key.with_name(f"{key.name.removesuffix('.key')}.memory.json")


pass_invocation = click.make_pass_decorator(Invocation)


def load_key(path: Path) -> "KeyPair":
    """The key pair in `path`; where it is locked, with $HYPERFED_PASSPHRASE or what the prompt is answered. Raises ConfigError."""
    from hyperfed.keys import KeyPair

    passphrase = os.environ.get(PASSPHRASE_VARIABLE) or None
    try:
        return KeyPair.load(path, passphrase)
    except ConfigError as error:
        if passphrase is not None or error.problem != "this key has a passphrase" or not sys.stdin.isatty():
            raise
    return KeyPair.load(path, click.prompt(f"Passphrase of {path}", hide_input=True, err=True))


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None and value != ():
            ctx.ensure_object(Invocation).options[name] = value
        return value

    return callback


def setting_option(*names: str, setting: str, **kwargs: Any) -> Callable[[F], F]:
    """An option that overrides a setting of hyperfed.toml."""
    return click.option(*names, expose_value=False, callback=_remember(setting), **kwargs)


def _set_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).as_json = True


def _set_config(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).config = value


def _apply(command: F, *decorators: Callable[[F], F]) -> F:
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def output_options(command: F) -> F:
    """--json and --debug; every command has them."""
    return _apply(
        command,
        click.option("--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document on stdout and nothing else."),
        click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
    )


def config_option(command: F) -> F:
    """--config, on the root and on every command that reads settings."""
    option = click.option(
        "--config", type=click.Path(path_type=Path), expose_value=False, callback=_set_config, help="Configuration file, instead of ./hyperfed.toml."
    )
    return option(command)


def store_options(command: F) -> F:
    """Where the drop-box is; for commands that talk to it."""
    return _apply(
        command,
        config_option,
        setting_option("--store", setting="store.url", metavar="URL", help="s3://bucket/prefix or file:///folder."),
        setting_option(
            "--links", setting="store.links", type=click.Path(path_type=Path), help="File of links instead of a URL: for clients without a cloud account."
        ),
        setting_option("--endpoint", setting="store.endpoint", metavar="URL", help="S3 endpoint; AWS where there is none."),
        setting_option("--region", setting="store.region", help="S3 region."),
        setting_option(
            "--access-key-file",
            setting="store.access_key_file",
            type=click.Path(path_type=Path),
            help="TOML file with access_key and secret_key; else the environment decides.",
        ),
        setting_option("--fingerprint", setting="federation.fingerprint", metavar="HEX", help="Root fingerprint, compared out of band."),
    )


def client_options(command: F) -> F:
    """Who this is; for commands that speak as a client."""
    return _apply(
        command,
        setting_option("--client-id", setting="client.id", metavar="ID", help="This client's id."),
        setting_option("--key", setting="client.key", type=click.Path(path_type=Path), help="This client's key file."),
        setting_option("--memory", setting="client.memory", type=click.Path(path_type=Path), help="What this client has seen; by default beside the key."),
    )
