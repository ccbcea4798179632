"""Keep objects in a bucket, or below a prefix in one (`S3Store`).

The bucket may be of AWS S3, SeaweedFS, MinIO, Ceph, R2 or any store with conditional writes.

1. `put_if_absent` is a PUT with `If-None-Match: *`. The answer 412 is False, and so is 304, which
   some stores give instead. A PUT whose answer was lost is sent again, and the repetition of an
   applied write is a 412 as well. So on False the caller reads and compares: it may be its own
   write.
2. After 409 (two conditional writes at once) the PUT is tried again a few times with jitter; then a
   TransientError is raised.
3. A read is one GET of at most max_bytes + 1 bytes. The answer names the whole size, and nothing is
   taken from the connection where that is too much.
4. A listing is complete or an error (StoreUnsuitable): a page that says there is more without
   saying how to go on, or that repeats what was there, ends it. Names that are no keys are left
   out, and the keys are sorted here, because stores that keep folders do not list in their order.
5. A redirect is not followed (`storage.http_requests`), and every error names bucket, key or
   endpoint and what the store said, never a credential.

Requests are signed with SigV4, the body's SHA-256 included, so that a store refuses a body that was
damaged on its way. A PUT carries Content-MD5 too, which buckets with Object Lock demand.

The requests are made here, over urllib3 and with botocore's signature, because no client library
does what rules 4 and 5 ask (docs/adr/0027). They cost less processor time
than boto3's.

What it does not do: overwrite, set policies. Grant clients List too: without it AWS answers 403
where an object is missing.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from hyperfed.errors import (
    ConfigError,
    ObjectNotFound,
    TransientError,
    TransportError,
)
from hyperfed.storage.http_requests import (
    HTTPClient,
    Said,
    content_md5,
    is_page,
    read_at_most,
    said_in,
    said_of,
    whole_object,
    whole_size,
)
from hyperfed.storage.retrying import pause_s
from hyperfed.storage.s3_errors import error_of_answer
from hyperfed.storage.s3_listing import Page, all_pages, page_of
from hyperfed.storage.s3_signing import S3Credentials, Signer
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix, is_key

__all__ = ["S3Credentials", "S3Limits", "S3Store"]

_CONFLICT_TRIES = 6
_MAX_SAID_BYTES = 1 << 16
_MAX_PAGE_BYTES = 8 << 20  # a page of 1,000 keys of 1,024 characters, spelt out
_jitter = random.SystemRandom()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Limits:
    """Bounds the time-outs, tries and amounts of one `S3Store`.

    All must be positive (ConfigError).
    """

    connect_timeout_s: float = 5.0
    """Seconds to wait for a connection."""
    read_timeout_s: float = 60.0
    """Seconds to wait for an answer."""
    max_attempts: int = 4
    """Tries of one request after passing faults, with exponential delays.

    In `read_many` and `put_many` each request is tried once: `RetryingStore` tries again.
    """
    threads: int = 8
    """Most requests at once in `read_many` and `put_many`.

    More threads gain nothing: the processor time of a request is the limit.
    """
    max_in_flight_bytes: int = 256 << 20
    """Most bytes that `read_many` may hold at once."""
    page_size: int = 1000
    """Number of keys in one page of a listing."""

    def __post_init__(self) -> None:
        for name in (
            "connect_timeout_s",
            "read_timeout_s",
            "max_attempts",
            "threads",
            "max_in_flight_bytes",
            "page_size",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be positive", subject="S3Limits"
                )


class S3Store(ObjectStore):
    """Keeps objects in `bucket`, with every key below `prefix`, as an `ObjectStore`.

    Threads can share it.

    `endpoint_url` is None for AWS. With `credentials` None, botocore's own chain decides
    (environment, profile, instance role). `addressing` says where the bucket's name stands: "path"
    in the path, "virtual" in the host's name, "auto" in the host's name where that can be.
    `ca_file` holds the certificates to trust in place of the system's. The constructor makes no
    request; it raises ConfigError for a malformed bucket name, prefix, endpoint or addressing.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        credentials: S3Credentials | None = None,
        addressing: str = "path",
        ca_file: Path | None = None,
        limits: S3Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
            raise ConfigError(
                "the name of the bucket is not allowed",
                subject=repr(bucket)[:80],
                remedy=(
                    "Use 3 to 63 lower-case letters, digits, dots and hyphens; a path below the "
                    "bucket is `prefix`"
                ),
            )
        self.bucket = bucket
        self.prefix = check_key(prefix.strip("/")) + "/" if prefix.strip("/") else ""
        self.endpoint_url = _check_endpoint(endpoint_url)
        self.region = region
        self.limits = limits or S3Limits()
        self._base = _base_url(bucket, self.endpoint_url or _aws(region), addressing)
        self._signer = Signer(credentials, region)
        self._http = HTTPClient(
            connect_timeout_s=self.limits.connect_timeout_s,
            read_timeout_s=self.limits.read_timeout_s,
            connections=self.limits.threads * 2,
            ca_file=ca_file,
        )
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"S3Store({self._subject('')!r}, endpoint_url={self.endpoint_url!r})"

    @property
    def location(self) -> str:
        return self.endpoint_url or f"AWS S3 in {self.region}"

    @property
    def clock_skew_s(self) -> float | None:
        return self._http.skew_s

    @property
    def longest_wait_s(self) -> float | None:
        return self.limits.max_attempts * (
            self.limits.connect_timeout_s + self.limits.read_timeout_s
        )

    @property
    def at_once(self) -> int:
        return self.limits.threads

    @property
    def max_in_flight_bytes(self) -> int:
        return self.limits.max_in_flight_bytes

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        body = bytes(data)
        for attempt in range(_CONFLICT_TRIES):
            status = self._patiently(lambda: self._put(check_key(key), body))
            if status != 409:
                return status == 200
            self._sleep(_jitter.uniform(0.5, 1.0) * 0.05 * 2**attempt)
        raise self._conflict(key)

    def create_once(self, key: str, data: bytes | memoryview) -> bool:
        status = self._put(check_key(key), bytes(data))
        if status == 409:
            raise self._conflict(key)
        return status == 200

    def _conflict(self, key: str) -> TransientError:
        return TransientError(
            "others keep writing this key at the same time (409)",
            subject=self._subject(key),
            remedy="Read the key: it may exist by now; or try again",
        )

    def _put(self, key: str, body: bytes) -> int:
        """Return 200 where one PUT created the object, 412 where it exists, or 409."""
        headers = {
            "If-None-Match": "*",
            "Content-Type": "application/octet-stream",
            "Content-MD5": content_md5(body),
        }
        with self._answer("PUT", self._url(key), key, headers=headers, body=body) as answer:
            if answer.status in (200, 201, 204) and not is_page(answer):
                return 200
            answer_summary = said_in(answer)
            if answer_summary.status in (412, 304) and not answer_summary.page:
                return 412
            if answer_summary.status == 409 and answer_summary.code != "InvalidBucketState":
                return 409
            raise self._error(answer_summary, key)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        check_key(key)
        return self._patiently(lambda: self._read(key, max_bytes))

    def read_once(self, key: str, *, max_bytes: int) -> bytes:
        return self._read(check_key(key), max_bytes)

    def _read(self, key: str, max_bytes: int) -> bytes:
        with self._get(key, max_bytes) as answer:
            return whole_object(answer, max_bytes=max_bytes, subject=self._subject(key))

    def head(self, key: str) -> ObjectInfo | None:
        # A GET of one byte, not a HEAD: HEAD's 404 has no body and cannot tell a missing object
        # from a missing bucket.
        check_key(key)
        try:
            return self._patiently(lambda: self._head(key))
        except ObjectNotFound:
            return None

    def _head(self, key: str) -> ObjectInfo:
        subject = self._subject(key)
        with self._get(key, 0) as answer:
            if answer is None or answer.headers.get("Content-Range", "").rpartition("/")[2] != "*":
                return ObjectInfo(key=key, size=whole_size(answer, subject=subject))
        # a part of a whole that is not known: only HEAD tells how large it is
        with self._answer("HEAD", self._url(key), key) as answer:
            if answer.status != 200:
                raise self._error(said_in(answer), key)
            return ObjectInfo(key=key, size=whole_size(answer, subject=subject))

    @contextmanager
    def _get(self, key: str, max_bytes: int) -> Iterator[Any]:
        """Yield an answer with an object's first max_bytes + 1 bytes, or None where it is empty."""
        headers = {"Range": f"bytes=0-{max_bytes}", "Accept-Encoding": "identity"}
        with self._answer("GET", self._url(key), key, headers=headers) as answer:
            # a range that starts at 0 is refused only where the object is empty
            if answer.status == 416:
                yield None
            elif answer.status in (200, 206) and not is_page(answer):
                yield answer
            else:
                raise self._error(said_in(answer), key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.list_paged(prefix, self.limits.page_size)

    def list_paged(self, prefix: str, size: int) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        written: dict[str, datetime] = {}

        def page_at(token: str) -> Page:
            page = self._patiently(lambda: self._page(prefix, size, token))
            written.update(page.modified)
            return page

        sizes = all_pages(page_at, subject=self._subject(prefix))
        start = len(self.prefix)
        infos = (
            ObjectInfo(key=name[start:], size=size, modified=written.get(name))
            for name, size in sizes.items()
        )
        return iter(sorted((i for i in infos if is_key(i.key)), key=lambda info: info.key))

    def _page(self, prefix: str, size: int, token: str) -> Page:
        query = {
            "encoding-type": "url",
            "list-type": "2",
            "max-keys": str(size),
            "prefix": self.prefix + prefix,
        }
        if token:
            query["continuation-token"] = token
        text = "&".join(f"{name}={quote(query[name], safe='')}" for name in sorted(query))
        with self._answer("GET", f"{self._base}?{text}", prefix) as answer:
            if answer.status != 200:
                raise self._error(said_in(answer), prefix)
            data = read_at_most(answer, _MAX_PAGE_BYTES)
            page, answer_summary = page_of(data), said_of(answer, data[:_MAX_SAID_BYTES])
        if page is None and answer_summary.page:
            raise self._error(answer_summary, prefix)
        if page is None:
            raise TransportError(
                f"the answer is no listing: {data[:60]!r}",
                subject=self._subject(prefix),
                remedy="Check [store] endpoint: it is not the address of an S3 API",
            )
        return page

    def forget(self, key: str) -> None:
        """Erase `key` if it exists. Only `storage.erasing` calls this."""
        check_key(key)

        def erase() -> None:
            with self._answer("DELETE", self._url(key), key) as answer:
                if answer.status not in (200, 204):
                    raise self._error(said_in(answer), key)

        try:
            self._patiently(erase)
        except ObjectNotFound:
            return

    def bucket_exists(self) -> bool:
        """Return whether the bucket exists, by one request.

        Raises AccessDenied or TransientError where the store refuses or fails.
        """

        def ask() -> bool:
            with self._answer("HEAD", self._base, "") as answer:
                if answer.status == 200:
                    return True
                raise self._error(said_in(answer), "")

        try:
            return self._patiently(ask)
        except ObjectNotFound:
            return False

    def ensure_bucket(self) -> bool:
        """Create the bucket where it is missing, and return whether it was created.

        This is for demos and tests; in production the bucket is the operator's.
        """
        body = b""
        if self.endpoint_url is None and self.region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{self.region}</LocationConstraint>"
                "</CreateBucketConfiguration>"
            ).encode()
        with self._answer("PUT", self._base, "", body=body) as answer:
            answer_summary = said_in(answer)
            if answer.status == 200 and not answer_summary.page:
                return True
            if answer_summary.code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                return False
            raise self._error(answer_summary, "")

    def presign_get(self, key: str, *, expires_s: int) -> str:
        """Return a URL that reads `key` for `expires_s` seconds, without credentials."""
        return self._presigned("GET", key, {}, expires_s)

    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str:
        """Return a URL that creates `key` for `expires_s` seconds.

        `If-None-Match: *` is part of what is signed: a PUT that does not carry it is refused.
        """
        return self._presigned("PUT", key, {"If-None-Match": "*"}, expires_s)

    def _presigned(self, method: str, key: str, headers: Mapping[str, str], expires_s: int) -> str:
        return self._signer.presigned(
            method,
            self._url(check_key(key)),
            headers=headers,
            expires_s=expires_s,
            subject=self._subject(key),
        )

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._http.close()

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Iterator[Any]:
        """Yield the answer to one signed request."""
        subject = self._subject(key)
        signed = self._signer.headers(
            method, url, headers=headers or {}, body=body, subject=subject
        )
        sent = body if method == "PUT" else None
        with self._http.answer(method, url, subject=subject, headers=signed, body=sent) as answer:
            yield answer

    def _patiently(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, and try again after passing faults."""
        for attempt in range(1, self.limits.max_attempts):
            try:
                return call()
            except TransientError as error:
                self._sleep(pause_s(error, _jitter.uniform(0.5, 1.0) * 0.1 * 2**attempt))
        return call()

    def _error(self, answer: Said, key: str) -> TransportError:
        endpoint = self.endpoint_url or self.location
        return error_of_answer(
            answer, subject=self._subject(key), bucket=self.bucket, endpoint=endpoint
        )

    def _url(self, key: str) -> str:
        return f"{self._base}/{self.prefix}{key}"

    def _subject(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"


def _aws(region: str) -> str:
    """Return the address of AWS S3 in a region."""
    return f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _base_url(bucket: str, endpoint: str, addressing: str) -> str:
    """Return the address of the bucket. Raises ConfigError for an unknown addressing."""
    if addressing not in ("path", "virtual", "auto"):
        raise ConfigError(
            f"{addressing!r:.40} is no addressing",
            subject="[store] addressing",
            remedy='Write "path", "virtual" or "auto"',
        )
    parts = urlsplit(endpoint.rstrip("/"))
    host = parts.hostname or ""
    named = re.search(r"[A-Za-z]", host.rpartition(".")[2]) is not None and "." in host
    plain = re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket) is not None
    if addressing == "virtual" or (addressing == "auto" and named and plain):
        return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}"
    return f"{parts.scheme}://{parts.netloc}{parts.path}/{bucket}"


def _check_endpoint(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            "not the address of an S3 endpoint",
            subject=repr(url.rpartition("@")[2])[:120],
            remedy="Write it as https://host or https://host:port",
        )
    if parts.username or parts.password:
        raise ConfigError(
            "an endpoint's address must not carry credentials",
            subject=parts.hostname or "",
            remedy="Give them as `credentials`",
        )
    return url
