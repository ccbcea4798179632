"""Read canonical msgpack with msgpack's own reader in C, and believe only what is proven.

1. The proof is that writing the value again gives the very same bytes: the writer has one form for
   every value, so no other bytes can have this value. What the writer's C code lets pass is checked
   here: the order and type of keys, floats without a canonical form, types that do not travel,
   depth, count.
2. Large binary fields are cut out first, each leaving a mark, and come back as views of the input.
   They are never copied.
3. What may be allocated is bounded before anything is: input of more bytes than allowed values is
   counted, token by token, without being read.
4. Whatever is refused is read again by `explaining`, which raises the reason. Both accept the same
   bytes; where they do not, that is a mistake of this library and raises RuntimeError, never a
   PacketError: no sender is to blame for it (ADR 0029).

What it does not do: it does not know fields (`records`) or versions (`payload`).
"""

import math
from typing import Any, Final

import msgpack

from hyperfed.codec.explaining import BINARY_FIELD_COSTS, MAX_DEPTH, MAX_VALUES, read_strictly

__all__ = ["is_array", "leading_int", "unpack"]

_REFUSED: Final = object()
_LARGEST_COPY = 512  # bytes of the largest binary field that is copied
_PLAIN: frozenset[Any] = frozenset((str, int, bool, type(None), bytes))
_PLAIN_OR_MARKS: frozenset[Any] = _PLAIN | {msgpack.ExtType}
_TEXT = frozenset((str,))
_MARK = 0  # the ext type that stands for a binary field that was cut out
_LEADING_BYTES = 14  # an array's header and an integer take no more


def unpack(data: bytes | memoryview, *, max_values: int = MAX_VALUES) -> Any:
    """Return the value of canonical bytes.

    Binary fields of more than 512 bytes come as memoryviews of `data`; shorter ones may come as
    bytes. Raises SchemaError where the bytes are not canonical, and RuntimeError where they are and
    were refused all the same.
    """
    view = memoryview(data).cast("B")
    value = _read(view, max_values)
    if value is _REFUSED:
        read_strictly(view, max_values=max_values)
        raise RuntimeError("canonical bytes were refused, and nothing is wrong with them")
    return value


def _read(data: memoryview, max_values: int) -> Any:
    """Return the value of canonical bytes, or _REFUSED."""
    if len(data) <= max_values:  # no more values than bytes
        value = _proven(data, max_values, _PLAIN)
        if value is not _REFUSED:
            return value
    parts = _without_large_fields(data, max_values)
    if parts is None:
        return _REFUSED
    rest, fields = parts
    value = _proven(rest, max_values, _PLAIN_OR_MARKS)
    if value is _REFUSED or not fields:
        return value
    return msgpack.unpackb(
        rest, raw=False, ext_hook=lambda _, number: fields[int.from_bytes(number, "big")]
    )


def _proven(data: bytes | memoryview, max_values: int, plain: frozenset[Any]) -> Any:
    """Return the value of canonical bytes without large binary fields, or _REFUSED.

    A mark, as `_without_large_fields` leaves it, comes as a msgpack.ExtType, where `plain`, the
    types of values that hold no others, allows it.
    """
    try:
        value = msgpack.unpackb(data, raw=False, max_bin_len=_LARGEST_COPY)
        if not _has_canonical_values(value, max_values, plain):
            return _REFUSED
        # The buffer has the size expected, not msgpack's default of a quarter of a megabyte.
        written = msgpack.Packer(buf_size=len(data) + 16).pack(value)
    except (ValueError, TypeError, OverflowError, MemoryError, msgpack.UnpackException):
        return _REFUSED
    return value if written == bytes(data) else _REFUSED


