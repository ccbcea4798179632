"""Make and open bundles of links, by which a client without a cloud account takes part.

Links are presigned URLs. The coordinator signs them as a bundle, and seals the bundle to that
client.

1. A bundle lies at rounds/{round}/links/{client}, create-only. Its URLs let the client write into
   folders of its own name, its own gossip and its own parts of an opening only, read what it may
   read, and reach the bundles of the rounds to come.
   All of them are at one origin, and none lives longer than seven days (R-53).
2. A bundle is verified with the coordinator's key for its round, then opened with the client's own,
   then parsed (R-31, R-40).
3. A bundle in a file (`LinksFile`) brings the registry's versions along, so that its first reader
   can verify it before making any request.

A URL is a right in itself: any party that holds it can use it. So bundles stay sealed wherever they
lie, and no error shows a URL.

What it does not do: make URLs (`links.issuing`), use them (`links.presigned_store`), or go on from
one bundle to the next (`links.following`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from hyperfed.codec import PayloadCodec, is_array, leading_int, pack, unpack
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    Signed,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import SEALED, open_body, seal_body
from hyperfed.errors import RefusedError, SchemaError, SignatureError
from hyperfed.protocol.documents import COORDINATOR, Write
from hyperfed.protocol.object_keys import Keys, folders_of, parse_key
from hyperfed.registry.windows import check_client_id
from hyperfed.storage.store import check_key

__all__ = [
    "MAX_LIFETIME_S",
    "SLACK",
    "Link",
    "Links",
    "LinksFile",
    "open_links",
    "outlast",
    "seal_links",
    "split_url",
    "verify_links",
]

MAX_LIFETIME_S = 7 * 86_400
"""Longest life of a URL in seconds: SigV4 allows no longer one."""

SLACK = 10
"""Parts of a window: within the first of them, the next round's links must be there."""

_FILE_VERSION = 1
_MAX_REGISTRIES = 1 << 16
_OURS = ("rounds", "registry", "ledger", "probe")  # where only the coordinator and the roots write
_TARGET = re.compile(r"/(?!/)[!-~]*")  # path and query; no byte can end a request line


def outlast(window_s: float) -> bool:
    """Return whether links can live until the next round's are there, in windows of `window_s`.

    Where they cannot, no client follows them by itself: each window needs a file by hand.
    """
    return window_s + window_s / SLACK <= MAX_LIFETIME_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Holds one URL of a bundle."""

    key: str
    """Key of the object that the URL leads to."""
    target: str
    """Path and query of the URL, at the bundle's origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Holds one client's URLs, as they were issued when a round was opened.

    Raises SchemaError or ConfigError where a field does not fit (R-53).
    """

    federation: str
    """Name of the federation."""
    round: int
    """Round for which the bundle was issued."""
    client: str
    """The client that the bundle is for."""
    since: int
    """First round in which a key of the client holds; earlier rounds have no receipt for it."""
    origin: str
    """Scheme, host and port of every URL."""
    issued: datetime
    """Instant at which the bundle was made."""
    expires: datetime
    """Instant at which the URLs stop working."""
    gets: tuple[Link, ...]
    """URLs to read, ascending by key, each key once."""
    puts: tuple[Link, ...]
    """URLs to write, ascending by key, each key once.

    A PUT to one of them must carry `If-None-Match: *`.
    """

    def __post_init__(self) -> None:
        check_client_id(self.client)
        if (
            self.round < 1
            or self.since < 1
            or not timedelta(0) < self.expires - self.issued <= timedelta(seconds=MAX_LIFETIME_S)
        ):
            raise SchemaError(
                f"rounds count from 1, and links live for at most {MAX_LIFETIME_S} seconds",
                subject=self._subject,
                rule="R-53",
            )
        if _origin_of(self.origin) != self.origin:
            raise SchemaError(
                "the origin is not http(s)://host[:port]", subject=self._subject, rule="R-53"
            )
        for links in (self.gets, self.puts):
            keys = [link.key for link in links]
            if sorted(set(keys)) != keys:
                raise SchemaError(
                    "links ascend by key, each once", subject=self._subject, rule="R-53"
                )
            for link in links:
                path = unquote(link.target.partition("?")[0])
                if not _TARGET.fullmatch(link.target) or not path.endswith(
                    "/" + check_key(link.key)
                ):
                    raise SchemaError(
                        "a link leads to another object than it says",
                        subject=f"{self._subject}, {link.key}",
                        rule="R-53",
                    )
        for link in self.puts:
            folders, parsed = folders_of(link.key), parse_key(link.key)
            own = parsed.client == self.client and parsed.kind in ("gossip", "openings")
            inside = bool(folders) and folders[-1] == self.client and folders[0] not in _OURS
            if not own and not inside:
                raise SchemaError(
                    "a client writes only into folders of its own name, its own gossip, and its "
                    "own parts of an opening",
                    subject=f"{self._subject}, {link.key}",
                    rule="R-53",
                )

    @property
    def _subject(self) -> str:
        return f"links of round {self.round}"

    @property
    def key(self) -> str:
        return Keys.links(self.round, self.client)


def _origin_of(url: str) -> str | None:
    """Return scheme://host[:port] of an http(s) URL; None for any other text.

    A URL with user and password has no origin here either.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or not re.fullmatch(r"[!-~]+", parts.netloc)
    ):
        return None
    return f"{parts.scheme}://{parts.netloc}"


