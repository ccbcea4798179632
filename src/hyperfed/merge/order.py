"""Order statistics of the rows of each key: what robust rules need on sparse edges.

1. Rows are sorted by (key, value), as integers; a rank counts from 0 within its key. Not reporting is a vote of 0: a key's silent voters stand between its
   negative and its positive votes without having rows.
2. `trimmed_votes` and `median_votes` are the coordinate-wise rules over all voters of a key, silent ones too.
3. R-101: `held` keeps a pooled effect between the (f + 1)-th smallest and the (f + 1)-th largest reported one: with at most f liars and at least 2f + 1
   reporters that is within what honest clients report. Between f + 1 and 2f supporters the sign is known and the size is not: the
   effect is then the smallest magnitude that a supporter reports, no more than an honest one's.
4. `effect_trust` is bounded trust applied to effects: within a key, weight 1 at or below the median deviation from the median effect, falling
   linearly to 0 three scaled median absolute deviations (1.4826 MAD, plus a sixth of the median deviation) above it. Fewer than five
   reporters cannot be judged: all 1.

Source: DESIGN section 5. It knows no strategy.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code

__all__ = ["JUDGED", "Ordered", "effect_trust", "held", "median_effects", "median_votes", "trimmed_effects", "trimmed_votes"]

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.intp]
Ints = npt.NDArray[np.int64]

JUDGED = 5  # reporters
_DENSE = 3  # cells of the matrix of keys and clients for each row: up to here lines sort faster than rows


class Ordered:
    """Rows sorted by (key, value). start, count: int64[keys]. One sort serves every statistic asked of it.

    Where every value is a float32 (what travels is), a row is one integer, key above value, and the sort is one of integers; else the values are ranked
    first and the ranks sorted. Equal values of a key are interchangeable: nothing here depends on which of them comes first.
    """

    def __init__(self, segment: Segments, size: int, value: Floats) -> None:
        self.start: Ints
        self.count: Ints
        self._compiled = machine_code(len(value))
        if self._compiled is not None:
            self.start, self.count, self.value = self._compiled.ordered(segment, size, value)
            return
        self.count = np.bincount(segment, minlength=size).astype(np.int64)
        self.start = np.cumsum(self.count) - self.count
        with np.errstate(over="ignore"):  # what no float32 holds is not equal to it, and is ranked
            short = value.astype(np.float32)
        if np.array_equal(short, value):
            self._ranked, self._of_rank = np.sort(_high(segment) | _monotone(short)), None
        else:
            order = np.argsort(value)
            self._of_rank = value[order] + 0.0  # -0.0 as 0.0, as among the others
            self._ranked = np.sort(_high(segment[order]) | np.arange(len(value), dtype=np.uint64))

    def at(self, rank: Ints) -> Floats:
        """float64[keys]: the value of that rank in each key."""
        return self._values(self._ranked[self.start + rank]) if self._compiled is None else np.asarray(self.value[self.start + rank])

    @cached_property
    def segment(self) -> npt.NDArray[np.intp]:
        """intp[rows]: the key of each sorted row."""
        return np.repeat(np.arange(len(self.count)), self.count)

    @cached_property
    def value(self) -> Floats:
        """float64[rows], in the sorted order."""
        return self._values(self._ranked)

    @cached_property
    def rank(self) -> Ints:
        """int64[rows], in the sorted order: from 0 within each key."""
        return np.arange(len(self.value)) - np.repeat(self.start, self.count)

    def median(self) -> Floats:
        """float64[keys]; every key has a row."""
        return (self.at((self.count - 1) // 2) + self.at(self.count // 2)) / 2

    def trimmed(self, f: int) -> Floats:
        """float64[keys]: the mean without the f smallest and f largest; the median where fewer than 2f + 1 report. Sums run from the smallest up."""
        if self._compiled is not None:
            return np.where(self.count > 2 * f, self._compiled.trimmed(self.start, self.count, self.value, f), self.median())
        value = self.value.copy()
        for i in range(min(f, int(self.count.max(initial=0)))):  # what goes, one value of each key and end at a time
            there = self.count > i
            value[self.start[there] + i] = 0.0
            value[(self.start + self.count)[there] - 1 - i] = 0.0
        mean = np.bincount(self.segment, value, len(self.count)) / np.maximum(self.count - 2 * f, 1)
        return np.where(self.count > 2 * f, mean, self.median())

    def _values(self, ranked: npt.NDArray[np.uint64]) -> Floats:
        low = ranked.astype(np.uint32)
        return _unmonotone(low) if self._of_rank is None else np.asarray(self._of_rank[low])


def trimmed_votes(segment: Segments, size: int, vote: Floats, voters: Ints, f: int) -> Floats:
    """float64[keys]: the mean of each key's votes without the f smallest and f largest; 0 where fewer than 2f + 1 could vote.

    segment: int32[rows]; vote: float64[rows]; voters: int64[keys], how many could have voted, at least those who did.
    """
    place, rows = _places(segment, size, vote, voters)
    kept = (place >= f) & (place < voters[rows.segment] - f)
    total = np.bincount(rows.segment, np.where(kept, rows.value, 0.0), size)
    left = voters - 2 * f
    return np.where(left > 0, total / np.maximum(left, 1), 0.0)


def median_votes(segment: Segments, size: int, vote: Floats, voters: Ints) -> Floats:
    """float64[keys]: the median of each key's votes. Arguments as in `trimmed_votes`."""
    place, rows = _places(segment, size, vote, voters)
    middle = (place == ((voters - 1) // 2)[rows.segment]).astype(np.float64) + (place == (voters // 2)[rows.segment])
    return np.asarray(0.5 * np.bincount(rows.segment, middle * rows.value, size))


def _places(segment: Segments, size: int, vote: Floats, voters: Ints) -> tuple[Ints, Ordered]:
    """(each sorted row's place among all voters of its key, the rows)."""
    rows = Ordered(segment, size, vote)
    silent = np.maximum(voters - rows.count, 0)
    return rows.rank + np.where(rows.value > 0, silent[rows.segment], 0), rows


def median_effects(segment: Segments, size: int, effect: Floats) -> Floats:
    """float64[keys]: the median of each key's reported effects; every key has a row."""
    return Ordered(segment, size, effect).median()


def trimmed_effects(segment: Segments, size: int, effect: Floats, f: int) -> Floats:
    """float64[keys]: the mean of each key's reported effects without the f smallest and f largest; the median where fewer than 2f + 1 report."""
    return Ordered(segment, size, effect).trimmed(f)


def held(pooled: Floats, segment: Segments, effect: Floats, supports: npt.NDArray[np.bool_], sign: Floats, f: int) -> Floats:
    """float64[keys]: `pooled` held to what f liars cannot move (rule 3).

    pooled: float64[keys]; segment, effect, supports: [rows], supports: whether the row has its key's sign; sign: float64[keys]. Every key has f + 1 supporters.
    """
    size = len(pooled)
    rows = Ordered(segment, size, effect)
    enough = np.bincount(segment, supports, size) > 2 * f
    low, high = rows.at(np.where(enough, f, 0)), rows.at(np.where(enough, rows.count - 1 - f, 0))
    least = np.full(size, np.inf)
    np.minimum.at(least, segment[supports], np.abs(effect[supports]))
    return np.where(enough, np.clip(pooled, low, high), sign * np.where(np.isfinite(least), least, 0.0))


def effect_trust(segment: Segments, size: int, effect: Floats, *, client: Ints | None = None, clients: int = 0) -> Floats:
    """float64[rows] in [0, 1]: how much each reported effect counts among those of its key (rule 4).

    client: int[rows] in [0, clients), at most one row a key and client; where it is given and most clients report most keys, the rows are sorted as
    the lines of a matrix, to the same result in a third of the time.
    """
    compiled = machine_code(len(segment))
    if compiled is not None:
        return compiled.effect_trust(segment, size, effect)
    count = np.bincount(segment, minlength=size).astype(np.int64)
    judged = count >= JUDGED
    trust = np.ones(len(segment))
    if not judged.any():
        return trust
    if client is not None and size * clients <= _DENSE * len(segment):
        cell = segment * np.intp(clients) + client
        lines = np.full(size * clients, np.inf)
        lines[cell] = np.clip(effect, -1e38, 1e38)
        table = _line_trust(lines.reshape(size, clients), np.maximum(count, 1))
        table[~judged] = 1.0
        return np.asarray(table.reshape(-1).take(cell))
    rows = np.flatnonzero(judged[segment])
    number = (np.cumsum(judged) - 1).astype(np.int32)
    part, many = number[segment[rows]], count[judged]
    value = np.clip(effect[rows], -1e38, 1e38)
    gap = np.abs(value - _quick_median(part, many, value)[part])
    middle = _quick_median(part, many, gap)
    spread = 1.4826 * _quick_median(part, many, np.abs(gap - middle[part])) + middle / 6.0
    trust[rows] = _fallen(gap, middle[part], spread[part])
    return trust


def _fallen(gap: Floats, middle: Floats, spread: Floats) -> Floats:
    """1 at or below the middle, falling to 0 three spreads above it."""
    beyond = gap - middle * (1 + 1e-6)  # medians are taken in float32
    fall = np.broadcast_to(3.0 * spread, gap.shape)
    return np.where(beyond <= 0, 1.0, np.clip(1.0 - np.divide(beyond, fall, out=np.full(gap.shape, 2.0), where=fall > 0), 0.0, 1.0))


def _line_trust(lines: Floats, count: Ints) -> Floats:
    """float64[keys, clients]: rule 4 on the effects in `lines`, infinite where there is none; count: int64[keys], how many there are, at least 1."""

    def median(values: Floats) -> Floats:
        ranked = np.sort(values.astype(np.float32), axis=1)
        low, high = (np.take_along_axis(ranked, rank[:, None], axis=1).astype(np.float64) for rank in ((count - 1) // 2, count // 2))
        return np.asarray((low + high) / 2)

    none = np.isinf(lines)
    with np.errstate(invalid="ignore"):  # a line of nothing
        gap = np.abs(lines - median(lines))
        middle = median(gap)
        spread = 1.4826 * median(np.abs(gap - middle)) + middle / 6.0
    gap[none] = 0.0
    return _fallen(gap, middle, spread)


def _quick_median(segment: Segments, count: Ints, value: Floats) -> Floats:
    """float64[keys]: medians rounded to float32, by one sort of integers (key, float32 as an ordered integer). Every key has a row."""
    ranked = np.sort(_high(segment) | _monotone(value.astype(np.float32)))
    start = np.cumsum(count) - count
    low, high = (_unmonotone(ranked[start + rank].astype(np.uint32)) for rank in ((count - 1) // 2, count // 2))
    return np.asarray((low + high) / 2)


def _high(segment: Segments) -> npt.NDArray[np.uint64]:
    """The keys' numbers as the upper half of 64 bits."""
    return segment.astype(np.uint64) << np.uint64(32)


def _monotone(value: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """float32 as integers in the same order; -0.0 as 0.0. float32[rows], finite or infinite."""
    bits: Any = (value + np.float32(0)).view(np.int32)
    return np.asarray((bits ^ ((bits >> np.int32(31)) | np.int32(-(1 << 31)))).view(np.uint32))


def _unmonotone(number: npt.NDArray[np.uint32]) -> Floats:
    """float64: what `_monotone` has made integers of."""
    bits: Any = number.view(np.int32)
    return np.asarray((bits ^ (~(bits >> np.int32(31)) | np.int32(-(1 << 31)))).view(np.float32), dtype=np.float64)
