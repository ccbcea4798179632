"""The loops that ballots are made and added with: numbering keys, casting votes, how far clients agree.

What the numbers mean stands at the numpy functions: `segments.number`, `tables.votes_of`, `merge.ballots`.
"""

from typing import Any

import numpy as np

from hyperfed.compiled.loops.compiler import carray, entry
from hyperfed.merge.packed import NARROW

__all__: list[str] = []


@entry("varying")
def varying(keys_: Any, rows: int, mask_: Any) -> Any:
    """Fills uint64[1] with the bits in which keys differ. keys: uint64[rows > 0]."""
    keys, out = carray(keys_, rows, np.uint64), carray(mask_, 1, np.uint64)
    base, mask = keys[0], np.uint64(0)
    for row in range(rows):
        mask |= keys[row] ^ base
    out[0] = mask
    return 0


@entry("slots")
def slots(keys_: Any, rows: int, bits_: Any, runs: int, segment_: Any, there_: Any, size: int) -> Any:
    """How many different keys there are. Fills segment, int32[rows], with each key's slot: its varying bits side by side; there, uint8[size], with the slots
    that are taken.

    bits: uint64[4, 64]: of each run of varying bits the lowest one, itself at the right, where it goes; then the mask of all."""
    keys, segment, there = carray(keys_, rows, np.uint64), carray(segment_, rows, np.int32), carray(there_, size, np.uint8)
    bits = carray(bits_, (4, 64), np.uint64)
    low, ones, target = bits[0], bits[1], bits[2]
    one, two, three = ones[0], ones[1] << target[1], ones[2] << target[2]
    right, further, last = low[0], low[1] - target[1], low[2] - target[2]
    for row in range(rows):  # three runs at once: a key's parts, as a rule
        key = keys[row]
        segment[row] = np.uint32(((key >> right) & one) | ((key >> further) & two) | ((key >> last) & three))
    for run in range(3, runs):
        for row in range(rows):
            segment[row] |= np.int32(((keys[row] >> low[run]) & ones[run]) << target[run])
    for slot in range(size):
        there[slot] = 0
    for row in range(rows):
        there[np.uint32(segment[row])] = 1
    count: Any = 0
    for slot in range(size):
        count += np.int64(there[slot])
    return count


@entry("numbered")
def numbered(keys_: Any, rows: int, bits_: Any, runs: int, segment_: Any, there_: Any, size: int, distinct_: Any, count: int, place_: Any) -> Any:
    """After `slots`. Fills distinct, uint64[count], with the keys, ascending, and segment with each row's key. place: work space, int32[size]."""
    keys, segment, there = carray(keys_, rows, np.uint64), carray(segment_, rows, np.int32), carray(there_, size, np.uint8)
    distinct, place, bits = carray(distinct_, count, np.uint64), carray(place_, size, np.int32), carray(bits_, (4, 64), np.uint64)
    low, ones, target = bits[0], bits[1], bits[2]
    same, at = keys[0] & ~bits[3, 0], 0
    for slot in range(size):
        if there[slot]:
            key = same
            for run in range(runs):
                key |= ((np.uint64(slot) >> target[run]) & ones[run]) << low[run]
            distinct[at] = key
            place[slot] = at
            at += 1
    for row in range(rows):
        segment[row] = place[np.uint32(segment[row])]
    return at


@entry("votes")
def votes(records_: Any, rows: int, out_: Any) -> Any:
    """Fills float64[rows]: `tables.votes_of` of records. records: `packed.NARROW`[rows]."""
    records, out = carray(records_, rows, NARROW), carray(out_, rows, np.float64)
    for row in range(rows):
        record = records[row]
        effect = record.effect
        out[row] = (1.0 if effect > 0 else (-1.0 if effect < 0 else 0.0)) * np.float64(record.confidence) * np.float64(record.stability)
    return 0


@entry("cast")
def cast(effect_: Any, confidence_: Any, stability_: Any, rows: int, out_: Any) -> Any:
    """Fills float64[rows]: `tables.votes_of` of columns of float32."""
    effect, out = carray(effect_, rows, np.float32), carray(out_, rows, np.float64)
    confidence, stability = carray(confidence_, rows, np.float32), carray(stability_, rows, np.float32)
    for row in range(rows):
        sign = 1.0 if effect[row] > 0 else (-1.0 if effect[row] < 0 else 0.0)
        out[row] = sign * np.float64(confidence[row]) * np.float64(stability[row])
    return 0


def _agreement(kind: Any) -> Any:
    """The loop for segments of one type. pair: int32[rows]."""

    def agreement(
        segment_: Any,
        vote_: Any,
        rows_: Any,
        clients: int,
        factor_: Any,
        keys: int,
        units: float,
        pair_: Any,
        total_: Any,
        pairs: int,
        scaled_: Any,
        dot_: Any,
    ) -> Any:
        """Fills float64[keys], `ballots.key_totals`; float64[clients, or pairs where there are any], the sums of `ballots.times_totals` in units.

        rows: int64[clients], how many each has; scaled: work space, float64[keys]."""
        rows, factor = carray(rows_, clients, np.int64), carray(factor_, clients, np.float64)
        total, scaled = carray(total_, keys, np.float64), carray(scaled_, keys, np.float64)
        dot = carray(dot_, pairs if pairs else clients, np.float64)
        many = 0
        for client in range(clients):
            many += rows[client]
        segment, vote, pair = carray(segment_, many, kind), carray(vote_, many, np.float64), carray(pair_, many, np.int32)
        for key in range(keys):
            total[key] = 0.0
        begin = np.uint64(0)
        for client in range(clients):
            own, end = factor[client], begin + np.uint64(rows[client])
            for row in range(begin, end):
                total[np.uint32(segment[row])] += own * vote[row]
            begin = end
        for key in range(keys):
            scaled[key] = total[key] * units
        if pairs:
            for at in range(pairs):
                dot[at] = 0.0
            for row in range(begin):
                dot[np.uint32(pair[row])] += np.rint(scaled[np.uint32(segment[row])] * vote[row])
            return 0
        begin = np.uint64(0)
        for client in range(clients):
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
        return 0

    return agreement


entry("agreement_32")(_agreement(np.int32))
entry("agreement_16")(_agreement(np.uint16))
