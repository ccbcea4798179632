"""Make ranges of client tables in memory.

Each range gathers its rows where a step reads them, and its ballots stay within a budget.

What it does not do: it neither numbers keys nor computes (`ranges`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.kernels import prepare
from hyperfed.merge.eligible_voters import EligibleVoters
from hyperfed.merge.ranges import LocalRanges, RangeWork
from hyperfed.merge.segments import ROWS_A_PART, Derived, cuts, rows_between
from hyperfed.merge.spill_file import Room
from hyperfed.tables.tables import pack_keys, votes_of

__all__ = ["table_ranges", "vote_ranges"]

_COLUMNS = ("effect", "confidence", "stability", "ci_low", "ci_high", "n", "hits")
_ROOM_BYTES = 52 << 20  # of ballots kept between steps
# of the numbers of ballots that do not fit: votes are cast again; beyond it, all is made again
_NUMBERS_BYTES = 32 << 20

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = Sequence[npt.NDArray[np.uint64]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TableRows:
    """Gives the rows [low, high) of each client's columns, by their names, as a `RangeRows`."""

    columns: Mapping[str, Sequence[Any]]
    """The columns of each client, by name: those of a table, or `vote` alone, which is enough for
    every step but a merge.
    """
    all_keys: Keys
    """The keys of each client."""
    low: Ints
    """Where each client's rows begin, int64[clients]."""
    high: Ints
    """Where each client's rows end, int64[clients]."""

    @property
    def rows(self) -> Ints:
        return self.high - self.low

    def keys(self) -> npt.NDArray[np.uint64]:
        return rows_between(self.all_keys, self.low, self.high)

    def votes(self) -> Floats:
        if "vote" in self.columns:
            return np.array(self.column("vote"), dtype=np.float64)
        names = ("effect", "confidence", "stability")
        return votes_of(*(self.column(name) for name in names))

    def column(self, name: str) -> Array:
        return rows_between(self.columns[name], self.low, self.high)

    def widths(self) -> Floats | None:
        if all(end is None for end in self.columns.get("ci_low", (None,))):
            return None
        ends = [self._filled("ci_low"), self._filled("ci_high")]
        low, high = (
            rows_between(side, self.low, self.high).astype(np.float64, copy=False) for side in ends
        )
        with np.errstate(over="ignore"):
            width = high - low
        return np.minimum(width, 1e300, out=width)

    def _filled(self, name: str) -> list[Array]:
        """Return a column of each client, with zeros where it has none."""
        nothing = np.zeros(int(self.high.max(initial=0)))
        return [nothing if column is None else column for column in self.columns[name]]


def table_ranges(
    tables: Sequence[Any],
    eligible_voters: EligibleVoters,
    *,
    keys: Keys | None = None,
    rows_a_range: int = ROWS_A_PART,
) -> LocalRanges:
    """Return the ranges of edge tables, or of objects that have an edge table's columns.

    `keys` is for each client uint64[rows], strictly ascending. Where it is None, the tables' own
    keys are taken.
    """
    keys_in_order = (
        Derived(
            pack_keys,
            ([t.source for t in tables], [t.target for t in tables], [t.lag for t in tables]),
        )
        if keys is None
        else keys
    )
    columns = {name: [getattr(table, name) for table in tables] for name in _COLUMNS}
    return _local(
        partial(_TableRows, columns=columns, all_keys=keys_in_order),
        keys_in_order,
        eligible_voters,
        rows_a_range,
    )


def vote_ranges(
    keys: Keys,
    votes: Sequence[Floats],
    eligible_voters: EligibleVoters,
    *,
    rows_a_range: int = ROWS_A_PART,
) -> LocalRanges:
    """Return the ranges of votes on keys.

    `keys` is for each client uint64[rows], strictly ascending. `votes` is for each client
    float64[rows], finite.
    """
    return _local(
        partial(_TableRows, columns={"vote": votes}, all_keys=keys),
        keys,
        eligible_voters,
        rows_a_range,
    )


def _local(
    rows_of: Any, keys: Keys, eligible_voters: EligibleVoters, rows_a_range: int
) -> LocalRanges:
    """Cut the ranges, which share one memory for ballots and one for their numbers."""
    prepare(sum(len(column) for column in (keys.sources[0] if isinstance(keys, Derived) else keys)))
    room, numbers = Room(_ROOM_BYTES), Room(_NUMBERS_BYTES)
    works = [
        RangeWork(
            load=partial(rows_of, low=low, high=high),
            eligible_voters=eligible_voters,
            room=room,
            numbers=numbers,
        )
        for low, high in cuts(keys, rows_a_part=rows_a_range)
    ]
    return LocalRanges(works=works, eligible_voters=eligible_voters)
