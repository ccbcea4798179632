"""From an address to an object store: `open_store("s3://bucket/prefix")`.

1. s3://bucket/prefix is any S3 store (endpoint: None for AWS), file:///folder a mounted share. `memory:` is refused: nobody else could read it.
2. Passing faults are tried again (`PatientStore`); an address that cannot be meant raises ConfigError before any request.
3. Credentials come from a file that only its owner can read, or from the environment (boto3's own chain). They are never shown.
4. An adapter is imported when its address is opened: a client on a share never pays for boto3. Where the extra `fast` is installed, bulk work on S3 goes
   through obstore (`adapters.obstore_reads`).

What it does not do: prove that the store is fit (`store_probe`), decide what is read or written there.
"""

import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hyperfed.errors import ConfigError
from hyperfed.patience import PatientStore
from hyperfed.store import ObjectStore

if TYPE_CHECKING:
    from hyperfed.adapters.s3 import S3Credentials

__all__ = ["open_store", "read_credentials"]

_REMEDY = "Write it as s3://bucket/prefix or file:///path/to/folder"
_CREDENTIAL_NAMES = ("access_key", "secret_key", "session_token")


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    access_key_file: Path | None = None,
    base: Path | None = None,
    attempts: int = 6,
    request_attempts: int = 4,
    read_timeout_s: float = 60.0,
) -> ObjectStore:
    """The store at `url`, patient with passing faults. No request is made here. Raises ConfigError.

    endpoint, region: of an S3 store; access_key_file: its credentials, None: the environment decides.
    base: the folder that a relative `file:` path starts from (the working directory).
    attempts: tries of each call; request_attempts: tries of one HTTP request within a call, by boto3.
    """
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme == "memory":
        raise ConfigError(
            "a store in memory ends with this process, and nobody else can read it",
            subject=repr(url)[:120],
            remedy="To try things out use file:///path/to/folder",
        )
    if scheme == "file":
        return PatientStore(_open_folder(url, endpoint=endpoint, region=region, base=base), attempts=attempts)
    if scheme == "s3":
        known = read_credentials(access_key_file) if access_key_file else None
        return PatientStore(
            _open_s3(url, endpoint=endpoint, region=region, known=known, attempts=request_attempts, read_timeout_s=read_timeout_s), attempts=attempts
        )
    raise ConfigError("not the address of an object store", subject=repr(_without_secrets(url))[:120], remedy=_REMEDY)


def _without_secrets(url: str) -> str:
    """The address without what stands before an '@'."""
    return url.rpartition("@")[2]


def _open_folder(url: str, *, endpoint: str | None, region: str | None, base: Path | None) -> ObjectStore:
    from hyperfed.adapters.filesystem import FilesystemStore

    if endpoint or region:
        raise ConfigError("an endpoint or a region belongs to an S3 store, not to a folder", subject=repr(url)[:120], remedy="Leave it out, or use s3://")
    rest = url.partition(":")[2]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise ConfigError(f"names a host, {host!r:.60}", subject=repr(url)[:120], remedy="Mount the share and write file:///path, with three slashes")
        rest = slash + path
    path_text = unquote(rest)
    if not path_text or "\0" in path_text:
        raise ConfigError("names no folder", subject=repr(url)[:120], remedy=_REMEDY)
    return FilesystemStore((base or Path.cwd()) / path_text)


def _open_s3(url: str, *, endpoint: str | None, region: str | None, known: "S3Credentials | None", attempts: int, read_timeout_s: float) -> ObjectStore:
    from hyperfed.adapters.obstore_reads import FastS3Store, is_installed
    from hyperfed.adapters.s3 import S3Limits, S3Store

    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError(
            "an address must not carry credentials",
            subject=repr(_without_secrets(url))[:120],
            remedy="Put them into the file that [store] access_key_file names, or into the environment",
        )
    if not parts.netloc or parts.query or parts.fragment:
        raise ConfigError("not the address of a bucket", subject=repr(url)[:120], remedy=_REMEDY)
    limits = S3Limits(max_attempts=attempts, read_timeout_s=read_timeout_s)
    kind = FastS3Store if is_installed() else S3Store
    return kind(parts.netloc, prefix=parts.path, endpoint_url=endpoint or None, region=region or _region(), credentials=known, limits=limits)


def _region() -> str:
    """As boto3 would choose it, without reading a profile."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def read_credentials(path: Path) -> "S3Credentials":
    """The access key in a TOML file of `access_key`, `secret_key` and, if there is one, `session_token`. Raises ConfigError, never showing a value."""
    from hyperfed.adapters.s3 import S3Credentials

    subject = str(path)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"the credentials cannot be read: {exc.strerror}", subject=subject, remedy="Check [store] access_key_file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # without the cause: it may quote the line, and the line may be the secret
        raise ConfigError("is not TOML", subject=subject, remedy='It holds two lines: access_key = "..." and secret_key = "..."') from None
    if mode & 0o077:
        raise ConfigError(
            f"others can read these credentials (mode {mode:o})", subject=subject, remedy=f"chmod 600 {path}; if others had access, make new ones"
        )
    unknown = sorted(set(document) - set(_CREDENTIAL_NAMES))
    if unknown:
        raise ConfigError(f"unknown name {unknown[0]!r:.60}", subject=subject, remedy=f"It may hold {', '.join(_CREDENTIAL_NAMES)}")
    for name in _CREDENTIAL_NAMES[:2]:
        if not isinstance(document.get(name), str) or not document[name]:
            raise ConfigError(f"{name} is missing or no text", subject=subject, remedy='It holds two lines: access_key = "..." and secret_key = "..."')
    token = document.get("session_token")
    if token is not None and not isinstance(token, str):
        raise ConfigError("session_token is no text", subject=subject)
    return S3Credentials(access_key=document["access_key"], secret_key=document["secret_key"], session_token=token)
