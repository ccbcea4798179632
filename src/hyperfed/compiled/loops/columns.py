"""The loops of a table on its way in and out: planes to columns and back (`codec.planes`), what its checks look for (`tables`)."""

from typing import Any

import numpy as np

from hyperfed.columns import MAX_SAMPLES
from hyperfed.compiled.loops.compiler import carray, entry, inner
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
            value += out[row]
            out[row] = value & within

    return summed


_summed_16, _summed_32, _summed_64 = _summed(np.uint16), _summed(np.uint32), _summed(np.uint64)


@inner
def _mask(width: int) -> Any:
    """What steps of so many bytes are counted in."""
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * width)


@inner
def _below(bits: Any, effect: Any, rows: int, reach: float) -> None:
    """In place, by one array: of two that are the same LLVM makes a loop that takes one row at a time."""
    less = np.float32(reach)
    for row in range(rows):
        zigzag = bits[row]
        told = np.float32(effect[row] - less)
        bits[row] = ((zigzag >> np.uint32(1)) ^ (np.uint32(0) - (zigzag & np.uint32(1)))) + told.view(np.uint32)


@inner
def _mirrored(bits: Any, effect: Any, low: Any, rows: int) -> None:
    for row in range(rows):
        zigzag = bits[row]
        told = np.float32(np.float64(effect[row]) * 2.0 - np.float64(low[row]))
        bits[row] = ((zigzag >> np.uint32(1)) ^ (np.uint32(0) - (zigzag & np.uint32(1)))) + told.view(np.uint32)


@entry("column")
def column(
    a_: Any, b_: Any, c_: Any, d_: Any, count: int, rows: int, size: int, width: int, coding: int, reach: float, effect_: Any, low_: Any, out_: Any
) -> Any:
    """Fills a column of `size` bytes a value, 2, 4 or 8, from its `count` planes, at most four, the low ones first: `codec.planes._decoded`.

    width: bytes a value that steps are counted in; effect, low: float32[rows], what BELOW and MIRROR are told by, both of a column of float32."""
    a, b, c, d = carray(a_, rows, np.uint8), carray(b_, rows, np.uint8), carray(c_, rows, np.uint8), carray(d_, rows, np.uint8)
    if size == 2:
        out_16 = carray(out_, rows, np.uint16)
        _joined_16(a, b, c, d, count, rows, out_16)
        if coding == _STEP:
            _summed_16(out_16, rows, _mask(width))
        return 0
    if size == 8:
        out_64 = carray(out_, rows, np.uint64)
        _joined_64(a, b, c, d, count, rows, out_64)
        if coding == _STEP:
            _summed_64(out_64, rows, _mask(width))
        return 0
    out = carray(out_, rows, np.uint32)
    _joined_32(a, b, c, d, count, rows, out)
    if coding == _STEP:
        _summed_32(out, rows, _mask(width))
    elif coding == _BELOW:
        _below(out, carray(effect_, rows, np.float32), rows, reach)
    elif coding == _MIRROR:
        _mirrored(out, carray(effect_, rows, np.float32), carray(low_, rows, np.float32), rows)
    return 0


@inner
def _irregular(bits: Any) -> Any:
    """Whether a float32 of these bits is not finite, or -0.0."""
    return ((bits & np.uint32(0x7FFFFFFF)) >= _INFINITE) | (bits == _SIGN)


@inner
def _refused(source: Any, target: Any, lag: Any, effect: Any, confidence: Any, stability: Any, n: Any, rows: int) -> Any:
    """Not 0 where `tables.EdgeTable` refuses anything beside intervals. effect, confidence, stability: bits of float32."""
    bad = np.uint32(0)
    for row in range(rows):
        bad |= np.uint32(source[row] >= _VARIABLES) | np.uint32(target[row] >= _VARIABLES) | np.uint32((source[row] == target[row]) & (lag[row] == 0))
    for row in range(rows):
        bad |= np.uint32(_irregular(effect[row])) | np.uint32(confidence[row] > _ONE) | np.uint32(stability[row] > _ONE)
    for row in range(rows):
        bad |= np.uint32(n[row] > _SAMPLES)
    for row in range(1, rows):
        later = (target[row] > target[row - 1]) | ((target[row] == target[row - 1]) & (lag[row] > lag[row - 1]))
        bad |= np.uint32((source[row] < source[row - 1]) | ((source[row] == source[row - 1]) & (not later)))
    return bad


@inner
def _refused_intervals(low: Any, high: Any, effect: Any, least: Any, greatest: Any, rows: int) -> Any:
    """Not 0 where it refuses an interval. low, high: the bits of `least` and `greatest`."""
    bad = np.uint32(0)
    for row in range(rows):
        bad |= np.uint32(_irregular(low[row])) | np.uint32(_irregular(high[row]))
    for row in range(rows):
        bad |= np.uint32(least[row] > effect[row]) | np.uint32(greatest[row] < effect[row])
    return bad


