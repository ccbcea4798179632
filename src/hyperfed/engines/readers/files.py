"""Open a file of data: find which kind it is, and the text in it.

1. A file is read once, from start to end, so it may be a pipe; "-" is the standard input.
2. Its first bytes say what it is, not its name: gzip is unpacked; Parquet and Arrow files are read
   as such (`arrow`); a spreadsheet, an archive or a picture is refused with what to do.
3. Text is UTF-8 with or without a byte-order mark, or UTF-16 as Excel and PowerShell write it. Any
   other encoding is refused with the byte: guessed letters make other names.

What it does not do: split text into cells (`delimited`).
"""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from hyperfed.errors import ConfigError, EngineError

__all__ = ["STDIN", "OpenedFile", "opened"]

STDIN = "-"
"""The name that stands for the standard input."""
_HEAD = 1 << 16
_KINDS = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"PK\x03\x04", "a spreadsheet or an archive (zip)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"),
)
_TABLES = ("parquet", "arrow")


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """Holds an open file and what its first bytes say of it."""

    subject: str
    """The name that errors use for the file."""
    kind: str
    """"text", "parquet" or "arrow"."""
    stream: BinaryIO
    """The file's bytes from the start, unpacked where it was gzip."""
    head: bytes
    """Its first bytes, at most 64 KiB."""

    def text(self) -> TextIO:
        """Return the file's text, whose line ends stay as they are. Raises EngineError."""
        return io.TextIOWrapper(
            cast("io.BufferedReader", self.stream), encoding=self._encoding(), newline=""
        )

    def _encoding(self) -> str:
        head = self.head
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        some = head[:4096]
        if b"\0" not in some:
            return "utf-8-sig"
        zeros = some[1::2].count(0), some[0::2].count(0)
        for count, encoding in zip(zeros, ("utf-16-le", "utf-16-be"), strict=True):
            if count > len(some) // 4:
                return encoding
        raise EngineError(
            "holds bytes that no text has",
            subject=self.subject,
            remedy="Save the data as CSV, UTF-8",
        )


class _Joined(io.RawIOBase):
    """Reads the bytes that were looked at, then the rest of the stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = memoryview(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast("bytearray", buffer)).cast("B")
        if self._head:
            count = min(len(target), len(self._head))
            target[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        data = self._rest.read(len(target))
        target[: len(data)] = data
        return len(data)


def _looked_at(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """Return the first bytes of a stream, and a stream that begins with them."""
    head = stream.read(_HEAD)
    return head, cast("BinaryIO", io.BufferedReader(_Joined(head, stream), 1 << 18))


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[OpenedFile]:
    """Yield a file, open. An error that occurs while it is read names it.

    Raises ConfigError where it cannot be read, EngineError where it is no table.
    """
    path_text = os.fspath(path)
    subject = "standard input" if path_text == STDIN else str(Path(path_text))
    try:
        if path_text == STDIN:
            yield _kind_of(subject, sys.stdin.buffer)
            return
        with Path(path_text).open("rb") as stream:
            yield _kind_of(subject, stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise EngineError(
            f"is a damaged gzip file: {exc}", subject=subject, remedy="Copy it again"
        ) from exc
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror or exc}",
            subject=subject,
            remedy="Check the path and its permissions",
        ) from exc
    except UnicodeDecodeError as exc:
        raise EngineError(
            f"is not text in {exc.encoding.upper()}: {_culprit(exc)}",
            subject=subject,
            remedy="Save the data as CSV, UTF-8 (Excel: 'CSV UTF-8'): other encodings are not "
            "guessed, since a wrong guess changes names",
        ) from exc


def _culprit(exc: UnicodeDecodeError) -> str:
    """Return the bytes that are no text, with those before them."""
    before = exc.object[max(0, exc.start - 12) : exc.start].decode("ascii", "replace")
    shown = f" after {before!r}" if before.isprintable() and before else ""
    return f"byte 0x{exc.object[exc.start]:02x}{shown}"


def _kind_of(subject: str, stream: BinaryIO) -> OpenedFile:
    """Return a file with what its first bytes say. Raises EngineError for what is no table."""
    head, whole = _looked_at(stream)
    if head.startswith(b"\x1f\x8b"):
        head, whole = _looked_at(cast("BinaryIO", gzip.GzipFile(fileobj=whole)))
    kind = next((name for magic, name in _KINDS if head.startswith(magic)), "text")
    if kind != "text" and kind not in _TABLES:
        raise EngineError(
            f"is {kind}, not a table of data",
            subject=subject,
            remedy="Unpack it, or save the data as CSV, UTF-8; or as Parquet",
        )
    if not head:
        raise EngineError(
            "is empty", subject=subject, remedy="Write a line of names, and rows below"
        )
    return OpenedFile(subject, kind, whole, head)
