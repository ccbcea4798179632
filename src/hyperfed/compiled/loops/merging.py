"""The loops over the rows of one key range, each with the bytes of the numpy function that it stands beside.

1. Once rows are numbered, a counting sort lists each key's rows in client order (`_by_key`); a key's sums then run in registers, in the order in which
   `bincount` adds. Clients' keys ascend, so neighbouring keys read neighbouring rows. Records (`merge.packed`) are read where they lie.
2. No fused multiply-add, no reordering (numba's `fastmath` is off); division by zero gives what numpy gives.
3. Where each key's rows begin is counted first (`begins`): that tells how much work space a key needs. The caller makes it.

What the numbers mean stands at the numpy functions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.compiled.loops.compiler import carray, entry, inner
from hyperfed.merge.order import JUDGED
from hyperfed.merge.packed import NARROW
from hyperfed.merge.pooling import Z95

__all__: list[str] = []

Array = npt.NDArray[Any]

_SHORT = 24  # values that are sorted by their ranks
_LONG, _SAMPLE = 64, 16  # values of which a sample is taken to find their middle, and of how many


@entry("begins")
def begins(segment_: Any, rows: int, keys: int, start_: Any, free_: Any) -> Any:
    """How many rows the key of most rows has. Fills start, int64[keys + 1], with where each key's rows begin, the last one where all end, and free,
    uint32[keys], with the same."""
    segment, start, free = carray(segment_, rows, np.int32), carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32)
    end, most = np.int64(0), np.int64(0)
    for key in range(keys):
        free[key] = 0
    for row in range(rows):
        free[np.uint32(segment[row])] += np.uint32(1)  # unsigned places need not be looked at for negative ones
    for key in range(keys):
        count = np.int64(free[key])
        start[key] = end
        free[key] = end
        end += count
        most = max(most, count)
    start[keys] = end
    return most


@inner
def _by_key(segment: Array, free: Array, order: Array) -> None:
    """Fills order, int32[rows], with the rows, key after key, in client order within one. free: as `begins` has filled it; it is used up."""
    for row in range(len(segment)):
        key = np.uint32(segment[row])
        at = free[key]
        order[at] = row
        free[key] = at + np.uint32(1)


@inner
def _weighed(segment: Array, rows: Array, weight: Array, free: Array, order: Array, of_row: Array) -> None:
    """`_by_key`, and the weight of each listed row's client into of_row, float64[rows]. rows: int64[clients], how many each has."""
    begin = np.uint64(0)
    for client in range(len(rows)):
        end = begin + np.uint64(rows[client])
        for row in range(begin, end):
            key = np.uint32(segment[row])
            at = free[key]
            order[at], of_row[at] = row, weight[client]
            free[key] = at + np.uint32(1)
        begin = end


@inner
def _sort_few(a: Array, low: int, n: int, room: Array, rank: Array) -> None:
    """Sorts a[low : low + n] in place, n at most _SHORT: a value's rank is how many are before it, and no comparison waits for another.

    room: work space for n of the type of a; rank: for n of uint64."""
    begin = np.uint64(low)
    for i in range(np.uint64(n)):
        x, before = a[begin + i], np.uint64(0)
        room[i] = x
        for j in range(i):
            first = np.uint64(room[j] <= x)
            before += first
            rank[j] += np.uint64(1) - first
        rank[i] = before
    for i in range(np.uint64(n)):
        a[begin + rank[i]] = room[i]


@inner
def _sort_many(a: Array, low: int, high: int, room: Array, rank: Array, stack: Array) -> None:
    """Sorts a[low:high] in place, by quick sort down to short pieces. room, rank: work space for `_SHORT`, as for `_sort_few`; stack: int64[128]."""
    depth = 0
    while True:
        while high - low > _SHORT:
            x, y, z = a[low], a[(low + high) >> 1], a[high - 1]
            pivot = max(min(x, y), min(max(x, y), z))
            i, j = low, high - 1
            while i <= j:
                while a[i] < pivot:
                    i += 1
                while a[j] > pivot:
                    j -= 1
                if i <= j:
                    a[i], a[j] = a[j], a[i]
                    i += 1
                    j -= 1
            if j + 1 - low > high - i:  # the longer piece waits
                stack[depth], stack[depth + 1] = low, j + 1
                low = i
            else:
                stack[depth], stack[depth + 1] = i, high
                high = j + 1
            depth += 2
        _sort_few(a, low, high - low, room, rank)
        if depth == 0:
            return
        depth -= 2
        low, high = stack[depth], stack[depth + 1]


