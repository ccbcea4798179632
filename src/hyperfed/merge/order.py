"""Compute order statistics of the rows of each key, which robust rules need on sparse edges.

1. Rows are sorted by (key, value), as integers. A rank counts from 0 within its key. Not reporting
   is a vote of 0: a key's silent voters stand between its negative and its positive votes without
   having rows.
2. `trimmed_votes` and `median_votes` are the coordinate-wise rules over all voters of a key, the
   silent ones included.
3. R-101: `held` keeps a pooled effect between the (f + 1)-th smallest and the (f + 1)-th largest
   reported one. With at most f liars and at least 2f + 1 reporters, that is within what honest
   clients report. With f + 1 to 2f supporters, the sign is known and the size is not. The effect is
   then the smallest magnitude that a supporter reports, which is no more than an honest one's.
The rules come from DESIGN section 5. This module knows no strategy.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Ordered",
    "held",
    "median_effects",
    "median_votes",
    "trimmed_effects",
    "trimmed_votes",
]

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.intp]
Ints = npt.NDArray[np.int64]


class Ordered:
    """Holds rows sorted by (key, value), so that one sort serves every statistic that is asked for.

    `start` and `count` are int64[keys]: where each key's rows begin, and how many there are.

    Where every value is a float32 (what travels is), a row is one integer with the key above the
    value, and integers are sorted. Otherwise the values are ranked first and the ranks are sorted.
    Equal values of a key are interchangeable: nothing here depends on which of them comes first.
    """

    def __init__(self, segment: Segments, size: int, value: Floats) -> None:
        self.count: Ints = np.bincount(segment, minlength=size).astype(np.int64)
        self.start: Ints = np.cumsum(self.count) - self.count
        with np.errstate(over="ignore"):  # what float32 does not hold is unequal, and is ranked
            short = value.astype(np.float32)
        if np.array_equal(short, value):
            self._ranked, self._of_rank = np.sort(_high(segment) | _monotone(short)), None
        else:
            order = np.argsort(value)
            self._of_rank = value[order] + 0.0  # -0.0 as 0.0, as among the others
            self._ranked = np.sort(_high(segment[order]) | np.arange(len(value), dtype=np.uint64))

    def at(self, rank: Ints) -> Floats:
        """Return float64[keys]: the value with the given rank in each key."""
        return self._values(self._ranked[self.start + rank])

    @cached_property
    def segment(self) -> npt.NDArray[np.intp]:
        """The key of each sorted row, intp[rows]."""
        return np.repeat(np.arange(len(self.count)), self.count)

    @cached_property
    def value(self) -> Floats:
        """The values in the sorted order, float64[rows]."""
        return self._values(self._ranked)

    @cached_property
    def rank(self) -> Ints:
        """The rank of each sorted row within its key, int64[rows], counted from 0."""
        return np.arange(len(self.value)) - np.repeat(self.start, self.count)

    def median(self) -> Floats:
        """Return float64[keys]: the median of each key, which must have a row."""
        return (self.at((self.count - 1) // 2) + self.at(self.count // 2)) / 2

    def trimmed(self, f: int) -> Floats:
        """Return float64[keys]: the mean of each key without its f smallest and f largest values.

        It is the median where no more than 2f values are reported. Sums run from the smallest value
        up.
        """
        value = self.value.copy()
        # set what is trimmed to 0, one value of each key and end at a time
        for i in range(min(f, int(self.count.max(initial=0)))):
            there = self.count > i
            value[self.start[there] + i] = 0.0
            value[(self.start + self.count)[there] - 1 - i] = 0.0
        return self._within(
            np.bincount(self.segment, value, len(self.count)) / np.maximum(self.count - 2 * f, 1), f
        )

    def _within(self, mean: Floats, f: int) -> Floats:
        """Return the trimmed mean, clipped to the range of the values that it is a mean of.

        Rounding could take it out of that range. Where no value is left, it is the median.
        """
        return np.where(self.count > 2 * f, np.clip(mean, *self.inner(f)), self.median())

    def inner(self, f: int) -> tuple[Floats, Floats]:
        """Return each key's (f + 1)-th smallest and (f + 1)-th largest value, float64[keys] each.

        A smaller f is taken for a key of too few values.
        """
        gone = np.minimum(f, (self.count - 1) // 2)
        return self.at(gone), self.at(self.count - 1 - gone)

    def _values(self, ranked: npt.NDArray[np.uint64]) -> Floats:
        """Return the values, float64, that the lower halves of sorted integers stand for."""
        low = ranked.astype(np.uint32)
        return _unmonotone(low) if self._of_rank is None else np.asarray(self._of_rank[low])


def trimmed_votes(segment: Segments, size: int, vote: Floats, voters: Ints, f: int) -> Floats:
    """Return float64[keys]: the mean of each key's votes without the f smallest and f largest.

    It is 0 where fewer than 2f + 1 clients could vote. `segment` is int32[rows] and `vote`
    float64[rows]. `voters` is int64[keys], how many clients could have voted: at least as many as
    did.
    """
    place, rows = _places(segment, size, vote, voters)
    untrimmed = (place >= f) & (place < voters[rows.segment] - f)
    total = np.bincount(rows.segment, np.where(untrimmed, rows.value, 0.0), size)
    voters_left = voters - 2 * f
    return np.where(voters_left > 0, total / np.maximum(voters_left, 1), 0.0)


def median_votes(segment: Segments, size: int, vote: Floats, voters: Ints) -> Floats:
    """Return float64[keys]: the median of each key's votes, silent voters included.

    The arguments are those of `trimmed_votes`.
    """
    place, rows = _places(segment, size, vote, voters)
    middle = (place == ((voters - 1) // 2)[rows.segment]).astype(np.float64) + (
        place == (voters // 2)[rows.segment]
    )
    return np.asarray(0.5 * np.bincount(rows.segment, middle * rows.value, size))


def _places(segment: Segments, size: int, vote: Floats, voters: Ints) -> tuple[Ints, Ordered]:
    """Return each sorted row's place among all voters of its key, and the sorted rows."""
    rows = Ordered(segment, size, vote)
    silent = np.maximum(voters - rows.count, 0)
    return rows.rank + np.where(rows.value > 0, silent[rows.segment], 0), rows


