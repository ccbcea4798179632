"""One canonical form of msgpack, written and read.

1. Every value has exactly one encoding: shortest integers and lengths, float64 only, maps with text keys in strictly ascending
   order (so none twice), no ext types, no NaN, no infinity, no -0.0, valid UTF-8, nothing after the end (R-10 of docs/protocol.md).
2. Reading is one linear pass that checks before it takes: depth, number of values, every length against what is left.
   Nothing is allocated that the input did not pay for with a byte, and binary fields are views of the input, never copies. A view is an
   object of 184 bytes, so a binary field counts as three values: a million values never take more than 100 MB.
3. Therefore pack(unpack(data)) == data for everything that `unpack` accepts, without encoding it again to find out.

Msgpack's own reader takes duplicate keys, ext types, NaN, any length form, and lets 2 MB become 128 MB. It is the independent oracle in the tests; its packer
writes our scalars, and what it reads is used where `proven` shows that it is the one value of canonical bytes. Errors are always this reader's.

What it does not do: know any field (`records`) or version (`payload`).
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from hyperfed.codec.proven import UNPROVEN, proven, proven_head
from hyperfed.errors import SchemaError

__all__ = ["MAX_DEPTH", "MAX_VALUES", "is_array", "leading_int", "pack", "pack_around", "pack_parts", "read_strictly", "unpack", "unpack_around"]

MAX_DEPTH = 8
MAX_VALUES = 1 << 20
_VIEW_COSTS = 2  # values more than the one every value counts as
_BUFFER_IS_LARGE = 512  # below this a copy is cheaper than a part of its own
_AT_ONCE = 4096  # bytes of a binary field: below this two copies are cheaper than writing its record item by item
_FIRST_BYTES = 1024  # of the writer's buffer, which grows
_SCALARS = frozenset((str, int, bool, type(None)))
_TEXT = frozenset((str,))
_BYTES = frozenset((bytes,))


def pack(value: Any) -> bytes:
    """The canonical bytes of None, bool, int (64 bits), float, str, bytes-like, list or tuple, and dict with str keys.

    Large buffers are joined once, never copied twice. Raises SchemaError for any other type, non-finite floats and -0.0.
    """
    return b"".join(pack_parts(value))


def pack_parts(value: Any) -> list[bytes | memoryview]:
    """What `pack` joins: large buffers are parts of their own."""
    packer = msgpack.Packer(autoreset=False, buf_size=_FIRST_BYTES)
    try:
        packer.pack(_ordered(value, 1))
    except (_NotAtOnceError, UnicodeEncodeError, OverflowError, TypeError):
        packer.reset()
    else:
        return [packer.bytes()]
    parts: list[bytes | memoryview] = []
    _emit(value, packer, parts, 1)
    parts.append(packer.bytes())
    return parts


def pack_around(head: Sequence[Any], last: Sequence[bytes | memoryview]) -> bytes:
    """The canonical array of the values in `head` and one binary field, given in parts: each byte is copied once."""
    size = sum(len(part) for part in last)
    opening = pack([*head, b""])[:-2]  # all but the empty field
    return b"".join((opening, _bin_header(size), *last))


def _emit(value: Any, packer: Any, parts: list[bytes | memoryview], depth: int) -> None:
    kind = type(value)
    if depth > MAX_DEPTH and kind in (list, tuple, dict):
        raise SchemaError(f"nested deeper than {MAX_DEPTH}", rule="R-10")
    if value is None or kind is bool:
        packer.pack(value)
    elif kind is str:
        _emit_text(value, packer)
    elif kind is int:
        if not -(2**63) <= value < 2**64:
            raise SchemaError("an integer does not fit into 64 bits", rule="R-10")
        packer.pack(value)
    elif kind is float:
        if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
            raise SchemaError(f"number {value!r} has no canonical form", rule="R-10")
        packer.pack(value)
    elif kind in (bytes, bytearray, memoryview):
        view = memoryview(value).cast("B")
        if len(view) < _BUFFER_IS_LARGE:
            packer.pack(bytes(view))
        else:
            parts.append(packer.bytes())
            packer.reset()
            parts.append(_bin_header(len(view)))
            parts.append(view)
    elif kind in (list, tuple):
        packer.pack_array_header(len(value))
        for item in value:
            _emit(item, packer, parts, depth + 1)
    elif kind is dict:
        if any(type(key) is not str for key in value):
            raise SchemaError("a map key is not a text", rule="R-10")
        packer.pack_map_header(len(value))
        for key in sorted(value):
            _emit_text(key, packer)
            _emit(value[key], packer, parts, depth + 1)
    else:
        raise SchemaError(f"a {kind.__name__} cannot travel", rule="R-10")


class _NotAtOnceError(Exception):
    """The value holds a large buffer, or something without a canonical form: it is written item by item, which says what."""


def _ordered(value: Any, depth: int) -> Any:
    """The value with the keys of every map in order, if msgpack's own writer then has one form for it. Raises _NotAtOnceError."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if (kind is bytes or kind is bytearray) and len(value) < _AT_ONCE:
        return value
    if kind is float and math.isfinite(value) and (value or math.copysign(1, value) > 0):
        return value
    if kind is dict and depth <= MAX_DEPTH and _TEXT.issuperset(map(type, value)):
        return {key: item if type(item) in _SCALARS else _ordered(item, depth + 1) for key, item in sorted(value.items())}
    if kind in (list, tuple) and depth <= MAX_DEPTH:
        kinds = {*map(type, value)}
        if kinds <= _SCALARS or (kinds == _BYTES and max(map(len, value)) < _AT_ONCE):
            return value
        return [_ordered(item, depth + 1) for item in value]
    raise _NotAtOnceError


