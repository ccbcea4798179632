"""Edges from a CSV file of the user's own: an `Engine` whose discovery was done elsewhere.

Columns: source, target, lag, effect, confidence, stability; optional hits, n, and ci_low with ci_high. Source and target are names.

1. An error names file, line and column, and what would be right. A variable that the round does not know is an error, not left out in silence.
2. Measured is what the caller names, else what occurs: an edge that is not reported between measured variables is a vote against it.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperfed.engines.base import Discovery
from hyperfed.errors import ConfigError, EngineError

__all__ = ["EdgesFile"]

_REQUIRED = ("source", "target", "lag", "effect", "confidence", "stability")
_OPTIONAL = ("hits", "n", "ci_low", "ci_high")
_LARGEST = {"lag": (1 << 16) - 1, "hits": (1 << 32) - 1, "n": (1 << 53) - 1}


class EdgesFile:
    """An engine that reads its edges. variables: the round's; measured: those this client measured, None: those that occur. Raises ConfigError, EngineError."""

    def __init__(self, path: Path, *, variables: Sequence[str], measured: Sequence[str] | None = None) -> None:
        self.path, self.variables = path, frozenset(variables)
        self._known = ", ".join(list(variables)[:12]) + (" ..." if len(variables) > 12 else "")
        for name in measured or ():
            if name not in self.variables:
                raise EngineError("unknown variable", subject=f"--measured {name!r:.80}", remedy=f"The round's vocabulary has: {self._known}")
        self.measured = None if measured is None else tuple(dict.fromkeys(measured))

    def discover(self) -> Discovery:
        """The file's edges. Raises ConfigError where it cannot be read, EngineError where a cell cannot be used."""
        rows = list(self._rows())
        named = tuple(dict.fromkeys(name for row in rows for name in (row["source"], row["target"])))
        variables = named if self.measured is None else self.measured
        for name in named:
            if name not in variables:
                raise EngineError(f"has an edge of {name!r:.80}, which --measured does not name", subject=str(self.path))
        if not variables:
            raise EngineError("holds no edges, and nothing says what was measured", subject=str(self.path), remedy="Name the variables with --measured")
        names = [*_REQUIRED, *(name for name in _OPTIONAL if rows and rows[0][name] is not None)]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
        return Discovery(variables=variables, **columns)

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as stream:
                yield from self._parse(stream)
        except OSError as exc:
            raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(self.path), remedy="Check the path and its permissions") from exc
        except UnicodeDecodeError as exc:
            raise EngineError("is not UTF-8 text", subject=str(self.path), remedy="Edges are a CSV file; save it as UTF-8") from exc
        except csv.Error as exc:
            raise EngineError(f"is not CSV: {exc}", subject=str(self.path)) from exc

    def _parse(self, stream: Any) -> Iterator[dict[str, Any]]:
        reader = csv.reader(stream, strict=True)
        header = [name.strip() for name in next(reader, [])]
        self._check_header(header)
        seen: dict[tuple[str, str, int], int] = {}
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise self._wrong(reader.line_num, "", f"{len(cells)} cells where the header has {len(header)}")
            row = self._row(dict(zip(header, (cell.strip() for cell in cells), strict=True)), reader.line_num)
            key = (row["source"], row["target"], row["lag"])
            if key in seen:
                raise self._wrong(reader.line_num, "", f"the edge {key[0]} -> {key[1]} at lag {key[2]} is in line {seen[key]} already")
            seen[key] = reader.line_num
            yield row

    def _check_header(self, header: list[str]) -> None:
        remedy = f"Line 1 names the columns {', '.join(_REQUIRED)}; {', '.join(_OPTIONAL)} may follow"
        for name in _REQUIRED:
            if name not in header:
                raise EngineError(f"has no column {name!r}", subject=str(self.path), remedy=remedy)
        for name in header:
            if name not in (*_REQUIRED, *_OPTIONAL):
                raise EngineError(f"has a column {name!r:.60}, which edges do not have", subject=str(self.path), remedy=remedy)
            if header.count(name) > 1:
                raise EngineError(f"names column {name!r} twice", subject=str(self.path), remedy=remedy)
        if ("ci_low" in header) != ("ci_high" in header):
            raise EngineError("ci_low and ci_high come together or not at all", subject=str(self.path), remedy=remedy)

    def _row(self, cells: dict[str, str], line: int) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name in ("source", "target"):
            if cells[name] not in self.variables:
                raise EngineError(
                    f"line {line}, column {name!r}: unknown variable {cells[name]!r:.80}",
                    subject=str(self.path),
                    remedy=f"The round's vocabulary has: {self._known}",
                )
            row[name] = cells[name]
        for name in ("lag", "hits", "n"):
            row[name] = self._whole(cells[name], name, line) if name in cells else None
        for name in ("effect", "confidence", "stability", "ci_low", "ci_high"):
            row[name] = self._number(cells[name], name, line) if name in cells else None
        for name in ("confidence", "stability"):
            if not 0 <= row[name] <= 1:
                raise self._wrong(line, name, f"{row[name]:g} is outside [0, 1]")
        if row["lag"] == 0 and row["source"] == row["target"]:
            raise self._wrong(line, "lag", f"{row['source']} acts on itself at lag 0")
        if row["ci_low"] is not None and not row["ci_low"] <= row["effect"] <= row["ci_high"]:
            raise self._wrong(line, "effect", f"{row['effect']:g} is not inside its interval [{row['ci_low']:g}, {row['ci_high']:g}]")
        return row

    def _number(self, text: str, name: str, line: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self._wrong(line, name, f"{text!r:.40} is not a finite number")
        return value

    def _whole(self, text: str, name: str, line: int) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > _LARGEST[name]:
            raise self._wrong(line, name, f"{text!r:.40} is not a whole number from 0 to {_LARGEST[name]}")
        return int(text)

    def _wrong(self, line: int, column: str, problem: str) -> EngineError:
        where = f"line {line}, column {column!r}: " if column else f"line {line}: "
        return EngineError(where + problem, subject=str(self.path), remedy="Correct the file; nothing was sent")
