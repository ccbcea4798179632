"""Turn columns into byte planes, which is what compression "zstd" does before zstd sees them.

1. The values of a column are cut into planes: byte 0 of every value, then byte 1, and so on (a byte
   shuffle). Exponents and high bytes repeat, mantissas do not; each plane is compressed by itself
   or not at all.
2. Before that, some columns are replaced by smaller numbers:

   - STEP: an integer key becomes its step from the row before, modulo the least of 1, 2, 4 or 8
     bytes that hold the column.
   - BELOW: the lower end of an interval becomes its distance, in units of the last place, from
     the effect less a reach that the column's entry names.
   - MIRROR: the upper end becomes its distance from the lower end mirrored at the effect. Where
     an interval is symmetric, only rounding remains.

3. A plane is kept as it is where its zstd frame would be no shorter, or where it looks random; its
   length is then the number of rows. High planes of zeros are left out.
4. The column comes back bit for bit. A frame says how much it holds, and that is checked before a
   byte of it is inflated (R-13).

zstd runs at level 1 with a match finder that looks for long repeats only: in a plane a short repeat
is chance, and costs more than its literals. A long plane that is nearly all one value is also
compressed with a second finder, and the shorter frame is kept: a literal takes at least a bit, so
repeats are worth more there.

What it does not do: it does not know tables (`records`), and takes no column of less than 512
bytes, which travels as it is.
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

from hyperfed.codec.fields import Place, spelled
from hyperfed.errors import SchemaError

__all__ = [
    "PARALLEL",
    "SMALLEST",
    "Coding",
    "PlaneReader",
    "PlaneWriter",
    "decoded",
    "deflate",
    "fits",
    "inflate",
    "read_all",
    "rows_of",
]

SMALLEST = 512  # bytes; a smaller column is not worth its planes
PARALLEL = 1 << 22  # bytes of columns from which two threads pay off
_PLAIN_LEVEL = 1  # level 10 buys about 1 % on columns
_MAX_WINDOW = 1 << 27

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
# BELOW needs (effect,), MIRROR needs (effect, ci_low).
Predictors = tuple[Array | None, ...] | None

# An entry is: coding, bytes a value, rows, reach, then the length of each plane as uint32.
_HEAD = struct.Struct("<BBId")
_HEADS = tuple(struct.Struct(f"<BBId{count}I") for count in range(9))
_BLOCK = 1 << 14  # rows predicted at a time, so that they stay in cache
_FIRST_ROWS = 1024  # rows from which the reach is estimated
# zstd is not tried where more than _DIFFERENT of _SAMPLED sampled bytes of a plane differ. Random
# bytes give 101 different ones; a plane that zstd would shorten by a twentieth gives 92.
_SAMPLED, _DIFFERENT = 128, 96
_LONG = 1 << 18  # rows from which a second finder is tried


class Coding(IntEnum):
    """Says what was done to a column's values before they were cut into planes."""

    PLAIN = 0
    """Nothing was done: the values are as they are."""
    STEP = 1
    """An integer is replaced by its step from the row before."""
    MIRROR = 2
    """An upper end is replaced by its distance from the lower end mirrored at the effect."""
    BELOW = 3
    """A lower end is replaced by its distance from the effect less a reach."""


_CODINGS = tuple(Coding)  # by number: the fastest way to look one up
_PREDICTORS = {Coding.BELOW: 1, Coding.MIRROR: 2}  # how many columns predict each


class _Codecs(threading.local):
    """Holds zstd's compressors and its decompressor, once for each thread.

    Their contexts must not be shared between threads, and cost more to make than to use.
    """

    def __init__(self) -> None:
        params = zstandard.ZstdCompressionParameters.from_level(
            _PLAIN_LEVEL, min_match=7, hash_log=6
        )
        self.plane = zstandard.ZstdCompressor(compression_params=params)
        twice = zstandard.ZstdCompressionParameters.from_level(
            _PLAIN_LEVEL, min_match=7, hash_log=6, chain_log=6, strategy=zstandard.STRATEGY_DFAST
        )
        self.dull = zstandard.ZstdCompressor(compression_params=twice)
        self.text = zstandard.ZstdCompressor(level=_PLAIN_LEVEL)
        self.back = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)


_codecs = _Codecs()


def deflate(data: bytes | memoryview) -> bytes:
    """Return `data` in a zstd frame, or as it is where the frame would be no shorter."""
    frame: bytes = _codecs.text.compress(data)
    return frame if len(frame) < len(data) else bytes(data)


