"""Name the types that the loops take, which are compiled when they are imported."""

from typing import Any

import numba

__all__ = ["read_only", "types"]

types: Any = numba.types


def read_only(*kinds: Any) -> tuple[Any, ...]:
    """Return the types of contiguous arrays that are only read.

    Arrays that may be written, and those that may not, are then both taken.
    """
    return tuple(types.Array(kind, 1, "C", readonly=True) for kind in kinds)
