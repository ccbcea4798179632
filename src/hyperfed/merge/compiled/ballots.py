"""The kernels that ballots are made and added with: numbering keys, casting votes, how far clients agree.

The rules are those of `compiled.kernels`. What the numbers mean stands at the numpy functions: `segments.number`, `tables.votes_of`, `merge.ballots`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled.compiler import compiled

__all__ = ["agreement", "cast", "number", "votes"]

Array = npt.NDArray[Any]


@compiled
def number(keys: Array) -> tuple[bool, Array, Array]:
    """(whether a table of presence is small enough; uint64[keys], the distinct keys, ascending; int32[rows], each row's key). keys: uint64[rows > 0]."""
    rows = len(keys)
    base, mask = keys[0], np.uint64(0)
    for row in range(rows):
        mask |= keys[row] ^ base
    low, ones, target = np.zeros(64, dtype=np.uint64), np.zeros(64, dtype=np.uint64), np.zeros(64, dtype=np.uint64)  # the runs of bits that vary
    runs, width, bit = 0, 0, 0
    while bit < 64:
        if not (mask >> np.uint64(bit)) & np.uint64(1):
            bit += 1
            continue
        first = bit
        while bit < 64 and (mask >> np.uint64(bit)) & np.uint64(1):
            bit += 1
        low[runs], target[runs] = first, width
        ones[runs] = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - (bit - first))
        width += bit - first
        runs += 1
    if width > 31 or (1 << width) > 4 * rows + 1024:
        return False, np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32)
    segment, there = np.empty(rows, dtype=np.int32), np.zeros(1 << width, dtype=np.uint8)
    one, two, three = ones[0], ones[1] << target[1], ones[2] << target[2]
    right, further, last = low[0], low[1] - target[1], low[2] - target[2]
    for row in range(rows):  # three runs at once: a key's parts, as a rule
        key = keys[row]
        segment[row] = np.uint32(((key >> right) & one) | ((key >> further) & two) | ((key >> last) & three))
    for run in range(3, runs):
        for row in range(rows):
            segment[row] |= np.int32(((keys[row] >> low[run]) & ones[run]) << target[run])
    for row in range(rows):
        there[np.uint32(segment[row])] = 1
    count: Any = 0
    for slot in range(1 << width):
        count += np.int64(there[slot])
    distinct, place, count = np.empty(count, dtype=np.uint64), np.empty(1 << width, dtype=np.int32), 0
    for slot in range(1 << width):
        if there[slot]:
            key = base & ~mask
            for run in range(runs):
                key |= ((np.uint64(slot) >> target[run]) & ones[run]) << low[run]
            distinct[count] = key
            place[slot] = count
            count += 1
    for row in range(rows):
        segment[row] = place[np.uint32(segment[row])]
    return True, distinct, segment


@compiled
def votes(records: Array) -> Array:
    """float64[rows]: `tables.votes_of` of records. records: `packed.NARROW`[rows]."""
    out = np.empty(len(records))
    for row in range(len(records)):
        record = records[row]
        effect = record.effect
        out[row] = (1.0 if effect > 0 else (-1.0 if effect < 0 else 0.0)) * np.float64(record.confidence) * np.float64(record.stability)
    return out


@compiled
def cast(effect: Array, confidence: Array, stability: Array) -> Array:
    """float64[rows]: `tables.votes_of` of columns."""
    out = np.empty(len(effect))
    for row in range(len(effect)):
        sign = 1.0 if effect[row] > 0 else (-1.0 if effect[row] < 0 else 0.0)
        out[row] = sign * np.float64(confidence[row]) * np.float64(stability[row])
    return out


@compiled
def agreement(segment: Array, vote: Array, rows: Array, factor: Array, keys: int, units: float, pair: Array, pairs: int) -> tuple[Array, Array]:
    """(float64[keys], `ballots.key_totals`; float64[clients, or pairs where there are any], the sums of `ballots.times_totals` in units)."""
    total, begin = np.zeros(keys), np.uint64(0)
    for client in range(len(rows)):
        own, end = factor[client], begin + np.uint64(rows[client])
        for row in range(begin, end):
            total[np.uint32(segment[row])] += own * vote[row]
        begin = end
    scaled = np.empty(keys)
    for key in range(keys):
        scaled[key] = total[key] * units
    if pairs:
        dot = np.zeros(pairs)
        for row in range(begin):
            dot[np.uint32(pair[row])] += np.rint(scaled[np.uint32(segment[row])] * vote[row])
        return total, dot
    dot, begin = np.zeros(len(rows)), np.uint64(0)
    for client in range(len(rows)):
        end, one, two, three, four = begin + np.uint64(rows[client]), 0.0, 0.0, 0.0, 0.0
        while begin + np.uint64(4) <= end:  # whole numbers: the same in any order, so four sums need not wait for each other
            one += np.rint(scaled[np.uint32(segment[begin])] * vote[begin])
            two += np.rint(scaled[np.uint32(segment[begin + np.uint64(1)])] * vote[begin + np.uint64(1)])
            three += np.rint(scaled[np.uint32(segment[begin + np.uint64(2)])] * vote[begin + np.uint64(2)])
            four += np.rint(scaled[np.uint32(segment[begin + np.uint64(3)])] * vote[begin + np.uint64(3)])
            begin += np.uint64(4)
        for row in range(begin, end):
            one += np.rint(scaled[np.uint32(segment[row])] * vote[row])
        dot[client], begin = (one + two) + (three + four), end
    return total, dot