def inflate(data: memoryview, size: int) -> bytes | memoryview:
    """Return the `size` bytes that `data` holds.

    This is `data` itself where it has that length; otherwise it must be a zstd frame that holds
    exactly `size` bytes. Raises SchemaError where it is not (R-13).
    """
    if len(data) == size:
        return data
    try:
        holds = zstandard.frame_content_size(data)
        if len(data) > size or holds != size:
            raise SchemaError(f"declares {size} raw bytes, its frame says {holds}", rule="R-13")
        # The flags allow neither several frames nor bytes after the first. Positional arguments
        # take a microsecond less.
        raw: bytes = _codecs.back.decompress(data, size, False, False)
    except zstandard.ZstdError as exc:
        raise SchemaError("the zstd frame is broken", rule="R-13") from exc
    if len(raw) != size:
        raise SchemaError(f"declares {size} raw bytes and inflates to {len(raw)}", rule="R-13")
    return raw


@dataclass(slots=True)
class PlaneWriter:
    """Collects the columns of one document.

    `put` returns the entry that stands for a column in the record. Entries are complete only after
    `finish`.
    """

    raw_bytes: int = 0
    """The size of all columns put so far, in bytes before compression."""
    _jobs: list[tuple[Array, Coding, Predictors, bytearray]] = field(default_factory=list)

    def put(
        self, column: Array, coding: Coding = Coding.PLAIN, around: Predictors = None
    ) -> bytearray:
        """Add a column, and return its entry, which `finish` fills in.

        The entry holds the coding, width, rows, reach and the length of each plane. The column is
        contiguous, and has at least SMALLEST bytes. `around` is (effect,) for BELOW, (effect,
        ci_low) for MIRROR.
        """
        entry = bytearray()
        self.raw_bytes += column.nbytes
        self._jobs.append((column, coding, around, entry))
        return entry

    def finish(self) -> list[bytes | memoryview]:
        """Return the planes of all columns, one after the other, in the order of `put`."""

        def planes(job: tuple[Array, Coding, Predictors, bytearray]) -> list[bytes | memoryview]:
            column, coding, around, entry = job
            reach = _reach(column, around) if coding is Coding.BELOW else 0.0
            width, planes = _cut(column, coding, around, reach)
            parts = [plane if chance else _squeezed(plane) for plane, chance in planes]
            entry += _HEADS[len(parts)].pack(coding, width, len(column), reach, *map(len, parts))
            return parts

        return [part for parts in _each(planes, self._jobs, self.raw_bytes) for part in parts]


def rows_of(entry: bytes | memoryview) -> int:
    """Return how many rows an entry states, or 0 where it is too short to be one."""
    return int(_HEAD.unpack_from(entry)[2]) if len(entry) >= _HEAD.size else 0


class PlaneReader:
    """Reads the columns of one document, in the order in which they were put.

    `budget` is the number of raw bytes that the columns must come to, exactly.
    """

    def __init__(self, planes: memoryview, budget: int) -> None:
        self._planes, self.left, self._at = planes, budget, 0

    def claim(
        self, entry: bytes | memoryview, dtype: np.dtype[Any], where: Place
    ) -> tuple[int, Callable[[Predictors], Array]]:
        """Return the number of rows, and a function that reads the column of `entry`.

        The function takes the columns that the coding needs, once they are known. The column's size
        is taken from the budget now. Raises SchemaError.
        """
        count, odd_bytes = divmod(len(entry) - _HEAD.size, 4)
        if odd_bytes or not 0 <= count <= dtype.itemsize or entry[0] >= len(_CODINGS):
            raise SchemaError(
                f"{len(entry)} bytes do not describe the planes of a column of {dtype.str}",
                subject=spelled(where),
                rule="R-11",
            )
        number, width, rows, reach, *lengths = _HEADS[count].unpack(entry)
        coding, size = _CODINGS[number], rows * dtype.itemsize
        if (
            size < SMALLEST
            or (lengths and (min(lengths) < 1 or max(lengths) > rows))
            or count > width
        ):
            raise SchemaError(
                f"planes of {rows} rows are no column of {dtype.str}",
                subject=spelled(where),
                rule="R-11",
            )
        if (number, width, dtype.char) not in _known_forms:
            _check_form(coding, width, dtype, where)
        if reach and (coding is not Coding.BELOW or not math.isfinite(reach)):
            raise SchemaError(
                f"a reach of {reach} has no place in a column that is {coding.name.lower()}",
                subject=spelled(where),
                rule="R-11",
            )
        if size > self.left:
            raise SchemaError(
                f"holds more than the {self.left} raw bytes left of what the document declares",
                subject=spelled(where),
                rule="R-13",
            )
        at, planes, parts = self._at, self._planes, []
        if sum(lengths) > len(planes) - at:
            raise SchemaError("its planes are cut off", subject=spelled(where), rule="R-13")
        self.left -= size
        for length in lengths:
            parts.append(planes[at : at + length])
            at += length
        self._at = at
        predictor_count = _PREDICTORS.get(coding, 0)

        def read(around: Predictors) -> Array:
            predictors: tuple[Array | None, ...] = ()
            if predictor_count:
                if (
                    around is None
                    or len(around) < predictor_count
                    or any(
                        a is None or a.dtype != dtype or len(a) != rows
                        for a in around[:predictor_count]
                    )
                ):
                    raise SchemaError(
                        "is predicted from columns that are not there",
                        subject=spelled(where),
                        rule="R-11",
                    )
                predictors = around[:predictor_count]
            raw = [part if len(part) == rows else inflate(part, rows) for part in parts]
            planes = [np.frombuffer(plane, np.uint8) for plane in raw]
            return decoded(planes, rows, dtype, coding, predictors, reach, width)

        return rows, read

    def ahead(self, lengths: Sequence[int], size: int) -> list[memoryview] | None:
        """Return the next planes, of these lengths, of columns of `size` raw bytes.

        Returns None where less is left. Nothing is taken by looking: `take` does that.
        """
        if size > self.left or sum(lengths) > len(self._planes) - self._at:
            return None
        planes, ends = self._planes, [*accumulate(lengths, initial=self._at)]
        return [planes[start:end] for start, end in pairwise(ends)]

    def take(self, lengths: Sequence[int], size: int) -> None:
        """Move past the planes that `ahead` returned, once they have been read."""
        self.left -= size
        self._at += sum(lengths)

    def close(self) -> None:
        """Raise SchemaError where something was not taken.

        A document holds what it declares, and nothing else (R-13).
        """
        if self.left or self._at != len(self._planes):
            raise SchemaError(
                f"{self.left} raw bytes too few, {len(self._planes) - self._at} bytes of planes "
                "too many",
                rule="R-13",
            )