def _emit_text(text: str, packer: Any) -> None:
    try:
        packer.pack(text)
    except UnicodeEncodeError:
        raise SchemaError(f"text {text!r:.80} cannot be written as UTF-8", rule="R-10") from None


def _bin_header(length: int) -> bytes:
    if length < 1 << 8:
        return b"\xc4" + length.to_bytes(1, "big")
    if length < 1 << 16:
        return b"\xc5" + length.to_bytes(2, "big")
    if length < 1 << 32:
        return b"\xc6" + length.to_bytes(4, "big")
    raise SchemaError(f"a binary field of {length} bytes; at most {(1 << 32) - 1} fit", rule="R-10")


def unpack(data: bytes | memoryview, *, max_values: int = MAX_VALUES) -> Any:
    """The value of canonical bytes; binary fields come as memoryviews of `data`, or as bytes where none is large. Raises SchemaError, and nothing else."""
    view = memoryview(data).cast("B")
    value = proven(view, max_values=max_values, max_depth=MAX_DEPTH)
    return read_strictly(view, max_values=max_values) if value is UNPROVEN else value


def unpack_around(data: bytes | memoryview, *, max_values: int = MAX_VALUES) -> Any:
    """`unpack` for what `pack_around` makes: an array whose last field is binary, and large. That one comes as a memoryview."""
    view = memoryview(data).cast("B")
    values = proven_head(view, max_values=max_values, max_depth=MAX_DEPTH)
    return read_strictly(view, max_values=max_values) if values is UNPROVEN else values


def read_strictly(data: bytes | memoryview, *, max_values: int = MAX_VALUES) -> Any:
    """The same by our own reader alone, which says what is wrong; all binary fields come as memoryviews."""
    reader = _Reader(memoryview(data).cast("B"), max_values)
    value = reader.value(1)
    if reader.at != reader.end:
        raise SchemaError(f"{reader.end - reader.at} bytes after the end", rule="R-10")
    return value


def is_array(value: Any, *kinds: type) -> bool:
    """Whether a value that was read is an array of exactly these kinds; bytes stands for a binary field, which may be a view."""
    if type(value) is not list or len(value) != len(kinds):
        return False
    for item, kind in zip(value, kinds, strict=True):  # noqa: SIM110 - a generator takes four times as long, and every message comes by here
        if type(item) is not kind and (kind is not bytes or type(item) is not memoryview):
            return False
    return True


def leading_int(data: bytes | memoryview) -> int | None:
    """The non-negative integer that begins an array, read without the rest of it; None where `data` begins otherwise.

    Versions lead every array of ours, so that a newer one can be named whatever else it changed.
    """
    head = bytes(data[:14])
    if len(head) > 1 and 0x91 <= head[0] <= 0x9F and head[1] < 0x80:
        return head[1]
    if not head or not (0x91 <= head[0] <= 0x9F or head[0] in _ARRAYS):
        return None
    reader = _Reader(memoryview(head), 1)
    reader.at = 1 + (_ARRAYS[head[0]][0] if head[0] in _ARRAYS else 0)
    if reader.at >= reader.end or not (head[reader.at] < 0x80 or head[reader.at] in _UINTS):
        return None
    try:
        return int(reader.value(1))
    except SchemaError:
        return None


