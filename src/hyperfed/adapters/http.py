"""The drop-box over plain HTTPS: `PresignedStore` is an object store, `HTTPTransport` a transport, for parties that hold URLs and no credentials.

1. A write is one PUT with `If-None-Match: *`, which the URL's signature demands: 412 is False. 409 is tried again a few times, then a TransientError.
2. A read is one GET of at most max_bytes + 1 bytes; the answer names the whole size, and nothing is taken from the connection where that is too much.
3. There is no listing with URLs: `list` asks, several at once, for each key that there is a URL to.
4. Redirects are not followed: a URL is a right, and leads where it was signed for.
5. Every foreign error becomes one of `hyperfed.errors`, naming the object and the host, never the URL. 403 says what to do about it.

Proxies come from the environment (HTTPS_PROXY, NO_PROXY), certificates from the system (SSL_CERT_FILE). urllib3 is imported when the first request is made.

What it does not do: get the URLs (`client.links`), try again after a lost connection (`hyperfed.patience`).
"""

import contextlib
import random
import re
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, ObjectTooLarge, StoreUnsuitable, TransientError, TransportError
from hyperfed.protocol.links import Link, Links
from hyperfed.rounds import Keys, page_of
from hyperfed.store import ObjectInfo, ObjectStore, check_key, check_prefix
from hyperfed.transport import StoreTransport

__all__ = ["NEW_LINKS", "HTTPLimits", "HTTPTransport", "LinkSource", "LinkTable", "PresignedStore"]

