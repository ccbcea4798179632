"""Read and write the small files of ceremonies: enrolments, drafts, signatures, public keys.

The drafts and signatures are the registry's.

1. What is signed is binary. On paper, in mail and on a stick it travels as text between BEGIN and
   END lines ("armour").
2. A file is created exclusively, or replaced at once or not at all. No half-written file is left
   behind.

What it does not do: verify what the files hold (`hyperfed.registry.enrolment`,
`hyperfed.registry.registry`).
"""

import base64
import binascii
import json
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hyperfed.errors import ConfigError
from hyperfed.storage.local_files import write_durably

if TYPE_CHECKING:
    from hyperfed.crypto.keys import PublicKeys

__all__ = [
    "Armour",
    "before_in",
    "create",
    "public_keys_text",
    "read_armour",
    "read_bytes",
    "read_public_keys",
    "replace_file",
    "unwrap",
    "wrap",
]

_MAX_FILE_BYTES = 64 << 20
_PUBLIC_FORMAT = "hyperfed-public-key/1"


class Armour(StrEnum):
    """Describes what an armoured file holds, in the words of its BEGIN and END lines."""

    ENROLMENT = "HYPERFED ENROLMENT"
    DRAFT = "HYPERFED UNSIGNED REGISTRY"
    REGISTRY = "HYPERFED REGISTRY"
    BEFORE = "HYPERFED REGISTRY BEFORE"
    """The version before, beside a draft: a root sees what differs, without a network."""


def wrap(kind: Armour, data: bytes) -> str:
    """Return `data` as text between the BEGIN and END lines of `kind`."""
    lines = textwrap.wrap(base64.b64encode(data).decode(), 76)
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def unwrap(text: str, *kinds: Armour, subject: str) -> tuple[Armour, bytes]:
    """Return the kind and the bytes of an armoured text.

    The kind is one of `kinds`. Text before and after the armour is ignored. Raises ConfigError,
    which names `subject`, for another kind and for text that is damaged or not armoured.
    """
    lines = [line.strip() for line in text.splitlines()]
    expected = " or ".join(f"a {kind.lower()}" for kind in kinds)
    for kind in (*kinds, *(other for other in Armour if other not in kinds)):
        begin, end = f"-----BEGIN {kind}-----", f"-----END {kind}-----"
        if begin in lines and end in lines[lines.index(begin) :]:
            if kind not in kinds:
                raise ConfigError(
                    f"is a {kind.lower()}", subject=subject, remedy=f"Give {expected} in its place"
                )
            first = lines.index(begin)
            try:
                return kind, base64.b64decode(
                    "".join(lines[first + 1 : lines.index(end, first)]), validate=True
                )
            except (ValueError, binascii.Error) as exc:
                raise ConfigError(
                    "is damaged between its BEGIN and END lines",
                    subject=subject,
                    remedy="Copy the whole file again",
                ) from exc
    raise ConfigError(
        f"is not {expected}",
        subject=subject,
        remedy="Copy the whole file, with its BEGIN and its END line",
    )


def read_armour(path: Path, *kinds: Armour) -> tuple[Armour, bytes]:
    """Return the kind and the bytes of an armoured file.

    The kind is one of `kinds`. Raises ConfigError.
    """
    return unwrap(_read(path), *kinds, subject=str(path))


def before_in(path: Path) -> bytes:
    """Return the version before that lies beside a draft or signature; empty where there is none.

    Raises ConfigError for a file that cannot be read, or is damaged.
    """
    text = _read(path)
    if f"-----BEGIN {Armour.BEFORE}-----" not in [line.strip() for line in text.splitlines()]:
        return b""
    return unwrap(text, Armour.BEFORE, subject=str(path))[1]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file. Raises ConfigError where it is too large or cannot be read."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"is larger than {_MAX_FILE_BYTES} bytes", subject=str(path))
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}",
            subject=str(path),
            remedy="Check the path and its permissions",
        ) from exc


def _read(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(
            "is not text", subject=str(path), remedy="Give a file that hyperfed wrote"
        ) from exc


def create(path: Path, content: str | bytes) -> None:
    """Write a new file.

    Raises ConfigError where it exists: what people compare and sign is not overwritten.
    """
    _write(path, content.encode() if isinstance(content, str) else content, must_be_new=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, and replace one that exists at once or not at all. Raises ConfigError."""
    _write(path, data, must_be_new=False)


def _write(path: Path, data: bytes, *, must_be_new: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(path)) from exc
    write_durably(
        path,
        data,
        error=ConfigError,
        remedy="Choose a path that can be written",
        must_be_new=must_be_new,
        mode=0o666,  # others may read what is compared, signed and sent
    )


def public_keys_text(keys: "PublicKeys") -> str:
    """Return the text of a public key file, which others may see."""
    return json.dumps({"format": _PUBLIC_FORMAT, "public": keys.to_json()}, indent=1) + "\n"


def read_public_keys(path: Path) -> "PublicKeys":
    """Return the public keys in a `.pub` file, or in a key file, whose public half is not secret.

    Raises ConfigError, RegistryError.
    """
    from hyperfed.crypto.keys import PublicKeys

    try:
        document = json.loads(_read(path))
        public = document["public"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError(
            "is not a public key file",
            subject=str(path),
            remedy="Give the file ending in .pub, which `hyperfed keygen` writes beside the key",
        ) from exc
    return PublicKeys.from_json(public, str(path))