# first byte -> (bytes of the number or length that follows, the smallest value that may use this form)
_UINTS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_INTS = {0xD0: (1, -32), 0xD1: (2, -(1 << 7)), 0xD2: (4, -(1 << 15)), 0xD3: (8, -(1 << 31))}
_STRS = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_BINS = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_MAPS = {0xDE: (2, 16), 0xDF: (4, 1 << 16)}
_FLOAT = struct.Struct(">d").unpack_from
_CONSTANTS: dict[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    __slots__ = ("at", "data", "end", "left")

    def __init__(self, data: memoryview, max_values: int) -> None:
        self.data, self.at, self.end, self.left = data, 0, len(data), max_values

    def _take(self, count: int) -> int:
        """Move past `count` bytes; where they began."""
        start = self.at
        if count > self.end - start:
            raise SchemaError(f"truncated: {count} bytes promised at {start}, {self.end - start} there", rule="R-10")
        self.at = start + count
        return start

    def _number(self, form: tuple[int, int], what: str) -> int:
        width, least = form
        start = self._take(width)
        number = int.from_bytes(self.data[start : start + width], "big")
        if number < least:
            raise SchemaError(f"{what} {number} at {start} is not in its shortest form", rule="R-10")
        return number

    def value(self, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise SchemaError("too many values", rule="R-10")
        start = self.at
        if start >= self.end:
            raise SchemaError(f"truncated: 1 bytes promised at {start}, 0 there", rule="R-10")
        first = self.data[start]
        self.at = start + 1
        if first < 0x80:
            return first
        if 0xA0 <= first < 0xC0:  # a short text: most of what is read
            return self._text(first & 0x1F)
        if first >= 0xE0:
            return first - 0x100
        if first < 0x90:
            return self._map(first & 0x0F, depth)
        if first < 0xA0:
            return self._array(first & 0x0F, depth)
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _BINS:
            length = self._number(_BINS[first], "length")
            start = self._take(length)
            self.left -= _VIEW_COSTS
            if self.left < 0:
                raise SchemaError("too many values", rule="R-10")
            return self.data[start : start + length]
        if first in _UINTS:
            return self._number(_UINTS[first], "integer")
        if first in _INTS:
            return self._negative(_INTS[first])
        if first in _STRS:
            return self._text(self._number(_STRS[first], "length"))
        if first in _ARRAYS:
            return self._array(self._number(_ARRAYS[first], "length"), depth)
        if first in _MAPS:
            return self._map(self._number(_MAPS[first], "length"), depth)
        if first == 0xCB:
            return self._float()
        raise SchemaError(f"type byte 0x{first:02x} at {self.at - 1} is not allowed", rule="R-10")

    def _negative(self, form: tuple[int, int]) -> int:
        width, above = form
        start = self._take(width)
        number = int.from_bytes(self.data[start : start + width], "big", signed=True)
        if number >= above:
            raise SchemaError(f"integer {number} at {start} is not in its shortest form", rule="R-10")
        return number

    def _float(self) -> float:
        start = self._take(8)
        number: float = _FLOAT(self.data, start)[0]
        if not math.isfinite(number) or (number == 0 and math.copysign(1, number) < 0):
            raise SchemaError(f"number {number!r} at {start} has no canonical form", rule="R-10")
        return number

    def _text(self, length: int) -> str:
        start = self.at
        if length > self.end - start:
            self._take(length)  # says what is missing
        self.at = end = start + length
        try:
            return str(self.data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise SchemaError(f"text at {start} is not UTF-8", rule="R-10") from None

    def _deeper(self, depth: int, least_bytes: int) -> None:
        if depth > MAX_DEPTH:
            raise SchemaError(f"nested deeper than {MAX_DEPTH}", rule="R-10")
        if least_bytes > self.end - self.at:
            raise SchemaError(f"truncated: at least {least_bytes} bytes promised at {self.at}, {self.end - self.at} there", rule="R-10")

    def _array(self, length: int, depth: int) -> list[Any]:
        self._deeper(depth, length)
        item: Callable[[int], Any] = self.value
        return [item(depth + 1) for _ in range(length)]

    def _map(self, length: int, depth: int) -> dict[str, Any]:
        self._deeper(depth, 2 * length)
        out: dict[str, Any] = {}
        last = ""
        for i in range(length):
            key = self.value(depth + 1)
            if type(key) is not str:
                raise SchemaError(f"a map key at {self.at} is not a text", rule="R-10")
            if i and key <= last:
                raise SchemaError(f"map key {key!r:.80} is given twice or out of order", rule="R-10")
            out[key] = self.value(depth + 1)
            last = key
        return out
