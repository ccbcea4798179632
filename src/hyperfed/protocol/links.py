"""`Links`: what a client without a cloud account needs to take part: presigned URLs, signed by the coordinator and sealed to that client.

1. A bundle lies at rounds/{round}/links/{client}, create-only. Its URLs let the client write into folders of its own name only, read what it may
   read, and reach the bundles of the rounds to come; all of them are at one origin, and none lives longer than seven days (R-53).
2. It is verified with the coordinator's key for its round, then opened with the client's own, then parsed (R-31, R-40).
3. A bundle in a file (`LinksFile`) brings the registry's versions along, so that its first reader can verify it before it asks anybody anything.

A URL is a right in itself: whoever holds it has it. So bundles stay sealed wherever they lie, and no error shows a URL.

What it does not do: make URLs (`coordinator.links`), use them (`adapters.http`), go on from one bundle to the next (`client.links`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from hyperfed.codec import PayloadCodec, is_array, leading_int, pack, unpack
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.encryption import SEALED, open_body, seal_body
from hyperfed.errors import RefusedError, SchemaError, SignatureError
from hyperfed.keys import KeyPair, PublicKeys
from hyperfed.protocol.documents import COORDINATOR, Write
from hyperfed.rounds import Keys, check_client_id
from hyperfed.signing import Header, PacketType, Signed, open_envelope, sign_envelope, verify_envelope
from hyperfed.store import check_key

__all__ = ["MAX_LIFETIME_S", "Link", "Links", "LinksFile", "open_links", "seal_links", "split_url", "verify_links"]

MAX_LIFETIME_S = 7 * 86_400
"""SigV4 knows no longer life of a URL."""

_FILE_VERSION = 1
_MAX_REGISTRIES = 1 << 16
_OURS = ("rounds", "registry", "ledger", "probe")  # where only the coordinator and the roots write
_TARGET = re.compile(r"/(?!/)[!-~]*")  # a path and a query, nothing that could end a request line


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One URL: the object's key, and path and query at the bundle's origin."""

    key: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """One client's URLs, as issued when a round was opened.

    since: the first round a key of the client holds in; earlier rounds have no receipt for it. origin: scheme, host and port of every URL.
    expires: when the URLs stop working. gets, puts: ascending by key, each key once; a PUT to one of `puts` must carry `If-None-Match: *`.
    """

    federation: str
    round: int
    client: str
    since: int
    origin: str
    issued: datetime
    expires: datetime
    gets: tuple[Link, ...]
    puts: tuple[Link, ...]

    def __post_init__(self) -> None:
        check_client_id(self.client)
        if self.round < 1 or self.since < 1 or not timedelta(0) < self.expires - self.issued <= timedelta(seconds=MAX_LIFETIME_S):
            raise SchemaError(f"rounds count from 1, and links live for at most {MAX_LIFETIME_S} seconds", subject=self._subject, rule="R-53")
        if _origin_of(self.origin) != self.origin:
            raise SchemaError("the origin is not http(s)://host[:port]", subject=self._subject, rule="R-53")
        for links in (self.gets, self.puts):
            keys = [link.key for link in links]
            if sorted(set(keys)) != keys:
                raise SchemaError("links ascend by key, each once", subject=self._subject, rule="R-53")
            for link in links:
                path = unquote(link.target.partition("?")[0])
                if not _TARGET.fullmatch(link.target) or not path.endswith("/" + check_key(link.key)):
                    raise SchemaError("a link leads to another object than it says", subject=f"{self._subject}, {link.key}", rule="R-53")
        for link in self.puts:
            folders = link.key.split("/")[:-1]
            if not folders or folders[-1] != self.client or folders[0] in _OURS:
                raise SchemaError("a client writes only into folders of its own name", subject=f"{self._subject}, {link.key}", rule="R-53")

    @property
    def _subject(self) -> str:
        return f"links of round {self.round}"

    @property
    def key(self) -> str:
        return Keys.links(self.round, self.client)