def median_effects(segment: Segments, size: int, effect: Floats) -> Floats:
    """Return float64[keys]: the median of each key's reported effects.

    Every key must have a row.
    """
    return Ordered(segment, size, effect).median()


def trimmed_effects(segment: Segments, size: int, effect: Floats, f: int) -> Floats:
    """Return float64[keys]: each key's mean effect without its f smallest and f largest ones.

    It is the median where fewer than 2f + 1 clients report.
    """
    return Ordered(segment, size, effect).trimmed(f)


def held(
    pooled: Floats,
    segment: Segments,
    effect: Floats,
    supports: npt.NDArray[np.bool_],
    sign: Floats,
    f: int,
) -> Floats:
    """Return `pooled`, float64[keys], held to what f liars cannot move (rule 3).

    `pooled` is float64[keys]. `segment`, `effect` and `supports` are [rows]; `supports` says
    whether a row has its key's sign. `sign` is float64[keys]. Every key must have f + 1 supporters.
    """
    size = len(pooled)
    rows = Ordered(segment, size, effect)
    enough = np.bincount(segment, supports, size) > 2 * f
    low, high = rows.at(np.where(enough, f, 0)), rows.at(np.where(enough, rows.count - 1 - f, 0))
    least = np.full(size, np.inf)
    np.minimum.at(least, segment[supports], np.abs(effect[supports]))
    return np.where(
        enough, np.clip(pooled, low, high), sign * np.where(np.isfinite(least), least, 0.0)
    )


def _high(segment: Segments) -> npt.NDArray[np.uint64]:
    """Return the keys' numbers as the upper half of 64 bits."""
    return segment.astype(np.uint64) << np.uint64(32)


def _monotone(value: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Return float32 values as integers in the same order, with -0.0 as 0.0.

    `value` is float32[rows], finite or infinite.
    """
    bits: Any = (value + np.float32(0)).view(np.int32)
    return np.asarray((bits ^ ((bits >> np.int32(31)) | np.int32(-(1 << 31)))).view(np.uint32))


def _unmonotone(number: npt.NDArray[np.uint32]) -> Floats:
    """Return the values that `_monotone` made integers of, as float64."""
    bits: Any = number.view(np.int32)
    return np.asarray(
        (bits ^ (~(bits >> np.int32(31)) | np.int32(-(1 << 31)))).view(np.float32), dtype=np.float64
    )
