"""A table's loops as machine code, where that is loaded: a column from its planes, whether a table has nothing to refuse, its rows as records.

Each answers None, False or nothing done where there is no machine code for it; numpy beside the caller then does the work, to the same bytes and errors.
What it does not do: load anything (a client's one table is not worth it), decide what a table may hold (`tables`, `columns`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.compiled import loaded

__all__ = ["column", "is_sound", "pack"]

_PLANES = 4  # that a column is put together from
_NARROW = np.dtype(np.float32)

Array = npt.NDArray[Any]


def column(
    planes: list[bytes | memoryview], rows: int, dtype: np.dtype[Any], *, coding: int, width: int, reach: float, told: tuple[Array | None, ...]
) -> Array | None:
    """A column from its planes, low bytes first: `codec.planes._decoded`. told: (effect,) or (effect, ci_low) of its own dtype and length."""
    code, count, size = loaded(), len(planes), dtype.itemsize
    if code is None or count > _PLANES or size == 1 or (told and dtype != _NARROW):
        return None
    out, at, null = np.empty(rows, dtype), code.address, code.null
    parts, ends = [*map(at, planes)], [*map(at, told)]
    code.column(*parts, *(null,) * (_PLANES - count), count, rows, size, width, coding, reach, *ends, *(null,) * (2 - len(ends)), at(out))
    return out


def is_sound(table: Any) -> bool:
    """Whether a table of edges, its columns frozen, is known to have nothing to refuse; False: look."""
    code = loaded()
    if code is None or table.effect.dtype != _NARROW or (table.ci_low is None) != (table.ci_high is None):
        return False
    at, intervals = code.address, table.ci_low is not None
    ends = (at(table.ci_low), at(table.ci_high)) if intervals else (code.null, code.null)
    keys = (at(table.source), at(table.target), at(table.lag), at(table.effect))
    return bool(code.sound(*keys, *ends, at(table.confidence), at(table.stability), at(table.n), len(table.source), intervals))


def pack(table: Any, records: Array) -> bool:
    """Fill `merge.packed.NARROW`[rows] with the rows of a table of float32; whether that was done."""
    code = loaded()
    if code is None or table.effect.dtype != _NARROW:
        return False
    at, intervals = code.address, table.ci_low is not None and table.ci_high is not None
    ends = (at(table.ci_low), at(table.ci_high)) if intervals else (code.null, code.null)
    columns = (at(c) for c in (table.confidence, table.stability, table.hits, table.n))
    code.pack(at(table.source), at(table.target), at(table.lag), at(table.effect), *ends, *columns, len(records), intervals, at(records))
    return True