def _origin_of(url: str) -> str | None:
    """scheme://host[:port] of an http(s) URL without user and password; None for anything else."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not re.fullmatch(r"[!-~]+", parts.netloc):
        return None
    return f"{parts.scheme}://{parts.netloc}"


def split_url(url: str) -> tuple[str, str]:
    """(origin, target) of a presigned URL. Raises SchemaError, without showing it."""
    origin = _origin_of(url)
    target = url[len(origin) :] if origin else ""
    if origin is None or not url.startswith(origin) or not _TARGET.fullmatch(target):
        raise SchemaError("the store made a URL that is none", subject="links", rule="R-53")
    return origin, target


def seal_links(links: Links, *, recipients: Sequence[PublicKeys], keys: KeyPair) -> Write:
    """The bundle as an object: signed with the coordinator's `keys`, readable by the client's keys `recipients` only."""
    header = Header(
        federation=links.federation,
        round=links.round,
        sender=COORDINATOR,
        key_id=keys.key_id,
        audience=links.client,
        sequence=0,
        nonce=b"",
        created=links.issued,
        expires=links.expires,
    )
    header, body = seal_body(header, PayloadCodec(compression="zstd").encode(links), recipients)
    return Write(links.key, sign_envelope(PacketType.LINKS, header, body, [keys]))


def open_links(
    data: bytes,
    *,
    federation: str,
    client: str,
    keys: KeyPair,
    coordinator_key: Callable[[str, int | None], bytes | None],
    key: str | None = None,
    subject: str = "links",
    limits: Limits = DEFAULT_LIMITS,
) -> Links:
    """The bundle in `data`, verified, opened and checked to be this client's. coordinator_key: as `Registry.coordinator_key`.

    key: where it lay, None for a file. Raises SchemaError, SignatureError, RefusedError.
    """
    signed = verify_links(data, federation=federation, client=client, coordinator_key=coordinator_key, subject=subject)
    header = signed.header
    links = PayloadCodec(limits=limits).decode(open_body(signed, keys, subject=subject), Links)
    said = (links.federation, links.client, links.round, links.issued, links.expires)
    if said != (header.federation, header.audience, header.round, header.created, header.expires) or (key is not None and links.key != key):
        raise RefusedError("speaks for another client or round than it lies in", subject=subject, rule="R-51", remedy="Ask the operator for new links")
    return links


def verify_links(
    data: bytes, *, federation: str, client: str, coordinator_key: Callable[[str, int | None], bytes | None], round_id: int | None = None, subject: str
) -> Signed:
    """A bundle's envelope: signed by the coordinator of its round, sealed, and for this client (of this round, where one is given). Nothing is opened.

    Raises SchemaError, SignatureError, RefusedError.
    """
    signed = verify_envelope(
        open_envelope(data, subject=subject), expect=PacketType.LINKS, key_of=lambda key_id: coordinator_key(key_id, None), subject=subject
    )
    header = signed.header
    if coordinator_key(header.key_id, header.round) is None:
        raise SignatureError(f"key {header.key_id:.32} is not the coordinator's in round {header.round}", subject=subject, rule="R-81")
    if (header.federation, header.audience) != (federation, client):
        raise RefusedError(
            f"made for {header.audience!r:.40} of federation {header.federation!r:.40}",
            subject=subject,
            rule="R-53",
            remedy="Use the file that the operator made for this client",
        )
    if header.encryption != SEALED:
        raise SchemaError("links are sealed, and these are not", subject=subject, rule="R-53", remedy="Ask the operator for new ones")
    if round_id is not None and header.round != round_id:
        raise RefusedError(f"made for round {header.round}", subject=subject, rule="R-51", remedy="The object was moved from another place")
    return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksFile:
    """A bundle as it travels by hand: the registry's versions from the first on, as signed, and the sealed bundle."""

    registries: tuple[bytes, ...]
    envelope: bytes

    def to_bytes(self) -> bytes:
        return pack([_FILE_VERSION, list(self.registries), self.envelope])

    @classmethod
    def from_bytes(cls, data: bytes, *, subject: str = "links") -> "LinksFile":
        """Raises SchemaError. Nothing in it is true before `read_registry` and `open_links`."""
        remedy = "Here belongs the file that `hyperfed links first` or `hyperfed links issue` made; copy it as it is"
        version = leading_int(data)
        if version is not None and version != _FILE_VERSION:
            raise SchemaError(
                f"links file version {version}; this library reads version {_FILE_VERSION}", subject=subject, rule="R-12", remedy="Update hyperfed"
            )
        try:
            parts: Any = unpack(data, max_values=8 + 3 * _MAX_REGISTRIES)
        except SchemaError as exc:
            raise SchemaError(f"is not a file of links: {exc.problem}", subject=subject, rule=exc.rule, remedy=remedy) from None
        good = is_array(parts, int, list, bytes) and is_array(parts[1], *[bytes] * len(parts[1]))
        if not good or not parts[1]:
            raise SchemaError("is not a file of links", subject=subject, rule="R-53", remedy=remedy)
        return cls(registries=tuple(bytes(r) for r in parts[1]), envelope=bytes(parts[2]))
