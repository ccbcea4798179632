"""Open an object store by its address: `open_store("s3://bucket/prefix")`.

1. s3://bucket/prefix is any S3 store (AWS where no endpoint is given), file:///folder is a mounted
   share, and grpc://host:port is a relay. `memory:` is refused, because nobody else could read that
   store.
2. Passing faults are tried again (`RetryingStore`). An address that cannot be meant raises
   ConfigError before any request.
3. Credentials come from a file that only its owner can read, or from the environment (botocore's
   own chain). They are never shown. A relay's may also be made from a party's own key
   (`storage.grpc_access`).
4. An adapter is imported when its address is opened, so a client on a share never pays for S3's.

What it does not do: prove that the store is fit (`storage.probe`), or decide what is read or
written there.
"""

import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hyperfed.errors import ConfigError
from hyperfed.storage.private_files import read_private
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectStore

if TYPE_CHECKING:
    from hyperfed.storage.grpc_access import RelayAccess
    from hyperfed.storage.s3 import S3Credentials

__all__ = ["endpoint_of", "open_store", "read_credentials", "region_of"]

_REMEDY = "Write it as s3://bucket/prefix, file:///path/to/folder or grpc://host:port"
_CREDENTIAL_NAMES = ("access_key", "secret_key", "session_token")


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    addressing: str | None = None,
    ca_file: Path | None = None,
    access_key_file: Path | None = None,
    access: "RelayAccess | None" = None,
    base: Path | None = None,
    attempts: int = 6,
    request_attempts: int = 4,
    read_timeout_s: float = 60.0,
    tell: Callable[[str], None] | None = None,
) -> ObjectStore:
    """Return the store at `url`, which repeats calls after passing faults (`RetryingStore`).

    No request is made here. Raises ConfigError where the address or the credentials file is wrong.

    - `endpoint`, `region` and `addressing` are those of an S3 store (`S3Store`). Without an
      endpoint, $AWS_ENDPOINT_URL_S3 and $AWS_ENDPOINT_URL are asked for one.
    - `ca_file` holds the certificates to trust in place of the system's, for S3 and for a relay.
    - `access_key_file` holds the credentials. With None the environment decides for S3, and
      `access` is shown to a relay.
    - `base` is the folder that a relative `file:` path starts from (default: the working
      directory).
    - `attempts` is the number of tries of each call; `request_attempts` is the number of tries that
      an S3 store makes of one HTTP request within a call.
    - `tell` receives a sentence about a store that does not answer (`RetryingStore`), so that a
      person who waits can be told.
    """
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme == "memory":
        raise ConfigError(
            "a store in memory ends with this process, and nobody else can read it",
            subject=repr(url)[:120],
            remedy="To try things out use file:///path/to/folder",
        )
    if scheme == "file":
        return RetryingStore(
            _open_folder(url, base, others=(endpoint, region, addressing, ca_file)),
            attempts=attempts,
            tell=tell,
        )
    if scheme == "grpc":
        return RetryingStore(
            _open_relay(
                url,
                others=(endpoint, region, addressing),
                ca_file=ca_file,
                access_key_file=access_key_file,
                access=access,
                timeout_s=read_timeout_s,
            ),
            attempts=attempts,
            tell=tell,
        )
    if scheme == "s3":
        credentials = read_credentials(access_key_file) if access_key_file else None
        return RetryingStore(
            _open_s3(
                url,
                endpoint=endpoint,
                region=region,
                addressing=addressing,
                ca_file=ca_file,
                known=credentials,
                attempts=request_attempts,
                read_timeout_s=read_timeout_s,
            ),
            attempts=attempts,
            tell=tell,
        )
    raise ConfigError(
        "not the address of an object store",
        subject=repr(_without_secrets(url))[:120],
        remedy=_REMEDY,
    )


def _without_secrets(url: str) -> str:
    """Return the address without everything up to its last '@'."""
    return url.rpartition("@")[2]


def _open_folder(url: str, base: Path | None, *, others: Sequence[object]) -> ObjectStore:
    from hyperfed.storage.filesystem import FilesystemStore

    if any(others):
        raise ConfigError(
            "endpoint, region, addressing and ca_file belong to an S3 store, not to a folder",
            subject=repr(url)[:120],
            remedy="Leave them out, or use s3://",
        )
    return FilesystemStore(folder_of(url, base))


