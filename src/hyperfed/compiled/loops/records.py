"""The loops of rows as records (`merge.packed`): a table's rows packed, and many tables' records put into the order of (range, client, key)."""

from typing import Any

import numpy as np

from hyperfed.compiled.loops.compiler import carray, entry
from hyperfed.merge.packed import NARROW

__all__: list[str] = []

_WORDS = NARROW.itemsize // 8  # of a record; the first is its key


@entry("pack")
def pack(
    source_: Any, target_: Any, lag_: Any, effect_: Any, low_: Any, high_: Any, confidence_: Any, stability_: Any, hits_: Any, n_: Any, rows: int,
    intervals: int, records_: Any,
) -> Any:  # fmt: skip
    """Fills `packed.NARROW`[rows] from columns of float32. low, high: of no rows without intervals; both are 0 then."""
    source, target, lag = carray(source_, rows, np.uint32), carray(target_, rows, np.uint32), carray(lag_, rows, np.uint16)
    effect, confidence, stability = carray(effect_, rows, np.float32), carray(confidence_, rows, np.float32), carray(stability_, rows, np.float32)
    some = rows if intervals else 0
    low, high = carray(low_, some, np.float32), carray(high_, some, np.float32)
    hits, n, records = carray(hits_, rows, np.uint32), carray(n_, rows, np.uint64), carray(records_, rows, NARROW)
    for row in range(rows):
        record = records[row]
        record.key = (np.uint64(source[row]) << np.uint64(40)) | (np.uint64(target[row]) << np.uint64(16)) | np.uint64(lag[row])
        record.n = n[row]
        record.effect, record.confidence, record.stability = effect[row], confidence[row], stability[row]
        record.ci_low = low[row] if intervals else np.float32(0)
        record.ci_high = high[row] if intervals else np.float32(0)
        record.hits = hits[row]
    return 0


@entry("ends")
def ends(records_: Any, rows: int, bounds_: Any, count: int, out_: Any) -> Any:
    """Fills int64[count + 2] with 0, how many of `packed.NARROW`[rows], ascending by key, lie below each of uint64[count] ascending bounds, and `rows`."""
    words, bounds, out = carray(records_, rows * _WORDS, np.uint64), carray(bounds_, count, np.uint64), carray(out_, count + 2, np.int64)
    low = 0
    out[0], out[count + 1] = 0, rows
    for i in range(count):
        high = rows
        while low < high:
            middle = (low + high) // 2
            if words[middle * _WORDS] < bounds[i]:
                low = middle + 1
            else:
                high = middle
        out[i + 1] = low
    return 0


@entry("spread")
def spread(records_: Any, ends_: Any, ranges: int, place_: Any, out_: Any, many: int) -> Any:
    """Copies the records of one table, range by range, to where the range has come to in `packed.NARROW`[many], and moves that on.

    ends: int64[ranges + 1], where each range begins among them; place: int64[ranges], where in out."""
    ends, place = carray(ends_, ranges + 1, np.int64), carray(place_, ranges, np.int64)
    words, out = carray(records_, ends[ranges] * _WORDS, np.uint64), carray(out_, many * _WORDS, np.uint64)
    for i in range(ranges):
        first, to, size = ends[i] * _WORDS, place[i] * _WORDS, (ends[i + 1] - ends[i]) * _WORDS
        for word in range(size):
            out[to + word] = words[first + word]
        place[i] += ends[i + 1] - ends[i]
    return 0