NEW_LINKS = "Ask the operator for new ones (`hyperfed links issue`), and put the file where [store] links says"
_CONFLICT_TRIES = 6
_MAX_ERROR_BYTES = 4096
_PIECE = 1 << 20
_REFUSALS = ("AccessDenied", "AuthorizationQueryParametersError", "ExpiredToken", "InvalidToken", "SignatureDoesNotMatch")  # also as 400
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """How long and how many: per store object."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    threads: int = 8

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "read_timeout_s", "threads"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be positive", subject="HTTPLimits")


class LinkSource(Protocol):
    """Where URLs come from."""

    def url(self, method: str, key: str) -> str:
        """The URL for "GET" or "PUT" of a key. Raises AccessDenied where there is none or it has expired, ObjectNotFound where there can be no such object."""

    def readable(self, prefix: str) -> Sequence[str]:
        """Every key under `prefix` that there is a URL to read, ascending."""


class LinkTable:
    """The URLs of one bundle. now: the clock, asked at every use."""

    def __init__(self, links: Links, *, now: Callable[[], datetime]) -> None:
        self.links, self._now = links, now
        self._targets: Mapping[str, dict[str, Link]] = {"GET": {x.key: x for x in links.gets}, "PUT": {x.key: x for x in links.puts}}

    @property
    def expired(self) -> bool:
        return self.links.expires <= self._now()

    def url(self, method: str, key: str) -> str:
        if self.expired:
            raise AccessDenied(f"the links expired at {self.links.expires.isoformat()}", subject=key, rule="R-53", remedy=NEW_LINKS)
        link = self._targets[method].get(key)
        if link is None:
            if method == "GET" and self._before_its_time(key):
                raise ObjectNotFound("there is no such object: this client's keys held in no round as early", subject=key)
            raise AccessDenied(
                f"the links of round {self.links.round} do not let this client {'read' if method == 'GET' else 'write'} it",
                subject=key,
                rule="R-53",
                remedy=NEW_LINKS,
            )
        return self.links.origin + link.target

    def _before_its_time(self, key: str) -> bool:
        found = re.fullmatch(r"rounds/(\d{8})/(receipts|receipt-pages)/[^/]+", key)
        if found is None or int(found[1]) >= self.links.since:
            return False
        client, round_id = self.links.client, int(found[1])
        return key in (Keys.receipt(round_id, client), Keys.receipt_page(round_id, page_of(client)))

    def readable(self, prefix: str) -> list[str]:
        return [key for key in self._targets["GET"] if key.startswith(prefix)]


class PresignedStore(ObjectStore):
    """An `ObjectStore` of what `links` reaches. Safe to share between threads."""

    def __init__(self, links: LinkSource, *, limits: HTTPLimits | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.links, self.limits = links, limits or HTTPLimits()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._pools: dict[str, Any] = {}

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        check_key(key)
        url, body = self.links.url("PUT", key), bytes(data)
        for attempt in range(_CONFLICT_TRIES):
            with self._answer("PUT", url, key, body=body, headers={"If-None-Match": "*"}) as answer:
                if answer.status in (200, 201, 204):
                    return True
                if answer.status == 412:
                    return False
                if answer.status != 409:
                    raise _refusal(answer, _subject(key, url))
            self._sleep(_jitter.uniform(0.5, 1.0) * 0.05 * 2**attempt)
        raise TransientError(
            "others keep writing this key at the same time (409)", subject=_subject(key, url), remedy="Read the key: it may exist by now; or try again"
        )

    def read(self, key: str, *, max_bytes: int) -> bytes:
        check_key(key)
        url = self.links.url("GET", key)
        subject = _subject(key, url)
        with self._get(key, url, max_bytes) as (size, answer):
            if size is not None and size > max_bytes:
                raise ObjectTooLarge(f"holds {size} bytes; at most {max_bytes} are read", subject=subject)
            data = _read_at_most(answer, max_bytes + 1) if answer is not None else b""
        if len(data) > max_bytes:
            raise ObjectTooLarge(f"holds more than {max_bytes} bytes; at most {max_bytes} are read", subject=subject)
        if size is not None and len(data) != size:
            raise TransientError(f"{len(data)} of {size} bytes came", subject=subject, remedy="Try again")
        return data

    def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        try:
            url = self.links.url("GET", key)
            with self._get(key, url, 0) as (size, _):  # a GET of one byte: a URL to GET does not allow HEAD
                if size is None:
                    raise TransportError("the answer names no size", subject=_subject(key, url), remedy="Something between here and the store changes answers")
                return ObjectInfo(key=key, size=size)
        except ObjectNotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        keys = self.links.readable(prefix)
        with ThreadPoolExecutor(self.limits.threads, thread_name_prefix="hyperfed-http") as pool:
            found = list(pool.map(self.head, keys))
        return iter([info for info in found if info is not None])

    def read_many(self, keys: Iterable[str], *, max_bytes: int) -> Iterator[tuple[str, bytes | TransportError]]:
        def attempt(key: str) -> bytes | TransportError:
            try:
                return self.read(key, max_bytes=max_bytes)
            except TransportError as error:
                return error

        with ThreadPoolExecutor(self.limits.threads, thread_name_prefix="hyperfed-http") as pool:
            waiting: deque[tuple[str, Any]] = deque()
            for key in keys:
                if len(waiting) == self.limits.threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
                waiting.append((key, pool.submit(attempt, key)))
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.clear()

    @contextlib.contextmanager
    def _get(self, key: str, url: str, max_bytes: int) -> Iterator[tuple[int | None, Any]]:
        """(size of the whole object, None where the answer does not say; the answer with its first bytes, None where there is none)."""
        with self._answer("GET", url, key, headers={"Range": f"bytes=0-{max_bytes}", "Accept-Encoding": "identity"}) as answer:
            if answer.status == 416:  # a range that starts at 0 is only refused where there is no byte at all
                yield 0, None
            elif answer.status in (200, 206):
                total = answer.headers.get("Content-Range", "").rpartition("/")[2] if answer.status == 206 else answer.headers.get("Content-Length", "")
                yield (int(total) if total.isascii() and total.isdigit() else None), answer
            else:
                raise _refusal(answer, _subject(key, url))

    @contextlib.contextmanager
    def _answer(self, method: str, url: str, key: str, *, headers: dict[str, str], body: bytes | None = None) -> Iterator[Any]:
        """The answer to one request; what is left of it is not read. Foreign errors as ours (STYLE 17)."""
        import urllib3
        import urllib3.exceptions as foreign

        subject, host = _subject(key, url), urlsplit(url).netloc
        try:
            answer = self._pool(url).request(
                method,
                url,
                body=body,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=self.limits.connect_timeout_s, read=self.limits.read_timeout_s),
            )
            try:
                yield answer
            finally:
                if answer.length_remaining is not None and answer.length_remaining <= _MAX_ERROR_BYTES:
                    answer.drain_conn()  # so that the connection can be used again
                answer.close()
        except (foreign.SSLError, foreign.ProxySchemeUnknown, foreign.LocationValueError) as exc:
            raise TransportError(
                f"{host} cannot be spoken to safely ({type(exc).__name__})",
                subject=subject,
                remedy="Check the proxy's address; for an authority of your own set SSL_CERT_FILE",
            ) from exc
        except (foreign.NewConnectionError, foreign.ConnectTimeoutError, foreign.ProxyError) as exc:
            raise TransientError(
                f"{host} cannot be reached ({type(exc).__name__})", subject=subject, remedy="Check the network, and the firewall or proxy on the way"
            ) from exc
        except (foreign.HTTPError, OSError) as exc:
            raise TransientError(
                f"the connection to {host} failed ({type(exc).__name__})", subject=subject, remedy="Try again; the request may have been carried out"
            ) from exc

    def _pool(self, url: str) -> Any:
        import urllib3

        parts = urlsplit(url)
        with self._lock:
            pool = self._pools.get(parts.netloc)
            if pool is None:
                proxy = None if urllib.request.proxy_bypass(parts.hostname or "") else urllib.request.getproxies().get(parts.scheme)
                pool = _proxied(proxy, self.limits.threads) if proxy else urllib3.PoolManager(maxsize=self.limits.threads)
                self._pools[parts.netloc] = pool
            return pool


def _proxied(proxy: str, threads: int) -> Any:
    import urllib3

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    account = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = urllib3.make_headers(proxy_basic_auth=account) if account else None
    return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", maxsize=threads, proxy_headers=headers)


def _read_at_most(answer: Any, count: int) -> bytes:
    pieces, left = [], count
    while left > 0:
        piece = answer.read(min(left, _PIECE), decode_content=False)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _subject(key: str, url: str) -> str:
    return f"{key} at {urlsplit(url).netloc}"


def _refusal(answer: Any, subject: str) -> TransportError:
    """What an error answer of the store means."""
    text = _read_at_most(answer, _MAX_ERROR_BYTES).decode("utf-8", "replace")
    found = re.search(r"<Code>([A-Za-z0-9.]{1,60})</Code>", text)
    code, status = found[1] if found else "", int(answer.status)
    said = code or str(status)
    if code == "NoSuchBucket":
        return TransportError("the bucket is gone", subject=subject, remedy="Tell the operator")
    if status in (401, 403) or code in _REFUSALS:
        if "expired" in text.lower() or "expired" in code.lower():
            return AccessDenied(
                f"the link has expired ({said})", subject=subject, rule="R-53", remedy=f"{NEW_LINKS}; if they are new, check this machine's clock"
            )
        return AccessDenied(
            f"the store refuses the link ({said})",
            subject=subject,
            rule="R-53",
            remedy=f"{NEW_LINKS}; if new ones are refused too, the key that signed them was withdrawn, or a proxy on the way changes requests",
        )
    if code == "NoSuchKey" or status == 404:
        return ObjectNotFound("there is no such object", subject=subject)
    if code == "NotImplemented" or status == 501:
        return StoreUnsuitable(
            "the store does not implement conditional writes", subject=subject, remedy="Tell the operator: it must honour If-None-Match on PUT"
        )
    if status >= 500 or status in (408, 409, 425, 429) or code in ("RequestTimeout", "SlowDown", "InternalError", "Throttling"):
        return TransientError(f"the store failed ({said})", subject=subject, remedy="Try again; if it lasts, tell the operator")
    if 300 <= status < 400:
        return TransportError(
            f"the answer leads elsewhere ({said}), which is not followed", subject=subject, remedy="A proxy's sign-in page, or a moved bucket: ask the operator"
        )
    return TransportError(f"the store refuses it ({said})", subject=subject, remedy="Tell the operator")


class HTTPTransport(StoreTransport):
    """Messages over presigned URLs: `StoreTransport`'s mail and promises, for a party that can neither list nor sign.

    links: URLs to write {prefix}/{to}/{name}/{number} and to read those and {prefix}/{name}/{sender}/{number}, as `coordinator.links.MailBox` says.
    The other party may use a StoreTransport with the same prefix. `send` raises AccessDenied where the URLs for a party are used up.
    """

    def __init__(
        self,
        links: LinkSource,
        name: str,
        *,
        prefix: str = "mail",
        cursor: Mapping[str, int] | None = None,
        poll_s: float = 1.0,
        max_message_bytes: int = 16 << 20,
        limits: HTTPLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        store = PresignedStore(links, limits=limits)
        super().__init__(store, name, prefix=prefix, cursor=cursor, poll_s=poll_s, max_message_bytes=max_message_bytes, clock=clock, sleep=sleep)
        self._links = links

    def _look(self) -> None:
        """Queue what lies behind the cursor: numbers count up for each sender, so the first that is missing ends the search."""
        folder = f"{self.prefix}/{self.name}/"
        ended: set[str] = set()
        for key in self._links.readable(folder):
            sender, _, number = key[len(folder) :].partition("/")
            if sender in ended or not number.isdigit() or int(number) < self._cursor.get(sender, 0):
                continue
            if self._store.head(key) is None:
                ended.add(sender)
            else:
                self._found.append((sender, int(number), key))