@entry("sound")
def sound(
    source_: Any, target_: Any, lag_: Any, effect_: Any, low_: Any, high_: Any, confidence_: Any, stability_: Any, n_: Any, rows: int, intervals: int,
) -> Any:  # fmt: skip
    """1 where `tables.EdgeTable` has nothing to refuse in columns of float32, else 0: numpy then says what. low, high: of no rows without intervals."""
    source, target, lag = carray(source_, rows, np.uint32), carray(target_, rows, np.uint32), carray(lag_, rows, np.uint16)
    effect, confidence, stability = carray(effect_, rows, np.uint32), carray(confidence_, rows, np.uint32), carray(stability_, rows, np.uint32)
    bad = _refused(source, target, lag, effect, confidence, stability, carray(n_, rows, np.uint64), rows)
    if intervals:
        low, high = carray(low_, rows, np.uint32), carray(high_, rows, np.uint32)
        value, least, greatest = carray(effect_, rows, np.float32), carray(low_, rows, np.float32), carray(high_, rows, np.float32)
        bad |= _refused_intervals(low, high, value, least, greatest, rows)
    return np.int64(bad == 0)


def _filled(joined: Any, summed: Any) -> Any:
    """The loop that makes a column of a table from its planes, which begin with plane `first` of all of them; where those of the next column begin."""

    @inner
    def filled(planes: Any, first: int, count: int, width: int, rows: int, out: Any) -> int:
        at = first * rows  # what lies beyond a column's own planes is not looked at
        a, b, c, d = planes[at : at + rows], planes[at + rows : at + 2 * rows], planes[at + 2 * rows : at + 3 * rows], planes[at + 3 * rows : at + 4 * rows]
        joined(a, b, c, d, count, rows, out)
        if width:
            summed(out, rows, _mask(width))
        return first + count

    return filled


_filled_16, _filled_32, _filled_64 = _filled(_joined_16, _summed_16), _filled(_joined_32, _summed_32), _filled(_joined_64, _summed_64)


@inner
def _scaled(bits: Any, most: int, rows: int) -> None:
    """k / most of whole numbers, as float32 in their place."""
    whole = np.float32(most)
    for row in range(rows):
        bits[row] = np.float32(np.float32(bits[row]) / whole).view(np.uint32)


@entry("edges")
def edges(planes_: Any, count: int, forms_: Any, rows: int, intervals: int, reach: float, units: int, out_: Any) -> Any:
    """Fills all columns of a table of edges of float32 from its `count` planes of `rows` bytes, one after the other; 1 where the table is sound, else 0.

    forms: int64[10, 2], in the order of the planes, source, target, lag, effect, confidence, stability, hits, n, ci_low, ci_high: how many planes, at most
    four, and the bytes a value that steps are counted in, 0 where the column is not told by steps. ci_low is BELOW, by `reach`, and ci_high MIRROR; both
    lack without intervals. units: what confidence and stability, whole numbers then, are divided by; 0 where they are float32.
    out: n, source, target, effect, confidence, stability, hits, ci_low and ci_high if any, lag."""
    planes, forms, words = carray(planes_, count * rows, np.uint8), carray(forms_, 20, np.int64), rows * (10 if intervals else 8)
    n, bits, floats = carray(out_, rows, np.uint64), carray(out_, words, np.uint32), carray(out_, words, np.float32)
    source, target, lag = bits[2 * rows : 3 * rows], bits[3 * rows : 4 * rows], carray(out_, 2 * words + rows, np.uint16)[2 * words :]
    effect, confidence, stability, hits = bits[4 * rows : 5 * rows], bits[5 * rows : 6 * rows], bits[6 * rows : 7 * rows], bits[7 * rows : 8 * rows]
    at = _filled_32(planes, 0, forms[0], forms[1], rows, source)
    at = _filled_32(planes, at, forms[2], forms[3], rows, target)
    at = _filled_16(planes, at, forms[4], forms[5], rows, lag)
    at = _filled_32(planes, at, forms[6], 0, rows, effect)
    at = _filled_32(planes, at, forms[8], 0, rows, confidence)
    at = _filled_32(planes, at, forms[10], 0, rows, stability)
    if units:
        _scaled(confidence, units, rows)
        _scaled(stability, units, rows)
    at = _filled_32(planes, at, forms[12], forms[13], rows, hits)
    at = _filled_64(planes, at, forms[14], forms[15], rows, n)
    bad = _refused(source, target, lag, effect, confidence, stability, n, rows)
    if intervals:
        low, high, value = bits[8 * rows : 9 * rows], bits[9 * rows :], floats[4 * rows : 5 * rows]
        least, greatest = floats[8 * rows : 9 * rows], floats[9 * rows :]
        at = _filled_32(planes, at, forms[16], 0, rows, low)
        _below(low, value, rows, reach)
        at = _filled_32(planes, at, forms[18], 0, rows, high)
        _mirrored(high, value, least, rows)
        bad |= _refused_intervals(low, high, value, least, greatest, rows)
    return np.int64(bad == 0)


