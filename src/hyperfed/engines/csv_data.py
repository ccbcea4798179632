"""Reads a table of numbers from a CSV file for an engine: header line, one row a time step, oldest first.

Errors name file, line and column. No pandas. It does not fill in missing values: that is a decision about the data.
"""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperfed.errors import ConfigError, EngineError

__all__ = ["read_csv"]


def read_csv(path: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """(names, float64[rows, columns]) of a UTF-8 CSV file; `columns` picks and orders some (others may hold dates or texts).

    Raises ConfigError where the file cannot be read, EngineError where what it holds cannot be used.
    """
    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return _parse(str(file), csv.reader(stream, strict=True), columns)
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(file), remedy="Check the path and its permissions") from exc
    except UnicodeDecodeError as exc:
        raise EngineError("is not UTF-8 text", subject=str(file), remedy="Save it as UTF-8") from exc


def _parse(subject: str, reader: "csv.Reader", columns: Sequence[str] | None) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:  # type: ignore[name-defined,unused-ignore]
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise EngineError("line 1 must hold the column names", subject=subject)
        for name in header:
            if not name or header.count(name) > 1:
                raise EngineError(f"line 1: column {'without a name' if not name else repr(name) + ' is named twice'}", subject=subject)
        wanted = list(header if columns is None else columns)
        missing = [name for name in wanted if name not in header]
        if missing:
            raise EngineError(f"has no column {missing[0]!r}", subject=subject, remedy=f"It has: {', '.join(header[:12])}")
        at = [header.index(name) for name in wanted]
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise EngineError(f"line {reader.line_num} has {len(cells)} cells where the header has {len(header)}", subject=subject)
            rows.append([_number(subject, reader.line_num, header[i], cells[i]) for i in at])
    except csv.Error as exc:
        raise EngineError(f"line {reader.line_num}: {exc}", subject=subject) from exc
    if not rows:
        raise EngineError("holds no rows", subject=subject)
    return tuple(wanted), np.array(rows, dtype=np.float64)


def _number(subject: str, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    what = "is empty" if not text.strip() else f"holds {text.strip()!r:.40}, not a finite number"
    raise EngineError(f"line {line}, column {column!r} {what}", subject=subject, remedy="Fill the gap, or pick other columns")
