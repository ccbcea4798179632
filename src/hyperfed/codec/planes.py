"""Columns as byte planes: what compression "zstd" makes of a column before zstd sees it.

1. The values of a column are cut into planes, byte 0 of every value, then byte 1, and so on (a byte shuffle): exponents and high bytes repeat,
   mantissas do not, and each plane is compressed by itself or not at all.
2. Before that an integer key is replaced by its step from the row before, modulo its width (STEP), and the upper end of an interval by its distance,
   in units of the last place, from the lower end mirrored at the effect (MIRROR): nothing but rounding where an interval is symmetric.
3. A plane is kept as it is where that is no longer than its zstd frame; then its length is the number of rows. High planes of zeros are left out.
4. What comes back is the column bit for bit. A frame says how much it holds, and that is checked before a byte of it is inflated (R-13).

zstd runs at level 1 with a match finder that looks for long repeats only: in a plane a short one is chance, and costs more than its literals.
What it does not do: know a table (`records`), or take a column of less than 512 bytes: that travels as it is.
"""

import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from hyperfed.errors import SchemaError

__all__ = ["SMALLEST", "Coding", "PlaneReader", "PlaneWriter", "deflate", "inflate", "read_all"]

SMALLEST = 512  # bytes; a smaller column is not worth its planes
_PARALLEL = 1 << 22  # bytes of columns from which two threads gain more than they cost
_PLAIN_LEVEL = 1  # level 10 buys about 1 % on columns
_MAX_WINDOW = 1 << 27

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Around = tuple[Array | None, Array | None] | None  # (effect, ci_low): what MIRROR needs


_HEAD = struct.Struct("<BI")  # coding, rows; then a uint32 for the length of each plane


class Coding(IntEnum):
    """What was done to a column's values before they were cut into planes."""

    PLAIN = 0
    STEP = 1
    MIRROR = 2


class _Codecs(threading.local):
    """One of each a thread: zstd's contexts must not be shared, and cost more to make than to use."""

    def __init__(self) -> None:
        params = zstandard.ZstdCompressionParameters.from_level(_PLAIN_LEVEL, min_match=7, hash_log=6)
        self.plane = zstandard.ZstdCompressor(compression_params=params)
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
        raw: bytes = _codecs.back.decompress(data, max_output_size=size, allow_extra_data=False)
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
        """Coding, rows, length of each plane, as bytes. column: contiguous, of at least SMALLEST bytes; around: (effect, ci_low), for MIRROR."""
        entry = bytearray(_HEAD.pack(coding, len(column)))
        self.raw_bytes += column.nbytes
        self._jobs.append((column, coding, around, entry))
        return entry

    def finish(self) -> list[bytes | memoryview]:
        """The planes of all columns, one after the other, in the order of `put`."""

        def planes(job: tuple[Array, Coding, Around, bytearray]) -> list[bytes | memoryview]:
            column, coding, around, _ = job
            return [_squeezed(plane) for plane in _planes(_coded(column, coding, around))]

        done = _each(planes, self._jobs, self.raw_bytes)
        for (*_, entry), parts in zip(self._jobs, done, strict=True):
            entry += struct.pack(f"<{len(parts)}I", *map(len, parts))
        return [part for parts in done for part in parts]


