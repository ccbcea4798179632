"""Reach an object store over HTTPS by URLs, without credentials (`PresignedStore`).

1. A write is one PUT with `If-None-Match: *`, which the URL's signature demands. 412 is False. 409
   is tried again a few times, and then raises TransientError.
2. A read is one GET of at most max_bytes + 1 bytes. The answer names the whole size, and nothing is
   taken from the connection where that is too much.
3. URLs allow no listing. `list` asks for each key that there is a URL to read, several at once.
4. A PUT carries Content-MD5, which buckets with Object Lock demand.
5. Every foreign error becomes one of `hyperfed.errors` that names the object and the host, never
   the URL, and repeats what the store said. The error after a 403 says what to do about it.

Requests, proxies and certificates are those of `storage.http_requests`.

What it does not do: get the URLs (`links.following`), or try again after a lost connection
(`hyperfed.storage.retrying`).
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.links.link_table import NEW_LINKS, LinkSource
from hyperfed.storage.http_requests import (
    HTTPClient,
    Said,
    content_md5,
    error_of_way,
    is_page,
    said_in,
    whole_object,
    whole_size,
)
from hyperfed.storage.s3_errors import is_passing
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix
from hyperfed.storage.work_ahead import in_order

__all__ = ["HTTPLimits", "PresignedStore"]

_CONFLICT_TRIES = 6
# error codes that mean a refusal, even where the status is 400
_REFUSALS = (
    "AccessDenied",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "InvalidToken",
    "SignatureDoesNotMatch",
)
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """Bounds the time-outs and threads of one `PresignedStore`.

    All must be positive (ConfigError).
    """

    connect_timeout_s: float = 5.0
    """Seconds to wait for a connection."""
    read_timeout_s: float = 60.0
    """Seconds to wait for an answer."""
    threads: int = 8
    """Most requests at once in `read_many`, `put_many` and `list`."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "read_timeout_s", "threads"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be positive", subject="HTTPLimits"
                )


class PresignedStore(ObjectStore):
    """Reaches the objects that `links` reaches, as an `ObjectStore`. Threads can share it.

    `ca_file` holds the certificates to trust in place of the system's.
    """

    def __init__(
        self,
        links: LinkSource,
        *,
        limits: HTTPLimits | None = None,
        ca_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.links, self.limits = links, limits or HTTPLimits()
        self._sleep = sleep
        self._http = HTTPClient(
            connect_timeout_s=self.limits.connect_timeout_s,
            read_timeout_s=self.limits.read_timeout_s,
            connections=self.limits.threads,
            ca_file=ca_file,
        )

    @property
    def location(self) -> str:
        return "the links' address"

    @property
    def clock_skew_s(self) -> float | None:
        return self._http.skew_s

    @property
    def at_once(self) -> int:
        return self.limits.threads

    @property
    def longest_wait_s(self) -> float | None:
        return self.limits.connect_timeout_s + self.limits.read_timeout_s

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        check_key(key)
        url, body = self.links.url("PUT", key), bytes(data)
        headers = {"If-None-Match": "*", "Content-MD5": content_md5(body)}
        for attempt in range(_CONFLICT_TRIES):
            with self._answer("PUT", url, key, body=body, headers=headers) as answer:
                if answer.status in (200, 201, 204) and not is_page(answer):
                    return True
                if answer.status in (412, 304):
                    return False
                if answer.status != 409:
                    raise _refusal(said_in(answer), _subject(key, url))
            self._sleep(_jitter.uniform(0.5, 1.0) * 0.05 * 2**attempt)
        raise TransientError(
            "others keep writing this key at the same time (409)",
            subject=_subject(key, url),
            remedy="Read the key: it may exist by now; or try again",
        )

    def read(self, key: str, *, max_bytes: int) -> bytes:
        check_key(key)
        url = self.links.url("GET", key)
        subject = _subject(key, url)
        with self._get(key, url, max_bytes) as answer:
            return whole_object(answer, max_bytes=max_bytes, subject=subject)

    def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        try:
            url = self.links.url("GET", key)
            # a GET of one byte: a URL to GET does not allow HEAD
            with self._get(key, url, 0) as answer:
                return ObjectInfo(key=key, size=whole_size(answer, subject=_subject(key, url)))
        except ObjectNotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        keys = self.links.readable(prefix)
        infos = in_order(self.head, keys, threads=self.at_once, name="http")
        return iter([info for info in infos if info is not None])

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._http.close()

    @contextlib.contextmanager
    def _get(self, key: str, url: str, max_bytes: int) -> Iterator[Any]:
        """Yield an answer with an object's first max_bytes + 1 bytes, or None where it is empty."""
        headers = {"Range": f"bytes=0-{max_bytes}", "Accept-Encoding": "identity"}
        with self._answer("GET", url, key, headers=headers) as answer:
            # a range that starts at 0 is refused only where the object is empty
            if answer.status == 416:
                yield None
            elif answer.status in (200, 206) and not is_page(answer):
                yield answer
            else:
                raise _refusal(said_in(answer), _subject(key, url))

    @contextlib.contextmanager
    def _answer(
        self, method: str, url: str, key: str, *, headers: dict[str, str], body: bytes | None = None
    ) -> Iterator[Any]:
        """Yield the answer to one request."""
        subject = _subject(key, url)
        with self._http.answer(method, url, subject=subject, headers=headers, body=body) as answer:
            yield answer


def _subject(key: str, url: str) -> str:
    return f"{key} at {urlsplit(url).netloc}"


def _refusal(answer: Said, subject: str) -> TransportError:
    """Return the error that an error answer of the store stands for."""
    if answer.code == "NoSuchBucket":
        return TransportError("the bucket is gone", subject=subject, remedy="Tell the operator")
    if (way := error_of_way(answer, subject)) is not None:
        return way
    if answer.status in (401, 403) or answer.code in _REFUSALS:
        if "expired" in f"{answer.code} {answer.message}".lower():
            return AccessDenied(
                f"the link has expired ({answer})",
                subject=subject,
                rule="R-53",
                remedy=f"{NEW_LINKS}; if they are new, check this machine's clock",
            )
        return AccessDenied(
            f"the store refuses the link ({answer})",
            subject=subject,
            rule="R-53",
            remedy=f"{NEW_LINKS}; if new ones are refused too, the key that signed them was "
            "withdrawn, or a proxy on the way changes requests",
        )
    if answer.code == "NoSuchKey" or answer.status == 404:
        return ObjectNotFound("there is no such object", subject=subject)
    if answer.code == "NotImplemented" or answer.status == 501:
        return StoreUnsuitable(
            f"the store does not implement what was asked ({answer})",
            subject=subject,
            remedy="Tell the operator: it must honour If-None-Match on PUT and ranges on GET",
        )
    if is_passing(answer):
        return TransientError(
            f"the store failed ({answer})",
            subject=subject,
            remedy="Try again; if it lasts, tell the operator",
            asked_s=answer.asked_s,
        )
    if 300 <= answer.status < 400:
        where = f", to {answer.leads_to}" if answer.leads_to else ""
        return TransportError(
            f"the answer leads elsewhere ({answer}{where}), which is not followed",
            subject=subject,
            remedy="A proxy's sign-in page, or a moved bucket: ask the operator",
        )
    return TransportError(
        f"the store refuses it ({answer})", subject=subject, remedy="Tell the operator"
    )
