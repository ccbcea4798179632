"""Columns as byte planes: what compression "zstd" makes of a column before zstd sees it.

1. The values of a column are cut into planes, byte 0 of every value, then byte 1, and so on (a byte shuffle): exponents and high bytes repeat,
   mantissas do not, and each plane is compressed by itself or not at all.
2. Before that an integer key is replaced by its step from the row before, modulo the least of 1, 2, 4 or 8 bytes that hold the column (STEP); the lower end
   of an interval by its distance, in units of the last place, from the effect less a reach that the column's entry names (BELOW); the upper end by that from
   the lower end mirrored at the effect (MIRROR): nothing but rounding where an interval is symmetric.
3. A plane is kept as it is where that is no longer than its zstd frame, or looks like chance; then its length is the number of rows. High planes of zeros
   are left out.
4. What comes back is the column bit for bit. A frame says how much it holds, and that is checked before a byte of it is inflated (R-13).

zstd runs at level 1 with a match finder that looks for long repeats only: in a plane a short one is chance, and costs more than its literals. A long plane
that is nearly all one value is squeezed by a second finder, too, and the shorter frame is kept: literals take a bit each at least, so repeats are worth more.
What it does not do: know a table (`records`), or take a column of less than 512 bytes: that travels as it is.
"""

import math
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from hyperfed.compiled.tables import column as compiled_column
from hyperfed.compiled.tables import cut as compiled_cut
from hyperfed.errors import SchemaError

__all__ = ["PARALLEL", "SMALLEST", "Coding", "PlaneReader", "PlaneWriter", "deflate", "fits", "inflate", "read_all"]

SMALLEST = 512  # bytes; a smaller column is not worth its planes
PARALLEL = 1 << 22  # bytes of columns from which two threads gain more than they cost
_PLAIN_LEVEL = 1  # level 10 buys about 1 % on columns
_MAX_WINDOW = 1 << 27

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Around = tuple[Array | None, ...] | None  # (effect,) or (effect, ci_low): what BELOW and MIRROR need

_HEAD = struct.Struct("<BBId")  # coding, bytes a value, rows, reach; then a uint32 for the length of each plane
_HEADS = tuple(struct.Struct(f"<BBId{count}I") for count in range(9))
_BLOCK = 1 << 14  # rows predicted at a time: what lies between stays in cache
_FIRST_ROWS = 1024  # that a reach is taken from
_TASTE, _CHANCE = 128, 96  # so many bytes of a plane, and how many different ones make zstd hopeless: chance gives 101, a twentieth to be gained 92
_LONG = 1 << 18  # rows from which a plane is worth a second try


class Coding(IntEnum):
    """What was done to a column's values before they were cut into planes."""

    PLAIN = 0
    STEP = 1
    MIRROR = 2
    BELOW = 3


_CODINGS = tuple(Coding)  # by number: looking one up is what a column costs before its first row
_TOLD = {Coding.BELOW: 1, Coding.MIRROR: 2}  # how many of `around` each needs


class _Codecs(threading.local):
    """One of each a thread: zstd's contexts must not be shared, and cost more to make than to use."""

    def __init__(self) -> None:
        params = zstandard.ZstdCompressionParameters.from_level(_PLAIN_LEVEL, min_match=7, hash_log=6)
        self.plane = zstandard.ZstdCompressor(compression_params=params)
        twice = zstandard.ZstdCompressionParameters.from_level(_PLAIN_LEVEL, min_match=7, hash_log=6, chain_log=6, strategy=zstandard.STRATEGY_DFAST)
        self.dull = zstandard.ZstdCompressor(compression_params=twice)
        self.text = zstandard.ZstdCompressor(level=_PLAIN_LEVEL)
        self.back = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)


_codecs = _Codecs()


def deflate(data: bytes | memoryview) -> bytes:
    """`data` in a zstd frame, or as it is where that is no longer."""
    frame: bytes = _codecs.text.compress(data)
    return frame if len(frame) < len(data) else bytes(data)


