"""A table's loops as machine code, where that is loaded: one column from its planes, or all; whether a table has nothing to refuse; its rows as records.

Each answers None, False or nothing done where there is no machine code for it; numpy beside the caller then does the work, to the same bytes and errors.
What it does not do: load anything (a client's one table is not worth it), decide what a table may hold (`tables`, `columns`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.compiled import loaded

__all__ = ["EDGES", "column", "edges", "is_sound", "knows_edges", "pack"]

_PLANES = 4  # that a column is put together from
_NARROW = np.dtype(np.float32)

EDGES = tuple(
    (name, np.dtype(form))
    for name, form in (
        *(("source", "<u4"), ("target", "<u4"), ("lag", "<u2"), ("effect", "<f4"), ("confidence", "<f4"), ("stability", "<f4")),
        *(("hits", "<u4"), ("n", "<u8"), ("ci_low", "<f4"), ("ci_high", "<f4")),
    )
)
"""The columns of `tables.EdgeTable` that `edges` fills, in the order of its fields, without the last two where there are no intervals."""
_FIRST, _LAST = ("n",), ("lag",)  # the widest and the narrowest: every column lies where its dtype may
_LAID = tuple(sorted(EDGES, key=lambda column: (column[0] not in _FIRST, column[0] in _LAST)))
_WITHOUT = tuple(column for column in _LAID if column not in EDGES[-2:])

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


def knows_edges() -> bool:
    """Whether `edges` may give any."""
    return loaded() is not None


def edges(planes: bytes, rows: int, *, forms: npt.NDArray[np.int64], intervals: bool, reach: float) -> dict[str, Array] | None:
    """All columns of a table of edges of float32 from its planes of `rows` bytes, one after the other, read-only and in one piece of memory; None where the
    table is not sound. forms: int64[10, 2], contiguous, as `loops.columns.edges` has them."""
    code = loaded()
    count, counted = len(planes) // rows, int(forms[:, 0].sum())
    if code is None or count * rows != len(planes) or count != counted:
        return None
    laid = _LAID if intervals else _WITHOUT
    memory, at = np.empty(-(-rows * sum(dtype.itemsize for _, dtype in laid) // 8), np.uint64), code.address
    if not code.edges(at(planes), count, at(forms), rows, intervals, reach, at(memory)):
        return None
    memory.flags.writeable = False
    columns, place = {}, 0
    for name, dtype in laid:
        columns[name] = np.ndarray((rows,), dtype, memory, place)
        place += rows * dtype.itemsize
    return columns


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
