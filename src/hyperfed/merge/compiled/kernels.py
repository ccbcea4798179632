"""The kernels: loops over the rows of one key range, each with the bytes of the numpy function that it stands beside.

1. Once rows are numbered, a counting sort lists each key's rows in client order (`_by_key`); a key's sums then run in registers, in the order in which
   `bincount` adds. Clients' keys ascend, so neighbouring keys read neighbouring rows of each column.
2. No fused multiply-add, no reordering (numba's `fastmath` is off); division by zero gives what numpy gives.
3. All kernels are in this file: numba's cache looks at the file of a kernel, not at those it calls.

Import it through `hyperfed.merge.compiled.kernels` only: it imports numba. What the numbers mean stands at the numpy functions.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from hyperfed.merge.order import JUDGED
from hyperfed.merge.pooling import Z95

__all__ = ["agreement", "effect_trust", "merged", "number", "ordered", "pool_effects", "trimmed"]

F = TypeVar("F", bound=Callable[..., Any])
Array = npt.NDArray[Any]

_SHORT = 24  # values that are sorted by insertion


def _compiled(loop: F) -> F:
    try:
        return cast(F, numba.njit(loop, nogil=True, error_model="numpy", cache=True))
    except RuntimeError:  # nothing may be written anywhere
        return cast(F, numba.njit(loop, nogil=True, error_model="numpy"))


@_compiled
def _by_key(segment: Array, keys: int) -> tuple[Array, Array]:
    """(int64[keys + 1], where each key's rows begin; int32[rows], the rows, key after key, in client order within one)."""
    start = np.zeros(keys + 1, dtype=np.int64)
    for row in range(len(segment)):
        start[segment[row] + 1] += 1
    for key in range(keys):
        start[key + 1] += start[key]
    free = start[:keys].copy()
    rows = np.empty(len(segment), dtype=np.int32)
    for row in range(len(segment)):
        key = segment[row]
        rows[free[key]] = row
        free[key] += 1
    return start, rows


@_compiled
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
    segment = np.zeros(rows, dtype=np.int32)
    place = np.zeros(1 << width, dtype=np.int32)
    for run in range(3, runs):
        for row in range(rows):
            segment[row] |= np.int32(((keys[row] >> low[run]) & ones[run]) << target[run])
    for row in range(rows):  # three runs at once: a key's parts, as a rule
        key = keys[row]
        bits = ((key >> low[0]) & ones[0]) | (((key >> low[1]) & ones[1]) << target[1]) | (((key >> low[2]) & ones[2]) << target[2])
        slot = segment[row] | np.int32(bits)
        segment[row] = slot
        place[slot] = 1
    count = 0
    for slot in range(1 << width):
        count += place[slot]
    distinct = np.empty(count, dtype=np.uint64)
    count = 0
    for slot in range(1 << width):
        if place[slot]:
            key = base & ~mask
            for run in range(runs):
                key |= ((np.uint64(slot) >> target[run]) & ones[run]) << low[run]
            distinct[count] = key
            place[slot] = count
            count += 1
    for row in range(rows):
        segment[row] = place[segment[row]]
    return True, distinct, segment


@_compiled
def _sort(a: Array, low: int, high: int) -> None:
    """Sorts a[low:high] in place: by quick sort down to short pieces, those by insertion."""
    stack = np.empty(128, dtype=np.int64) if high - low > _SHORT else np.empty(0, dtype=np.int64)
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
        for i in range(low + 1, high):  # without a branch to guess wrong: the larger one goes on
            x = a[i]
            for j in range(low, i):
                y = a[j]
                a[j] = x if x < y else y
                x = y if x < y else x
            a[i] = x
        if depth == 0:
            return
        depth -= 2
        low, high = stack[depth], stack[depth + 1]


@_compiled
def ordered(segment: Array, keys: int, value: Array) -> tuple[Array, Array, Array]:
    """(int64[keys] start, int64[keys] count, float64[rows] the values, key after key, ascending; -0.0 as 0.0)."""
    start, count = np.zeros(keys + 1, dtype=np.int64), np.empty(keys, dtype=np.int64)
    for row in range(len(segment)):
        start[segment[row] + 1] += 1
    for key in range(keys):
        start[key + 1] += start[key]
    free, out = start[:keys].copy(), np.empty(len(value), dtype=np.float64)
    for row in range(len(segment)):
        key = segment[row]
        out[free[key]] = value[row] + 0.0
        free[key] += 1
    for key in range(keys):
        count[key] = start[key + 1] - start[key]
        _sort(out, start[key], start[key + 1])
    return start[:keys], count, out


@_compiled
def trimmed(start: Array, count: Array, value: Array, f: int) -> Array:
    """float64[keys]: the mean of each key's values, ascending, without the f first and f last; 0 where nothing is left."""
    out = np.zeros(len(count))
    for key in range(len(count)):
        if count[key] > 2 * f:
            total = 0.0
            for at in range(start[key] + f, start[key] + count[key] - f):
                total += value[at]
            out[key] = total / (count[key] - 2 * f)
    return out


@_compiled
def _middle(a: Array, n: int) -> float:
    """The median of a[:n], ascending, each of its two middle values rounded to float32."""
    return (np.float64(np.float32(a[(n - 1) // 2])) + np.float64(np.float32(a[n // 2]))) / 2.0


@_compiled
def _from_middle(a: Array, n: int, middle: float, out: Array) -> None:
    """|a[:n] - middle| ascending, of ascending values: a merge of the two sides."""
    right = 0
    while right < n and a[right] < middle:
        right += 1
    left = right - 1
    for i in range(n):
        if right == n or (left >= 0 and middle - a[left] <= a[right] - middle):
            out[i] = abs(a[left] - middle)
            left -= 1
        else:
            out[i] = abs(a[right] - middle)
            right += 1


@_compiled
def _trust(value: Array, n: int, sorted_: Array, gaps: Array, out: Array) -> None:
    """Rule 4 of `merge.order` on the n effects of one key, held within +-1e38. sorted_, gaps: work space for n."""
    if n < JUDGED:
        out[:n] = 1.0
        return
    sorted_[:n] = value[:n]
    _sort(sorted_, 0, n)
    centre = _middle(sorted_, n)
    _from_middle(sorted_, n, centre, gaps)
    middle = _middle(gaps, n)
    _from_middle(gaps, n, middle, sorted_)
    spread = 1.4826 * _middle(sorted_, n) + middle / 6.0
    fall = 3.0 * spread
    for i in range(n):
        beyond = abs(value[i] - centre) - middle * (1 + 1e-6)
        if beyond <= 0:
            out[i] = 1.0
        elif fall > 0:
            out[i] = min(max(1.0 - beyond / fall, 0.0), 1.0)
        else:
            out[i] = 0.0


@_compiled
def effect_trust(segment: Array, keys: int, effect: Array) -> Array:
    """float64[rows]: `merge.order.effect_trust`."""
    start, rows = _by_key(segment, keys)
    most = 0
    for key in range(keys):
        most = max(most, start[key + 1] - start[key])
    value, sorted_, gaps, trust = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    out = np.empty(len(segment))
    for key in range(keys):
        first, n = start[key], start[key + 1] - start[key]
        for i in range(n):
            value[i] = min(max(effect[rows[first + i]], -1e38), 1e38)
        _trust(value, n, sorted_, gaps, trust)
        for i in range(n):
            out[rows[first + i]] = trust[i]
    return out


@_compiled
def _pool(n: int, effect: Array, vote: Array, weight: Array, width: Array, intervals: bool, y: Array, v: Array, a: Array, heard: Array) -> Any:
    """(effect, std_error, tau2, i2, pooled) of one key from its n rows: `merge.pooling.pool_effects`. y, v, a, heard: work space for n."""
    first = min(max(effect[0], -1e60), 1e60)
    for i in range(n):
        y[i] = min(max(effect[i], -1e60), 1e60) - first
    enough = intervals
    if intervals:
        known, everyone = 0.0, 0.0
        for i in range(n):
            heard[i] = weight[i] if width[i] > 0 else 0.0
            known += heard[i]
            everyone += weight[i]
        enough = 2 * known > everyone
    if not enough:
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
    for i in range(n):
        s = min(max(width[i] / (2 * Z95), 1e-30), 1e30)
        v[i] = s * s
        a[i] = heard[i] / v[i]
    sum_a, sum_ay, sum_ah, sum_aa = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        sum_a += a[i]
        sum_ay += a[i] * y[i]
        sum_ah += a[i] * heard[i]
        sum_aa += a[i] * a[i]
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


@_compiled
def pool_effects(segment: Array, keys: int, effect: Array, vote: Array, weight: Array, width: Array, intervals: bool) -> Any:
    """(float64[keys] each: effect, std_error, tau2, i2; bool[keys] pooled). width: float64[rows], or of no rows where there are no intervals."""
    start, rows = _by_key(segment, keys)
    most = 0
    for key in range(keys):
        most = max(most, start[key + 1] - start[key])
    e, t, w, x = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    y, v, a, heard = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    of_key, error, tau2, i2, pooled = np.empty(keys), np.empty(keys), np.empty(keys), np.empty(keys), np.empty(keys, dtype=np.bool_)
    for key in range(keys):
        first, n = start[key], start[key + 1] - start[key]
        for i in range(n):
            row = rows[first + i]
            e[i], t[i], w[i] = effect[row], vote[row], weight[row]
            if intervals:
                x[i] = width[row]
        of_key[key], error[key], tau2[key], i2[key], pooled[key] = _pool(n, e, t, w, x, intervals, y, v, a, heard)
    return of_key, error, tau2, i2, pooled


@_compiled
def agreement(segment: Array, vote: Array, rows: Array, factor: Array, keys: int, units: float, pair: Array, pairs: int) -> tuple[Array, Array]:
    """(float64[keys], `ballots.key_totals`; float64[clients, or pairs where there are any], the sums of `ballots.times_totals` in units)."""
    total = np.zeros(keys)
    row = 0
    for client in range(len(rows)):
        for _ in range(rows[client]):
            total[segment[row]] += factor[client] * vote[row]
            row += 1
    scaled = np.empty(keys)
    for key in range(keys):
        scaled[key] = total[key] * units
    if pairs:
        dot = np.zeros(pairs)
        for row in range(len(segment)):
            dot[pair[row]] += np.rint(scaled[segment[row]] * vote[row])
        return total, dot
    dot = np.zeros(len(rows))
    row = 0
    for client in range(len(rows)):
        part = 0.0
        for _ in range(rows[client]):
            part += np.rint(scaled[segment[row]] * vote[row])
            row += 1
        dot[client] = part
    return total, dot


@_compiled
def merged(
    segment: Array,
    keys: int,
    rows: Array,
    effect: Array,
    confidence: Array,
    stability: Array,
    width: Array,
    intervals: bool,
    n: Array,
    hits: Array,
    weight: Array,
    voters: Array,
    strategy: int,
    vote_min: float,
    robust: bool,
) -> Any:
    """(bool[keys] which stay, float64[keys, 11] of those that do, bool[keys] pooled): `merge.rows.merged_rows` of a rule without order statistics.

    Columns: effect, confidence, stability, vote, std_error, tau2, i2, support, reporting, samples, hits.
    strategy: 0 union, 1 intersection, 2 weighted, 3 consensus or mean.
    """
    start, order = _by_key(segment, keys)
    most, row = 0, 0
    for key in range(keys):
        most = max(most, start[key + 1] - start[key])
    of_row = np.empty(len(segment), dtype=np.float64)
    for client in range(len(rows)):
        for _ in range(rows[client]):
            of_row[row] = weight[client]
            row += 1
    e, t, w, x, held, sure = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    firm, y, v, a, heard, at = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, dtype=np.int32)
    stays, pooled, out = np.zeros(keys, dtype=np.bool_), np.zeros(keys, dtype=np.bool_), np.zeros((keys, 11))
    for key in range(keys):
        reported, mean, certain, m = 0.0, 0.0, 0.0, 0
        for i in range(start[key], start[key + 1]):
            row = order[i]
            mine, value, c, s = of_row[row], np.float64(effect[row]), np.float64(confidence[row]), np.float64(stability[row])
            cast = (1.0 if value > 0 else (-1.0 if value < 0 else 0.0)) * c * s
            reported += mine
            mean += mine * cast
            certain += mine * c
            if mine > 0:
                e[m], t[m], w[m], sure[m], firm[m], at[m] = value, cast, mine, c, s, row
                m += 1
        mean = mean / voters[key] if voters[key] > 0 else 0.0
        if strategy == 0:
            stay = True
        elif strategy == 1:
            stay = start[key + 1] - start[key] == len(rows)
        elif strategy == 2:
            stay = certain >= vote_min * voters[key]
        else:
            stay = abs(mean) >= vote_min
        if not (stay and reported > 0):
            continue
        stays[key] = True
        if intervals:
            for i in range(m):
                x[i] = width[at[i]]
        if robust:
            for i in range(m):
                v[i] = min(max(e[i], -1e38), 1e38)
            _trust(v, m, y, a, held)
            for i in range(m):
                held[i] = w[i] * held[i]
        else:
            held[:m] = w[:m]
        out[key, 0], out[key, 4], out[key, 5], out[key, 6], pooled[key] = _pool(m, e, t, held, x, intervals, y, v, a, heard)
        total, backing, strength, confident, support, samples, count = 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0
        for i in range(m):
            same = (t[i] > 0) == (mean > 0) and (t[i] < 0) == (mean < 0)
            total += w[i]
            support += same
            if strategy == 3:
                if same:
                    backing += w[i]
                    strength += w[i] * firm[i]
            else:
                strength += w[i] * firm[i]
                confident += w[i] * sure[i]
            samples += np.float64(min(np.uint64(n[at[i]]), np.uint64(9007199254740992)))
            count += np.float64(hits[at[i]])
        if strategy == 3:
            strength = strength / backing if backing > 0 else 0.0
            confident = abs(mean) / strength if strength > 0 else 0.0
        else:
            strength, confident = strength / total, confident / total
        out[key, 1], out[key, 2] = min(max(confident, 0.0), 1.0), min(max(strength, 0.0), 1.0)
        out[key, 3] = min(max(mean, -1.0), 1.0) + 0.0
        out[key, 7], out[key, 8] = support, m
        out[key, 9], out[key, 10] = min(samples, 9223372036854775808.0), min(count, 4294967295.0)
    return stays, out, pooled
