"""`S3Store`: a bucket, or a prefix in one, of AWS S3, SeaweedFS, MinIO, Ceph, R2 or any store with conditional writes.

1. `put_if_absent` is a PUT with `If-None-Match: *`. 412 is False. boto3 repeats a PUT whose answer was lost, and the repetition of an applied write is a
   412 as well: on False the caller reads and compares, it may be its own write.
2. 409 (two conditional writes at once) is tried again a few times with jitter, then it is a TransientError.
3. A read is one GET of at most max_bytes + 1 bytes; the answer names the whole size, and nothing is taken from the connection where that is too much.
4. Listing is sorted here: stores that keep folders (SeaweedFS) do not list in the order of keys.
5. Every foreign error becomes one of `hyperfed.errors`, naming bucket, key or endpoint, never a credential.

boto3 is imported when the first request is made: a client of another adapter never pays for it. SigV4 and path addressing, since other stores and presigned
PUTs need both; the body's SHA-256 is part of the signature, so that a store refuses what was damaged on its way.

What it does not do: delete, overwrite, set policies. Grant clients List too: without it AWS answers 403 where an object is missing.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, ObjectTooLarge, StoreUnsuitable, TransientError, TransportError
from hyperfed.store import ObjectInfo, ObjectStore, check_key, check_prefix

__all__ = ["S3Credentials", "S3Limits", "S3Store"]

_CONFLICT_TRIES = 6
_jitter = random.SystemRandom()

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """One access key. The secret parts are never shown."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Limits:
    """How long and how much: all of it per store object."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    max_attempts: int = 4  # of one request, by boto3, with exponential backoff
    threads: int = 8  # more gain nothing: boto3's own CPU time is the limit
    max_in_flight_bytes: int = 256 << 20  # of `read_many`
    page_size: int = 1000

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "read_timeout_s", "max_attempts", "threads", "max_in_flight_bytes", "page_size"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be positive", subject="S3Limits")


class S3Store(ObjectStore):
    """An `ObjectStore` in `bucket`, every key below `prefix`. Safe to share between threads.

    endpoint_url: None for AWS. credentials: None for boto3's own chain (environment, profile, instance role).
    Raises ConfigError for a malformed prefix or endpoint; no request is made here.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        credentials: S3Credentials | None = None,
        limits: S3Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not bucket or "/" in bucket:
            raise ConfigError("not the name of a bucket", subject=repr(bucket)[:80], remedy="Give the bucket alone; a path below it is `prefix`")
        self.bucket = bucket
        self.prefix = check_key(prefix.strip("/")) + "/" if prefix.strip("/") else ""
        self.endpoint_url = _check_endpoint(endpoint_url)
        self.region = region
        self.limits = limits or S3Limits()
        self._credentials = credentials
        self._sleep = sleep
        self._lock = threading.Lock()
        self._made: Any = None

    def __repr__(self) -> str:
        return f"S3Store({self._subject('')!r}, endpoint_url={self.endpoint_url!r})"

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        check_key(key)
        body = bytes(data)
        for attempt in range(_CONFLICT_TRIES):
            with self._errors(key):
                status = self._status_of_put(key, body)
            if status != 409:
                return status == 200
            self._sleep(_jitter.uniform(0.5, 1.0) * 0.05 * 2**attempt)
        raise TransientError(
            "others keep writing this key at the same time (409)", subject=self._subject(key), remedy="Read the key: it may exist by now; or try again"
        )

    def _status_of_put(self, key: str, body: bytes) -> int:
        from botocore.exceptions import ClientError

        try:
            self._client().put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, IfNoneMatch="*", ContentType="application/octet-stream")
        except ClientError as exc:
            status = _status(exc)
            if status in (409, 412) and _code(exc) != "InvalidBucketState":
                return status
            raise
        return 200

    def read(self, key: str, *, max_bytes: int) -> bytes:
        check_key(key)
        with self._errors(key):
            size, body = self._get(key, max_bytes)
            if size > max_bytes:
                body.close()
                raise ObjectTooLarge(f"holds {size} bytes; at most {max_bytes} are read", subject=self._subject(key))
            data: bytes = body.read() if body is not None else b""
        if len(data) != size:
            raise TransientError(f"{len(data)} of {size} bytes came", subject=self._subject(key), remedy="Try again")
        return data

    def head(self, key: str) -> ObjectInfo | None:
        # A GET of one byte, not a HEAD: HEAD's 404 has no body and cannot tell a missing object from a missing bucket.
        check_key(key)
        try:
            with self._errors(key):
                size, body = self._get(key, 0)
                if body is not None:
                    body.close()
        except ObjectNotFound:
            return None
        return ObjectInfo(key=key, size=size)

    def _get(self, key: str, max_bytes: int) -> tuple[int, Any]:
        """(size of the whole object, stream of its first max_bytes + 1 bytes); an empty object has no stream."""
        from botocore.exceptions import ClientError

        try:
            answer = self._client().get_object(Bucket=self.bucket, Key=self.prefix + key, Range=f"bytes=0-{max_bytes}")
        except ClientError as exc:
            if _status(exc) == 416:  # a range that starts at 0 is only refused where there is no byte at all
                return 0, None
            raise
        total = answer.get("ContentRange", "").rpartition("/")[2]
        return (int(total) if total.isdigit() else int(answer["ContentLength"])), answer["Body"]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        found: list[ObjectInfo] = []
        with self._errors(prefix):
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self.bucket, Prefix=self.prefix + prefix, PaginationConfig={"PageSize": self.limits.page_size})
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = str(entry["Key"])[len(self.prefix) :]
                    if not key.endswith("/"):  # what consoles make for an empty folder is no object of ours
                        found.append(ObjectInfo(key=key, size=int(entry["Size"])))
        return iter(sorted(found, key=lambda info: info.key))

    def read_many(self, keys: Iterable[str], *, max_bytes: int) -> Iterator[tuple[str, bytes | TransportError]]:
        """As in `ObjectStore`, several at once; at most `limits.max_in_flight_bytes` are held (one object at least)."""
        at_once = max(1, min(self.limits.threads, self.limits.max_in_flight_bytes // max(1, max_bytes)))

        def attempt(key: str) -> bytes | TransportError:
            try:
                return self._fetch(key, max_bytes)
            except TransportError as error:
                return error

        yield from _several(attempt, ((key, key) for key in keys), at_once)

    def put_many(self, objects: Iterable[tuple[str, bytes | memoryview]]) -> Iterator[tuple[str, bool | TransportError]]:
        """As in `ObjectStore`, several at once."""

        def attempt(item: tuple[str, bytes | memoryview]) -> bool | TransportError:
            try:
                return self._create(*item)
            except TransportError as error:
                return error

        yield from _several(attempt, ((item[0], item) for item in objects), self.limits.threads)

    def _fetch(self, key: str, max_bytes: int) -> bytes:
        """One object of `read_many`; another client than boto3 may do it."""
        return self.read(key, max_bytes=max_bytes)

    def _create(self, key: str, data: bytes | memoryview) -> bool:
        """One object of `put_many`; another client than boto3 may do it."""
        return self.put_if_absent(key, data)

    def bucket_exists(self) -> bool:
        """Whether there is such a bucket: one request. Raises AccessDenied, TransientError."""
        try:
            with self._errors(""):
                self._client().head_bucket(Bucket=self.bucket)
        except ObjectNotFound:
            return False
        return True

    def ensure_bucket(self) -> bool:
        """Create the bucket where it is missing. True: created. For demos and tests; in production the bucket is the operator's."""
        from botocore.exceptions import ClientError

        with self._errors(""):
            try:
                where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}} if self.endpoint_url is None and self.region != "us-east-1" else {}
                self._client().create_bucket(Bucket=self.bucket, **where)
            except ClientError as exc:
                if _code(exc) in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    return False
                raise
        return True

    def presign_get(self, key: str, *, expires_s: int) -> str:
        """A URL that reads `key` until it expires, for a client without credentials."""
        with self._errors(key):
            return str(
                self._client().generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": self.prefix + check_key(key)}, ExpiresIn=expires_s)
            )

    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str:
        """A URL that creates `key` until it expires. `If-None-Match: *` is part of what is signed: the PUT must carry it, or is refused."""
        params = {"Bucket": self.bucket, "Key": self.prefix + check_key(key), "IfNoneMatch": "*"}
        with self._errors(key):
            return str(self._client().generate_presigned_url("put_object", Params=params, ExpiresIn=expires_s))

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            client, self._made = self._made, None
        if client is not None:
            client.close()

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                import boto3.session
                from botocore.config import Config

                known = self._credentials
                self._made = boto3.session.Session().client(
                    "s3",
                    endpoint_url=self.endpoint_url,
                    region_name=self.region,
                    aws_access_key_id=known.access_key if known else None,
                    aws_secret_access_key=known.secret_key if known else None,
                    aws_session_token=known.session_token if known else None,
                    config=Config(
                        signature_version="s3v4",
                        s3={"addressing_style": "path", "payload_signing_enabled": True},
                        retries={"mode": "standard", "total_max_attempts": self.limits.max_attempts},
                        connect_timeout=self.limits.connect_timeout_s,
                        read_timeout=self.limits.read_timeout_s,
                        max_pool_connections=max(10, self.limits.threads * 2),
                        # The newer default checksums travel as trailers, which several stores refuse; the signed SHA-256 covers the body.
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                    ),
                )
            return self._made

    def _subject(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Foreign errors as ours (STYLE 17)."""
        import urllib3.exceptions
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as exc:
            raise _of_answer(exc, self._subject(key), self.bucket, self.endpoint_url) from exc
        except (BotoCoreError, urllib3.exceptions.HTTPError) as exc:
            raise _of_connection(exc, self._subject(key), self.endpoint_url or f"AWS S3 in {self.region}") from exc


def _several(work: Callable[[T], R], items: Iterable[tuple[str, T]], at_once: int) -> Iterator[tuple[str, R]]:
    """(name, what `work` makes of the item) for each item, in the order given, by `at_once` threads that are never more than so many items ahead."""
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="hyperfed-s3")
    try:
        waiting: deque[tuple[str, Future[R]]] = deque()
        for name, item in items:
            if len(waiting) == at_once:
                first, future = waiting.popleft()
                yield first, future.result()
            waiting.append((name, pool.submit(work, item)))
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
            "not the address of an S3 endpoint", subject=repr(url.rpartition("@")[2])[:120], remedy="Write it as https://host or https://host:port"
        )
    if parts.username or parts.password:
        raise ConfigError("an endpoint's address must not carry credentials", subject=parts.hostname or "", remedy="Give them as `credentials`")
    return url


def _code(exc: Any) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))


def _status(exc: Any) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


_KEY_REMEDIES = {
    "InvalidAccessKeyId": "Check the access key: the store does not know it",
    "SignatureDoesNotMatch": "Check the secret key: it does not belong to this access key",
    "ExpiredToken": "The session token has expired: get a new one",
    "InvalidToken": "The session token is not valid: get a new one",
    "RequestTimeTooSkewed": "Set this machine's clock: it differs from the store's by more than the store allows",
}


def _of_answer(exc: Any, subject: str, bucket: str, endpoint: str | None) -> TransportError:
    """What an error answer of the store means."""
    code, status = _code(exc), _status(exc)
    where = f" at {endpoint}" if endpoint else ""
    if code == "NoSuchBucket":
        return TransportError(f"there is no bucket {bucket!r}{where}", subject=subject, remedy="Create it, or check the name and the endpoint")
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException") or status in (301, 307):
        return TransportError(f"the bucket is in another region ({code or status})", subject=subject, remedy="Set `region` to the bucket's own")
    if code in _KEY_REMEDIES or status in (401, 403):
        remedy = _KEY_REMEDIES.get(code, "Check access key, secret key and the policy: reading, writing and listing this prefix must be allowed")
        return AccessDenied(f"the store refuses it ({code or status})", subject=subject, remedy=remedy)
    if code == "NoSuchKey" or status == 404:
        return ObjectNotFound("there is no such object", subject=subject)
    if code == "NotImplemented" or status == 501:
        return StoreUnsuitable("the store does not implement conditional writes", subject=subject, remedy="Use one that honours If-None-Match on PUT")
    if status >= 500 or status in (408, 409, 429) or code in ("RequestTimeout", "SlowDown", "InternalError", "Throttling"):
        return TransientError(f"the store failed ({code or status})", subject=subject, remedy="Try again; if it lasts, look at the store's own state")
    message = str(exc.response.get("Error", {}).get("Message", ""))[:200]
    return TransportError(f"the store refuses it ({code or status}): {message}", subject=subject)


def _of_connection(exc: Exception, subject: str, endpoint: str) -> TransportError:
    """What an error on the way to the store means."""
    from botocore import exceptions as boto

    kind = type(exc).__name__
    if isinstance(exc, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound | boto.CredentialRetrievalError):
        return AccessDenied(
            "there are no credentials",
            subject=subject,
            remedy="Give access key and secret key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
        )
    if isinstance(exc, boto.SSLError):
        return TransportError(
            f"{endpoint} shows a certificate that is not trusted here", subject=subject, remedy="Check the address; for an own authority set AWS_CA_BUNDLE"
        )
    if isinstance(exc, boto.ParamValidationError):
        return TransportError("the name of the bucket is not allowed", subject=subject, remedy="3 to 63 lower-case letters, digits, dots and hyphens")
    if isinstance(exc, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return TransientError(
            f"{endpoint} cannot be reached ({kind})", subject=subject, remedy="Check the address, that the store runs, and the firewall or proxy on the way"
        )
    return TransientError(f"the connection to {endpoint} failed ({kind})", subject=subject, remedy="Try again; the request may have been carried out")
