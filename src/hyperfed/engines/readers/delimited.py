"""Read text with a delimiter: a line of names, then one row a line, as people and programs do.

1. The delimiter is the one of , ; tab | by which the names and the first rows have the same number
   of cells. Where two do, the user is asked, and nothing is guessed.
2. The decimal sign is a comma only where commas do not separate cells, and cells look like 1,5 and
   none like 1.5. Cells that may be 1,234 in either way are asked about.
3. Before the names may stand `sep=;`, and lines that begin with #.
4. A row with one cell more than there are names has R's row names, or a delimiter at its end. R's
   row names are never the same twice; one more cell in only some rows is an error.
5. Blank lines at the end are ignored, and one between rows is reported. A line of delimiters alone
   is a row without values, and so is a blank line where there is one column.

What it does not do: it does not skip titles, footers or notes, which it cannot tell from data.
"""

import csv
import itertools
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from hyperfed.engines.readers.numbers import Missing, NotANumber, numbers
from hyperfed.engines.readers.sheet import Floats, Form, Taken, clean_name, no_rows, title_of
from hyperfed.errors import EngineError

__all__ = ["DelimitedSheet"]

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_LOOKED_AT = 20  # lines by which the delimiter is recognised
_SAMPLE = 200  # rows by which the decimal sign is recognised
_BATCH = 1 << 14  # cells converted at once
_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?\s*")
_POINT = re.compile(r"\s*[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?\s*")
_GROUP = re.compile(r"\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*")

Row = tuple[int, list[str]]


