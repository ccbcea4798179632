"""Follow links from the file that the operator handed over to the newest bundle there is.

1. The file brings the registry along. The registry is verified from the root fingerprint, then the
   bundle with the registry, and only then is a request made (R-24, R-53).
2. Where the bundle's round is over, the bundles that it leads to are looked for, and the farthest
   that can exist comes first. Each is verified with the newest registry. The one that is found is
   kept beside the file, sealed as it came, and the next run starts from it, also after a lost
   connection.
3. A file that the operator made later than what was kept wins. Older links that have not expired
   are used where newer ones do not reach.
4. Where no link leads on, the error says since when and what to do.

A link proves nothing. The reader (`client.session`) verifies what it reads through a link, and the
client's marks hold against old links as well.

What it does not do: speak HTTP (`links.presigned_store`), or decide what a bundle reaches
(`links.issuing`).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import open_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.registries import RegistryChain
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    PacketError,
    RefusedError,
    RegistryError,
)
from hyperfed.links.bundle import Links, LinksFile, open_links
from hyperfed.links.link_table import LinkSource, LinkTable
from hyperfed.links.presigned_store import PresignedStore
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.registry.windows import check_client_id
from hyperfed.storage.local_files import write_durably
from hyperfed.storage.store import ObjectStore

__all__ = ["LinkChain"]

log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 64 << 20


class LinkChain:
    """Gives links as a `LinkSource`, and goes on from bundle to bundle by itself.

    `path` is the operator's file, and `key_pair` is the client's own, which opens its bundles.
    `now` is the clock. `reach` makes the store behind a bundle's URLs.

    The constructor raises ConfigError where the file cannot be read, and RegistryError,
    SignatureError, RefusedError or SchemaError where it does not verify.
    """

    def __init__(
        self,
        path: Path,
        *,
        client_id: str,
        key_pair: KeyPair,
        fingerprint: str | None,
        now: Callable[[], datetime],
        limits: Limits = DEFAULT_LIMITS,
        reach: Callable[[LinkSource], ObjectStore] = PresignedStore,
    ) -> None:
        self.client_id, self._key_pair, self._now = check_client_id(client_id), key_pair, now
        self._limits, self._reach = limits, reach
        self._kept = path.parent / f"{path.name}.newest"
        self._registries = RegistryChain(fingerprint=fingerprint, limits=limits)
        self._raw: list[bytes] = []
        operators_links = self._open(path)
        kept_links = self._open_kept()
        newest_first = (
            [operators_links]
            if kept_links is None or kept_links.issued <= operators_links.issued
            else [kept_links, operators_links]
        )
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
        return sorted(
            {key for table in self._tables if not table.expired for key in table.readable(prefix)}
        )

    # -- from bundle to bundle ---------------------------------------------------------------------

    def _follow(self) -> None:
        """Go on to the newest bundle there is, once a round.

        After an error, what was found so far stays, and the next call goes on from there.
        """
        with self._lock:
            current = self._current()
            while self._looked_in != current:
                next_links = self._next(current) if not self._tables[0].expired else None
                if next_links is None:
                    self._looked_in = current
                else:
                    self._tables.insert(0, LinkTable(next_links, now=self._now))

    def _current(self) -> int:
        registry = self._registries.newest()[0]
        return registry.windows.round_at(max(self._now(), registry.genesis))

    def _next(self, current: int) -> Links | None:
        """Return a bundle of a later round than the newest one known, or None."""
        table = self._tables[0]
        store = self._reach(table)
        for key in reversed(table.readable("rounds/")):
            named = parse_key(key)
            if (named.kind, named.client) != ("links", self.client_id) or not (
                table.links.round < named.round <= current
            ):
                continue
            try:
                envelope = store.read(key, max_bytes=self._limits.max_object_bytes)
            except ObjectNotFound:
                continue
            # the coordinator's key may be new
            self._raw += self._registries.read_new(store)
            links = self._verified(envelope, key=key, subject=key)
            self._keep(envelope)
            return links
        return None

    def _verified(self, envelope: bytes, *, key: str | None, subject: str) -> Links:
        registry = self._registries.newest()[0]
        return open_links(
            envelope,
            federation=registry.federation,
            client=self.client_id,
            key_pair=self._key_pair,
            coordinator_key=registry.coordinator_key,
            key=key,
            subject=subject,
            limits=self._limits,
        )

    # -- files -------------------------------------------------------------------------------------

    def _open_kept(self) -> Links | None:
        """Return the bundle that an earlier run kept, or None where there is none of use.

        A damaged file is of no use, nor is one that is sealed to a key that was replaced.
        """
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
                raise ConfigError(
                    f"is larger than {_MAX_FILE_BYTES} bytes",
                    subject=subject,
                    remedy="Check [store] links: this is no file of links",
                )
            data = path.read_bytes()
        except OSError as exc:
            raise ConfigError(
                f"the links cannot be read: {exc.strerror}",
                subject=subject,
                remedy="Check [store] links; the operator makes the file with `hyperfed links "
                "first`",
            ) from exc
        file = LinksFile.from_bytes(data, subject=subject)
        for version, registry in enumerate(file.registries, start=1):
            where = f"{subject}, {Keys.registry(version)}"
            if version <= len(self._raw):
                if (
                    registry != self._raw[version - 1]
                    and open_envelope(registry).header_bytes
                    != open_envelope(self._raw[version - 1]).header_bytes
                ):
                    # only of the links that an earlier night kept, which are left aside then
                    raise RefusedError(
                        "two files of links bring two registries", subject=where, rule="R-23"
                    )
                continue
            self._registries.append(registry, subject=where)
            self._raw.append(registry)
        return self._verified(file.envelope, key=None, subject=subject)

    def _keep(self, envelope: bytes) -> None:
        """Write the newest bundle beside the operator's file, at once or not at all."""
        content = LinksFile(registries=tuple(self._raw), envelope=envelope).to_bytes()
        write_durably(
            self._kept,
            content,
            error=ConfigError,
            remedy="Put the file of links where this client can write beside it",
        )
