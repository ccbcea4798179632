"""`LinkChain`: from the file that the operator handed over to the newest links there are.

1. The file brings the registry along: it is verified from the root fingerprint before the bundle is, and the bundle before anybody is asked (R-24, R-53).
2. Where the bundle's round is over, the bundles it leads to are looked for, the farthest that can exist first; each is verified with the registry as it is
   by then. What is found is kept beside the file, sealed as it came: the next run starts there, after a lost connection too.
3. A file that the operator made later than what was kept wins. Older links that still live are used where newer ones do not reach.
4. Where no link leads on, the error says since when and what to do.

A link proves nothing: what is read through one is verified by whoever reads it (`client.session`), and the client's marks hold against old links as well.

What it does not do: speak HTTP (`adapters.http`), decide what a bundle reaches (`coordinator.links`).
"""

import logging
import re
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from hyperfed.adapters.http import LinkSource, LinkTable, PresignedStore
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, PacketError, RefusedError, RegistryError
from hyperfed.keys import KeyPair
from hyperfed.lasting import write_lasting
from hyperfed.protocol.links import Links, LinksFile, open_links
from hyperfed.registry import Registry, read_registry
from hyperfed.rounds import Keys, check_client_id
from hyperfed.signing import open_envelope
from hyperfed.store import ObjectStore

__all__ = ["LinkChain"]

log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 64 << 20


class LinkChain:
    """A `LinkSource` that goes on by itself. path: the operator's file; now: the clock; keys: the client's own, which open its bundles;
    reach: makes the store behind a bundle's URLs.

    Raises ConfigError where the file cannot be read, RegistryError, SignatureError, RefusedError, SchemaError where it does not verify.
    """

    def __init__(
        self,
        path: Path,
        *,
        client_id: str,
        keys: KeyPair,
        fingerprint: str | None,
        now: Callable[[], datetime],
        limits: Limits = DEFAULT_LIMITS,
        reach: Callable[[LinkSource], ObjectStore] = PresignedStore,
    ) -> None:
        self.client_id, self._keys, self._fingerprint, self._now = check_client_id(client_id), keys, fingerprint, now
        self._limits, self._reach = limits, reach
        self._kept = path.with_name(f"{path.name}.newest")
        self._registries: list[tuple[Registry, bytes]] = []
        self._raw: list[bytes] = []
        given = self._open(path)
        kept = self._open_kept()
        newest_first = [given] if kept is None or kept.issued <= given.issued else [kept, given]
        self._tables = [LinkTable(links, now=now) for links in newest_first]
        self._looked_in = 0
        self._lock = threading.Lock()

    @property
    def links(self) -> Links:
        """The newest bundle so far."""
        return self._tables[0].links

    def url(self, method: str, key: str) -> str:
        self._follow()
        refused: AccessDenied | None = None
        for table in self._tables:
            try:
                return table.url(method, key)
            except AccessDenied as error:
                refused = refused or error
        raise refused or AccessDenied("there are no links", subject=key, rule="R-53")

    def readable(self, prefix: str) -> Sequence[str]:
        self._follow()
        return sorted({key for table in self._tables if not table.expired for key in table.readable(prefix)})

    # -- from bundle to bundle -----------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Go on to the newest bundle there is, once a round; an error leaves what was found so far, and the next call goes on from there."""
        with self._lock:
            current = self._current()
            while self._looked_in != current:
                found = self._next(current) if not self._tables[0].expired else None
                if found is None:
                    self._looked_in = current
                else:
                    self._tables.insert(0, LinkTable(found, now=self._now))

    def _current(self) -> int:
        registry = self._registries[-1][0]
        return registry.windows.round_at(max(self._now(), registry.genesis))

    def _next(self, current: int) -> Links | None:
        """A bundle of a later round than the newest one known; None where there is none."""
        table = self._tables[0]
        store = self._reach(table)
        for key in reversed(table.readable("rounds/")):
            round_id = _round_of_links(key, self.client_id)
            if round_id is None or not table.links.round < round_id <= current:
                continue
            try:
                envelope = store.read(key, max_bytes=self._limits.max_object_bytes)
            except ObjectNotFound:
                continue
            self._read_registries(store)
            links = self._verified(envelope, key=key, subject=key)
            self._keep(envelope)
            return links
        return None

    def _read_registries(self, store: ObjectStore) -> None:
        """The versions that came since: the coordinator's key may be new."""
        while True:
            key = Keys.registry(len(self._raw) + 1)
            try:
                self._add_registry(store.read(key, max_bytes=self._limits.max_object_bytes), subject=key)
            except ObjectNotFound:
                return

    def _add_registry(self, data: bytes, *, subject: str) -> None:
        before = self._registries[-1] if self._registries else None
        fingerprint = None if before else self._fingerprint
        self._registries.append(read_registry(data, before=before, fingerprint=fingerprint, subject=subject, limits=self._limits))
        self._raw.append(data)

    def _verified(self, envelope: bytes, *, key: str | None, subject: str) -> Links:
        registry = self._registries[-1][0]
        return open_links(
            envelope,
            federation=registry.federation,
            client=self.client_id,
            keys=self._keys,
            coordinator_key=registry.coordinator_key,
            key=key,
            subject=subject,
            limits=self._limits,
        )

    # -- files ---------------------------------------------------------------------------------------------------------------------

    def _open_kept(self) -> Links | None:
        """What an earlier run kept; None where there is nothing, or nothing of use: a damaged file, or one sealed to a key that was replaced."""
        if not self._kept.exists():
            return None
        try:
            return self._open(self._kept)
        except (ConfigError, PacketError, RegistryError) as error:
            log.debug("kept links are not used file=%s reason=%s", self._kept, error.problem)
            return None

    def _open(self, path: Path) -> Links:
        subject = str(path)
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ConfigError(f"is larger than {_MAX_FILE_BYTES} bytes", subject=subject, remedy="It is no file of links")
            data = path.read_bytes()
        except OSError as exc:
            raise ConfigError(
                f"the links cannot be read: {exc.strerror}",
                subject=subject,
                remedy="Check [store] links; the operator makes the file with `hyperfed links first`",
            ) from exc
        file = LinksFile.from_bytes(data, subject=subject)
        for version, registry in enumerate(file.registries, start=1):
            where = f"{subject}, {Keys.registry(version)}"
            if version <= len(self._raw):
                if registry != self._raw[version - 1] and open_envelope(registry).header_bytes != open_envelope(self._raw[version - 1]).header_bytes:
                    raise RefusedError(
                        "two files of links bring two registries", subject=where, rule="R-23", remedy="Tell the operator: one of them is not this federation's"
                    )
                continue
            self._add_registry(registry, subject=where)
        return self._verified(file.envelope, key=None, subject=subject)

    def _keep(self, envelope: bytes) -> None:
        """The newest bundle beside the file, at once or not at all."""
        content = LinksFile(registries=tuple(self._raw), envelope=envelope).to_bytes()
        write_lasting(self._kept, content, error=ConfigError, remedy="Put the file of links where this client can write beside it")


def _round_of_links(key: str, client: str) -> int | None:
    found = re.fullmatch(r"rounds/(\d{8})/links/([^/]+)", key)
    return int(found[1]) if found and found[2] == client else None
