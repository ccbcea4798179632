"""Read a client's data for an engine, from a file or a frame, whichever way it comes in.

1. `read_series` takes the columns that are variables of a round, and requires that rows are steps
   in time (`time_order`), which a lagged engine needs. `read_table` takes rows of any order, and
   says where they are steps in time all the same.
2. A missing value is NaN, counted by column; a column without any value is left out and reported,
   and so is what looks like a code for "missing" (`oddities`).
3. Units are compared with the round's (`units`).
4. The result says what was read: rows, period, columns, missing cells, units.

What it does not do: it does not fill in missing values, which is a decision about the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.readers.names import Header, check_known
from hyperfed.engines.readers.numbers import Missing, NotANumber, plain_number
from hyperfed.engines.readers.oddities import notes_on_codes
from hyperfed.engines.readers.reading import DataSource, open_sheet
from hyperfed.engines.readers.sheet import Floats, Form, Sheet, Taken, clean_name
from hyperfed.engines.readers.units import Units, in_the_rounds_units
from hyperfed.engines.time_formats import is_date, names_time
from hyperfed.engines.time_order import Clock, Timing, time_of_rows
from hyperfed.errors import EngineError
from hyperfed.tables.vocabulary import Variable, Vocabulary

__all__ = ["Series", "read_series", "read_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Holds a client's data, with the round's variables as columns."""

    names: tuple[str, ...]
    """The variables, in the order of the source or as they were asked for."""
    values: Floats
    """float64[rows, variables], oldest first in a time series; NaN where a value is missing."""
    left_out: tuple[str, ...]
    """The columns of the source that are no variables, or were not asked for.

    Each comes with the variable that it may have been meant for, or why it was left out.
    """
    clock: Clock = field(default_factory=Clock)
    """When the rows were."""
    missing: tuple[int, ...] = ()
    """How many values each variable lacks; rows of a gap are not among them."""
    empty_rows: int = 0
    """How many steps have no row, and are left empty."""
    units: Mapping[str, str] = field(default_factory=dict)
    """The unit of each variable, as far as the round or the client states one."""
    notes: tuple[str, ...] = ()
    """What is odd about the source, or was recognised rather than said."""

    @property
    def time(self) -> str | None:
        """The column that holds the rows' times; None where the user vouches for their order."""
        return self.clock.column

    @property
    def document(self) -> dict[str, Any]:
        """What was read, as plain data for a person or a program."""
        return {
            "rows": len(self.values) - self.empty_rows,
            "empty_rows": self.empty_rows,
            "time": self.clock.column,
            "period": [self.clock.first, self.clock.last] if self.clock.column else None,
            "step": self.clock.step if self.clock.column else None,
            "columns": list(self.names),
            "missing": {
                name: count for name, count in zip(self.names, self.missing, strict=True) if count
            },
            "units": dict(self.units),
        }


def read_series(
    source: DataSource,
    *,
    variables: Vocabulary | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    timing: Timing | None = None,
    form: Form | None = None,
    units: Units | None = None,
) -> Series:
    """Return the time series in a file or a frame.

    Args:
        source: A path, "-", or a frame with `__arrow_c_stream__`.
        variables: The round's variables; None takes every column of numbers.
        columns: The columns to use; None takes all that are variables.
        timing: What the user says about time.
        form: How a file is written, where that is not left to be recognised.
        units: What the user says about units.

    Raises ConfigError where the source cannot be read. Raises EngineError where what it holds
    cannot be used, a column is nearly a variable, rows are not time steps, or units differ.
    """
    return _read(source, variables, columns, form, units, timing or Timing())


def read_table(
    source: DataSource,
    *,
    variables: Vocabulary | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    form: Form | None = None,
    units: Units | None = None,
) -> Series:
    """Return the rows of a file or a frame, in no particular order: patients, single events.

    The arguments and errors are those of `read_series`.
    """
    return _read(source, variables, columns, form, units, None)


def _read(
    source: DataSource,
    variables: Vocabulary | Sequence[str] | None,
    columns: Sequence[str] | None,
    form: Form | None,
    units: Units | None,
    timing: Timing | None,
) -> Series:
    entries = _entries(variables)
    vocabulary_names = None if variables is None else tuple(entries)
    if vocabulary_names is not None:
        spelt = {clean_name(name): name for name in vocabulary_names}
        columns = columns and [spelt.get(clean_name(name), name) for name in columns]
        check_known(columns or (), vocabulary_names, "--columns")
    with open_sheet(source, form) as sheet:
        # 1. Which columns are wanted.
        header = Header(sheet.subject, sheet.header, f"{sheet.row_word} 1")
        time = timing.column if timing is not None else None
        named = None if time is None else {time: header.position(time)}
        reasons: dict[int, str] = {}
        if columns is not None:
            position_of = {name: header.position(name) for name in columns}
        elif vocabulary_names is not None:
            position_of = header.variables(vocabulary_names)
        else:
            position_of, reasons = _numeric(sheet, form or Form(), set((named or {}).values()))
        if named is None:
            named = _may_tell_time(sheet, set(position_of.values()))
        # 2. The rows.
        columns_read = sheet.take(list(position_of.values()), list(named.values()))
        stated = {name: header.unit(at) for name, at in position_of.items()}
        times, clock = dict(zip(named, columns_read.texts, strict=True)), Clock()
        if timing is not None:
            clock = time_of_rows(
                sheet.subject, times, columns_read.rows, timing, word=sheet.row_word
            )
        elif (steps := _steps_in_time(times, columns_read.rows)) is not None:
            sheet.notes.append(
                f"column {steps.column!r:.80} makes rows steps in time of {steps.step}; an engine "
                "for tables takes them in any order, and does not see what passes from one to the "
                "next"
            )
        return _series(
            sheet, header, position_of, reasons, columns_read, clock, entries, stated, units
        )