class DelimitedSheet:
    """Reads an open text, as a `Sheet`.

    Raises EngineError.
    """

    row_word = "line"

    def __init__(self, subject: str, stream: TextIO, form: Form) -> None:
        self.subject, self.form, self.notes = subject, form, list[str]()
        head = _head(stream)
        self._before, stated_delimiter = _preamble(head)
        comments = (line.strip("\ufeff \t\r\n") for line in head[: self._before])
        self.comments = tuple(one[1:].strip() for one in comments if one.startswith("#"))
        rest = head[self._before :]
        if rest:
            rest[0] = rest[0].lstrip("\ufeff")  # a second byte-order mark; decoding takes the first
        delimiter = form.delimiter or stated_delimiter or self._recognised(rest)
        self.delimiter = delimiter
        self._reader = csv.reader(
            itertools.chain(rest, stream), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        self._top, names = next(self._cells(), (1, []))
        if not any(map(str.strip, names)):
            raise EngineError(f"line {self._top} must hold the column names", subject=subject)
        self._names = names
        self._rows = self._checked_rows()
        self._first = next(self._rows, None)
        self.header = tuple(map(clean_name, self._names))

    # -- rows --------------------------------------------------------------------------------------

    def first(self) -> Sequence[str]:
        """Return the cells of the first row. Raises EngineError where there is none."""
        if self._first is None:
            raise no_rows(self.subject)
        return self._first[1]

    def take(self, number_columns: Sequence[int], texts: Sequence[int]) -> Taken:
        """Return the wanted columns as numbers, and others as text. Raises EngineError."""
        self.first()
        rows = itertools.chain([self._first] if self._first else [], self._rows)
        sample = list(itertools.islice(rows, _SAMPLE))
        decimal = self._decimal(sample, number_columns or texts)
        missing = Missing(self.form.missing)
        lines: list[int] = []
        columns: list[list[str]] = [[] for _ in texts]
        parts: list[Floats] = []
        batch: list[str] = []
        pick = _picker(number_columns)
        for line, cells in itertools.chain(sample, rows):
            lines.append(line)
            batch += pick(cells)
            for column, at in zip(columns, texts, strict=True):
                column.append(cells[at])
            if len(batch) >= _BATCH:
                parts.append(self._converted(batch, number_columns, lines, missing, decimal))
                batch = []
        parts.append(self._converted(batch, number_columns, lines, missing, decimal))
        values = np.concatenate(parts).reshape(len(lines), len(number_columns))
        return Taken(values=values, texts=columns, rows=lines, decimal=decimal)

    def _converted(
        self,
        batch: list[str],
        number_columns: Sequence[int],
        lines: list[int],
        missing: Missing,
        decimal: str,
    ) -> Floats:
        """Return the numbers of the last rows. Raises EngineError, which names line and column."""
        try:
            return numbers(batch, missing, decimal=decimal)
        except NotANumber as exc:
            problem, remedy, at = exc.problem, exc.remedy, exc.at
            line = lines[at // len(number_columns) - len(batch) // len(number_columns)]
            name = title_of(self.header, number_columns[at % len(number_columns)])
            raise EngineError(
                f"line {line}, column {name} {problem}", subject=self.subject, remedy=remedy
            ) from None

    def _cells(self) -> Iterator[Row]:
        """Yield the cells of each line that is not blank, with its number. Raises EngineError."""
        reader: Any = self._reader
        begins = reader.line_num + self._before + 1
        try:
            for cells in reader:
                yield reader.line_num + self._before, cells
                begins = reader.line_num + self._before + 1
        except csv.Error as exc:
            raise EngineError(
                f"line {begins}: {exc}",
                subject=self.subject,
                remedy="A quote that opens a cell there has to close it; save the data again",
            ) from exc

    def _checked_rows(self) -> Iterator[Row]:
        """Yield the rows below the names, each with as many cells as there are names."""
        waiting: list[Row] = []
        row_names: set[str] | None = None
        first = True
        for line, cells in self._cells():
            if first and len(cells) == len(self._names) + 1:
                row_names = self._one_more(line, cells)
            first = first and not cells
            if not any(map(str.strip, cells)):
                waiting.append((line, cells))
                continue
            yield from self._between(waiting)
            waiting = []
            if len(cells) != len(self._names):
                raise self._ragged(line, cells)
            if row_names is not None:
                if cells[0] in row_names:
                    raise EngineError(
                        f"line {line} begins with {cells[0]!r:.40}, as another does, and has one "
                        f"cell more than line {self._top} has names",
                        subject=self.subject,
                        remedy="Row names, as R writes them, are never the same; give each column "
                        "a name, or quote cells with a comma in them",
                    )
                row_names.add(cells[0])
            elif cells == self._names:
                raise EngineError(
                    f"line {line} holds the names of line {self._top} again",
                    subject=self.subject,
                    remedy="These are two files in one: take the second line of names out",
                )
            yield line, cells

    def _between(self, waiting: list[Row]) -> list[Row]:
        """Return the rows without any value among lines that hold nothing, and name the others.

        A line of delimiters alone is such a row, and so is a blank line below a single name.
        """
        width = len(self._names)
        rows = [
            (line, cells or [""])
            for line, cells in waiting
            if len(cells) == width or (width == 1 and not cells)
        ]
        if len(rows) < len(waiting):
            blank = next(line for line, cells in waiting if (line, cells or [""]) not in rows)
            more = len(waiting) - len(rows) - 1
            self.notes.append(
                f"line {blank} is blank{f', as are {more} more' if more else ''}, and taken for no "
                "row"
            )
        return rows

    def _one_more(self, line: int, cells: list[str]) -> set[str] | None:
        """Name the first or the last column of a file whose rows have one cell more than names.

        Returns where the row names are gathered, or None where the last cell is the one too many.
        Raises EngineError for a single name.
        """
        if not cells[-1].strip():
            self._names = [*self._names, ""]
            return None
        if len(self._names) == 1:
            raise EngineError(
                f"line {line} has 2 cells below the one name {self._names[0]!r:.60}",
                subject=self.subject,
                remedy="Name both columns in line 1; or give --delimiter ';' --decimal ',' where "
                "the comma is decimal",
            )
        self.notes.append(
            f"line {line} has one cell more than line {self._top} has names: its first is taken "
            "for a row name, as R writes them"
        )
        self._names = ["", *self._names]
        return set()

    def _ragged(self, line: int, cells: list[str]) -> EngineError:
        """Return the error for a row with too many or too few cells."""
        names = len(self._names)
        if len(cells) < names:
            remedy = (
                "A title, a note or a footer is no row: take it out"
                if len(cells) == 1
                else "Complete the line, or take it out"
            )
        else:
            remedy = (
                "Quote cells with a delimiter in them; where the comma is decimal, cells need "
                "another delimiter"
            )
        count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
        return EngineError(
            f"line {line} has {count} where the header has {names}",
            subject=self.subject,
            remedy=remedy,
        )

    # -- what is recognised ------------------------------------------------------------------------

    def _recognised(self, lines: list[str]) -> str:
        """Return the delimiter by which the first lines have equally many cells.

        Raises EngineError where two delimiters are as good.
        """
        fits: dict[str, float] = {}
        for delimiter in _DELIMITERS:
            try:
                reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
                widths = [len(cells) for cells in reader if any(cells)]
            except csv.Error:
                continue
            if widths and widths[0] > 1:
                alike = sum(width - widths[0] in (0, 1) for width in widths)
                fits[delimiter] = alike / len(widths)
        best = [one for one, fit in fits.items() if fit == max(fits.values())]
        if len(best) > 1:
            raise EngineError(
                f"its cells may be separated by {' or '.join(_DELIMITERS[one] for one in best)}",
                subject=self.subject,
                remedy=f"Give it, such as --delimiter '{best[0]}'",
            )
        found = best[0] if best else ","
        if found != ",":
            self.notes.append(f"cells are separated by {_DELIMITERS[found]}")
        return found

    def _decimal(self, sample: list[Row], columns: Sequence[int]) -> str:
        """Return the decimal sign of the wanted columns. Raises EngineError where it is unclear."""
        if self.form.decimal is not None or self.delimiter == ",":
            return self.form.decimal or "."
        commas: list[tuple[int, str]] = []
        for line, cells in sample:
            for at in columns:
                if _POINT.fullmatch(cells[at]):
                    return "."
                if _COMMA.fullmatch(cells[at]):
                    commas.append((line, cells[at]))
        if not commas:
            return "."
        if all(_GROUP.fullmatch(cell) for _, cell in commas):
            line, cell = commas[0]
            raise EngineError(
                f"line {line} holds {cell.strip()!r:.40}: a decimal comma or a thousands "
                "separator, and no other cell tells",
                subject=self.subject,
                remedy="Give --decimal ',' for the former; for the latter write 1,234 as 1234",
            )
        self.notes.append("decimals stand after a comma")
        return ","


def _head(stream: TextIO) -> list[str]:
    """Return the lines before the names, however many, and `_LOOKED_AT` more."""
    head: list[str] = []
    for line in stream:
        head.append(line)
        if not line.lstrip("\ufeff").startswith(("#", "sep=")):
            break
    return [*head, *itertools.islice(stream, _LOOKED_AT)]


def _preamble(head: list[str]) -> tuple[int, str | None]:
    """Return how many lines stand before the names, and the delimiter that Excel's sep= says."""
    stated_delimiter, count = None, 0
    for line in head:
        stripped = line.strip("\r\n\ufeff")
        if count == 0 and re.fullmatch(r"sep=.", stripped):
            stated_delimiter = stripped[-1]
        elif not stripped.startswith("#"):
            break
        count += 1
    return count, stated_delimiter


def _picker(columns: Sequence[int]) -> Any:
    """Return a function that picks the wanted cells of a row, as a sequence."""
    if len(columns) == 0:
        return lambda cells: ()
    if len(columns) == 1:
        at = columns[0]
        return lambda cells: (cells[at],)
    return operator.itemgetter(*columns)
