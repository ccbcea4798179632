"""The quick way to read canonical msgpack: msgpack's own reader, in C, believed only where its answer is proven.

1. The proof is that writing the answer again gives the very bytes: the writer has one form for every value, so no other bytes can have this value. What
   the writer's C code lets pass is looked at here: the order and type of keys, floats without a canonical form, types that do not travel, depth, count.
2. Where the proof fails there is no answer (`UNPROVEN`), never a refusal: the strict reader (`canonical`) reads the bytes again and says what is wrong.
   So exactly the same bytes are accepted, and every error is the strict reader's (ADR 0018).
3. Before anything is allocated the input is known to be small, or to hold few lists and maps: what a byte can become is bounded as the strict reader bounds it.
4. Small binary fields come as bytes; input with a larger one is left to the strict reader, which makes a view of it.

What it does not do: refuse, or know any field.
"""

from math import copysign, isfinite
from typing import Any, Final

import msgpack

__all__ = ["LARGEST_COPY", "UNPROVEN", "proven", "proven_head"]

UNPROVEN: Final = object()
LARGEST_COPY = 512  # bytes of a binary field that is copied
_HEAD_BYTES = 1024  # what precedes the last field of an envelope, a document or a sealed body is shorter than this, as we write them
_DENSE = 4  # times as many bytes as values: the most that is read this way
_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])  # the first bytes of lists and maps
_COUNTED_AT_ONCE = 1 << 16
_MOST_A_CONTAINER = 3  # values that pay for what one takes
_VIEW_COSTS = 2  # values more than the one every value counts as, of a binary field
_PLAIN = frozenset((str, int, bool, type(None), bytes))
_TEXT = frozenset((str,))
_BINS = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}  # first byte -> (bytes of the length, the least length of this form)


def proven(data: memoryview, *, max_values: int, max_depth: int) -> Any:
    """The value of canonical bytes, small binary fields as bytes; UNPROVEN where it is not canonical, or not to be read this way."""
    size = len(data)
    if size > max_values:
        parts = (bytes(data[i : i + _COUNTED_AT_ONCE]) for i in range(0, size, _COUNTED_AT_ONCE))
        if size > _DENSE * max_values or _MOST_A_CONTAINER * sum(len(part) - len(part.translate(None, _CONTAINERS)) for part in parts) > max_values:
            return UNPROVEN
    try:
        value = msgpack.unpackb(data, raw=False, max_bin_len=LARGEST_COPY, ext_hook=_refuse)
        if not _is_plain(value, max_values, max_depth) or _written(value, size) != data.tobytes():
            return UNPROVEN
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return UNPROVEN
    return value


def proven_head(data: memoryview, *, max_values: int, max_depth: int) -> Any:
    """[values..., view] of a canonical array whose last field is binary, of any size: it is not copied. UNPROVEN as `proven`, and where it is no such array."""
    try:
        reader = msgpack.Unpacker(None, read_size=_HEAD_BYTES, max_buffer_size=_HEAD_BYTES, raw=False, max_bin_len=_HEAD_BYTES, ext_hook=_refuse)
        reader.feed(data[:_HEAD_BYTES])
        count = reader.read_array_header()
        if not 1 <= count <= max_values:
            return UNPROVEN
        values = [reader.unpack() for _ in range(count - 1)]
        at: int = reader.tell()
        width, least = _BINS.get(data[at], (0, 0))
        begins = at + 1 + width
        length = int.from_bytes(data[at + 1 : begins], "big")
        if not width or length < least or begins + length != len(data):
            return UNPROVEN
        if not _is_plain(values, max_values - 1 - _VIEW_COSTS, max_depth) or _written([*values, None], at)[:-1] != data[:at].tobytes():
            return UNPROVEN
    except (ValueError, TypeError, OverflowError, IndexError, msgpack.UnpackException):
        return UNPROVEN
    values.append(data[begins:])
    return values


def _written(value: Any, size: int) -> bytes:
    """The value as msgpack writes it; its buffer is as large as that should be, not the quarter of a megabyte that msgpack would take."""
    again: bytes = msgpack.Packer(buf_size=size + 16).pack(value)
    return again


def _refuse(code: int, data: bytes) -> Any:
    raise ValueError("an ext type")


def _is_plain(value: Any, left: int, depth: int) -> bool:
    """Whether at most `left` values, less than `depth` deep, are all of types that travel, in the order and form that we write."""
    left -= 1
    level = [value]
    while level and depth:
        inner: list[Any] = []  # all that lies one deeper, of all lists and maps together
        for item in level:
            kind = type(item)
            if kind is dict:
                keys = [*item]
                if keys != sorted(keys) or not _TEXT.issuperset(map(type, keys)):
                    return False
                left -= len(keys)
                inner += item.values()
            elif kind is list:
                inner += item
            elif kind is float and isfinite(item) and (item or copysign(1.0, item) > 0):
                continue
            elif kind in _PLAIN:
                left -= _VIEW_COSTS if kind is bytes else 0
                continue
            else:
                return False
        kinds = [*map(type, inner)]
        left -= len(kinds) + _VIEW_COSTS * kinds.count(bytes)
        if left < 0:
            return False
        if _PLAIN.issuperset(kinds):
            return True
        level = [v for v in inner if type(v) not in _PLAIN]
        depth -= 1
    return not level