@entry("ordered")
def ordered(segment_: Any, rows: int, value_: Any, keys: int, start_: Any, free_: Any, out_: Any, room_: Any, rank_: Any) -> Any:
    """After `begins`: fills float64[rows] with the values, key after key, ascending; -0.0 as 0.0. room, rank: float64 and uint64[152]."""
    segment, value, out = carray(segment_, rows, np.int32), carray(value_, rows, np.float64), carray(out_, rows, np.float64)
    start, free = carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32)
    room, rank, stack = carray(room_, 152, np.float64), carray(rank_, 152, np.uint64), carray(rank_, 152, np.int64)[24:]
    for row in range(rows):
        own = np.uint32(segment[row])
        at = free[own]
        out[at] = value[row] + 0.0
        free[own] = at + np.uint32(1)
    for key in range(keys):
        count = start[key + 1] - start[key]
        if count <= _SHORT:
            _sort_few(out, start[key], count, room, rank)
        else:
            _sort_many(out, start[key], start[key + 1], room, rank, stack)
    return 0


@entry("trimmed")
def trimmed(start_: Any, count_: Any, keys: int, value_: Any, f: int, out_: Any) -> Any:
    """Fills float64[keys]: the mean of each key's values, ascending, without the f first and f last; 0 where nothing is left."""
    start, count, out = carray(start_, keys, np.int64), carray(count_, keys, np.int64), carray(out_, keys, np.float64)
    value = carray(value_, start[keys - 1] + count[keys - 1] if keys else 0, np.float64)
    for key in range(keys):
        out[key] = 0.0
        if count[key] > 2 * f:
            total = 0.0
            for at in range(start[key] + f, start[key] + count[key] - f):
                total += value[at]
            out[key] = total / (count[key] - 2 * f)
    return 0