# (coding, bytes a value, dtype) that were found to fit together, so that each is checked once.
_known_forms: set[tuple[int, int, str]] = set()


def _check_form(coding: Coding, width: int, dtype: np.dtype[Any], where: Place) -> None:
    """Raise SchemaError where coding, width and dtype do not fit together.

    Those that do are remembered.
    """
    if not _is_for(coding, dtype):
        raise SchemaError(
            f"a column of {dtype.str} is not coded as {coding.name.lower()}",
            subject=spelled(where),
            rule="R-11",
        )
    if not fits(coding, width, dtype):
        raise SchemaError(
            f"values of {width} bytes are no column of {dtype.str}",
            subject=spelled(where),
            rule="R-11",
        )
    _known_forms.add((coding, width, dtype.char))


def _is_for(coding: Coding, dtype: np.dtype[Any]) -> bool:
    return not (
        (coding is Coding.STEP and dtype.kind != "u")
        or (coding in _PREDICTORS and dtype.kind != "f")
        or dtype.kind == "b"
    )


def fits(coding: Coding, width: int, dtype: np.dtype[Any]) -> bool:
    """Return whether a column of `dtype` may hold values of `width` bytes in this coding."""
    return _is_for(coding, dtype) and (
        width == dtype.itemsize
        or (coding is Coding.STEP and width in (1, 2, 4) and width < dtype.itemsize)
    )


def read_all(jobs: Sequence[Callable[[], Array]], size: int) -> list[Array]:
    """Return what the jobs read, in their order. `size` is the raw bytes of all columns together.

    From PARALLEL bytes on, two threads share the work.
    """
    return _each(lambda job: job(), jobs, size)


def _each(work: Callable[[Any], Any], items: Sequence[Any], size: int) -> list[Any]:
    if size < PARALLEL or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(2, thread_name_prefix="hyperfed-codec") as pool:
        return list(pool.map(work, items))


