"""Relays in this process for tests: before a folder, with a certificate for 127.0.0.1."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hyperfed.crypto.keys import KeyPair
from hyperfed.operations.access import Access, Role
from hyperfed.relay.authority import Authority, Party, Rights
from hyperfed.relay.certificates import make_certificate
from hyperfed.relay.limits import RelayLimits
from hyperfed.relay.server import KeysTrusted, RelayServer, ServerCertificate
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_store import GRPCLimits, GRPCStore
from hyperfed.testing.federation import SmallFederation

PATIENT = GRPCLimits(connect_timeout_s=2, call_timeout_s=10)
ANYTHING = Party(
    name="everybody", role=Role.COORDINATOR, rights=Rights(Access(reads=("*",), creates=("*",)))
)


class MayAnything(Authority):
    """Lets every key of the registry do anything, as an administrator of a bucket may."""

    def party_of(self, certificate: bytes) -> Party:
        super().party_of(certificate)
        return ANYTHING


def certificate_in(folder: Path) -> ServerCertificate:
    """The certificate of a relay at 127.0.0.1, which is made once in a folder."""
    files = ServerCertificate(certificate=folder / "relay.pem", private_key=folder / "relay.key")
    if not files.certificate.exists():
        make_certificate(
            ["127.0.0.1"],
            certificate=files.certificate,
            private_key=files.private_key,
            now=datetime.now(UTC),
            days=2,
        )
    return files


class RelayedFederation:
    """A federation in a folder with a relay before it."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: RelayLimits | None = None,
        health: bool = False,
        **federation: Any,
    ) -> None:
        (folder / "box").mkdir()
        self.store = FilesystemStore(folder / "box")
        self.fed = SmallFederation(store=self.store, auditors=1, **federation)
        self.now = self.fed.opens(1)
        self.certificate = certificate_in(folder)
        self.seconds = 0.0
        self.authority = Authority(
            self.store,
            fingerprint=self.fed.fingerprint,
            now=lambda: self.now,
            clock=lambda: self.seconds,
        )
        self.server = RelayServer(
            self.store,
            self.authority,
            address="127.0.0.1:0",
            certificate=self.certificate,
            limits=limits,
            health_address="127.0.0.1:0" if health else None,
        )
        self.server.start()
        self._opened: list[GRPCStore] = []

    def as_(self, key_pair: KeyPair | str, *, limits: GRPCLimits | None = None) -> GRPCStore:
        """The store as the holder of a key sees it; a text names a client."""
        pair = self.fed.keys[key_pair] if isinstance(key_pair, str) else key_pair
        store = GRPCStore(
            f"127.0.0.1:{self.server.port}",
            access=access_of_key(pair, now=datetime.now(UTC)),
            ca_file=self.certificate.certificate,
            limits=limits,
        )
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self.server.stop(1)


@contextmanager
def relay_before(
    store: FilesystemStore,
    parties: KeysTrusted,
    certificate: ServerCertificate,
    *,
    limits: RelayLimits | None = None,
) -> Iterator[str]:
    """Serve a folder, and yield the address."""
    server = RelayServer(
        store, parties, address="127.0.0.1:0", certificate=certificate, limits=limits
    )
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(1)


def objects(here: RelayedFederation) -> list[tuple[str, int]]:
    """The key and the size of every object in the folder."""
    return [(info.key, info.size) for info in here.store.list("")]
