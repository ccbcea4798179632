"""Read Arrow data as a sheet: Parquet and Arrow files, and frames of pandas, polars or pyarrow.

1. A frame is anything with `__arrow_c_stream__`. Frames and files are read batch by batch.
2. A column of text is read as a file's cells are, by the same rules; a null and a NaN are missing;
   truth values and times are no numbers.
3. The index of a pandas frame is a column: by its name, or without one.

pyarrow is imported here alone, when it is needed (the extra `arrow`).
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any

import numpy as np

from hyperfed.engines.readers.numbers import Missing, NotANumber, numbers
from hyperfed.engines.readers.sheet import Floats, Form, Taken, clean_name, no_rows, title_of
from hyperfed.errors import ConfigError, EngineError

__all__ = ["ArrowSheet", "is_frame", "name_of", "sheet_of_file", "sheet_of_frame", "translated"]

_INDEX = "__index_level_0__"


def is_frame(source: object) -> bool:
    """Return whether an object gives its data as an Arrow C stream."""
    return hasattr(source, "__arrow_c_stream__")


def name_of(frame: object) -> str:
    """Return what errors call a frame."""
    return f"{type(frame).__module__.split('.')[0]} {type(frame).__name__}"


def _pyarrow() -> Any:
    """Return pyarrow. Raises ConfigError where it is not installed."""
    try:
        import pyarrow
    except ImportError as exc:
        raise ConfigError(
            "pyarrow is not installed",
            subject="Arrow data",
            remedy="pip install pyarrow; or save the data as CSV",
        ) from exc
    return pyarrow


def sheet_of_frame(frame: Any, form: Form) -> "ArrowSheet":
    """Return the sheet of a frame. Raises ConfigError without pyarrow."""
    reader = _pyarrow().RecordBatchReader.from_stream(frame)
    return ArrowSheet(name_of(frame), reader.schema, reader, form)


def sheet_of_file(subject: str, kind: str, file: Any, form: Form) -> "ArrowSheet":
    """Return the sheet of a Parquet or Arrow file: its path, or the bytes in it.

    Raises ConfigError without pyarrow.
    """
    arrow = _pyarrow()
    source = arrow.BufferReader(file) if isinstance(file, bytes) else str(file)
    if kind == "parquet":
        from pyarrow import parquet

        stored = parquet.ParquetFile(source)
        return ArrowSheet(subject, stored.schema_arrow, stored.iter_batches(), form)
    records = arrow.ipc.open_file(source if isinstance(file, bytes) else arrow.memory_map(source))
    batches = (records.get_batch(at) for at in range(records.num_record_batches))
    return ArrowSheet(subject, records.schema, batches, form)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Raise EngineError for what pyarrow says of data while they are read."""
    arrow = _pyarrow()
    try:
        yield
    except arrow.ArrowException as exc:
        raise EngineError(
            f"cannot be read as a table: {exc}"[:200],
            subject=subject,
            remedy="Copy a damaged file again; in a frame each column needs one type and a name",
        ) from exc


class ArrowSheet:
    """Reads Arrow batches, as a `Sheet`."""

    row_word = "row"
    comments: tuple[str, ...] = ()

    def __init__(self, subject: str, schema: Any, batches: Iterable[Any], form: Form) -> None:
        self.subject, self.form, self.notes = subject, form, list[str]()
        self.header = tuple(
            "" if name == _INDEX else clean_name(str(name)) for name in schema.names
        )
        if not self.header:
            raise EngineError("has no columns", subject=subject)
        self._batches = (batch for batch in batches if batch.num_rows)
        self._first = next(self._batches, None)

    def first(self) -> Sequence[str]:
        """Return the first row as text. Raises EngineError where there is none."""
        if self._first is None:
            raise no_rows(self.subject)
        return [_texts(column.slice(0, 1))[0] for column in self._first.columns]

    def take(self, number_columns: Sequence[int], texts: Sequence[int]) -> Taken:
        """Return the wanted columns as numbers, and others as text. Raises EngineError."""
        if self._first is None:
            raise no_rows(self.subject)
        missing = Missing(self.form.missing)
        rows, parts = 0, list[Floats]()
        text_columns: list[list[str]] = [[] for _ in texts]
        for batch in itertools.chain([self._first], self._batches):
            values = np.empty((batch.num_rows, len(number_columns)))
            for at, column in enumerate(number_columns):
                values[:, at] = self._numbers(batch.column(column), column, rows, missing)
            parts.append(values)
            for cells, column in zip(text_columns, texts, strict=True):
                cells += _texts(batch.column(column))
            rows += batch.num_rows
        return Taken(values=np.concatenate(parts), texts=text_columns, rows=range(rows))

    def _numbers(self, array: Any, column: int, before: int, missing: Missing) -> Floats:
        """Return a column's numbers, NaN where one is missing. Raises EngineError."""
        types = _pyarrow().types
        kind = array.type
        if types.is_null(kind):
            return np.full(len(array), math.nan)
        try:
            if types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind):
                values = np.array(
                    array.cast("float64", safe=False).to_numpy(zero_copy_only=False), np.float64
                )
                endless = np.isinf(values)
                if endless.any():
                    at = int(np.argmax(endless))
                    raise NotANumber(
                        f"holds {values[at]}, not a finite number",
                        "Leave the value out: it is missing",
                        at,
                    )
                return missing.emptied(values)
            if types.is_boolean(kind):
                raise NotANumber("holds truth values", "Write them as 1 or 0", 0)
            if types.is_temporal(kind):
                raise NotANumber(f"holds times ({kind}), not numbers", "Pick other columns", 0)
            return numbers(_texts(array), missing, decimal=self.form.decimal or ".")
        except NotANumber as exc:
            problem, remedy, at = exc.problem, exc.remedy, exc.at
            raise EngineError(
                f"row {before + at}, column {title_of(self.header, column)} {problem}",
                subject=self.subject,
                remedy=remedy,
            ) from None


def _texts(array: Any) -> list[str]:
    """Return an Arrow array as the cells that a file would have."""
    arrow = _pyarrow()
    if arrow.types.is_timestamp(array.type):
        array = array.cast(arrow.timestamp("us", tz=array.type.tz), safe=False)
    return [_text(value) for value in array.to_pylist()]


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)