class PlaneReader:
    """The columns of one document, taken in the order in which they were put. budget: raw bytes that its columns may, and must, come to."""

    def __init__(self, planes: memoryview, budget: int) -> None:
        self._planes, self.left, self._at = planes, budget, 0

    def claim(self, entry: memoryview, dtype: np.dtype[Any], where: str) -> Callable[[Around], Array]:
        """What reads the column that `entry` stands for, once `around` is known. Its size is taken from the budget now. Raises SchemaError."""
        count, rest = divmod(len(entry) - _HEAD.size, 4)
        if rest or not 0 <= count <= dtype.itemsize or entry[0] > max(Coding):
            raise SchemaError(f"{len(entry)} bytes do not describe the planes of a column of {dtype.str}", subject=where, rule="R-11")
        number, rows = _HEAD.unpack_from(entry)
        lengths = struct.unpack_from(f"<{count}I", entry, _HEAD.size)
        coding, size = Coding(number), rows * dtype.itemsize
        if size < SMALLEST or any(not 0 < length <= rows for length in lengths):
            raise SchemaError(f"planes of {rows} rows are no column of {dtype.str}", subject=where, rule="R-11")
        if (coding is Coding.STEP and dtype.kind != "u") or (coding is Coding.MIRROR and dtype.kind != "f") or dtype.kind == "b":
            raise SchemaError(f"a column of {dtype.str} is not coded as {coding.name.lower()}", subject=where, rule="R-11")
        if size > self.left:
            raise SchemaError(f"holds more than the {self.left} raw bytes left of what the document declares", subject=where, rule="R-13")
        if sum(lengths) > len(self._planes) - self._at:
            raise SchemaError("its planes are cut off", subject=where, rule="R-13")
        self.left -= size
        parts = []
        for length in lengths:
            parts.append(self._planes[self._at : self._at + length])
            self._at += length

        def read(around: Around) -> Array:
            if coding is Coding.MIRROR and (around is None or any(a is None or a.dtype != dtype or len(a) != rows for a in around)):
                raise SchemaError("is told by columns that are not there", subject=where, rule="R-11")
            return _decoded([np.frombuffer(inflate(part, rows), np.uint8) for part in parts], rows, dtype, coding, around)

        return read

    def close(self) -> None:
        """Raises SchemaError where not everything was taken: a document holds what it declares, and nothing else (R-13)."""
        if self.left or self._at != len(self._planes):
            raise SchemaError(f"{self.left} raw bytes too few, {len(self._planes) - self._at} bytes of planes too many", rule="R-13")


def read_all(jobs: Sequence[Callable[[], Array]], size: int) -> list[Array]:
    """What the jobs read, in their order. size: raw bytes altogether."""
    return _each(lambda job: job(), jobs, size)


def _each(work: Callable[[Any], Any], items: Sequence[Any], size: int) -> list[Any]:
    if size < _PARALLEL or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(2, thread_name_prefix="hyperfed-codec") as pool:
        return list(pool.map(work, items))


def _squeezed(plane: Bytes) -> bytes | memoryview:
    frame: bytes = _codecs.plane.compress(plane.data)
    return frame if len(frame) < len(plane) else plane.data


def _integers(column: Array) -> Array:
    """The column's bits as unsigned integers."""
    return column.view(f"<u{column.dtype.itemsize}")


def _coded(column: Array, coding: Coding, around: Around) -> Array:
    """Unsigned integers of the column's width."""
    if coding is Coding.STEP:
        steps = column.copy()
        np.subtract(column[1:], column[:-1], out=steps[1:])
        return steps
    bits = _integers(column)
    if coding is Coding.MIRROR and around is not None:
        bits = bits - _integers(_mirrored(*around, column.dtype))
        top = bits >> bits.dtype.type(8 * bits.dtype.itemsize - 1)
        bits <<= bits.dtype.type(1)
        return np.asarray(np.where(top.astype(bool), ~bits, bits))  # 0, -1, 1, -2 ... as 0, 1, 2, 3
    return bits


def _mirrored(effect: Any, low: Any, dtype: np.dtype[Any]) -> Array:
    """2 effect - low, rounded once to `dtype`: the same on every machine."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((2.0 * effect.astype(np.float64, copy=False) - low).astype(dtype, copy=False))


def _planes(values: Array) -> list[Bytes]:
    """The planes of unsigned integers, low bytes first, without high planes of zeros."""
    used = -(-int(values.max()).bit_length() // 8)
    if used <= 1:
        return [values.astype(np.uint8)] * used
    table = values.view(np.uint8).reshape(len(values), values.dtype.itemsize)
    return list(np.ascontiguousarray(table[:, :used].T))


def _decoded(planes: Sequence[Bytes], rows: int, dtype: np.dtype[Any], coding: Coding, around: Around) -> Array:
    width = dtype.itemsize
    if coding is Coding.STEP and len(planes) == 1:
        return np.asarray(np.cumsum(planes[0], dtype=dtype))
    if len(planes) == 1 and width > 1:
        bits = planes[0].astype(f"<u{width}")
    else:
        table = np.empty((rows, width), np.uint8) if len(planes) == width else np.zeros((rows, width), np.uint8)
        for i, plane in enumerate(planes):
            table[:, i] = plane
        bits = table.reshape(-1).view(f"<u{width}")
    if coding is Coding.STEP:
        return np.asarray(np.cumsum(bits, dtype=dtype))
    if coding is Coding.MIRROR and around is not None:
        odd = (bits & bits.dtype.type(1)).astype(bool)
        bits >>= bits.dtype.type(1)
        bits = np.where(odd, ~bits, bits) + _integers(_mirrored(*around, dtype))
    return np.asarray(bits.view(dtype))