def _has_canonical_values(value: Any, values_left: int, plain: frozenset[Any]) -> bool:
    """Return whether msgpack's packer writes this value in its canonical form.

    It holds at most `values_left` values, nested at most MAX_DEPTH deep, all of types that travel,
    with keys in order and floats that have a canonical form.
    """
    level, depth = [value], 1  # all values that lie so deep
    while level:
        types = [*map(type, level)]
        values_left -= len(level)
        values_left -= BINARY_FIELD_COSTS * (types.count(bytes) + types.count(msgpack.ExtType))
        if values_left < 0:
            return False
        if plain.issuperset(types):
            return True
        deeper: list[Any] = []
        for item, kind in zip(level, types, strict=True):
            if kind in plain:
                continue
            if kind is float:
                if not math.isfinite(item) or (not item and math.copysign(1.0, item) < 0):
                    return False
            elif depth > MAX_DEPTH:
                return False
            elif kind is list:
                deeper += item
            elif kind is dict:
                keys = [*item]
                if not _TEXT.issuperset(map(type, keys)) or keys != sorted(keys):
                    return False
                values_left -= len(keys)
                deeper += item.values()
            else:
                return False
        level, depth = deeper, depth + 1
    return values_left >= 0


# What a first byte says of its token: the bytes of the token, of which the last are the length of a
# text or a binary field that follows. 0 stands for bytes that begin nothing canonical.
_TOKENS = [
    *([1] * 0xC0),  # integers, maps, arrays and texts whose first byte holds all
    *(1, 0, 1, 1),  # null, false, true
    *(2, 3, 5),  # binary fields
    *(0, 0, 0, 0, 9),  # float64
    *(2, 3, 5, 9, 2, 3, 5, 9),  # integers
    *([0] * 5),
    *(2, 3, 5),  # texts
    *(3, 5, 3, 5),  # arrays and maps
    *([1] * 0x20),  # negative integers
]
_BINARY = range(0xC4, 0xC7)
_LENGTHS = {*_BINARY, 0xD9, 0xDA, 0xDB}
_SHORT_TEXTS = range(0xA0, 0xC0)


def _without_large_fields(
    data: memoryview, max_values: int
) -> tuple[bytes, list[memoryview]] | None:
    """Return the bytes with a mark in place of each large binary field, and these fields.

    A mark is an ext type with the field's number. Returns None where the bytes hold more than
    `max_values` values, however little a binary field counts, or a type that does not travel. Ext
    types do not, so nobody else's mark is taken for one.
    """
    parts: list[bytes | memoryview] = []
    fields: list[memoryview] = []
    at, copied_to, size = 0, 0, len(data)
    while at < size:
        first, begins = data[at], at
        max_values -= 1
        if not (token := _TOKENS[first]) or max_values < 0:
            return None
        at += token
        if first in _SHORT_TEXTS:
            at += first - 0xA0
        elif first in _LENGTHS:
            length = int.from_bytes(data[begins + 1 : at], "big")
            if first in _BINARY and length > _LARGEST_COPY:
                if at + length > size or (length < 1 << 16) != (first == 0xC5):
                    return None
                parts += (
                    data[copied_to:begins],
                    b"\xd6%c" % _MARK + len(fields).to_bytes(4, "big"),
                )
                fields.append(data[at : at + length])
                copied_to = at + length
            at += length
    return b"".join((*parts, data[copied_to:])), fields


def is_array(value: Any, *kinds: type) -> bool:
    """Return whether a value that was read is an array of exactly these kinds.

    The kind bytes stands for a binary field, which may also be a memoryview.
    """
    if type(value) is not list or len(value) != len(kinds):
        return False
    for item, kind in zip(value, kinds, strict=True):
        if type(item) is not kind and (kind is not bytes or type(item) is not memoryview):
            return False
    return True


def leading_int(data: bytes | memoryview) -> int | None:
    """Return the non-negative integer that begins an array, or None where `data` begins otherwise.

    The rest of the array is not read. A version leads every array of Hyperfed, so a newer version
    can be named whatever else it changed.
    """
    head = bytes(data[:_LEADING_BYTES])
    if len(head) > 1 and 0x91 <= head[0] <= 0x9F and head[1] < 0x80:
        return head[1]
    reader = msgpack.Unpacker(max_buffer_size=_LEADING_BYTES, max_array_len=(1 << 32) - 1)
    reader.feed(head)
    try:
        if not reader.read_array_header():
            return None
        number = reader.unpack()
    except (ValueError, msgpack.UnpackException):
        return None
    canonical = type(number) is int and head[_TOKENS[head[0]] :].startswith(msgpack.packb(number))
    return number if canonical and number >= 0 else None
