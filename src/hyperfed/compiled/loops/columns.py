"""The loops of a table on its way in: planes to columns (`codec.planes`), what a table's checks look for (`tables`), rows as records (`merge.packed`)."""

from typing import Any

import numpy as np

from hyperfed.columns import MAX_SAMPLES
from hyperfed.compiled.loops.compiler import carray, entry, inner
from hyperfed.merge.packed import NARROW
from hyperfed.vocabulary import MAX_VARIABLES

__all__: list[str] = []

_STEP, _MIRROR, _BELOW = 1, 2, 3  # `codec.planes.Coding`
_INFINITE, _ONE, _SIGN = np.uint32(0x7F800000), np.uint32(0x3F800000), np.uint32(0x80000000)  # bits of float32
_VARIABLES, _SAMPLES = np.uint32(MAX_VARIABLES), np.uint64(MAX_SAMPLES)


def _joined(kind: Any) -> Any:
    """The loop that puts planes together to unsigned integers of one type."""
    eight, sixteen, more = kind(8), kind(16), kind(24)

    @inner
    def joined(a: Any, b: Any, c: Any, d: Any, count: int, rows: int, out: Any) -> None:
        if count == 0:
            for row in range(rows):
                out[row] = kind(0)
        elif count == 1:
            for row in range(rows):
                out[row] = kind(a[row])
        elif count == 2:
            for row in range(rows):
                out[row] = kind(a[row]) | (kind(b[row]) << eight)
        elif count == 3:
            for row in range(rows):
                out[row] = kind(a[row]) | (kind(b[row]) << eight) | (kind(c[row]) << sixteen)
        else:
            for row in range(rows):
                out[row] = kind(a[row]) | (kind(b[row]) << eight) | (kind(c[row]) << sixteen) | (kind(d[row]) << more)

    return joined


_joined_16, _joined_32, _joined_64 = _joined(np.uint16), _joined(np.uint32), _joined(np.uint64)


def _summed(kind: Any) -> Any:
    """The loop that makes values of their steps, modulo a width."""

    @inner
    def summed(out: Any, rows: int, mask: Any) -> None:
        value, within = kind(0), kind(mask)
        for row in range(rows):
            value = (value + out[row]) & within
            out[row] = value

    return summed


_summed_16, _summed_32, _summed_64 = _summed(np.uint16), _summed(np.uint32), _summed(np.uint64)


@entry("column")
def column(
    a_: Any, b_: Any, c_: Any, d_: Any, count: int, rows: int, size: int, width: int, coding: int, reach: float, effect_: Any, low_: Any, out_: Any
) -> Any:
    """Fills a column of `size` bytes a value, 2, 4 or 8, from its `count` planes, at most four, the low ones first: `codec.planes._decoded`.

    width: bytes a value that steps are counted in; effect, low: float32[rows], what BELOW and MIRROR are told by, both of a column of float32."""
    a, b, c, d = carray(a_, rows, np.uint8), carray(b_, rows, np.uint8), carray(c_, rows, np.uint8), carray(d_, rows, np.uint8)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * width)
    if size == 2:
        out_16 = carray(out_, rows, np.uint16)
        _joined_16(a, b, c, d, count, rows, out_16)
        if coding == _STEP:
            _summed_16(out_16, rows, mask)
        return 0
    if size == 8:
        out_64 = carray(out_, rows, np.uint64)
        _joined_64(a, b, c, d, count, rows, out_64)
        if coding == _STEP:
            _summed_64(out_64, rows, mask)
        return 0
    out = carray(out_, rows, np.uint32)
    _joined_32(a, b, c, d, count, rows, out)
    if coding == _STEP:
        _summed_32(out, rows, mask)
    elif coding == _BELOW:
        bits, effect, less = carray(out_, rows, np.uint32), carray(effect_, rows, np.float32), np.float32(reach)
        for row in range(rows):
            zigzag = bits[row]
            told = np.float32(effect[row] - less)
            out[row] = (zigzag >> np.uint32(1)) ^ (np.uint32(0) - (zigzag & np.uint32(1)))
            out[row] += told.view(np.uint32)
    elif coding == _MIRROR:
        bits, effect, low = carray(out_, rows, np.uint32), carray(effect_, rows, np.float32), carray(low_, rows, np.float32)
        for row in range(rows):
            zigzag = bits[row]
            told = np.float32(np.float64(effect[row]) * 2.0 - np.float64(low[row]))
            out[row] = (zigzag >> np.uint32(1)) ^ (np.uint32(0) - (zigzag & np.uint32(1)))
            out[row] += told.view(np.uint32)
    return 0


@inner
def _irregular(bits: Any) -> Any:
    """Whether a float32 of these bits is not finite, or -0.0."""
    return ((bits & np.uint32(0x7FFFFFFF)) >= _INFINITE) | (bits == _SIGN)


@entry("sound")
def sound(
    source_: Any, target_: Any, lag_: Any, effect_: Any, low_: Any, high_: Any, confidence_: Any, stability_: Any, n_: Any, rows: int, intervals: int,
) -> Any:  # fmt: skip
    """1 where `tables.EdgeTable` has nothing to refuse in columns of float32, else 0: numpy then says what. low, high: of no rows without intervals."""
    source, target, lag = carray(source_, rows, np.uint32), carray(target_, rows, np.uint32), carray(lag_, rows, np.uint16)
    effect, confidence, stability = carray(effect_, rows, np.uint32), carray(confidence_, rows, np.uint32), carray(stability_, rows, np.uint32)
    n, bad = carray(n_, rows, np.uint64), np.uint32(0)
    for row in range(rows):
        bad |= np.uint32(source[row] >= _VARIABLES) | np.uint32(target[row] >= _VARIABLES) | np.uint32((source[row] == target[row]) & (lag[row] == 0))
    for row in range(rows):
        bad |= np.uint32(_irregular(effect[row])) | np.uint32(confidence[row] > _ONE) | np.uint32(stability[row] > _ONE)
    for row in range(rows):
        bad |= np.uint32(n[row] > _SAMPLES)
    for row in range(1, rows):
        before = (np.uint64(source[row - 1]) << np.uint64(40)) | (np.uint64(target[row - 1]) << np.uint64(16)) | np.uint64(lag[row - 1])
        after = (np.uint64(source[row]) << np.uint64(40)) | (np.uint64(target[row]) << np.uint64(16)) | np.uint64(lag[row])
        bad |= np.uint32(after <= before)
    if intervals:
        low, high = carray(low_, rows, np.uint32), carray(high_, rows, np.uint32)
        for row in range(rows):
            bad |= np.uint32(_irregular(low[row])) | np.uint32(_irregular(high[row]))
        value, least, greatest = carray(effect_, rows, np.float32), carray(low_, rows, np.float32), carray(high_, rows, np.float32)
        for row in range(rows):
            bad |= np.uint32(least[row] > value[row]) | np.uint32(greatest[row] < value[row])
    return np.int64(bad == 0)


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
