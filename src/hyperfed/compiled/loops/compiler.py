"""How a loop becomes machine code: numba's division by zero as numpy's, nothing reordered, no memory of its own, no exceptions.

1. `inner` marks a function that other loops call; `entry` one that is called from outside, by the name and with the types that `interface.SIGNATURES` gives it.
2. An entry gets the addresses of arrays, their lengths and numbers, and answers a whole number. It allocates nothing and raises nothing, so its code
   needs neither numba nor an interpreter to run.

Importing it imports numba: only `hyperfed.compiled.build` does.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

from hyperfed.compiled.interface import SIGNATURES

__all__ = ["ENTRIES", "carray", "entry", "inner"]

F = TypeVar("F", bound=Callable[..., Any])

carray: Any = numba.carray  # type: ignore[attr-defined]
"""The array at an address: (address, shape, dtype)."""

ENTRIES: dict[str, Any] = {}
"""By name, what was compiled."""

_TYPES = {"P": types.voidptr, "q": types.int64, "d": types.float64}


def inner(loop: F) -> F:
    return cast(F, numba.njit(loop, error_model="numpy"))


def entry(name: str) -> Callable[[F], F]:
    """Compile the loop as `SIGNATURES[name]`."""

    def compiled(loop: F) -> F:
        ENTRIES[name] = numba.cfunc(types.int64(*(_TYPES[kind] for kind in SIGNATURES[name])), error_model="numpy")(loop)
        return loop

    return compiled