def split_url(url: str) -> tuple[str, str]:
    """Return (origin, target) of a presigned URL.

    Raises SchemaError, which does not show the URL, where it is malformed.
    """
    origin = _origin_of(url)
    target = url[len(origin) :] if origin else ""
    if origin is None or not url.startswith(origin) or not _TARGET.fullmatch(target):
        raise SchemaError("the store made a URL that is none", subject="links", rule="R-53")
    return origin, target


def seal_links(links: Links, *, recipients: Sequence[PublicKeys], key_pair: KeyPair) -> Write:
    """Return the bundle as an object to write.

    It is signed with the coordinator's `key_pair`. Only the client's keys `recipients` can open it.
    """
    header = Header(
        federation=links.federation,
        round=links.round,
        sender=COORDINATOR,
        key_id=key_pair.key_id,
        audience=links.client,
        sequence=0,
        nonce=b"",
        created=links.issued,
        expires=links.expires,
    )
    header, body = seal_body(header, PayloadCodec(compression="zstd").encode(links), recipients)
    return Write(links.key, sign_envelope(PacketType.LINKS, header, body, [key_pair]))


def open_links(
    data: bytes,
    *,
    federation: str,
    client: str,
    key_pair: KeyPair,
    coordinator_key: Callable[[str, int | None], bytes | None],
    key: str | None = None,
    subject: str = "links",
    limits: Limits = DEFAULT_LIMITS,
) -> Links:
    """Return the bundle in `data`, verified, opened and checked to be this client's.

    `coordinator_key` is `Registry.coordinator_key`. `key` is where the bundle lay, or None for a
    file. Raises SchemaError, SignatureError or RefusedError.
    """
    signed = verify_links(
        data, federation=federation, client=client, coordinator_key=coordinator_key, subject=subject
    )
    header = signed.header
    links = PayloadCodec(limits=limits).decode(open_body(signed, key_pair, subject=subject), Links)
    names = (links.federation, links.client, links.round, links.issued, links.expires)
    if names != (
        header.federation,
        header.audience,
        header.round,
        header.created,
        header.expires,
    ) or (key is not None and links.key != key):
        raise RefusedError(
            "speaks for another client or round than it lies in",
            subject=subject,
            rule="R-51",
            remedy="Ask the operator for new links",
        )
    return links


def verify_links(
    data: bytes,
    *,
    federation: str,
    client: str,
    coordinator_key: Callable[[str, int | None], bytes | None],
    round_id: int | None = None,
    subject: str,
) -> Signed:
    """Verify a bundle's envelope, and return it; nothing is opened.

    It must be signed by the coordinator of its round, sealed, and for this client. Where `round_id`
    is given it must be for that round. Raises SchemaError, SignatureError or RefusedError.
    """
    signed = verify_envelope(
        open_envelope(data, subject=subject),
        expect=PacketType.LINKS,
        key_of=lambda key_id: coordinator_key(key_id, None),
        subject=subject,
    )
    header = signed.header
    if coordinator_key(header.key_id, header.round) is None:
        raise SignatureError(
            f"key {header.key_id:.32} is not the coordinator's in round {header.round}",
            subject=subject,
            rule="R-81",
        )
    if (header.federation, header.audience) != (federation, client):
        raise RefusedError(
            f"made for {header.audience!r:.40} of federation {header.federation!r:.40}",
            subject=subject,
            rule="R-53",
            remedy="Use the file that the operator made for this client",
        )
    if header.encryption != SEALED:
        raise SchemaError(
            "links are sealed, and these are not",
            subject=subject,
            rule="R-53",
            remedy="Ask the operator for new ones",
        )
    if round_id is not None and header.round != round_id:
        raise RefusedError(
            f"made for round {header.round}",
            subject=subject,
            rule="R-51",
            remedy="Ask the operator for new links: the object was moved from another place",
        )
    return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksFile:
    """Holds a bundle in the form in which it travels by hand."""

    registries: tuple[bytes, ...]
    """The registry's versions from the first on, as they were signed."""
    envelope: bytes
    """The sealed bundle."""

    def to_bytes(self) -> bytes:
        return pack([_FILE_VERSION, list(self.registries), self.envelope])

    @classmethod
    def from_bytes(cls, data: bytes, *, subject: str = "links") -> "LinksFile":
        """Return the file's parts. Raises SchemaError where the bytes are malformed.

        Nothing in it can be trusted before `read_registry` and `open_links`.
        """
        remedy = (
            "Here belongs the file that `hyperfed links first` or `hyperfed links issue` "
            "made; copy it as it is"
        )
        version = leading_int(data)
        if version is not None and version != _FILE_VERSION:
            raise SchemaError(
                f"links file version {version}; this library reads version {_FILE_VERSION}",
                subject=subject,
                rule="R-12",
                remedy="Update hyperfed",
            )
        try:
            parts: Any = unpack(data, max_values=8 + 3 * _MAX_REGISTRIES)
        except SchemaError as exc:
            raise SchemaError(
                f"is not a file of links: {exc.problem}",
                subject=subject,
                rule=exc.rule,
                remedy=remedy,
            ) from None
        good = is_array(parts, int, list, bytes) and is_array(parts[1], *[bytes] * len(parts[1]))
        if not good or not parts[1]:
            raise SchemaError("is not a file of links", subject=subject, rule="R-53", remedy=remedy)
        return cls(registries=tuple(bytes(r) for r in parts[1]), envelope=bytes(parts[2]))
