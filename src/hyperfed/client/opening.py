"""Open what a hyperfed.toml names: the drop-box's store and reader, keys, and the client's session.

The coordinator's keys are opened here, too. Each of these is opened when it is first asked for. A
passphrase is asked for only where a locked key is about to be used; it comes from
$HYPERFED_PASSPHRASE or from the person at the terminal.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hyperfed.client.settings import Settings
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client.session import ClientSession
    from hyperfed.crypto.keys import KeyPair
    from hyperfed.dropbox.reader import DropBoxReader
    from hyperfed.links.following import LinkChain
    from hyperfed.links.link_table import LinkSource
    from hyperfed.storage.grpc_access import RelayAccess
    from hyperfed.storage.store import ObjectStore

__all__ = ["HURRIED_S", "PASSPHRASE_VARIABLE", "Opening", "load_key"]

PASSPHRASE_VARIABLE = "HYPERFED_PASSPHRASE"  # noqa: S105 - the name of a variable, no secret

HURRIED_S = 5.0
"""Seconds that an answer of the store may take where a monitor waits."""

Ask = Callable[[str], str]
"""Asks a person a question, without an echo, and returns the answer."""


def load_key(path: Path, *, ask: Ask | None = None) -> "KeyPair":
    """Return the key pair in a file.

    `ask` asks for the passphrase of a locked key that $HYPERFED_PASSPHRASE does not open; None
    means that nobody can be asked. Raises ConfigError where the file cannot be used.
    """
    from hyperfed.crypto.keys import KeyPair

    passphrase = os.environ.get(PASSPHRASE_VARIABLE) or None
    try:
        return KeyPair.load(path, passphrase)
    except ConfigError as error:
        locked = error.problem == "this key has a passphrase"
        if passphrase is not None or not locked or ask is None:
            raise
    return KeyPair.load(path, ask(f"Passphrase of {path}"))


class Opening:
    """Opens what settings name.

    Args:
        settings: The settings of a hyperfed.toml, with what was given as options.
        given: The names of settings that came as options. A relative address among them is relative
            to the working folder, one of the file's to the file.
        now: The caller's clock.
        tell: Receives what a person who waits should know.
        ask: Asks for a passphrase; None means that nobody can be asked.

    Set `hurried` before the store is used where a monitor waits, which gives up after seconds: the
    store is asked less often, and each time for a shorter while.
    """

    hurried = False

    def __init__(
        self,
        settings: Settings,
        *,
        given: frozenset[str] = frozenset(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0),
        tell: Callable[[str], None] | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.settings, self.given, self.now, self.tell, self.ask = settings, given, now, tell, ask

    @cached_property
    def store(self) -> "ObjectStore":
        """The configured store. Raises ConfigError.

        A person may be waiting, so it is tried less often than a flow's.
        """
        from hyperfed.storage.opening import open_store

        settings = self.settings
        if self.link_chain is not None:
            return self._linked_store(self.link_chain)
        answer_s, attempts = self._patience
        return open_store(
            settings.need("store.url"),
            endpoint=settings.text("store.endpoint"),
            region=settings.text("store.region"),
            addressing=settings.text("store.addressing"),
            ca_file=settings.file("store.ca_file"),
            access_key_file=settings.file("store.access_key_file"),
            access=self._relay_access(),
            base=self._base,
            attempts=attempts,
            request_attempts=2,
            read_timeout_s=answer_s,
            tell=self.tell,
        )

    @property
    def _base(self) -> Path | None:
        """Return the folder that a relative address starts from; None for the working folder."""
        return None if "store.url" in self.given else self.settings.base

    @property
    def share(self) -> Path | None:
        """The drop-box's folder, where a `file:` address names one. Raises ConfigError."""
        from hyperfed.storage.opening import folder_of

        url = self.settings.text("store.url") or ""
        return folder_of(url, self._base) if url.lower().startswith("file:") else None

    @property
    def _patience(self) -> tuple[float, int]:
        """Return how many seconds an answer may take, and how often a call is tried."""
        return (HURRIED_S, 1) if self.hurried else (60.0, 3)

    def _relay_access(self) -> "RelayAccess | None":
        """Return what shows a relay whose key ours is; None where another store or a file does.

        Raises ConfigError where the settings name no key, or two.
        """
        settings = self.settings
        relay = str(settings.text("store.url")).lower().startswith("grpc:")
        if not relay or settings.file("store.access_key_file") is not None:
            return None
        from hyperfed.storage.grpc_access import access_of_key, need_extra

        need_extra()
        client, coordinator = (settings.file(f"{who}.key") for who in ("client", "coordinator"))
        if (client is None) == (coordinator is None):
            raise ConfigError(
                "a relay asks for one key, and "
                + ("none is" if client is None else "a client's and a coordinator's are")
                + " configured",
                subject=str(settings.path or "options"),
                remedy="Name [client] key or [coordinator] key, or a file that `hyperfed relay "
                "access` made as [store] access_key_file",
            )
        key_pair = self.coordinator_keys if client is None else self.client_keys
        return access_of_key(key_pair, now=self.now())

    def _links_path(self) -> Path | None:
        """Return the file of links where the drop-box is reached by them, else None.

        Raises ConfigError where an address is configured too.
        """
        settings = self.settings
        names = {"store.url", "store.links"} & self.given
        if not names:
            configured = ("store.url", "store.links")
            names = {name for name in configured if settings.values.get(name) is not None}
        if len(names) == 2:
            raise ConfigError(
                "the drop-box is reached by its url or by links, not by both",
                subject=str(settings.path or "options"),
                remedy="Leave out [store] url, or [store] links",
            )
        return settings.file("store.links") if names == {"store.links"} else None

    @cached_property
    def link_chain(self) -> "LinkChain | None":
        """The links in the operator's file and those that they lead to; None for another store.

        Raises ConfigError where the file cannot be used.
        """
        from hyperfed.links.following import LinkChain

        path = self._links_path()
        if path is None:
            return None
        return LinkChain(
            path,
            client_id=self.settings.need("client.id"),
            key_pair=self.client_keys,
            fingerprint=self.settings.need_fingerprint(),
            now=self.now,
            reach=self._reached,
        )

    def _reached(self, links: "LinkSource") -> "ObjectStore":
        """Return the store behind some links."""
        from hyperfed.links.presigned_store import HTTPLimits, PresignedStore

        answer_s, _ = self._patience
        ca_file = self.settings.file("store.ca_file")
        return PresignedStore(links, limits=HTTPLimits(read_timeout_s=answer_s), ca_file=ca_file)

    def _linked_store(self, chain: "LinkChain") -> "ObjectStore":
        """Return the store that links reach. It follows the newer links that they lead to."""
        from hyperfed.storage.retrying import RetryingStore

        _, attempts = self._patience
        return RetryingStore(self._reached(chain), attempts=attempts, tell=self.tell)

    @cached_property
    def client_keys(self) -> "KeyPair":
        """The client's own key pair; a passphrase is asked for once."""
        return load_key(self.settings.need("client.key"), ask=self.ask)

    @cached_property
    def coordinator_keys(self) -> "KeyPair":
        """The coordinator's key pair; a passphrase is asked for once."""
        return load_key(self.settings.need("coordinator.key"), ask=self.ask)

    @cached_property
    def reader(self) -> "DropBoxReader":
        """The reader of the drop-box; the fingerprint is compared where it is configured."""
        from hyperfed.dropbox.ledger_copy import LedgerCopy
        from hyperfed.dropbox.reader import DropBoxReader

        fingerprint = self.settings.fingerprint
        copy = LedgerCopy.in_state(fingerprint)
        return DropBoxReader(self.store, fingerprint=fingerprint, copy=copy, now=self.now())

    def session(self, *, signing: bool) -> "ClientSession":
        """Return the client's session.

        With `signing` it has the client's key. Otherwise it only reads: a throw-away key stands in,
        and no passphrase is asked for.
        """
        from hyperfed.client.memory import ClientMemory
        from hyperfed.client.session import ClientSession
        from hyperfed.client.sharing import Sharing
        from hyperfed.crypto.keys import KeyPair

        settings = self.settings
        return ClientSession(
            self.store,
            client_id=settings.need("client.id"),
            key_pair=self.client_keys if signing else KeyPair.generate(),
            fingerprint=settings.need_fingerprint(),
            memory=ClientMemory(self._memory_path()),
            record_bound=settings.number("client.record_bound"),
            sharing=Sharing.of(settings.section("sharing")),
            now=self.now(),
        )

    @property
    def helper_folder(self) -> Path:
        """The folder of what a helper keeps, beside its key: hospital.key -> hospital.helper."""
        key: Path = self.settings.need("client.key")
        return key.parent / f"{key.name.removesuffix('.key')}.helper"

    def _memory_path(self) -> Path:
        """Return the path of the client's memory.

        It is [client] memory, by default beside the key: hospital.key -> hospital.memory.json.
        """
        path = self.settings.file("client.memory")
        if path is not None:
            return path
        key: Path = self.settings.need("client.key")
        return key.parent / f"{key.name.removesuffix('.key')}.memory.json"
