"""Make the HTTP requests of the adapters, and keep what was answered for the error messages.

1. Redirects are not followed, to any host: a request carries a right, and goes only where it was
   signed for.
2. No more of an answer is read than the caller asks for. Of an answer that is an error, the first
   4 KB are read, for what it says.
3. Every foreign error becomes one of `hyperfed.errors` that names the object and the host, never a
   URL's query or a credential.
4. A web page is no answer of a store. Objects are never HTML, so a page is a console, a sign-in
   form or a filter on the way, and the error repeats its title.

Proxies come from the environment (HTTPS_PROXY, NO_PROXY). Certificates are those of the system
(SSL_CERT_FILE), unless `ca_file` or $AWS_CA_BUNDLE names others. urllib3 is imported when the first
request is made.

What it does not do: sign, or try again.
"""

import base64
import contextlib
import hashlib
import html
import os
import re
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectTooLarge,
    TransientError,
    TransportError,
)
from hyperfed.storage.clock import skew_s

__all__ = [
    "HTTPClient",
    "Said",
    "asked_s",
    "content_md5",
    "error_of_way",
    "is_page",
    "read_at_most",
    "said_in",
    "said_of",
    "whole_object",
    "whole_size",
]

_MAX_ERROR_BYTES = 4096
_MAX_MESSAGE = 200
_PIECE = 1 << 20
_CA_REMEDY = "Name a file of certificates in PEM form, or leave it out for the system's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Holds what an answer that is no success said."""

    status: int
    """The HTTP status."""
    code: str = ""
    """The store's name of the error, or ""."""
    message: str = ""
    """The store's message, or the title of a web page; one line, or ""."""
    page: bool = False
    """Whether the answer is a web page."""
    leads_to: str = ""
    """The host that a redirect leads to, or ""."""
    region: str = ""
    """The region that the bucket is in, where the store names it."""
    asked_s: float = 0.0
    """For how many seconds it asks to be left alone (Retry-After); 0: it does not ask."""

    def __str__(self) -> str:
        named = f"{self.status} {self.code}".rstrip()
        if self.page:
            return f"{named}, a web page" + (f": {self.message!r}" if self.message else "")
        text = f"{named}: {self.message}" if self.message else named
        return f"{text}; to be asked again after {self.asked_s:.0f} s" if self.asked_s else text


