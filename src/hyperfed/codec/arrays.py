"""Turn named arrays into bytes and back.

Processes of one coordinator leave arrays for each other in this form; no client ever sends it.

1. The form is the canonical array of [name, dtype, shape, little-endian bytes], with ascending
   names. Only the plain numeric dtypes below are allowed, so nothing else can come back.
2. Arrays that are read are read-only views of the given bytes: nothing is copied. A field that does
   not fit its shape is refused.

What it does not do: it does not compress, sign or seal (`dropbox.scratch` does).
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec.reading import unpack
from hyperfed.codec.writing import pack
from hyperfed.errors import SchemaError

__all__ = ["pack_arrays", "unpack_arrays"]

_DTYPES = frozenset(
    np.dtype(name).str for name in ("b1", "u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f4", "<f8")
)
_MAX_NAMES = 1 << 12
_VALUES_A_NAME = 16


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the bytes of named arrays of any shape.

    Raises SchemaError for a dtype not listed here.
    """
    fields = []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if array.dtype.str not in _DTYPES:
            raise SchemaError(f"an array of {array.dtype} cannot be kept", subject=name)
        fields.append(
            [name, array.dtype.str, list(array.shape), array.reshape(-1).view(np.uint8).data]
        )
    return pack(fields)


def unpack_arrays(data: bytes | memoryview) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in `data` by name, as views of it.

    Raises SchemaError for anything that `pack_arrays` does not write.
    """
    plain = unpack(data, max_values=_MAX_NAMES * _VALUES_A_NAME)
    arrays: dict[str, npt.NDArray[Any]] = {}
    last = ""
    for field in plain if isinstance(plain, list) else [plain]:
        kinds = [type(part) for part in field] if isinstance(field, list) else []
        if kinds[:3] != [str, str, list] or len(kinds) != 4 or kinds[3] not in (bytes, memoryview):
            raise SchemaError("not [name, dtype, shape, bytes]", subject="arrays")
        name, dtype, shape, content = field
        if name <= last and arrays:
            raise SchemaError("names ascend, each once", subject=f"array {name!r:.40}")
        if dtype not in _DTYPES or not all(type(length) is int and length >= 0 for length in shape):
            raise SchemaError(
                f"dtype {dtype!r:.20} or its shape is unknown", subject=f"array {name!r:.40}"
            )
        if len(content) != prod(shape) * np.dtype(dtype).itemsize:
            raise SchemaError(
                f"has {len(content)} bytes, which is not its shape's", subject=f"array {name!r:.40}"
            )
        arrays[name], last = np.frombuffer(content, dtype=dtype).reshape(shape), name
    return arrays