def _cutting(kind: Any) -> Any:
    """(the loop that makes steps of unsigned integers of one type; the one that writes them as planes, low bytes first and without high planes of zeros)"""

    @inner
    def stepped(values: Any, rows: int, out: Any) -> int:
        """What STEP makes of them; the bytes a value that steps are counted in."""
        most = kind(0)
        for row in range(rows):
            most = max(most, values[row])
        width = 1
        while width < 8 and np.uint64(most) >> np.uint64(8 * width):
            width *= 2
        within = kind(_mask(width))
        out[0] = values[0]
        for row in range(1, rows):
            out[row] = (values[row] - values[row - 1]) & within
        return width

    @inner
    def cut(values: Any, rows: int, out: Any) -> int:
        used = kind(0)
        for row in range(rows):
            used |= values[row]
        count = 0
        while count < 8 and np.uint64(used) >> np.uint64(8 * count):
            shift = kind(8 * count)
            plane = out[count * rows : (count + 1) * rows]
            for row in range(rows):
                plane[row] = np.uint8((values[row] >> shift) & kind(255))
            count += 1
        return count

    return stepped, cut


_stepped_16, _cut_16 = _cutting(np.uint16)
_stepped_32, _cut_32 = _cutting(np.uint32)
_stepped_64, _cut_64 = _cutting(np.uint64)


@inner
def _zigzag(apart: Any) -> Any:
    """0, -1, 1, -2 ... as 0, 1, 2, 3."""
    return (apart << np.uint32(1)) ^ np.uint32(np.int32(apart) >> np.int32(31))


@inner
def _chances(planes: Any, count: int, rows: int, taste: int, most: int, seen: Any) -> int:
    """The planes of which so many bytes, evenly taken, are of more than `most` different values: bit i for plane i."""
    step, found = max(rows // taste, 1), 0
    for i in range(count):
        seen[:] = 0
        different = 0
        for row in range(0, rows, step):
            value = planes[i * rows + row]
            different += 1 - seen[value]
            seen[value] = 1
        if different > most:
            found |= 1 << i
    return found


@entry("cut")
def cut(
    column_: Any, rows: int, size: int, coding: int, reach: float, effect_: Any, low_: Any, taste: int, most: int, scratch_: Any, out_: Any
) -> Any:  # fmt: skip
    """Fills the planes of a column of `size` bytes a value, 2, 4 or 8, and of at least one row: `codec.planes._coded`, then `_planes`.

    The answer's low byte is the bytes a value that steps are counted in, `size` without steps; the next how many planes there are; the next says, a bit a
    plane, which look like chance (`_chances`). effect, low: float32[rows], what BELOW and MIRROR are told by; scratch: rows x size bytes and, after them and up
    to a multiple of eight, 256; out: rows x size bytes."""
    out, width = carray(out_, rows * size, np.uint8), size
    seen = carray(scratch_, (rows * size + 7) // 8 * 8 + 256, np.uint8)[(rows * size + 7) // 8 * 8 :]
    if size == 2:
        values_16, coded_16 = carray(column_, rows, np.uint16), carray(scratch_, rows, np.uint16)
        if coding == _STEP:
            width, values_16 = _stepped_16(values_16, rows, coded_16), coded_16
        count = _cut_16(values_16, rows, out)
    elif size == 8:
        values_64, coded_64 = carray(column_, rows, np.uint64), carray(scratch_, rows, np.uint64)
        if coding == _STEP:
            width, values_64 = _stepped_64(values_64, rows, coded_64), coded_64
        count = _cut_64(values_64, rows, out)
    else:
        values, coded = carray(column_, rows, np.uint32), carray(scratch_, rows, np.uint32)
        if coding == _STEP:
            width, values = _stepped_32(values, rows, coded), coded
        elif coding == _BELOW:
            effect, less = carray(effect_, rows, np.float32), np.float32(reach)
            for row in range(rows):
                coded[row] = _zigzag(values[row] - np.float32(effect[row] - less).view(np.uint32))
            values = coded
        elif coding == _MIRROR:
            effect, low = carray(effect_, rows, np.float32), carray(low_, rows, np.float32)
            for row in range(rows):
                coded[row] = _zigzag(values[row] - np.float32(np.float64(effect[row]) * 2.0 - np.float64(low[row])).view(np.uint32))
            values = coded
        count = _cut_32(values, rows, out)
    return width | (count << 8) | (_chances(out, count, rows, taste, most, seen) << 16)