class HTTPClient:
    """Keeps connections to the hosts of one store, which threads can share.

    `connect_timeout_s` and `read_timeout_s` are the seconds that are waited for a connection and
    for an answer. `connections` is the number that is kept to each host. The constructor raises
    ConfigError where `ca_file` is no file.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        connections: int,
        ca_file: Path | None = None,
    ) -> None:
        self._timeouts, self._connections = (connect_timeout_s, read_timeout_s), connections
        if ca_file is not None and not ca_file.is_file():
            raise ConfigError(
                "there is no such file of certificates", subject=str(ca_file), remedy=_CA_REMEDY
            )
        self._ca_file = str(ca_file) if ca_file else os.environ.get("AWS_CA_BUNDLE") or None
        self.skew_s: float | None = None
        """By how many seconds this machine's clock was ahead of the last answer's."""
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], Any] = {}

    @contextlib.contextmanager
    def answer(
        self,
        method: str,
        url: str,
        *,
        subject: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Iterator[Any]:
        """Yield the answer to one request; what the caller leaves of it is not read.

        Raises TransientError where the host cannot be reached or the connection fails,
        AccessDenied where a proxy wants a password, and TransportError where the host cannot be
        spoken to safely. Each names `subject`.
        """
        import urllib3
        import urllib3.exceptions as foreign

        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        connect_s, read_s = self._timeouts
        try:
            answer = self._pool(url).request(
                method,
                url,
                body=body,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=connect_s, read=read_s),
            )
            self._compare(answer)
            try:
                yield answer
            finally:
                bytes_left = answer.length_remaining
                if bytes_left is not None and bytes_left <= _MAX_ERROR_BYTES:
                    answer.drain_conn()  # so that the connection can be used again
                answer.close()
        except (foreign.SSLError, foreign.ProxySchemeUnknown, foreign.LocationValueError) as exc:
            raise TransportError(
                f"{host} cannot be spoken to safely ({_why(exc)})",
                subject=subject,
                remedy="Check the address and the proxy's; for an authority of your own set "
                "[store] ca_file, or SSL_CERT_FILE",
            ) from exc
        except foreign.ProxyError as exc:
            raise _proxy_error(exc, host, subject) from exc
        except (foreign.NewConnectionError, foreign.ConnectTimeoutError) as exc:
            raise TransientError(
                f"{host} cannot be reached ({type(exc).__name__})",
                subject=subject,
                remedy="Check the address, that the store runs, and the firewall or proxy on the "
                "way",
            ) from exc
        except (foreign.HTTPError, OSError) as exc:
            raise TransientError(
                f"the connection to {host} failed ({type(exc).__name__})",
                subject=subject,
                remedy="Try again; the request may have been carried out",
            ) from exc

    def _compare(self, answer: Any) -> None:
        date, age = answer.headers.get("Date", ""), answer.headers.get("Age", "")
        skew = skew_s(str(date), str(age), datetime.now(UTC))
        self.skew_s = self.skew_s if skew is None else skew

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.clear()

    def _pool(self, url: str) -> Any:
        import urllib3

        parts = urlsplit(url)
        with self._lock:
            pool = self._pools.get((parts.scheme, parts.netloc))
            if pool is None:
                bypass = urllib.request.proxy_bypass(parts.hostname or "")
                proxy = None if bypass else urllib.request.getproxies().get(parts.scheme)
                options: dict[str, Any] = {"maxsize": self._connections}
                if self._ca_file is not None:
                    options["ca_certs"] = self._ca_file
                pool = _proxied(proxy, options) if proxy else urllib3.PoolManager(**options)
                self._pools[parts.scheme, parts.netloc] = pool
            return pool


def _proxied(proxy: str, options: Mapping[str, Any]) -> Any:
    import urllib3

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    account = (
        f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    )
    headers = urllib3.make_headers(proxy_basic_auth=account) if account else None
    return urllib3.ProxyManager(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", proxy_headers=headers, **options
    )


def _why(exc: Exception) -> str:
    """Return what a failed TLS handshake says of the certificate, or else the error's name."""
    match = re.search(r"certificate verify failed: ([A-Za-z0-9 ,'.\-]{1,100})", str(exc))
    return f"its certificate: {match[1].strip()}" if match else type(exc).__name__


def _proxy_error(exc: Exception, host: str, subject: str) -> TransportError:
    match = re.search(r"Tunnel connection failed: ([0-9]{3})([A-Za-z ]{0,60})", str(exc))
    if match and match[1] == "407":
        return AccessDenied(
            f"the proxy on the way to {host} wants a user and a password (407)",
            subject=subject,
            remedy="Write them into HTTPS_PROXY: http://user:password@proxy:port",
        )
    reason = f"the proxy says {match[1]}{match[2].rstrip()}" if match else type(exc).__name__
    return TransientError(
        f"{host} cannot be reached ({reason})",
        subject=subject,
        remedy="Check the proxy that HTTPS_PROXY names, and whether it lets this address through",
    )


def read_at_most(answer: Any, count: int) -> bytes:
    """Return the first `count` bytes of an answer, or all where it is shorter."""
    if answer.length_remaining is not None and answer.length_remaining <= count:
        return bytes(answer.read(decode_content=False))  # without a copy of each piece
    pieces, bytes_left = [], count
    while bytes_left > 0:
        piece = answer.read(min(bytes_left, _PIECE), decode_content=False)
        if not piece:
            break
        pieces.append(piece)
        bytes_left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def whole_object(answer: Any, *, max_bytes: int, subject: str) -> bytes:
    """Return the object that a GET of its first max_bytes + 1 bytes answers with.

    `answer` is None for an empty object. Raises ObjectTooLarge where the object holds more than
    `max_bytes`; no more than these are taken. Raises TransientError where it ends early.
    """
    size = 0 if answer is None else _size_in(answer)
    if size is not None and size > max_bytes:
        raise ObjectTooLarge(f"holds {size} bytes; at most {max_bytes} are read", subject=subject)
    data = b"" if answer is None else read_at_most(answer, max_bytes)
    if size is None and answer.read(1):
        raise ObjectTooLarge(
            f"holds more than {max_bytes} bytes; at most {max_bytes} are read", subject=subject
        )
    if size is not None and len(data) != size:
        raise TransientError(
            f"{len(data)} of {size} bytes came", subject=subject, remedy="Try again"
        )
    return data


