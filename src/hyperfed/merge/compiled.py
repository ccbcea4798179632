"""The merge's loops as machine code: arrays in, arrays out, like the numpy functions that they stand beside. See `hyperfed.compiled`.

What it does not do: decide anything about a merge.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed import compiled

__all__ = ["Loops", "machine_code"]

_SHORT = 24  # as in `loops.merging`

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def machine_code(rows: int) -> "Loops | None":
    """The loops for so many rows, None where numpy is to do the work."""
    code = compiled.machine_code(rows)
    return None if code is None else Loops(code)


class Loops:
    """Makes what a loop fills, and the work space that it needs."""

    __slots__ = ("_code",)

    def __init__(self, code: Any) -> None:
        self._code = code

    def _at(self, array: Array) -> Any:
        return self._code.address(array if array.flags.c_contiguous else np.ascontiguousarray(array))

    def number(self, keys: Array) -> tuple[Array, Array] | None:
        """`segments.number` of uint64[rows > 0], None where the keys lie too far apart for a table of presence."""
        code, at, rows, keys = self._code, self._at, len(keys), np.ascontiguousarray(keys, dtype=np.uint64)
        bits = np.zeros((4, 64), dtype=np.uint64)
        code.varying(at(keys), rows, at(bits[3]))
        runs, width = _runs(int(bits[3, 0]), bits)
        if width > 31 or (1 << width) > 4 * rows + 1024:
            return None
        size = 1 << width
        segment, there = np.empty(rows, dtype=np.int32), np.empty(size, dtype=np.uint8)
        count = code.slots(at(keys), rows, at(bits), runs, at(segment), at(there), size)
        distinct, place = np.empty(count, dtype=np.uint64), np.empty(size, dtype=np.int32)
        code.numbered(at(keys), rows, at(bits), runs, at(segment), at(there), size, at(distinct), count, at(place))
        return distinct, segment

    def votes(self, records: Array) -> Floats:
        """float64[rows]: `tables.votes_of` of `packed.NARROW`[rows]."""
        out = np.empty(len(records))
        self._code.votes(self._at(records), len(records), self._at(out))
        return out

    def cast(self, effect: Sequence[Array], confidence: Sequence[Array], stability: Sequence[Array], low: Array, high: Array) -> Floats:
        """float64[rows]: `tables.votes_of` of the rows [low, high) of each client's columns of float32, where they lie, one client after the other."""
        at, begin = self._at, 0
        out = np.empty(int((high - low).sum()))
        for e, c, s, first, last in zip(effect, confidence, stability, low.tolist(), high.tolist(), strict=True):
            if last > first:
                end = begin + last - first
                self._code.cast(at(e[first:last]), at(c[first:last]), at(s[first:last]), last - first, at(out[begin:end]))
                begin = end
        return out

    def ends(self, tables: Sequence[Array], bounds: Array) -> npt.NDArray[np.int64]:
        """int64[tables, ranges + 1]: where the ranges of each table of `packed.NARROW` begin, and where the last one ends. bounds: uint64[ranges - 1]."""
        code, at = self._code, self._at
        out = np.empty((len(tables), len(bounds) + 2), dtype=np.int64)
        below = at(bounds)
        for i, table in enumerate(tables):
            code.ends(at(table), len(table), below, len(bounds), at(out[i]))
        return out

    def by_range(self, tables: Sequence[Array], ends: npt.NDArray[np.int64]) -> Array:
        """The tables' records in the order of (range, table, key). ends: as `ends` gives them."""
        code, at, counts = self._code, self._at, np.diff(ends, axis=1).sum(axis=0)
        place, out = np.cumsum(counts) - counts, np.empty(int(counts.sum()), dtype=tables[0].dtype)
        to, into = at(place), at(out)
        for table, own in zip(tables, ends, strict=True):
            code.spread(at(table), at(own), len(counts), to, into, len(out))
        return out

    def agreement(self, segment: Array, vote: Floats, rows: Array, factor: Floats, keys: int, units: float, pair: Array | None, pairs: int) -> Any:
        """(`ballots.key_totals`; the sums by pair of `ballots.times_totals`, float64). segment: int32 or uint16."""
        at, narrow = self._at, segment.dtype.itemsize == 2
        pairs = 0 if pair is None else pairs
        total, scaled, dot = np.empty(keys), np.empty(keys), np.empty(pairs or len(rows))
        own = self._code.null if pair is None else at(pair.astype(np.int32, copy=False))
        numbered = segment.astype(np.uint16 if narrow else np.int32, copy=False)
        loop = self._code.agreement_16 if narrow else self._code.agreement_32
        loop(at(numbered), at(_floats(vote)), at(_whole(rows)), len(rows), at(_floats(factor)), keys, units, own, at(total), pairs, at(scaled), at(dot))
        return total, dot

    def ordered(self, segment: Array, keys: int, value: Floats) -> tuple[Array, Array, Floats]:
        """(int64[keys] start, int64[keys] count, float64[rows] the values, key after key, ascending; -0.0 as 0.0)."""
        at, out, room, rank = self._at, np.empty(len(value)), np.empty(152), np.empty(152, dtype=np.uint64)
        segment, start, free, _ = self._begun(segment, keys)
        self._code.ordered(at(segment), len(segment), at(_floats(value)), keys, at(start), at(free), at(out), at(room), at(rank))
        return start[:keys], np.diff(start), out

    def trimmed(self, start: Array, count: Array, value: Floats, f: int) -> Floats:
        """float64[keys]: the mean of each key's values, ascending, without the f first and f last; 0 where nothing is left."""
        at, out = self._at, np.empty(len(count))
        self._code.trimmed(at(_whole(start)), at(_whole(count)), len(count), at(_floats(value)), f, at(out))
        return out

    def effect_trust(self, segment: Array, keys: int, effect: Floats) -> Floats:
        """float64[rows]: `merge.order.effect_trust`."""
        at, rows, out = self._at, len(segment), np.empty(len(segment))
        segment, start, free, most = self._begun(segment, keys)
        order, wide, short = np.empty(rows, dtype=np.int32), np.empty((2, most)), np.empty((2, most), dtype=np.float32)
        rank = np.empty(_SHORT, dtype=np.uint64)
        self._code.effect_trust(at(segment), rows, keys, most, at(_floats(effect)), *map(at, (start, free, order, wide, short, rank, out)))
        return out

    def pool_effects(self, segment: Array, keys: int, effect: Floats, vote: Floats, weight: Floats, width: Floats | None) -> tuple[Array, ...]:
        """(float64[keys] each: effect, std_error, tau2, i2; bool[keys] pooled): `merge.pooling.pool_effects`."""
        at, rows = self._at, len(segment)
        segment, start, free, most = self._begun(segment, keys)
        order, room, out = np.empty(rows, dtype=np.int32), np.empty((8, most)), (*np.empty((4, keys)), np.empty(keys, dtype=np.bool_))
        wide = self._code.null if width is None else at(_floats(width))
        given = (at(_floats(column)) for column in (effect, vote, weight))
        self._code.pool_effects(at(segment), rows, keys, most, *given, wide, width is not None, *map(at, (start, free, order, room, *out)))
        return out

    def merged(
        self,
        segment: Array,
        keys: int,
        rows: Array,
        columns: tuple[Array, Array, Array],
        width: Floats | None,
        n: Array,
        hits: Array,
        weight: Floats,
        voters: Floats,
        strategy: int,
        vote_min: float,
        robust: bool,
    ) -> tuple[Array, Array, Array]:
        """(bool[keys] which stay, float64[keys, 11] of those that do, bool[keys] pooled): `merge.rows.merged_rows` of a rule without order statistics.

        columns: effect, confidence, stability, of one type."""
        at, narrow = self._at, all(column.dtype == np.float32 for column in columns)
        segment, space, out = self._space(segment, keys)
        given = columns if narrow else tuple(_floats(column) for column in columns)
        loop = self._code.merged_32 if narrow else self._code.merged_64
        wide = self._code.null if width is None else at(_floats(width))
        samples, counted = n.astype(np.uint64, copy=False), hits.astype(np.uint32, copy=False)
        few = (at(segment), len(segment), keys, space[0], at(_whole(rows)), len(rows))
        loop(
            *few,
            *(at(column) for column in given),
            wide,
            width is not None,
            at(samples),
            at(counted),
            at(_floats(weight)),
            at(_floats(voters)),
            strategy,
            vote_min,
            robust,
            *space[1],
            *map(at, out),
        )
        return out

    def merged_records(
        self, segment: Array, keys: int, rows: Array, records: Array, weight: Floats, voters: Floats, strategy: int, vote_min: float, robust: bool
    ) -> tuple[Array, Array, Array]:
        """`merged` of `packed.NARROW`[rows], read where they lie."""
        at = self._at
        segment, space, out = self._space(segment, keys)
        few = (at(segment), len(segment), keys, space[0], at(_whole(rows)), len(rows))
        self._code.merged_records(*few, at(records), at(_floats(weight)), at(_floats(voters)), strategy, vote_min, robust, *space[1], *map(at, out))
        return out

    def _begun(self, segment: Array, keys: int) -> tuple[Array, Array, Array, int]:
        """(segment, int32; int64[keys + 1], where each key's rows begin; uint32[keys], the same, to be used up; how many the key of most rows has)."""
        segment, at = segment.astype(np.int32, copy=False), self._at
        start, free = np.empty(keys + 1, dtype=np.int64), np.empty(keys, dtype=np.uint32)
        return segment, start, free, int(self._code.begins(at(segment), len(segment), keys, at(start), at(free)))

    def _space(self, segment: Array, keys: int) -> tuple[Array, tuple[int, list[Any]], tuple[Array, Array, Array]]:
        """(segment, int32; how many rows the key of most has, and the work space of a merge; what it fills)."""
        rows = len(segment)
        segment, start, free, most = self._begun(segment, keys)
        space = (np.empty(rows, dtype=np.int32), np.empty(rows), np.empty((13, most)), np.empty((2, most), np.float32), np.empty(_SHORT + most, np.uint64))
        out = (np.empty(keys, dtype=np.bool_), np.zeros((keys, 11)), np.empty(keys, dtype=np.bool_))
        return segment, (most, [self._at(array) for array in (start, free, *space)]), out


def _floats(values: Array) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _whole(values: Array) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(values, dtype=np.int64)


def _runs(mask: int, bits: Array) -> tuple[int, int]:
    """(how many runs of varying bits there are, how many bits they have together). Fills bits, uint64[3, 64], as `loops.ballots.slots` wants them."""
    runs, width, bit = 0, 0, 0
    while mask >> bit:
        rest = mask >> bit
        bit += (rest & -rest).bit_length() - 1
        rest = mask >> bit
        length = (~rest & (rest + 1)).bit_length() - 1
        bits[0, runs], bits[1, runs], bits[2, runs] = bit, (1 << length) - 1, width
        bit, width, runs = bit + length, width + length, runs + 1
    return runs, width
