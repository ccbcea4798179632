"""Write the one canonical form of msgpack (`explaining` defines it).

msgpack's packer in C writes every value that holds no large buffer, all at once. A large buffer
becomes a part of its own, so that it is joined once and never copied twice.

What it does not do: it does not know fields (`records`) or versions (`payload`).
"""

import math
from collections.abc import Sequence
from typing import Any

import msgpack

from hyperfed.codec.explaining import MAX_DEPTH
from hyperfed.errors import SchemaError

__all__ = ["pack", "pack_around", "pack_parts"]

_LARGE = 8192  # bytes from which a part of its own costs less than two copies
_FIRST_BYTES = 1024  # initial size of the writer's buffer
_SCALARS = frozenset((str, int, bool, type(None)))
_TEXT = frozenset((str,))
_BUFFERS = frozenset((bytes, bytearray, memoryview))


def pack(value: Any) -> bytes:
    """Return the canonical bytes of a plain value.

    The value is None, a bool, an int (64 bits), a float, a str, bytes-like, a list or tuple of such
    values, or a dict with str keys. Large buffers are joined once and never copied twice. Raises
    SchemaError for any other type, for floats that are not finite, and for -0.0.
    """
    return b"".join(pack_parts(value))


def pack_parts(value: Any) -> list[bytes | memoryview]:
    """Return the parts that `pack` joins; each large buffer is a part of its own."""
    packer = msgpack.Packer(autoreset=False, buf_size=_FIRST_BYTES)
    parts: list[bytes | memoryview] = []
    try:
        _write(value, packer, parts, 1)
    except OverflowError:
        raise SchemaError("an integer does not fit into 64 bits", rule="R-10") from None
    except UnicodeEncodeError as exc:
        raise SchemaError(
            f"text {exc.object!r:.80} cannot be written as UTF-8", rule="R-10"
        ) from None
    parts.append(packer.bytes())
    return parts


def pack_around(head: Sequence[Any], last: Sequence[bytes | memoryview]) -> bytes:
    """Return the canonical array of the values in `head` and one binary field, given in parts.

    Each byte of the parts is copied once.
    """
    size = sum(len(part) for part in last)
    opening = pack([*head, b""])[:-2]  # without the empty field
    return b"".join((opening, _binary_header(size), *last))


def _write(value: Any, packer: Any, parts: list[bytes | memoryview], depth: int) -> None:
    """Write a value that is nested `depth` deep, item by item only where it holds a large buffer.

    What was written before a large buffer is moved from `packer` to `parts`.
    """
    try:
        packer.pack(_ordered(value, depth))
    except _LargeBufferError:
        if type(value) is dict:
            packer.pack_map_header(len(value))
            for key, item in sorted(value.items()):
                packer.pack(key)
                _write(item, packer, parts, depth + 1)
        elif type(value) in _BUFFERS:
            buffer = memoryview(value).cast("B")
            parts += (packer.bytes(), _binary_header(len(buffer)), buffer)
            packer.reset()
        else:
            packer.pack_array_header(len(value))
            for item in value:
                _write(item, packer, parts, depth + 1)


class _LargeBufferError(Exception):
    """The error for a value that is, or holds, a large buffer."""


def _ordered(value: Any, depth: int) -> Any:
    """Return the value as msgpack's packer writes it canonically: every map's keys in order.

    Raises SchemaError where it has no canonical form, and _LargeBufferError where it holds a large
    buffer.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
            raise SchemaError(f"number {value!r} has no canonical form", rule="R-10")
        return value
    if kind in _BUFFERS:
        buffer = memoryview(value)
        if buffer.nbytes >= _LARGE:
            raise _LargeBufferError
        return value if kind is bytes else buffer.tobytes()
    if kind not in (list, tuple, dict):
        raise SchemaError(f"a {kind.__name__} cannot travel", rule="R-10")
    if depth > MAX_DEPTH:
        raise SchemaError(f"nested deeper than {MAX_DEPTH}", rule="R-10")
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            raise SchemaError("a map key is not a text", rule="R-10")
        return {
            key: item if type(item) in _SCALARS else _ordered(item, depth + 1)
            for key, item in sorted(value.items())
        }
    if _SCALARS.issuperset(map(type, value)):
        return value
    return [_ordered(item, depth + 1) for item in value]


def _binary_header(length: int) -> bytes:
    if length < 1 << 8:
        return b"\xc4" + length.to_bytes(1, "big")
    if length < 1 << 16:
        return b"\xc5" + length.to_bytes(2, "big")
    if length < 1 << 32:
        return b"\xc6" + length.to_bytes(4, "big")
    raise SchemaError(f"a binary field of {length} bytes; at most {(1 << 32) - 1} fit", rule="R-10")