def whole_size(answer: Any, *, subject: str) -> int:
    """Return the size of the object that a GET answers with.

    `answer` is None for an empty object. Raises TransportError where the answer names no size.
    """
    size = 0 if answer is None else _size_in(answer)
    if size is None:
        raise TransportError(
            "the answer names no size",
            subject=subject,
            remedy=(
                "Check the proxies on the way: something between here and the store changes answers"
            ),
        )
    return size


def _size_in(answer: Any) -> int | None:
    """Return the size of the whole object that a GET with a range answers with.

    It is None where the answer does not name it.
    """
    total = (
        answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status == 206
        else answer.headers.get("Content-Length", "")
    )
    return int(total) if total.isascii() and total.isdigit() else None


def is_page(answer: Any) -> bool:
    """Return whether an answer is a web page, which no store answers with.

    An empty answer is none, whatever it says it is; nor is a part of an object that was asked for.
    """
    kind = str(answer.headers.get("Content-Type", "")).lower()
    empty = answer.headers.get("Content-Length") == "0"
    return kind.startswith("text/html") and not empty and answer.status != 206


def said_in(answer: Any) -> Said:
    """Return what an answer says that may not be a success."""
    return said_of(answer, read_at_most(answer, _MAX_ERROR_BYTES))


def said_of(answer: Any, data: bytes) -> Said:
    """Return what an answer says, whose first bytes are `data`.

    Some stores give their XML the type text/html: the bytes decide what is a page.
    """
    text = data.decode("utf-8", "replace")
    page = re.match(r"\s*(<!doctype html|<html)", text, re.IGNORECASE) is not None or (
        is_page(answer) and re.match(r"\s*<(\?xml|Error|\w+(Result|Response))\b", text) is None
    )
    message = (
        _found(r"<title[^>]*>(.*?)</title>", text) or _found(r"<h1[^>]*>(.*?)</h1>", text)
        if page
        else _found(r"<Message>(.*?)</Message>", text)
    )
    location = str(answer.headers.get("Location", ""))
    return Said(
        status=int(answer.status),
        code="" if page else _found(r"<Code>([A-Za-z0-9.]{1,60})</Code>", text),
        message=message,
        page=page,
        leads_to=urlsplit(location).netloc.rpartition("@")[2][:100]
        or _found(r"<Endpoint>([A-Za-z0-9.:-]{1,100})</Endpoint>", text),
        region=_found(r"<Region>([a-z0-9-]{1,40})</Region>", text)
        or str(answer.headers.get("x-amz-bucket-region", ""))[:40],
        asked_s=asked_s(str(answer.headers.get("Retry-After", "")), datetime.now(UTC)),
    )


def asked_s(retry_after: str, now: datetime) -> float:
    """Return the seconds that a header Retry-After asks for, in either of its two forms.

    It is 0 where the header says nothing that can be read, or an instant that has passed.
    """
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    ahead = skew_s(text, "", now)
    return max(0.0, -ahead) if ahead is not None else 0.0


def _found(pattern: str, text: str) -> str:
    """Return the first group of a match as one line, or ""."""
    match = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    line = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", match[1])).split()) if match else ""
    return line.rstrip(".")[:_MAX_MESSAGE]


def error_of_way(answer: Said, subject: str) -> TransportError | None:
    """Return the error for an answer that comes not from the store but from something on the way.

    It is None where the answer may be the store's own.
    """
    if answer.status == 407:
        return AccessDenied(
            f"a proxy on the way wants a user and a password ({answer})",
            subject=subject,
            remedy="Write them into HTTPS_PROXY: http://user:password@proxy:port",
        )
    if answer.page and answer.status < 500:
        kind = AccessDenied if answer.status in (401, 403) else TransportError
        return kind(
            f"no object store answers ({answer})",
            subject=subject,
            remedy="This is the page of a console, a sign-in form or a web filter: check the "
            "address and its port, and that the network lets it through",
        )
    return None


def content_md5(body: bytes) -> str:
    """Return the header Content-MD5 of a body: a checksum for the way, and no signature."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