def _cut(
    column: Array, coding: Coding, around: Predictors, reach: float
) -> tuple[int, list[tuple[memoryview, bool]]]:
    """Return the bytes a value takes, and each plane with whether it looks random."""
    values = _coded(column, coding, around, reach)
    return values.itemsize, [
        (plane.data, len(set(plane[:: len(plane) // _SAMPLED or 1].tobytes())) > _DIFFERENT)
        for plane in _planes(values)
    ]


def _squeezed(plane: memoryview) -> bytes | memoryview:
    """Return a plane in its zstd frame, or as it is where the frame would be no shorter."""
    frame: bytes = _codecs.plane.compress(plane)
    if len(plane) >= _LONG and len(plane) >> 4 < len(frame) < len(plane) >> 3:
        frame = min(frame, _codecs.dull.compress(plane), key=len)
    return frame if len(frame) < len(plane) else plane


def _coded(column: Array, coding: Coding, around: Predictors, reach: float) -> Array:
    """Return the coded values as unsigned integers.

    They have the column's width; for STEP, the least width that holds the values.
    """
    if coding is Coding.STEP:
        width = -(-int(np.maximum.reduce(column)).bit_length() // 8)
        narrow = column.astype(
            f"<u{1 if width <= 1 else 2 if width == 2 else 4 if width <= 4 else 8}", copy=False
        )
        steps = narrow.copy()
        np.subtract(narrow[1:], narrow[:-1], out=steps[1:])
        return steps
    bits = column.view(f"<u{column.dtype.itemsize}")
    if coding is Coding.PLAIN or around is None:
        return bits
    out, signed = np.empty_like(bits), f"<i{column.dtype.itemsize}"
    for at in _blocks(len(bits)):
        distance = (bits[at] - _predicted(coding, around, reach, at, bits.dtype)).view(signed)
        # 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
        np.bitwise_xor(
            distance << 1, distance >> (8 * distance.itemsize - 1), out=out[at].view(signed)
        )
    return out


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK)]


def _reach(low: Array, around: Predictors) -> float:
    """Return the mean distance of the lower end below the effect, over the first rows.

    Any finite number would do; a good one costs fewer bytes. Returns 0.0 where the mean is not
    finite or too large for the dtype.
    """
    effect = around[0] if around is not None else None
    if effect is None:
        raise SchemaError("an interval without an effect", rule="R-11")
    with np.errstate(over="ignore", invalid="ignore"):
        distance = effect[:_FIRST_ROWS] - low[:_FIRST_ROWS]
        mean = float(np.add.reduce(distance) / distance.dtype.type(len(distance)))
    return mean if math.isfinite(mean) and abs(mean) < _REACHES[low.dtype.itemsize] else 0.0


_REACHES = {4: 3.0e38, 8: 1.0e308}  # a reach has to be a number in the column's own dtype


def _predicted(
    coding: Coding, around: tuple[Array | None, ...], reach: float, at: slice, bits: np.dtype[Any]
) -> Array:
    """Return the bits of the predicted values: effect - reach for BELOW, 2 effect - low for MIRROR.

    The first is computed in the column's own dtype, the second in float64 and rounded once, so both
    are the same on every machine.
    """
    effect: Any = around[0][at] if around[0] is not None else None
    with np.errstate(over="ignore", invalid="ignore"):
        if coding is Coding.BELOW:
            return np.asarray(effect - effect.dtype.type(reach)).view(bits)
        low: Any = around[1][at] if around[1] is not None else None
        twice = effect.astype(np.float64, copy=False) * 2.0
        twice -= low
        return np.asarray(twice.astype(effect.dtype, copy=False)).view(bits)


def _planes(values: Array) -> list[Bytes]:
    """Return the planes of unsigned integers, low bytes first, without high planes of zeros."""
    used = -(-int(np.bitwise_or.reduce(values)).bit_length() // 8)
    if used <= 1:
        return [values.astype(np.uint8, copy=False)] * used
    table = values.view(np.uint8).reshape(len(values), values.dtype.itemsize)
    return list(np.ascontiguousarray(table[:, :used].T))


def decoded(
    planes: Sequence[Bytes],
    rows: int,
    dtype: np.dtype[Any],
    coding: Coding,
    around: Predictors,
    reach: float,
    width: int,
) -> Array:
    """Return the column whose planes these are; the inverse of `_coded` and `_planes`."""
    if not planes:
        bits = np.zeros(rows, f"<u{width}")
    elif len(planes) == 1:
        bits = planes[0] if width == 1 else planes[0].astype(f"<u{width}")
    else:
        table = (
            np.empty((rows, width), np.uint8)
            if len(planes) == width
            else np.zeros((rows, width), np.uint8)
        )
        for i, plane in enumerate(planes):
            table[:, i] = plane
        bits = table.reshape(-1).view(f"<u{width}")
    if coding is Coding.STEP:
        return np.asarray(np.cumsum(bits, dtype=bits.dtype).astype(dtype, copy=False))
    if around is not None and coding in _PREDICTORS:
        out = np.empty_like(bits)
        for at in _blocks(rows):
            part = bits[at]
            half, odd = part >> part.dtype.type(1), part & part.dtype.type(1)
            half ^= np.negative(odd, out=odd)
            np.add(half, _predicted(coding, around, reach, at, part.dtype), out=out[at])
        bits = out
    return np.asarray(bits.view(dtype))