def inflate(data: memoryview, size: int) -> bytes | memoryview:
    """The `size` bytes in `data`: itself where it has that length, else a zstd frame that holds exactly so many. Raises SchemaError."""
    if len(data) == size:
        return data
    try:
        holds = zstandard.frame_content_size(data)
        if len(data) > size or holds != size:
            raise SchemaError(f"declares {size} raw bytes, its frame says {holds}", rule="R-13")
        raw: bytes = _codecs.back.decompress(data, size, False, False)  # by place, which takes a microsecond less: neither several frames nor more after one
    except zstandard.ZstdError as exc:
        raise SchemaError("the zstd frame is broken", rule="R-13") from exc
    if len(raw) != size:
        raise SchemaError(f"declares {size} raw bytes and inflates to {len(raw)}", rule="R-13")
    return raw


@dataclass(slots=True)
class PlaneWriter:
    """Collects the columns of one document. `put` gives what stands for a column in the record; it is complete after `finish`."""

    raw_bytes: int = 0
    _jobs: list[tuple[Array, Coding, Around, bytearray]] = field(default_factory=list)

    def put(self, column: Array, coding: Coding = Coding.PLAIN, around: Around = None) -> bytearray:
        """Coding, width, rows, reach and length of each plane, as bytes. column: contiguous, of at least SMALLEST bytes; around: (effect,) for BELOW,
        (effect, ci_low) for MIRROR."""
        entry = bytearray()
        self.raw_bytes += column.nbytes
        self._jobs.append((column, coding, around, entry))
        return entry

    def finish(self) -> list[bytes | memoryview]:
        """The planes of all columns, one after the other, in the order of `put`."""

        def planes(job: tuple[Array, Coding, Around, bytearray]) -> list[bytes | memoryview]:
            column, coding, around, entry = job
            reach = _reach(column, around) if coding is Coding.BELOW else 0.0
            width, planes = _cut(column, coding, around, reach)
            parts = [plane if chance else _squeezed(plane) for plane, chance in planes]
            entry += _HEADS[len(parts)].pack(coding, width, len(column), reach, *map(len, parts))
            return parts

        return [part for parts in _each(planes, self._jobs, self.raw_bytes) for part in parts]


class PlaneReader:
    """The columns of one document, taken in the order in which they were put. budget: raw bytes that its columns may, and must, come to."""

    def __init__(self, planes: memoryview, budget: int) -> None:
        self._planes, self.left, self._at = planes, budget, 0

    def claim(self, entry: bytes | memoryview, dtype: np.dtype[Any], where: str) -> tuple[int, Callable[[Around], Array]]:
        """(rows, what reads the column that `entry` stands for, once `around` is known). Its size is taken from the budget now. Raises SchemaError."""
        count, rest = divmod(len(entry) - _HEAD.size, 4)
        if rest or not 0 <= count <= dtype.itemsize or entry[0] >= len(_CODINGS):
            raise SchemaError(f"{len(entry)} bytes do not describe the planes of a column of {dtype.str}", subject=where, rule="R-11")
        number, width, rows, reach, *lengths = _HEADS[count].unpack(entry)
        coding, size = _CODINGS[number], rows * dtype.itemsize
        if size < SMALLEST or (lengths and (min(lengths) < 1 or max(lengths) > rows)) or count > width:
            raise SchemaError(f"planes of {rows} rows are no column of {dtype.str}", subject=where, rule="R-11")
        if (number, width, dtype.char) not in _known_forms:
            _check_form(coding, width, dtype, where)
        if reach and (coding is not Coding.BELOW or not math.isfinite(reach)):
            raise SchemaError(f"a reach of {reach} has no place in a column that is {coding.name.lower()}", subject=where, rule="R-11")
        if size > self.left:
            raise SchemaError(f"holds more than the {self.left} raw bytes left of what the document declares", subject=where, rule="R-13")
        at, planes, parts = self._at, self._planes, []
        if sum(lengths) > len(planes) - at:
            raise SchemaError("its planes are cut off", subject=where, rule="R-13")
        self.left -= size
        for length in lengths:
            parts.append(planes[at : at + length])
            at += length
        self._at = at
        needed = _TOLD.get(coding, 0)

        def read(around: Around) -> Array:
            told: tuple[Array | None, ...] = ()
            if needed:
                if around is None or len(around) < needed or any(a is None or a.dtype != dtype or len(a) != rows for a in around[:needed]):
                    raise SchemaError("is told by columns that are not there", subject=where, rule="R-11")
                told = around[:needed]
            raw = [part if len(part) == rows else inflate(part, rows) for part in parts]
            quickly = compiled_column(raw, rows, dtype, coding=coding, width=width, reach=reach, told=told)
            return _decoded([np.frombuffer(plane, np.uint8) for plane in raw], rows, dtype, coding, told, reach, width) if quickly is None else quickly

        return rows, read

    def ahead(self, lengths: Sequence[int], size: int) -> list[memoryview] | None:
        """The next planes, of these lengths, of columns of `size` raw bytes; None where there is not so much left. Nothing is taken by looking (`take`)."""
        if size > self.left or sum(lengths) > len(self._planes) - self._at:
            return None
        planes, ends = self._planes, [*accumulate(lengths, initial=self._at)]
        return [planes[start:end] for start, end in pairwise(ends)]

    def take(self, lengths: Sequence[int], size: int) -> None:
        """Move past what `ahead` has shown, which was read."""
        self.left -= size
        self._at += sum(lengths)

    def close(self) -> None:
        """Raises SchemaError where not everything was taken: a document holds what it declares, and nothing else (R-13)."""
        if self.left or self._at != len(self._planes):
            raise SchemaError(f"{self.left} raw bytes too few, {len(self._planes) - self._at} bytes of planes too many", rule="R-13")