@inner
def _middle(a: Array, n: int, b: Array, rank: Array) -> float:
    """The median of a[:n], float32: the mean of its two middle values, in float64. a is then another. b: work space for n, float32; rank: for `_SHORT`, uint64.

    Few values are sorted. Of many, a sorted sample gives two between which both middle ones lie, as a rule: one pass counts what is below them and keeps what
    is between. That is cut at one of its values after the other, by passes without a branch to guess wrong, until what is left is short enough to be sorted.
    """
    low: Any = (n - 1) // 2
    high: Any = n // 2
    if n <= _SHORT:
        _sort_few(a, 0, n, b, rank)
        return (np.float64(a[low]) + np.float64(a[high])) / 2.0
    left, below = np.uint64(n), np.uint64(0)
    if n > _LONG:
        for i in range(_SAMPLE):
            b[i] = a[i * (n // _SAMPLE)]
        _sort_few(b, 0, _SAMPLE, b[_SAMPLE : 2 * _SAMPLE], rank)
        least, most, left = b[_SAMPLE // 3], b[_SAMPLE - 1 - _SAMPLE // 3], np.uint64(0)
        for i in range(n):
            x = a[i]
            b[left] = x
            below += np.uint64(x < least)
            left += np.uint64((x >= least) & (x <= most))
    if n <= _LONG or low < np.int64(below) or high >= np.int64(below + left):
        b[:n] = a[:n]
        left, below = np.uint64(n), np.uint64(0)
    low, high = low - np.int64(below), high - np.int64(below)
    first: Any = np.uint64(0)
    last: Any = left  # the place of the higher of the two lies in [first, last)
    while last - first > np.uint64(_SHORT):
        x, y, z = b[first], b[(first + last) >> np.uint64(1)], b[last - np.uint64(1)]
        pivot = max(min(x, y), min(max(x, y), z))
        cut = first
        for i in range(first, last):
            x = b[i]
            b[i] = b[cut]
            b[cut] = x
            cut += np.uint64(x < pivot)
        if high < np.int64(cut):
            last = cut
            continue
        first = cut
        for i in range(first, last):
            x = b[i]
            b[i] = b[cut]
            b[cut] = x
            cut += np.uint64(x <= pivot)
        if high < np.int64(cut):  # it is the pivot: so are all in [first, cut)
            last = cut
            break
        first = cut
    if last - first <= np.uint64(_SHORT):
        _sort_few(b, first, last - first, a, rank)
    if low >= np.int64(first):
        return (np.float64(b[low]) + np.float64(b[high])) / 2.0
    x = b[0]  # the lower one is the largest below
    for i in range(1, np.int64(first)):
        x = max(x, b[i])
    return (np.float64(x) + np.float64(b[high])) / 2.0


@inner
def _trust(value: Array, n: int, short: Array, room: Array, rank: Array, out: Array) -> None:
    """Rule 4 of `merge.order` on the n effects of one key, held within +-1e38. short, room, rank: work space as for `_middle`. Medians of float32
    are the medians rounded to float32, as rounding keeps the order."""
    if n < JUDGED:
        out[:n] = 1.0
        return
    for i in range(n):
        short[i] = value[i]
    centre = _middle(short, n, room, rank)
    for i in range(n):
        short[i] = abs(value[i] - centre)
    middle = _middle(short, n, room, rank)
    for i in range(n):
        short[i] = abs(abs(value[i] - centre) - middle)
    spread = 1.4826 * _middle(short, n, room, rank) + middle / 6.0
    fall, near = 3.0 * spread, middle * (1 + 1e-6)
    if fall > 0:
        for i in range(n):
            beyond = abs(value[i] - centre) - near
            fallen = 1.0 - beyond / fall
            fallen = fallen if fallen > 0.0 else 0.0
            out[i] = 1.0 if beyond <= 0 else fallen
    else:
        for i in range(n):
            out[i] = 1.0 if abs(value[i] - centre) - near <= 0 else 0.0


@entry("effect_trust")
def effect_trust(
    segment_: Any, rows: int, keys: int, most: int, effect_: Any, start_: Any, free_: Any, order_: Any, wide_: Any, short_: Any, rank_: Any, out_: Any
) -> Any:
    """After `begins`, which answered most: fills float64[rows], `merge.order.effect_trust`. Work space: order, int32[rows]; wide, float64[2, most];
    short, float32[2, most]; rank, uint64[24]."""
    segment, effect, out = carray(segment_, rows, np.int32), carray(effect_, rows, np.float64), carray(out_, rows, np.float64)
    start, free, order = carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32), carray(order_, rows, np.int32)
    wide, short, rank = carray(wide_, (2, most), np.float64), carray(short_, (2, most), np.float32), carray(rank_, _SHORT, np.uint64)
    value, trust = wide[0], wide[1]
    _by_key(segment, free, order)
    for key in range(keys):
        first, n = start[key], start[key + 1] - start[key]
        for i in range(n):
            value[i] = min(max(effect[order[first + i]], -1e38), 1e38)
        _trust(value, n, short[0], short[1], rank, trust)
        for i in range(n):
            out[order[first + i]] = trust[i]
    return 0


@inner
def _pool(n: int, effect: Array, vote: Array, weight: Array, width: Array, intervals: bool, y: Array, v: Array, a: Array, heard: Array) -> Any:
    """(effect, std_error, tau2, i2, pooled) of one key from its n rows: `merge.pooling.pool_effects`. y, v, a, heard: work space for n."""
    first = min(max(effect[0], -1e60), 1e60)
    for i in range(n):
        y[i] = min(max(effect[i], -1e60), 1e60) - first
    known, everyone, sum_a, sum_ay, sum_ah, sum_aa = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if intervals:
        for i in range(n):  # divisions apart from sums: several at once
            s = min(max(width[i] / (2 * Z95), 1e-30), 1e30)
            heard[i] = weight[i] if width[i] > 0 else 0.0
            v[i] = s * s
            a[i] = heard[i] / v[i]
        for i in range(n):
            known += heard[i]
            everyone += weight[i]
            sum_a += a[i]
            sum_ay += a[i] * y[i]
            sum_ah += a[i] * heard[i]
            sum_aa += a[i] * a[i]
    if not 2 * known > everyone:
        total, mean = 0.0, 0.0
        for i in range(n):
            a[i] = abs(vote[i]) * weight[i]
            total += a[i]
        if total <= 0:
            total = 0.0
            for i in range(n):
                a[i] = weight[i]
                total += a[i]
        for i in range(n):
            mean += a[i] * y[i]
        return first + mean / total, 0.0, 0.0, 0.0, False
    fixed = sum_ay / sum_a
    q = 0.0
    for i in range(n):
        left = y[i] - fixed
        q += left * left * a[i]
    expected = known - sum_ah / sum_a
    spread = sum_a - sum_aa / sum_a
    excess = q - max(expected, 0.0)
    tau2, i2 = 0.0, 0.0
    if spread > 1e-12 * sum_a and excess > 0:
        tau2, i2 = excess / spread, excess / q
    sum_b, sum_by, sum_bh = 0.0, 0.0, 0.0
    for i in range(n):
        a[i] = heard[i] / (v[i] + tau2)
    for i in range(n):
        sum_b += a[i]
        sum_by += a[i] * y[i]
        sum_bh += a[i] * heard[i]
    return first + sum_by / sum_b, np.sqrt(sum_bh) / sum_b, tau2, i2, True


@entry("pool_effects")
def pool_effects(
    segment_: Any, rows: int, keys: int, most: int, effect_: Any, vote_: Any, weight_: Any, width_: Any, intervals: int, start_: Any, free_: Any, order_: Any,
    room_: Any, of_key_: Any, error_: Any, tau2_: Any, i2_: Any, pooled_: Any,
) -> Any:  # fmt: skip
    """After `begins`: fills float64[keys] each, effect, std_error, tau2, i2, and bool[keys], pooled. width: float64[rows], or of no rows where there are no
    intervals. Work space: order, int32[rows]; room, float64[8, most]."""
    segment, effect, vote = carray(segment_, rows, np.int32), carray(effect_, rows, np.float64), carray(vote_, rows, np.float64)
    weight, width = carray(weight_, rows, np.float64), carray(width_, rows if intervals else 0, np.float64)
    start, free, order = carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32), carray(order_, rows, np.int32)
    room, of_key, error = carray(room_, (8, most), np.float64), carray(of_key_, keys, np.float64), carray(error_, keys, np.float64)
    tau2, i2, pooled = carray(tau2_, keys, np.float64), carray(i2_, keys, np.float64), carray(pooled_, keys, np.bool_)
    e, t, w, x, y, v, a, heard = room[0], room[1], room[2], room[3], room[4], room[5], room[6], room[7]
    _by_key(segment, free, order)
    for key in range(keys):
        first, n = start[key], start[key + 1] - start[key]
        for i in range(n):
            row = order[first + i]
            e[i], t[i], w[i] = effect[row], vote[row], weight[row]
            if intervals:
                x[i] = width[row]
        of_key[key], error[key], tau2[key], i2[key], pooled[key] = _pool(n, e, t, w, x, intervals != 0, y, v, a, heard)
    return 0


@inner
def _heard(n: int, e: Array, t: Array, w: Array, sure: Array, firm: Array, at: Array) -> Any:
    """(how many of a key's n rows count; summed: weights, weighted votes, weighted confidence). Filled in: t, each row's vote; rows without weight go."""
    reported, mean, certain, m = 0.0, 0.0, 0.0, np.uint64(0)
    for i in range(np.uint64(n)):
        mine, value, c, s, row = w[i], e[i], sure[i], firm[i], at[i]
        cast = (1.0 if value > 0 else (-1.0 if value < 0 else 0.0)) * c * s
        reported += mine
        mean += mine * cast
        certain += mine * c
        e[m], t[m], w[m], sure[m], firm[m], at[m] = value, cast, mine, c, s, row
        m += np.uint64(mine > 0)
    return np.int64(m), reported, mean, certain


@inner
def _stays(strategy: int, n: int, clients: int, reported: float, mean: float, certain: float, voters: float, vote_min: float) -> bool:
    """Whether a strategy keeps a key of n rows. mean: the mean vote of `voters`, a weight; reported, certain: as `_heard` has summed them."""
    if reported <= 0:
        return False
    if strategy == 0:
        return True
    if strategy == 1:
        return n == clients
    if strategy == 2:
        return bool(certain >= vote_min * voters)
    return bool(abs(mean) >= vote_min)


@inner
def _kept(
    m: int, e: Array, t: Array, w: Array, sure: Array, firm: Array, x: Array, samples: Array, hits: Array, intervals: bool, mean: float, strategy: int,
    robust: bool, room: Array, short: Array, rank: Array, out: Array,
) -> bool:  # fmt: skip
    """Whether a key that stays was pooled. Filled in: out, its columns as in `merged`, from its m rows. room, short, rank: work space, five rows of
    float64 and two of float32 for m each, and as for `_middle`."""
    y, v, a, heard, held = room[0], room[1], room[2], room[3], room[4]
    if robust:
        for i in range(m):
            v[i] = min(max(e[i], -1e38), 1e38)
        _trust(v, m, short[0], short[1], rank, held)
        for i in range(m):
            held[i] = w[i] * held[i]
    else:
        held[:m] = w[:m]
    out[0], out[4], out[5], out[6], pooled = _pool(m, e, t, held, x, intervals, y, v, a, heard)
    total, strength, confident, support, sampled, count = 0.0, 0.0, 0.0, 0, 0.0, 0.0
    for i in range(m):
        same = (t[i] > 0) == (mean > 0) and (t[i] < 0) == (mean < 0)
        mine = w[i] if same or strategy != 3 else 0.0  # whoever counts for how firm the key is
        support += same
        total += mine
        strength += mine * firm[i]
        confident += mine * sure[i]
        sampled += samples[i]
        count += hits[i]
    if strategy == 3:
        strength = strength / total if total > 0 else 0.0
        confident = abs(mean) / strength if strength > 0 else 0.0
    else:
        strength, confident = strength / total, confident / total
    out[1], out[2] = min(max(confident, 0.0), 1.0), min(max(strength, 0.0), 1.0)
    out[3] = min(max(mean, -1.0), 1.0) + 0.0
    out[7], out[8] = support, m
    out[9], out[10] = min(sampled, 9223372036854775808.0), min(count, 4294967295.0)
    return bool(pooled)


def _merged(kind: Any) -> Any:
    """The loop for effects, confidence and stability of one type."""

    def merged(
        segment_: Any, many: int, keys: int, most: int, rows_: Any, clients: int, effect_: Any, confidence_: Any, stability_: Any, width_: Any, intervals: int,
        n_: Any, hits_: Any, weight_: Any, voters_: Any, strategy: int, vote_min: float, robust: int, start_: Any, free_: Any, order_: Any, of_row_: Any,
        room_: Any, short_: Any, whole_: Any, stays_: Any, out_: Any, pooled_: Any,
    ) -> Any:  # fmt: skip
        """After `begins`: fills bool[keys], which stay; float64[keys, 11] of those that do; bool[keys], pooled: `merge.rows.merged_rows` of a rule without
        order statistics.

        Columns: effect, confidence, stability, vote, std_error, tau2, i2, support, reporting, samples, hits.
        strategy: 0 union, 1 intersection, 2 weighted, 3 consensus or mean. Work space: order, int32[many]; of_row, float64[many]; room, float64[13, most];
        short, float32[2, most]; whole, uint64[24 + most].
        """
        segment, rows = carray(segment_, many, np.int32), carray(rows_, clients, np.int64)
        effect, confidence, stability = carray(effect_, many, kind), carray(confidence_, many, kind), carray(stability_, many, kind)
        width, n, hits = carray(width_, many if intervals else 0, np.float64), carray(n_, many, np.uint64), carray(hits_, many, np.uint32)
        weight, voters = carray(weight_, clients, np.float64), carray(voters_, keys, np.float64)
        start, free, order = carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32), carray(order_, many, np.int32)
        of_row, room, short = carray(of_row_, many, np.float64), carray(room_, (13, most), np.float64), carray(short_, (2, most), np.float32)
        whole = carray(whole_, _SHORT + most, np.uint64)
        stays, out, pooled = carray(stays_, keys, np.bool_), carray(out_, (keys, 11), np.float64), carray(pooled_, keys, np.bool_)
        e, t, w, sure, firm, x, samples, count = room[5], room[6], room[7], room[8], room[9], room[10], room[11], room[12]
        rank, at = whole[:_SHORT], whole[_SHORT:]
        _weighed(segment, rows, weight, free, order, of_row)
        for key in range(keys):
            first, some = start[key], start[key + 1] - start[key]
            stays[key], pooled[key] = False, False
            for i in range(some):
                row = np.uint32(order[first + i])
                e[i], sure[i], firm[i], w[i], at[i] = effect[row], confidence[row], stability[row], of_row[first + i], row
            m, reported, mean, certain = _heard(some, e, t, w, sure, firm, at)
            mean = mean / voters[key] if voters[key] > 0 else 0.0
            if not _stays(strategy, some, clients, reported, mean, certain, voters[key], vote_min):
                continue
            stays[key] = True
            for i in range(m):
                row = np.uint32(at[i])
                samples[i], count[i] = np.int64(min(np.uint64(n[row]), np.uint64(9007199254740992))), hits[row]
                if intervals:
                    x[i] = width[row]
            pooled[key] = _kept(m, e, t, w, sure, firm, x, samples, count, intervals != 0, mean, strategy, robust != 0, room, short, rank, out[key])
        return 0

    return merged


