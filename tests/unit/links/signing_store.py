"""A store in memory that makes URLs, and links as their client opens them."""

import hashlib

from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.links.bundle import Links, open_links
from hyperfed.links.issuing import LinkIssuer
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

ORIGIN = "https://box.example:8443"


def fake_url(method: str, key: str) -> str:
    return (
        f"{ORIGIN}/bucket/fed/{key}?X-Sig={hashlib.sha256(f'{method} {key}'.encode()).hexdigest()}"
    )


class SigningStore(MemoryStore):
    """A store in memory that makes URLs, and remembers for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.lifetimes: set[int] = set()

    def presign_get(self, key: str, *, expires_s: int) -> str:
        self.lifetimes.add(expires_s)
        return fake_url("GET", key)

    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str:
        self.lifetimes.add(expires_s)
        return fake_url("PUT", key)


def issuer(fed: SmallFederation, round_id: int = 1, **options: object) -> LinkIssuer:
    reader = DropBoxReader(fed.store, fingerprint=fed.fingerprint)
    return LinkIssuer(
        store=fed.store,
        reader=reader,
        key_pair=fed.coordinator,
        round_id=round_id,
        now=fed.opens(round_id),
        **options,
    )  # type: ignore[arg-type]


def opened(
    fed: SmallFederation,
    data: bytes,
    client: str = "site-01",
    *,
    key_pair: KeyPair | None = None,
    **changes: object,
) -> Links:
    given = {
        "federation": fed.registry.federation,
        "client": client,
        "key_pair": key_pair or fed.keys[client],
        "coordinator_key": fed.registry.coordinator_key,
    }
    return open_links(data, **(given | changes))  # type: ignore[arg-type]