_known_forms: set[tuple[int, int, str]] = set()  # (coding, bytes a value, dtype) that may stand together: a column asks before its first row is looked at


def _check_form(coding: Coding, width: int, dtype: np.dtype[Any], where: str) -> None:
    if not _is_for(coding, dtype):
        raise SchemaError(f"a column of {dtype.str} is not coded as {coding.name.lower()}", subject=where, rule="R-11")
    if not fits(coding, width, dtype):
        raise SchemaError(f"values of {width} bytes are no column of {dtype.str}", subject=where, rule="R-11")
    _known_forms.add((coding, width, dtype.char))


def _is_for(coding: Coding, dtype: np.dtype[Any]) -> bool:
    return not ((coding is Coding.STEP and dtype.kind != "u") or (coding in _TOLD and dtype.kind != "f") or dtype.kind == "b")


def fits(coding: Coding, width: int, dtype: np.dtype[Any]) -> bool:
    """Whether values of so many bytes, coded like this, are a column's."""
    return _is_for(coding, dtype) and (width == dtype.itemsize or (coding is Coding.STEP and width in (1, 2, 4) and width < dtype.itemsize))


def read_all(jobs: Sequence[Callable[[], Array]], size: int) -> list[Array]:
    """What the jobs read, in their order. size: raw bytes altogether."""
    return _each(lambda job: job(), jobs, size)


def _each(work: Callable[[Any], Any], items: Sequence[Any], size: int) -> list[Any]:
    if size < PARALLEL or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(2, thread_name_prefix="hyperfed-codec") as pool:
        return list(pool.map(work, items))


