"""Read finished edges from a file or a frame, for an `Engine` whose discovery was done elsewhere.

The columns are source, target, lag, effect, confidence, stability; optional are hits, n, and ci_low
with ci_high, or std_error. Source and target are names.

1. A file is read as data are (`reading`), and its numbers by the same rule. An error names file,
   line and column, and what would be right. A variable that the round does not know is an error,
   and is not silently left out.
2. An interval is effect +- 1.96 standard errors. A column dof means that it is a t interval with so
   many degrees of freedom, which `Discovery` converts. Empty cells in ci_low and ci_high, or in
   std_error, mean that nothing is known of this edge.
3. The variables measured and the lags looked at are those that the caller names, by default those
   that occur. An edge that is not reported between measured variables, at a lag that was looked at,
   is a vote against it. A file of `hyperfed discover` names them itself, with all that was found
   beside its edges, in lines before the header (`remarks`). A column `endpoints` has the marks.
4. An effect is in units of the target for one of the source. Where the user says how variables
   become the round's units, effects and intervals are converted (`units`).
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from hyperfed.engines.base import Discovery
from hyperfed.engines.readers.numbers import MARKERS, NotANumber, plain_number
from hyperfed.engines.readers.reading import DataSource, open_sheet
from hyperfed.engines.readers.remarks import Remarks
from hyperfed.engines.readers.sheet import Form, Sheet, clean_name, listed
from hyperfed.engines.readers.units import Units
from hyperfed.engines.structure import ENDPOINTS, Interaction
from hyperfed.errors import EngineError
from hyperfed.tables.vocabulary import Variable, Vocabulary

__all__ = ["EdgesFile"]

_REQUIRED = ("source", "target", "lag", "effect", "confidence", "stability")
_OPTIONAL = ("hits", "n", "ci_low", "ci_high", "std_error", "dof", "endpoints")
_LARGEST = {"lag": (1 << 16) - 1, "hits": (1 << 32) - 1, "n": (1 << 53) - 1, "dof": (1 << 53) - 1}
_UNKNOWN = ("ci_low", "ci_high", "std_error")  # an empty cell means: not known


class EdgesFile:
    """Reads its edges from a file or a frame, as an `Engine`.

    `variables` are the round's. `measured` are those that this client measured, and `lags` those
    that it looked at; None means those that occur. `form` and `units` are what the user says about
    the file. Raises EngineError where one is not a variable of the round.
    """

    def __init__(
        self,
        source: DataSource,
        *,
        variables: Vocabulary | Sequence[str],
        measured: Sequence[str] | None = None,
        lags: Sequence[int] | None = None,
        form: Form | None = None,
        units: Units | None = None,
    ) -> None:
        self.source, self.form, self.units = source, form, units or Units()
        self.lags, self._remarks = lags, Remarks()
        entries = variables.variables if isinstance(variables, Vocabulary) else ()
        self._entries: dict[str, Variable] = {entry.name: entry for entry in entries}
        names = variables.names if isinstance(variables, Vocabulary) else tuple(variables)
        self.variables = {clean_name(name): name for name in names}
        self._known, self._columns = listed(names), frozenset[str]()
        self.subject, self.word, self._decimal = "edges", "line", "."
        for name in (*(measured or ()), *self.units.said, *self.units.convert):
            if clean_name(name) not in self.variables:
                raise EngineError(
                    "unknown variable",
                    subject=f"--measured, --unit or --convert {name!r:.80}",
                    remedy=f"The round's vocabulary has: {self._known}",
                )
        self.measured = None
        if measured is not None:
            self.measured = tuple(
                dict.fromkeys(self.variables[clean_name(name)] for name in measured)
            )

    def discover(self) -> Discovery:
        """Return the file's edges.

        Raises ConfigError where the file cannot be read, EngineError where a cell cannot be used.
        """
        rows = list(self._rows())
        notes = self._convert(rows)
        named = tuple(
            dict.fromkeys(name for row in rows for name in (row["source"], row["target"]))
        )
        variables = named if self.measured is None else self.measured
        for name in named:
            if name not in variables:
                raise EngineError(
                    f"has an edge of {name!r:.80}, which --measured does not name",
                    subject=self.subject,
                )
        if not variables:
            raise EngineError(
                "holds no edges, and nothing says what was measured",
                subject=self.subject,
                remedy="Name the variables with --measured",
            )
        for row in rows:
            if self.lags is not None and row["lag"] not in self.lags:
                raise EngineError(
                    f"has an edge at lag {row['lag']}, which --lags does not name",
                    subject=self.subject,
                    remedy="Name all lags that were looked at",
                )
        names = [*_REQUIRED, *(name for name in _OPTIONAL if rows and name in self._columns)]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
        return Discovery(
            variables=variables,
            lags=self.lags,
            notes=(*self._remarks.notes, *notes),
            intervened=self._remarks.intervened,
            bidirected=self._remarks.bidirected,
            interactions=self._interactions(),
            **columns,
        )

    def _interactions(self) -> list[Interaction]:
        """Return the file's interactions in the round's units."""
        conversions = self.units.conversions()

        def factor(name: str) -> float:
            conversion = conversions.get(clean_name(name))
            return conversion.factor if conversion else 1.0

        interactions = []
        for one in self._remarks.interactions:
            times = factor(one.target) / math.prod(map(factor, one.sources))
            error = None if one.std_error is None else one.std_error * abs(times)
            interactions.append(
                dataclasses.replace(one, effect=one.effect * times, std_error=error)
            )
        return interactions

    def _convert(self, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Convert effects and intervals to the round's units; return a note on what nobody said.

        Raises EngineError, ConfigError.
        """
        conversions, stated = self.units.conversions(), self._remarks.units
        named = tuple(dict.fromkeys(row[end] for row in rows for end in ("source", "target")))
        for name in named:
            self.units.check(
                name, stated.get(clean_name(name), ""), self._entries.get(name), self.subject
            )
        for row in rows if conversions else ():
            target, source = (conversions.get(clean_name(row[end])) for end in ("target", "source"))
            factor = (target.factor if target else 1.0) / (source.factor if source else 1.0)
            ends = [row[name] for name in ("ci_low", "ci_high")]
            if factor < 0:
                ends.reverse()
            for name, value in zip(("ci_low", "ci_high"), ends, strict=True):
                row[name] = None if value is None else value * factor
            row["effect"] *= factor
            if row["std_error"] is not None:
                row["std_error"] *= abs(factor)
        with_unit = {*self.units.said, *conversions, *stated}
        untold = [name for name in named if clean_name(name) not in with_unit and self._unit(name)]
        if not untold:
            return ()
        unit = self._unit(untold[0])
        return (
            f"effects of {listed(untold)} are taken to be in the round's units ({untold[0]} in "
            f"{unit}); where they are not, give --unit and --convert",
        )

    def _unit(self, name: str) -> str:
        """Return the unit in which the round counts a variable, or an empty text."""
        entry = self._entries.get(name)
        return "" if entry is None else entry.unit

    def _rows(self) -> Iterator[dict[str, Any]]:
        with open_sheet(self.source, self.form) as sheet:
            self.subject, self.word = sheet.subject, sheet.row_word
            yield from self._parse(sheet)

    def _parse(self, sheet: Sheet) -> Iterator[dict[str, Any]]:
        header = list(sheet.header)
        self._read_comments(sheet.comments)
        self._check_header(header)
        self._columns = frozenset(header)
        line_of: dict[tuple[str, str, int], int] = {}
        try:
            sheet.first()
        except EngineError:
            return  # no edges: a statement about what was measured
        columns_read = sheet.take([], range(len(header)))
        self._decimal = columns_read.decimal
        for line, cells in zip(
            columns_read.rows, zip(*columns_read.texts, strict=True), strict=True
        ):
            row = self._row(dict(zip(header, (cell.strip() for cell in cells), strict=True)), line)
            key = (row["source"], row["target"], row["lag"])
            if key in line_of:
                raise self._wrong(
                    line,
                    "",
                    f"the edge {key[0]} -> {key[1]} at lag {key[2]} is in "
                    f"{self.word} {line_of[key]} "
                    "already",
                )
            line_of[key] = line
            yield row

    def _read_comments(self, comments: Sequence[str]) -> None:
        """Keep what the file itself says. What the caller says counts more. Raises EngineError."""
        self._remarks = Remarks.read(comments, subject=self.subject, variables=self.variables)
        if self.measured is None:
            self.measured = self._remarks.measured
        if self.lags is None:
            self.lags = self._remarks.lags

    def _check_header(self, header: list[str]) -> None:
        """Raise EngineError where a column is missing, unknown, given twice or misplaced."""
        remedy = (
            f"Line 1 names the columns {', '.join(_REQUIRED)}; {', '.join(_OPTIONAL)} may follow"
        )
        for name in _REQUIRED:
            if name not in header:
                raise EngineError(f"has no column {name!r}", subject=self.subject, remedy=remedy)
        for name in header:
            if name not in (*_REQUIRED, *_OPTIONAL):
                raise EngineError(
                    f"has a column {name!r:.60}, which edges do not have",
                    subject=self.subject,
                    remedy=remedy,
                )
            if header.count(name) > 1:
                raise EngineError(
                    f"names column {name!r} twice", subject=self.subject, remedy=remedy
                )
        if ("ci_low" in header) != ("ci_high" in header):
            raise EngineError(
                "ci_low and ci_high come together or not at all",
                subject=self.subject,
                remedy=remedy,
            )
        if "std_error" in header and "ci_low" in header:
            raise EngineError(
                "std_error takes the place of ci_low and ci_high",
                subject=self.subject,
                remedy="Leave one of them out",
            )
        if "dof" in header and "ci_low" not in header:
            raise EngineError(
                "dof says what ci_low and ci_high were taken from, and there are none",
                subject=self.subject,
                remedy=remedy,
            )

    def _row(self, cells: dict[str, str], line: int) -> dict[str, Any]:
        """Return one row's values, checked. Raises EngineError."""
        row: dict[str, Any] = {}
        for name in ("source", "target"):
            if clean_name(cells[name]) not in self.variables:
                raise EngineError(
                    f"{self.word} {line}, column {name!r}: unknown variable {cells[name]!r:.80}",
                    subject=self.subject,
                    remedy=f"The round's vocabulary has: {self._known}",
                )
            row[name] = self.variables[clean_name(cells[name])]
        row["endpoints"] = cells.get("endpoints", "")
        if row["endpoints"] not in ENDPOINTS:
            raise self._wrong(line, "endpoints", f"{row['endpoints']!r:.40} is no pair of marks")
        for name in ("lag", "hits", "n", "dof"):
            row[name] = self._whole(cells[name], name, line) if name in cells else None
        for name in ("effect", "confidence", "stability", *_UNKNOWN):
            unknown = name not in cells or (name in _UNKNOWN and cells[name].casefold() in MARKERS)
            row[name] = None if unknown else self._number(cells[name], name, line)
        for name in ("confidence", "stability"):
            if not 0 <= row[name] <= 1:
                raise self._wrong(line, name, f"{row[name]:g} is outside [0, 1]")
        if row["lag"] == 0 and row["source"] == row["target"]:
            raise self._wrong(line, "lag", f"{row['source']} acts on itself at lag 0")
        if (row["ci_low"] is None) != (row["ci_high"] is None):
            raise self._wrong(
                line,
                "ci_low" if row["ci_low"] is None else "ci_high",
                "is empty where the interval's other end is not",
            )
        if row["std_error"] is not None and row["std_error"] < 0:
            raise self._wrong(line, "std_error", f"{row['std_error']:g} is below 0")
        if row["dof"] == 0:
            raise self._wrong(line, "dof", "0 is below 1")
        if row["ci_low"] is not None and not row["ci_low"] <= row["effect"] <= row["ci_high"]:
            raise self._wrong(
                line,
                "effect",
                f"{row['effect']:g} is not inside its interval [{row['ci_low']:g}, "
                f"{row['ci_high']:g}]",
            )
        return row

    def _number(self, text: str, name: str, line: int) -> float:
        try:
            return plain_number(text, decimal=self._decimal)
        except NotANumber as exc:
            problem, remedy = exc.problem, exc.remedy
            raise self._wrong(line, name, problem, remedy) from None

    def _whole(self, text: str, name: str, line: int) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > _LARGEST[name]:
            raise self._wrong(
                line, name, f"{text!r:.40} is not a whole number from 0 to {_LARGEST[name]}"
            )
        return int(text)

    def _wrong(
        self, line: int, column: str, problem: str, remedy: str = "Correct the file"
    ) -> EngineError:
        """Return the error for a line of the file."""
        where = f"{self.word} {line}, column {column!r}: " if column else f"{self.word} {line}: "
        return EngineError(
            where + problem, subject=self.subject, remedy=f"{remedy}; nothing was sent"
        )