def _steps_in_time(times: Mapping[str, Sequence[str]], rows: Sequence[int]) -> Clock | None:
    """Return the times of rows that are plainly steps of a series, or None."""
    try:
        clock = time_of_rows("table", times, rows, Timing())
    except EngineError:
        return None
    return clock if clock.column is not None else None


def _series(
    sheet: Sheet,
    header: Header,
    position_of: Mapping[str, int],
    reasons: Mapping[int, str],
    columns_read: Taken,
    clock: Clock,
    entries: Mapping[str, Variable | None],
    stated: Mapping[str, str],
    units: Units | None,
) -> Series:
    """Return what was read, in the round's units. Raises EngineError."""
    # 3. Columns without a value were not measured here.
    empty: npt.NDArray[np.bool_] = np.asarray(np.isnan(columns_read.values).all(axis=0))
    if empty.all():
        raise EngineError(
            "holds no values, only missing ones",
            subject=sheet.subject,
            remedy=f"Columns: {', '.join(list(position_of)[:5])}",
        )
    names = [name for name, none in zip(position_of, empty, strict=True) if not none]
    values = columns_read.values[:, ~empty] if empty.any() else columns_read.values
    # 4. Oddities, then units.
    notes = [*sheet.notes, *clock.notes, *notes_on_codes(names, values)]
    units = units or Units()
    values, unit_notes = in_the_rounds_units(values, names, entries, stated, units, sheet.subject)
    there = {
        name: _unit(entries.get(name)) or units.said.get(clean_name(name), "") or stated[name]
        for name in names
    }
    # 5. Steps without a row are rows without values.
    missing = np.isnan(values).sum(axis=0)
    rows = len(values)
    if clock.positions is not None:
        whole = np.full((int(clock.positions[-1]) + 1, len(names)), np.nan)
        whole[clock.positions] = values
        values = whole
    missing_names = [name for name in entries if name not in position_of]
    left_out = header.left_out(list(position_of.values()), missing_names)
    used = set(position_of.values())
    others = [at for at in range(len(header.names)) if at not in used]
    return Series(
        names=tuple(names),
        values=values,
        left_out=(
            *(
                f"{name} ({reasons[at]})" if at in reasons else name
                for name, at in zip(left_out, others, strict=True)
            ),
            *(f"{name} (no values)" for name, none in zip(position_of, empty, strict=True) if none),
        ),
        clock=clock,
        missing=tuple(missing.tolist()),
        empty_rows=len(values) - rows,
        units={name: unit for name, unit in there.items() if unit},
        notes=(*notes, *unit_notes),
    )


def _unit(entry: Variable | None) -> str:
    return "" if entry is None else entry.unit


def _entries(variables: Vocabulary | Sequence[str] | None) -> dict[str, Variable | None]:
    """Return the vocabulary's entries by name; names alone have no unit."""
    if isinstance(variables, Vocabulary):
        return {entry.name: entry for entry in variables.variables}
    return dict.fromkeys(variables or ())


def _numeric(
    sheet: Sheet, form: Form, named_columns: set[int]
) -> tuple[dict[str, int], dict[int, str]]:
    """Return the columns whose first cell is a number or missing, and why others are none.

    Raises EngineError where there is none, or a name stands twice.
    """
    position_of: dict[str, int] = {}
    reasons: dict[int, str] = {}
    missing = Missing(form.missing)
    first = sheet.first()
    times = set(_may_tell_time(sheet, named_columns).values()) | named_columns
    for at, (name, cell) in enumerate(zip(sheet.header, first, strict=True)):
        if at in times or not name:
            continue
        try:
            if cell not in missing:
                plain_number(cell, decimal="," if "," in cell else form.decimal or ".")
        except NotANumber as exc:
            reasons[at] = exc.problem
            continue
        if name in position_of:
            raise EngineError(
                f"{sheet.row_word} 1: column {name!r:.80} is named twice",
                subject=sheet.subject,
                remedy="Rename one of them, or name the columns to use with --columns",
            )
        position_of[clean_name(name)] = at
    if not position_of:
        raise EngineError(
            "has no column of numbers",
            subject=sheet.subject,
            remedy=f"Its first row: {', '.join(first[:5])}"[:200],
        )
    return position_of, reasons


def _may_tell_time(sheet: Sheet, used_columns: set[int]) -> dict[str, int]:
    """Return the positions of the columns that may hold the time, by name.

    Columns whose name says so come first, then those whose first cell is a date.
    """
    header, first = sheet.header, sheet.first()
    free = [at for at in range(len(header)) if at not in used_columns]
    by_name = [at for at in free if names_time(header[at])]
    named_columns = set(by_name)
    return {
        header[at] or f"column {at + 1}": at
        for at in (*by_name, *(at for at in free if at not in named_columns and is_date(first[at])))
    }
