"""A table's loops as machine code, where that is loaded: one column from its planes, or all; a column's planes; whether a table has nothing to refuse; its
rows as records.

Each answers None, False or nothing done where there is no machine code for it; numpy beside the caller then does the work, to the same bytes and errors.
What it does not do: load anything (a client's one table is not worth it), decide what a table may hold (`tables`, `columns`).
"""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.compiled import loaded

__all__ = ["EDGES", "Forms", "column", "cut", "edges", "is_sound", "knows_edges", "pack"]

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
_LAID = tuple((name, dtype, dtype.itemsize) for name, dtype in sorted(EDGES, key=lambda column: (column[0] not in _FIRST, column[0] in _LAST)))
_WITHOUT = tuple(column for column in _LAID if not column[0].startswith("ci_"))
_WIDTH = {intervals: sum(size for _, _, size in laid) for intervals, laid in ((True, _LAID), (False, _WITHOUT))}  # bytes a row
_MOST = 8  # bytes a value that steps are counted in

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Forms:
    """Of the columns of `EDGES`, or of all but the last two: (how many planes, bytes a value that steps are counted in or 0) of each. planes: of all."""

    columns: InitVar[Sequence[tuple[int, int]]]
    planes: int = field(init=False)
    intervals: bool = field(init=False)
    array: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self, columns: Sequence[tuple[int, int]]) -> None:
        array = np.zeros((len(EDGES), 2), np.int64)
        array[: len(columns)] = columns
        if len(columns) not in (len(EDGES), len(EDGES) - 2) or array.min() < 0 or array.max() > _MOST:
            raise ValueError(f"{len(columns)} columns are no table of edges")
        array.flags.writeable = False
        for name, value in (("planes", int(array[:, 0].sum())), ("intervals", len(columns) == len(EDGES)), ("array", array)):
            object.__setattr__(self, name, value)


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


def cut(column: Array, *, coding: int, reach: float, told: tuple[Array, ...], taste: int, most: int) -> tuple[int, list[tuple[memoryview, bool]]] | None:
    """(bytes a value that steps are counted in, each plane of a contiguous column, low bytes first, and whether it looks like chance): what
    `codec.planes._coded` and `_planes` make of it. told: as for `column`; a plane looks like chance where `taste` of its bytes, or up to twice as many, evenly
    taken, are of more than `most` different values."""
    code, rows, size = loaded(), len(column), column.dtype.itemsize
    if code is None or size == 1 or (told and column.dtype != _NARROW):
        return None
    raw = rows * size
    scratch, out = np.empty(-(-raw // 8) + 32, np.uint64), np.empty(raw, np.uint8)
    at, null = code.address, code.null
    ends = [*map(at, told)]
    answer = code.cut(at(column), rows, size, coding, reach, *ends, *(null,) * (2 - len(ends)), taste, most, at(scratch), at(out))
    planes = out.data
    width, count, chances = answer & 255, answer >> 8 & 255, answer >> 16
    return width, [(planes[i * rows : (i + 1) * rows], bool(chances >> i & 1)) for i in range(count)]


def knows_edges() -> bool:
    """Whether `edges` may give any."""
    return loaded() is not None


def edges(planes: bytes, rows: int, forms: Forms, *, reach: float, units: int = 0) -> dict[str, Array] | None:
    """All columns of a table of edges of float32 from its planes of `rows` bytes, one after the other, read-only and in one piece of memory; None where the
    table is not sound, or there is no machine code. units: what confidence and stability are divided by where they come as whole numbers, else 0."""
    code = loaded()
    if code is None or len(planes) != rows * forms.planes:
        return None
    laid = _LAID if forms.intervals else _WITHOUT
    memory, at = np.empty(-(-rows * _WIDTH[forms.intervals] // 8), np.uint64), code.address
    if not code.edges(at(planes), forms.planes, at(forms.array), rows, forms.intervals, reach, units, at(memory)):
        return None
    memory.flags.writeable = False
    columns, place, shape = {}, 0, (rows,)
    for name, dtype, size in laid:
        columns[name] = np.ndarray(shape, dtype, memory, place)
        place += rows * size
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