def _cut(column: Array, coding: Coding, around: Around, reach: float) -> tuple[int, list[tuple[memoryview, bool]]]:
    """(bytes a value, each plane and whether it looks like chance) of a column."""
    told = tuple(end for end in around or () if end is not None)[: _TOLD.get(coding, 0)]
    quickly = compiled_cut(column, coding=coding, reach=reach, told=told, taste=_TASTE, most=_CHANCE)
    if quickly is not None:
        return quickly
    values = _coded(column, coding, around, reach)
    return values.itemsize, [(plane.data, len(set(plane[:: len(plane) // _TASTE or 1].tobytes())) > _CHANCE) for plane in _planes(values)]


def _squeezed(plane: memoryview) -> bytes | memoryview:
    frame: bytes = _codecs.plane.compress(plane)
    if len(plane) >= _LONG and len(plane) >> 4 < len(frame) < len(plane) >> 3:
        frame = min(frame, _codecs.dull.compress(plane), key=len)
    return frame if len(frame) < len(plane) else plane


def _coded(column: Array, coding: Coding, around: Around, reach: float) -> Array:
    """Unsigned integers: of the column's width, or as narrow as its values for STEP."""
    if coding is Coding.STEP:
        width = -(-int(np.maximum.reduce(column)).bit_length() // 8)
        narrow = column.astype(f"<u{1 if width <= 1 else 2 if width == 2 else 4 if width <= 4 else 8}", copy=False)
        steps = narrow.copy()
        np.subtract(narrow[1:], narrow[:-1], out=steps[1:])
        return steps
    bits = column.view(f"<u{column.dtype.itemsize}")
    if coding is Coding.PLAIN or around is None:
        return bits
    out, signed = np.empty_like(bits), f"<i{column.dtype.itemsize}"
    for at in _blocks(len(bits)):
        apart = (bits[at] - _foretold(coding, around, reach, at, bits.dtype)).view(signed)
        np.bitwise_xor(apart << 1, apart >> (8 * apart.itemsize - 1), out=out[at].view(signed))  # 0, -1, 1, -2 ... as 0, 1, 2, 3
    return out


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK)]


def _reach(low: Array, around: Around) -> float:
    """How far the lower end usually lies below the effect, from the first rows: any finite number will do, a good one costs fewer bytes."""
    effect = around[0] if around is not None else None
    if effect is None:
        raise SchemaError("an interval without an effect", rule="R-11")
    with np.errstate(over="ignore", invalid="ignore"):
        apart = effect[:_FIRST_ROWS] - low[:_FIRST_ROWS]
        mean = float(np.add.reduce(apart) / apart.dtype.type(len(apart)))
    return mean if math.isfinite(mean) and abs(mean) < _REACHES[low.dtype.itemsize] else 0.0


_REACHES = {4: 3.0e38, 8: 1.0e308}  # a reach has to be a number in the column's own dtype


def _foretold(coding: Coding, around: tuple[Array | None, ...], reach: float, at: slice, bits: np.dtype[Any]) -> Array:
    """The bits of what a column is told by: effect - reach in its own dtype, or 2 effect - low, rounded once: the same on every machine."""
    effect: Any = around[0][at] if around[0] is not None else None
    with np.errstate(over="ignore", invalid="ignore"):
        if coding is Coding.BELOW:
            return np.asarray(effect - effect.dtype.type(reach)).view(bits)
        low: Any = around[1][at] if around[1] is not None else None
        twice = effect.astype(np.float64, copy=False) * 2.0
        twice -= low
        return np.asarray(twice.astype(effect.dtype, copy=False)).view(bits)


def _planes(values: Array) -> list[Bytes]:
    """The planes of unsigned integers, low bytes first, without high planes of zeros."""
    used = -(-int(np.bitwise_or.reduce(values)).bit_length() // 8)
    if used <= 1:
        return [values.astype(np.uint8, copy=False)] * used
    table = values.view(np.uint8).reshape(len(values), values.dtype.itemsize)
    return list(np.ascontiguousarray(table[:, :used].T))


def _decoded(planes: Sequence[Bytes], rows: int, dtype: np.dtype[Any], coding: Coding, around: Around, reach: float, width: int) -> Array:
    if not planes:
        bits = np.zeros(rows, f"<u{width}")
    elif len(planes) == 1:
        bits = planes[0] if width == 1 else planes[0].astype(f"<u{width}")
    else:
        table = np.empty((rows, width), np.uint8) if len(planes) == width else np.zeros((rows, width), np.uint8)
        for i, plane in enumerate(planes):
            table[:, i] = plane
        bits = table.reshape(-1).view(f"<u{width}")
    if coding is Coding.STEP:
        return np.asarray(np.cumsum(bits, dtype=bits.dtype).astype(dtype, copy=False))
    if around is not None and coding in _TOLD:
        out = np.empty_like(bits)
        for at in _blocks(rows):
            part = bits[at]
            half, odd = part >> part.dtype.type(1), part & part.dtype.type(1)
            half ^= np.negative(odd, out=odd)
            np.add(half, _foretold(coding, around, reach, at, part.dtype), out=out[at])
        bits = out
    return np.asarray(bits.view(dtype))
