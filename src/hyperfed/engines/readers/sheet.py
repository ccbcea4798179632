"""Define what every source of data looks like to a reader: a header, and columns below it.

1. A `Sheet` is read once: `take` gives the wanted columns as numbers, others as text, and where
   each row stands, so that an error names the line.
2. Names are compared in NFC, without the blanks around them: what looks the same is the same.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.errors import ConfigError, EngineError

__all__ = ["Form", "Sheet", "Taken", "clean_name", "listed", "no_rows", "title_of"]

_SHOWN = 12
_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "blank": " ", "pipe": "|"}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Says how a file is written, where that is not left to be recognised.

    Raises ConfigError where it says something that no file does.
    """

    delimiter: str | None = None
    """What stands between cells: one character, or "tab"; None recognises it."""
    decimal: str | None = None
    """The decimal sign, "." or ","; None recognises it."""
    missing: tuple[str, ...] = ()
    """What means a missing value, beside the usual markers: "-999", "refused"."""

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _WORDS.get(self.delimiter, self.delimiter))
            if len(self.delimiter) != 1 or self.delimiter in '"\r\n.0123456789+-':
                raise ConfigError(
                    f"{self.delimiter!r:.20} separates no cells",
                    subject="--delimiter",
                    remedy="Give one character, such as ; or |, or the word tab",
                )
        if self.decimal not in (None, ".", ","):
            raise ConfigError(
                f"{self.decimal!r:.20} is no decimal sign",
                subject="--decimal",
                remedy="Give . or ,",
            )
        if self.delimiter == "," and self.decimal == ",":
            raise ConfigError(
                "a comma separates cells or decimals, not both",
                subject="--decimal",
                remedy="Give the delimiter that the file has, such as --delimiter ';'",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Holds what was read below the header."""

    values: Floats
    """float64[rows, wanted columns]; NaN where a value is missing."""
    texts: list[list[str]]
    """The cells of the columns that were taken as text, a list for each."""
    rows: Sequence[int]
    """The number of each row in its source: the line of a file, the row of a frame."""
    decimal: str = "."
    """The decimal sign of the numbers in the text."""


class Sheet(Protocol):
    """Describes a table that is open."""

    subject: str
    """The name that errors use for the source."""
    row_word: str
    """What a row is called with its number: "line" or "row"."""
    header: tuple[str, ...]
    """The names of the columns, cleaned; one may be empty."""
    comments: tuple[str, ...]
    """The lines before the header that begin with #, without it."""
    notes: list[str]
    """What was recognised rather than said."""

    def first(self) -> Sequence[str]:
        """Return the cells of the first row as text. Raises EngineError where there is none."""
        ...  # pragma: no cover

    def take(self, number_columns: Sequence[int], texts: Sequence[int]) -> Taken:
        """Return the wanted columns as numbers, and others as text. Raises EngineError."""
        ...  # pragma: no cover


def clean_name(name: str) -> str:
    """Return a name in NFC, without the blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def listed(names: Sequence[str]) -> str:
    """Return the first names, as one line."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def title_of(header: Sequence[str], column: int) -> str:
    """Return what a column is called in messages."""
    return repr(header[column])[:80] if header[column] else f"{column + 1}, without a name"


def no_rows(subject: str) -> EngineError:
    """Return the error for a source without rows."""
    return EngineError("holds no rows", subject=subject, remedy="Write the data below the names")