def folder_of(url: str, base: Path | None) -> Path:
    """Return the folder that a `file:` address names.

    `base` is the folder that a relative one starts from (default: the working directory). Raises
    ConfigError where the address names none.
    """
    rest = url.partition(":")[2]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise ConfigError(
                f"names a host, {host!r:.60}",
                subject=repr(url)[:120],
                remedy="Mount the share and write file:///path, with three slashes",
            )
        rest = slash + path
    path_text = unquote(rest)
    if not path_text or "\0" in path_text:
        raise ConfigError("names no folder", subject=repr(url)[:120], remedy=_REMEDY)
    return (base or Path.cwd()) / path_text


def _open_relay(
    url: str,
    *,
    others: Sequence[object],
    ca_file: Path | None,
    access_key_file: Path | None,
    access: "RelayAccess | None",
    timeout_s: float,
) -> ObjectStore:
    from hyperfed.storage.grpc_access import read_access
    from hyperfed.storage.grpc_store import GRPCLimits, GRPCStore

    parts = urlsplit(url)
    subject = repr(_without_secrets(url))[:120]
    if any(others):
        raise ConfigError(
            "endpoint, region and addressing belong to an S3 store, not to a relay",
            subject=subject,
            remedy="Leave them out, or use s3://",
        )
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            "the address of a relay is a host and a port, and nothing else",
            subject=subject,
            remedy="Write it as grpc://host:port; the relay serves one folder",
        )
    if access_key_file is not None:
        access = read_access(access_key_file)
    if access is None:
        raise ConfigError(
            "nothing says who asks the relay",
            subject=subject,
            remedy="Name a file that `hyperfed relay access` made as [store] access_key_file",
        )
    limits = GRPCLimits(call_timeout_s=timeout_s)
    return GRPCStore(parts.netloc, access=access, ca_file=ca_file, limits=limits)


def _open_s3(
    url: str,
    *,
    endpoint: str | None,
    region: str | None,
    addressing: str | None,
    ca_file: Path | None,
    known: "S3Credentials | None",
    attempts: int,
    read_timeout_s: float,
) -> ObjectStore:
    from hyperfed.storage.s3 import S3Limits, S3Store

    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError(
            "an address must not carry credentials",
            subject=repr(_without_secrets(url))[:120],
            remedy="Put them into the file that [store] access_key_file names, or into the "
            "environment",
        )
    if not parts.netloc or parts.query or parts.fragment:
        raise ConfigError("not the address of a bucket", subject=repr(url)[:120], remedy=_REMEDY)
    limits = S3Limits(max_attempts=attempts, read_timeout_s=read_timeout_s)
    return S3Store(
        parts.netloc,
        prefix=parts.path,
        endpoint_url=endpoint_of(endpoint),
        region=region_of(region),
        credentials=known,
        addressing=addressing or "path",
        ca_file=ca_file,
        limits=limits,
    )


def endpoint_of(endpoint: str | None) -> str | None:
    """Return the endpoint of an S3 store: the one given, or the environment's; None: AWS."""
    env = os.environ
    return endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None


def region_of(region: str | None) -> str:
    """Return the region of an S3 store: the one given, or the environment's."""
    return (
        region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or "us-east-1"
    )


def read_credentials(path: Path) -> "S3Credentials":
    """Return the access key in a TOML file.

    The file holds `access_key`, `secret_key` and, optionally, `session_token`. Raises ConfigError
    where the file cannot be read, others can read it or its content is wrong; no error shows a
    value.
    """
    from hyperfed.storage.s3 import S3Credentials

    subject = str(path)
    text = read_private(
        path, what="access key", max_bytes=1 << 16, remedy="Check [store] access_key_file"
    )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # the cause is left out: it may quote a line, and that line may be the secret
        raise ConfigError(
            "is not TOML",
            subject=subject,
            remedy='It holds two lines: access_key = "..." and secret_key = "..."',
        ) from None
    unknown = sorted(set(document) - set(_CREDENTIAL_NAMES))
    if unknown:
        raise ConfigError(
            f"unknown name {unknown[0]!r:.60}",
            subject=subject,
            remedy=f"Use only {', '.join(_CREDENTIAL_NAMES)}",
        )
    for name in _CREDENTIAL_NAMES[:2]:
        if not isinstance(document.get(name), str) or not document[name]:
            raise ConfigError(
                f"{name} is missing or no text",
                subject=subject,
                remedy='It holds two lines: access_key = "..." and secret_key = "..."',
            )
    token = document.get("session_token")
    if token is not None and not isinstance(token, str):
        raise ConfigError("session_token is no text", subject=subject)
    return S3Credentials(
        access_key=document["access_key"], secret_key=document["secret_key"], session_token=token
    )
