"""The inner loops of a merge as machine code, where the extra `compiled` (numba) is there; numpy does the same without it.

1. A kernel gives the same bytes as the numpy code beside it: it adds in the same order, contracts nothing, reorders nothing. Which of them ran
   cannot be seen in a result, so machines with and without numba agree.
2. numba is imported at the first range of `ROWS` rows and never before: importing it takes half a second, which small merges do not win back. Once it
   is there, `FEW` rows are enough.
3. What it has compiled it keeps beside this module or, where that may not be written, in the user's cache folder; where neither can be, it
   compiles in every process.
4. Without numba, with HYPERFED_COMPILED=0, or with one that does not fit the installed numpy, `machine_code` is None and numpy works.

Kernels hold no interpreter lock: two ranges are worked on at once. Source: ADR 0017. It decides nothing about a merge.
"""

import logging
import os
from functools import cache
from importlib import import_module
from typing import Any

__all__ = ["FEW", "ROWS", "machine_code"]

ROWS = 1 << 17  # of a range, from which machine code is asked for
FEW = 1 << 14  # from which it is used once it is there

_log = logging.getLogger(__name__)


def machine_code(rows: int) -> Any | None:
    """`hyperfed.merge.compiled.kernels` for a range of so many rows, None where numpy is to do the work."""
    least = FEW if _loaded.cache_info().currsize else ROWS
    return None if rows < least or os.environ.get("HYPERFED_COMPILED") == "0" else _loaded()


@cache
def _loaded() -> Any | None:
    try:
        return import_module("hyperfed.merge.compiled.kernels")
    except Exception as exc:  # numba raises what it likes where it does not fit numpy or Python
        _log.debug("merge.compiled: numpy is used: %s", exc)
        return None