entry("merged_32")(_merged(np.float32))
entry("merged_64")(_merged(np.float64))


@entry("merged_records")
def merged_records(
    segment_: Any, many: int, keys: int, most: int, rows_: Any, clients: int, records_: Any, weight_: Any, voters_: Any, strategy: int, vote_min: float,
    robust: int, start_: Any, free_: Any, order_: Any, of_row_: Any, room_: Any, short_: Any, whole_: Any, stays_: Any, out_: Any, pooled_: Any,
) -> Any:  # fmt: skip
    """`merged` of records, read where they lie: a row is a line of the cache or two, not one for each column. records: `packed.NARROW`[many]."""
    segment, rows, records = carray(segment_, many, np.int32), carray(rows_, clients, np.int64), carray(records_, many, NARROW)
    weight, voters = carray(weight_, clients, np.float64), carray(voters_, keys, np.float64)
    start, free, order = carray(start_, keys + 1, np.int64), carray(free_, keys, np.uint32), carray(order_, many, np.int32)
    of_row, room, short = carray(of_row_, many, np.float64), carray(room_, (13, most), np.float64), carray(short_, (2, most), np.float32)
    whole = carray(whole_, _SHORT + most, np.uint64)
    stays, out, pooled = carray(stays_, keys, np.bool_), carray(out_, (keys, 11), np.float64), carray(pooled_, keys, np.bool_)
    e, t, w, sure, firm, x, samples, count = room[5], room[6], room[7], room[8], room[9], room[10], room[11], room[12]
    rank, at = whole[:_SHORT], whole[_SHORT:]
    _weighed(segment, rows, weight, free, order, of_row)
    for key in range(keys):
        first, some = start[key], start[key + 1] - start[key]
        stays[key], pooled[key] = False, False
        for i in range(some):
            row = np.uint32(order[first + i])
            record = records[row]
            e[i], sure[i], firm[i], w[i], at[i] = record.effect, record.confidence, record.stability, of_row[first + i], row
        m, reported, mean, certain = _heard(some, e, t, w, sure, firm, at)
        mean = mean / voters[key] if voters[key] > 0 else 0.0
        if not _stays(strategy, some, clients, reported, mean, certain, voters[key], vote_min):
            continue
        stays[key] = True
        for i in range(m):
            record = records[np.uint32(at[i])]
            samples[i], count[i] = np.int64(min(record.n, np.uint64(9007199254740992))), record.hits
            x[i] = np.float64(record.ci_high) - np.float64(record.ci_low)
        pooled[key] = _kept(m, e, t, w, sure, firm, x, samples, count, True, mean, strategy, robust != 0, room, short, rank, out[key])
    return 0
