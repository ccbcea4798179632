"""Read canonical msgpack value by value, and say what is wrong with bytes that are refused.

This module is the definition of the one canonical form (R-10 of docs/protocol.md):

1. Every value has exactly one encoding: shortest integers and lengths, float64 only, maps with text
   keys in strictly ascending order (so no key occurs twice), no ext types, no NaN, no infinity, no
   -0.0, valid UTF-8, nothing after the end.
2. Reading is one linear pass that checks before it takes: the depth, the number of values, and
   every length against what is left. Nothing is allocated that the input did not pay for with a
   byte, and binary fields are views of the input, never copies. A view is an object of 184 bytes,
   so a binary field counts as three values: a million values never take more than 100 MB.

`reading` accepts the same bytes, ten times as fast. It asks this module only for the reason of a
refusal, and the tests ask it for everything.

What it does not do: it is not asked about bytes that are accepted.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

from hyperfed.errors import SchemaError

__all__ = ["BINARY_FIELD_COSTS", "MAX_DEPTH", "MAX_VALUES", "read_strictly"]

MAX_DEPTH = 8
MAX_VALUES = 1 << 20
BINARY_FIELD_COSTS = 2
"""A binary field counts as so many values more than another."""


def read_strictly(data: bytes | memoryview, *, max_values: int = MAX_VALUES) -> Any:
    """Return the value of canonical bytes, with all binary fields as memoryviews.

    Raises SchemaError, which says what is wrong and where.
    """
    reader = _Reader(memoryview(data).cast("B"), max_values)
    value = reader.value(1)
    if reader.at != reader.end:
        raise SchemaError(f"{reader.end - reader.at} bytes after the end", rule="R-10")
    return value


# The first byte gives (bytes of the number or length that follows, the smallest value that may use
# this form).
_UINTS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_INTS = {0xD0: (1, -32), 0xD1: (2, -(1 << 7)), 0xD2: (4, -(1 << 15)), 0xD3: (8, -(1 << 31))}
_STRS = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_BINS = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_MAPS = {0xDE: (2, 16), 0xDF: (4, 1 << 16)}
_FLOAT = struct.Struct(">d").unpack_from
_CONSTANTS: dict[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """Reads one value at a time from canonical bytes, and checks each before taking it."""

    __slots__ = ("at", "data", "end", "left")

    def __init__(self, data: memoryview, max_values: int) -> None:
        self.data, self.at, self.end, self.left = data, 0, len(data), max_values

    def _take(self, count: int) -> int:
        """Move past `count` bytes, and return where they began.

        Raises SchemaError where there are fewer.
        """
        start = self.at
        if count > self.end - start:
            raise SchemaError(
                f"truncated: {count} bytes promised at {start}, {self.end - start} there",
                rule="R-10",
            )
        self.at = start + count
        return start

    def _number(self, form: tuple[int, int], what: str) -> int:
        """Return the number or length that follows.

        Raises SchemaError where its form is not the shortest.
        """
        width, least = form
        start = self._take(width)
        number = int.from_bytes(self.data[start : start + width], "big")
        if number < least:
            raise SchemaError(
                f"{what} {number} at {start} is not in its shortest form", rule="R-10"
            )
        return number

    def value(self, depth: int) -> Any:
        """Return the value that begins here, which is nested `depth` deep. Raises SchemaError."""
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
        if 0xA0 <= first < 0xC0:  # a short text, the most frequent case
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
            self.left -= BINARY_FIELD_COSTS
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
            raise SchemaError(
                f"integer {number} at {start} is not in its shortest form", rule="R-10"
            )
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
            self._take(length)  # this raises and says what is missing
        self.at = end = start + length
        try:
            return str(self.data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise SchemaError(f"text at {start} is not UTF-8", rule="R-10") from None

    def _deeper(self, depth: int, least_bytes: int) -> None:
        """Raise SchemaError where a list or map is too deep, or promises more than is left."""
        if depth > MAX_DEPTH:
            raise SchemaError(f"nested deeper than {MAX_DEPTH}", rule="R-10")
        if least_bytes > self.end - self.at:
            raise SchemaError(
                f"truncated: at least {least_bytes} bytes promised at {self.at}, "
                f"{self.end - self.at} there",
                rule="R-10",
            )

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
                raise SchemaError(
                    f"map key {key!r:.80} is given twice or out of order", rule="R-10"
                )
            out[key] = self.value(depth + 1)
            last = key
        return out
