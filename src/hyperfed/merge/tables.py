"""Ranges of client tables in memory: each range gathers its rows where a step looks at them, and its ballots stay within a budget.

What it does not do: number keys, compute (`ranges`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code
from hyperfed.merge.electorate import Electorate
from hyperfed.merge.ranges import LocalRanges, RangeWork
from hyperfed.merge.segments import ROWS_A_PART, Derived, cuts, rows_between
from hyperfed.merge.shelf import Room
from hyperfed.tables import pack_keys, votes_of

__all__ = ["table_ranges", "vote_ranges"]

_COLUMNS = ("effect", "confidence", "stability", "ci_low", "ci_high", "n", "hits")
_ROOM_BYTES = 52 << 20  # of ballots kept between steps
_NUMBERS_BYTES = 32 << 20  # of the numbers of those that do not fit: their votes are cast again; ranges beyond make all again

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = Sequence[npt.NDArray[np.uint64]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TableRows:
    """A `RangeRows`: the rows [low, high) of each client's columns, by their names. low, high: int64[clients]."""

    columns: dict[str, list[Any]]
    all_keys: Keys
    low: Ints
    high: Ints

    @property
    def rows(self) -> Ints:
        return self.high - self.low

    def keys(self) -> npt.NDArray[np.uint64]:
        return rows_between(self.all_keys, self.low, self.high)

    def votes(self) -> Floats:
        names = ("effect", "confidence", "stability")
        compiled = machine_code(int((self.high - self.low).sum()))
        if compiled is not None and all(column.dtype == np.float32 for name in names for column in self.columns[name]):
            effect, confidence, stability = (self.columns[name] for name in names)
            return compiled.cast(effect, confidence, stability, self.low, self.high)  # nothing is put together first: votes are cast again at every step
        return votes_of(*(self.column(name) for name in names))

    def column(self, name: str) -> Array:
        return rows_between(self.columns[name], self.low, self.high)

    def widths(self) -> Floats | None:
        ends = [self.columns["ci_low"], self.columns["ci_high"]]
        if all(end is None for end in ends[0]):
            return None
        if any(end is None for end in ends[0]):
            nothing = np.zeros(int(self.high.max(initial=0)))
            ends = [[nothing if end is None else end for end in side] for side in ends]
        low, high = (rows_between(side, self.low, self.high).astype(np.float64, copy=False) for side in ends)
        with np.errstate(over="ignore"):
            width = high - low
        return np.minimum(width, 1e300, out=width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _VoteRows:
    """A `RangeRows` of keys and votes alone: enough for every step but a merge."""

    all_keys: Keys
    all_votes: Sequence[Floats]
    low: Ints
    high: Ints

    @property
    def rows(self) -> Ints:
        return self.high - self.low

    def keys(self) -> npt.NDArray[np.uint64]:
        return rows_between(self.all_keys, self.low, self.high)

    def votes(self) -> Floats:
        return np.array(rows_between(self.all_votes, self.low, self.high), dtype=np.float64)

    def column(self, name: str) -> Array:
        raise LookupError(f"votes alone have no {name}")

    def widths(self) -> Floats | None:
        return None


def table_ranges(tables: Sequence[Any], electorate: Electorate, *, keys: Keys | None = None, rows_a_range: int = ROWS_A_PART) -> LocalRanges:
    """Ranges of edge tables, or of what has an edge table's columns. keys: for each client uint64[rows], strictly ascending; the tables' own where None."""
    own = Derived(pack_keys, ([t.source for t in tables], [t.target for t in tables], [t.lag for t in tables])) if keys is None else keys
    columns = {name: [getattr(table, name) for table in tables] for name in _COLUMNS}
    return _local(partial(_TableRows, columns=columns, all_keys=own), own, electorate, rows_a_range)


def vote_ranges(keys: Keys, votes: Sequence[Floats], electorate: Electorate, *, rows_a_range: int = ROWS_A_PART) -> LocalRanges:
    """Ranges of votes on keys. keys: for each client uint64[rows], strictly ascending; votes: float64[rows], finite."""
    return _local(partial(_VoteRows, all_keys=keys, all_votes=votes), keys, electorate, rows_a_range)


def _local(rows_of: Any, keys: Keys, electorate: Electorate, rows_a_range: int) -> LocalRanges:
    room, numbers = Room(_ROOM_BYTES), Room(_NUMBERS_BYTES)
    works = [
        RangeWork(load=partial(rows_of, low=low, high=high), electorate=electorate, room=room, numbers=numbers)
        for low, high in cuts(keys, rows_a_part=rows_a_range)
    ]
    return LocalRanges(works=works, electorate=electorate)
