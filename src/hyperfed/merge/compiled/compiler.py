"""How a loop becomes a kernel: no interpreter lock, numpy's division by zero, nothing reordered, and kept on disk where that can be.

Importing it imports numba.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(loop: F) -> F:
    try:
        return cast(F, numba.njit(loop, nogil=True, error_model="numpy", cache=True))
    except RuntimeError:  # nothing may be written anywhere
        return cast(F, numba.njit(loop, nogil=True, error_model="numpy"))
