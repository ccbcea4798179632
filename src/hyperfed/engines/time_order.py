"""Decide whether the rows of a file are steps in time, oldest first, as a lagged engine needs.

1. A column holds the time where its name says so (`date`, `obs_time`, `Year` ...) and its cells are
   dates or numbers, or where its cells are dates.
2. Such a column has to ascend from row to row. Newest first would reverse every lagged edge; a
   moment that comes twice means two rows of one time, as among rows of patients. Both are refused
   with the line.
3. Steps are about equal, or the rows are events and no series. Where more than a third of the steps
   are not within 1.5 times the usual one (weekends and holidays are fewer), the file is refused.
   Fewer are reported.
4. Where the user says how long a step is (`every`), a longer one is a gap, refused with its line;
   with `fill_gaps` the steps in it are empty rows, and no lag reaches across them.
5. Where no column holds the time, the user has to state that rows are time steps, in order. This is
   believed, except that a column that holds the time must not run backwards.

What it does not do: it does not sort, and it does not invent values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hyperfed.engines.time_formats import FORMS, date_of, moment, number, step_words
from hyperfed.errors import ConfigError, EngineError

__all__ = ["Clock", "Every", "Timing", "time_of_rows"]

_ALIKE = 1.5  # months and quarters differ by less, a weekend by more
_IRREGULAR = 1 / 3
_JITTER = 0.25  # of a step: how far a row may be off the grid
_MOST_EMPTY = 20  # steps for each row

_SERIES = "give --series ([data] series = true) where every row is the next time step, oldest first"
_DAYS = {"s": 1 / 86400, "min": 1 / 1440, "m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0}
_MONTHS = {"mo": 1, "q": 3, "y": 12}


@dataclass(frozen=True, slots=True)
class Every:
    """Holds the length of a step: so many days, so many months, or a plain number."""

    text: str
    """What the user wrote."""
    count: float
    """How many units."""
    unit: str
    """The unit, or an empty text for a column of plain numbers."""

    @classmethod
    def of(cls, text: str) -> "Every":
        """Return the step that a text says: 15min, 1h, 1d, 1w, 1mo, 1q, 1y, or 10.

        Raises ConfigError.
        """
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(s|min|m|h|d|w|mo|q|y|)", text)
        if (
            match is None
            or float(match[1]) <= 0
            or (match[2] in _MONTHS and not float(match[1]).is_integer())
        ):
            raise ConfigError(
                f"{text!r:.40} is no length of a step",
                subject="--every",
                remedy="Write it as 15min, 1h, 1d, 1w, 1mo (a month), 1q or 1y",
            )
        return cls(text, float(match[1]), match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Holds what the user says about time."""

    column: str | None = None
    """The column that holds the rows' times; None looks for it."""
    in_order: bool = False
    """Whether rows are time steps, oldest first, though no column tells their time."""
    every: str | None = None
    """How long a step is, such as "1h"; None takes the usual one."""
    fill_gaps: str | None = None
    """"none": steps that the times skip are left empty; None takes each for one step, and says so.
    """

    def __post_init__(self) -> None:
        if self.fill_gaps not in (None, "none"):
            raise ConfigError(
                f"{self.fill_gaps!r:.40} fills no gaps",
                subject="--fill-gaps",
                remedy="Give none, which leaves them empty: values are not invented here",
            )
        if self.every is not None:
            Every.of(self.every)

    @property
    def step(self) -> Every | None:
        """The length of a step, or None where nobody stated one."""
        return None if self.every is None else Every.of(self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Says when the rows were."""

    column: str | None = None
    """The column that holds the time; None where the user vouches for the order."""
    first: str = ""
    """The first row's time, as it is written."""
    last: str = ""
    """The last row's time, as it is written."""
    step: str = "1 row"
    """How long a step usually is."""
    positions: npt.NDArray[np.int64] | None = None
    """int64[rows]: the step that each row is, ascending from 0; None where each is the next."""
    notes: tuple[str, ...] = ()
    """What is odd about the times."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """Says why a column's times are not those of steps."""

    problem: str
    """What is wrong, with the line."""
    remedy: str
    """What the user can do."""
    backwards: bool = False
    """Whether the rows run newest first, and do not merely count down."""


@dataclass(frozen=True, slots=True)
class _Column:
    """Holds a column that may hold the time."""

    name: str
    """Its name."""
    cells: Sequence[str]
    """Its cells."""
    rows: Sequence[int]
    """The number of each row in its source."""
    word: str
    """What a row is called."""

    def at(self, row: int) -> str:
        """Return how a message names a cell's place."""
        return f"{self.word} {self.rows[row]}, column {self.name!r:.60}"

    def cell(self, row: int) -> str:
        """Return a cell as a message quotes it."""
        return f"{self.cells[row].strip()!r:.40}"


def time_of_rows(
    subject: str,
    columns: Mapping[str, Sequence[str]],
    rows: Sequence[int],
    timing: Timing,
    *,
    word: str = "line",
) -> Clock:
    """Return when the rows were, by the first column that tells it.

    Args:
        subject: The name of the file, for errors.
        columns: The cells of the columns that may hold the time.
        rows: The line of each row.
        timing: What the user says about time.
        word: What a row is called: "line" or "row".

    Raises EngineError, which names the line, where the rows are not steps in time or nothing says
    that they are.
    """
    faults: list[_Fault] = []
    for name, cells in columns.items():
        clock = _judged(_Column(name, cells, rows, word), timing)
        if isinstance(clock, _Fault):
            faults.append(clock)
        elif clock is not None:
            return clock
    grid = timing.every or timing.fill_gaps
    wrong = [fault for fault in faults if fault.backwards or grid or not timing.in_order]
    if wrong:
        raise EngineError(wrong[0].problem, subject=subject, remedy=wrong[0].remedy)
    if grid:
        raise EngineError(
            "no column tells the time, so nothing says where steps are missing",
            subject=subject,
            remedy="Name the column with --time, or leave --every and --fill-gaps out",
        )
    if timing.in_order:
        return Clock()
    raise EngineError(
        "nothing says that its rows are steps in time",
        subject=subject,
        remedy="This engine asks what comes before what; rows of patients have no before, and "
        "--engine auto finds one for them. For a series add a column of dates, name one with "
        f"--time, or {_SERIES}",
    )


def _judged(column: _Column, timing: Timing) -> Clock | _Fault | None:
    """Return when a column says the rows were, a fault, or None for a column without times."""
    cells = column.cells
    readings = [
        (form is not number, [moment(form, cell) for cell in cells])
        for form in FORMS
        if cells and moment(form, cells[0]) is not None
    ]
    # A date such as 02/03/2026 has two readings.
    whole = [
        (dated, [one for one in reading if one is not None])
        for dated, reading in readings
        if None not in reading
    ]
    if not whole:
        if not readings and timing.column is None:
            return None
        at = max((reading.index(None) for _, reading in readings), default=0)
        return _Fault(
            f"{column.at(at)} holds {column.cell(at)}, no time that is understood",
            f"Write dates as 2026-01-31, or {_SERIES}",
        )
    dated, times = next((one for one in whole if _first_not_after(one[1]) is None), whole[0])
    row = _first_not_after(times)
    if row is not None:
        return _out_of_order(column, times, row)
    if timing.every or timing.fill_gaps:
        return _on_grid(column, times, dated, timing)
    return _steps(column, times, dated)


def _first_not_after(times: Sequence[float]) -> int | None:
    """Return the first row whose time is not after that of the row before, or None."""
    return next((row for row in range(1, len(times)) if times[row] <= times[row - 1]), None)


def _out_of_order(column: _Column, times: Sequence[float], row: int) -> _Fault:
    """Return the fault of a column whose times do not ascend at `row`."""
    before, after, where = column.cell(row - 1), column.cell(row), column.at(row)
    name_it = "If it does not tell the rows' time, name the column that does with --time, or"
    other = f"{name_it} {_SERIES}"
    if all(later < earlier for earlier, later in pairwise(times)):
        remedy = "Sort the rows oldest first: newest first turns every lagged edge round"
        # Numbers may rightly count down, as hours that are left do.
        counts_down = (
            moment(number, column.cells[row]) is not None and "year" not in column.name.lower()
        )
        if not counts_down:
            # --series does not help against dates that descend, so it is no remedy.
            other = f"{name_it} leave this one out of the file"
        return _Fault(
            f"{where}: {after} comes after {before}, so rows are newest first",
            f"{remedy}. {other}",
            backwards=not counts_down,
        )
    if times[row] == times[row - 1]:
        remedy = (
            "One row is one time step: sum or average rows of one time, and write hours "
            "of a clock change with their UTC offset"
        )
        return _Fault(f"{where}: {after} comes twice", f"{remedy}. {other}")
    return _Fault(
        f"{where}: {after} comes after {before}", f"Sort the rows by it, oldest first. {other}"
    )


def _clock(
    column: _Column,
    step: str,
    *,
    positions: npt.NDArray[np.int64] | None = None,
    notes: tuple[str, ...] = (),
) -> Clock:
    cells = column.cells
    return Clock(
        column=column.name,
        first=cells[0].strip(),
        last=cells[-1].strip(),
        step=step,
        positions=positions,
        notes=notes,
    )


def _steps(column: _Column, times: Sequence[float], dated: bool) -> Clock | _Fault:
    """Return the clock of rows that are a step each, or a fault where too many steps differ."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    if not steps:
        return _clock(column, "1 row")
    usual = sorted(steps)[len(steps) // 2]
    odd = [row for row, step in enumerate(steps) if not usual / _ALIKE <= step <= usual * _ALIKE]
    words = step_words(usual) if dated else f"{usual:g}"
    if not odd:
        return _clock(column, words)
    description = (
        f"{len(odd)} of {len(steps)} steps of column {column.name!r:.60} are not of the usual "
        f"length ({words}), the first in {column.word} {column.rows[odd[0] + 1]}"
    )
    if len(odd) > _IRREGULAR * len(steps):
        return _Fault(
            description,
            "Rows of a series are equally far apart in time; single events are none. Resample "
            f"them, or {_SERIES}",
        )
    note = (
        f"{description}; each is taken for one step "
        "(--fill-gaps none leaves the steps between empty)"
    )
    return _clock(column, words, notes=(note,))


def _on_grid(
    column: _Column, times: Sequence[float], dated: bool, timing: Timing
) -> Clock | _Fault:
    """Return the clock of rows on a grid of equal steps, or a fault: a gap, a row beside it."""
    every = timing.step
    if len(times) < 2:
        return _clock(column, every.text if every else "1 row")
    counted = _steps_between(times, dated, every)
    if counted is None:
        return _Fault(
            f"column {column.name!r:.60} holds {'dates' if dated else 'plain numbers'}, which "
            f"have no step of {every.text if every else ''}",
            "Give --every 1d for dates, --every 1 for numbers",
        )
    steps, words = counted
    whole = np.rint(steps).astype(np.int64)
    wrong = np.flatnonzero((np.abs(steps - whole) > _JITTER) | (whole < 1))
    if len(wrong):
        row = int(wrong[0]) + 1
        return _Fault(
            f"{column.at(row)}: {column.cell(row)} is {steps[row - 1]:.3g} steps of {words} after "
            f"{column.cell(row - 1)}",
            "Rows lie whole steps apart: say the shortest step with --every, or resample",
        )
    gaps = np.flatnonzero(whole > 1)
    if len(gaps) and timing.fill_gaps is None:
        row = int(gaps[0]) + 1
        return _Fault(
            f"{column.at(row)}: {column.cell(row)} is {whole[row - 1]} steps of {words} after "
            f"{column.cell(row - 1)}",
            "--fill-gaps none leaves the steps between empty, and no lag reaches across them; or "
            "complete the file",
        )
    positions = np.concatenate([[0], np.cumsum(whole)])
    empty = int(positions[-1]) + 1 - len(times)
    if empty > _MOST_EMPTY * len(times):
        return _Fault(
            f"column {column.name!r:.60} skips {empty} steps of {words} between {len(times)} rows",
            "Give a longer step with --every: hardly two rows are a step apart",
        )
    notes = (
        (
            f"{empty} step{'s' if empty > 1 else ''} of {words} without a row, the first before "
            f"{column.word} {column.rows[int(gaps[0]) + 1]}, left empty",
        )
        if empty
        else ()
    )
    return _clock(column, words, positions=positions if empty else None, notes=notes)


def _steps_between(
    times: Sequence[float], dated: bool, every: Every | None
) -> tuple[npt.NDArray[np.float64], str] | None:
    """Return how many steps lie between rows, and what a step is called.

    Returns None where the column has no such step.
    """
    differences = np.diff(np.asarray(times, dtype=np.float64))
    if every is None:
        usual = float(np.sort(differences)[len(differences) // 2])
        return differences / usual, step_words(usual) if dated else f"{usual:g}"
    if dated and every.unit in _MONTHS:
        dates = [date_of(time) for time in times]
        months = np.array([12 * one.year + one.month for one in dates], dtype=np.float64)
        return np.diff(months) / (_MONTHS[every.unit] * every.count), every.text
    if dated and every.unit in _DAYS:
        return differences / (_DAYS[every.unit] * every.count), every.text
    if not dated and every.unit in ("", "y"):
        return differences / every.count, every.text
    return None
