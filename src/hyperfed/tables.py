"""Columns: the tables an update and a merged model consist of.

1. A table is sorted numpy arrays of one length, read-only, strictly ascending by key: (source, target, lag) is unique (STYLE 14).
2. The packed key is source << 40 | target << 16 | lag in a uint64: indices below 2**24, lags below 2**16. Sorting a merge is sorting these.
3. Every table checks itself when made; a value outside its bounds raises BoundsError with the row. Non-finite is refused before anything else.
4. Float columns of one table share one dtype, float64 or float32, little-endian.

What it does not do: parse bytes (`codec`), merge (`reconciler`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.columns import as_column, check_floats, check_interval, check_samples, check_unit, freeze, refuse_where
from hyperfed.compiled.tables import is_sound
from hyperfed.errors import BoundsError
from hyperfed.vocabulary import MAX_VARIABLES

__all__ = [
    "MAX_LAG",
    "DeltaTable",
    "EdgeTable",
    "HyperedgeTable",
    "pack_keys",
    "unpack_keys",
    "votes_of",
]

MAX_LAG = (1 << 16) - 1

_TIES_AT_ONCE = 1 << 10
_ROWS_AT_ONCE = 1 << 16

Array = npt.NDArray[Any]


def pack_keys(source: Array, target: Array, lag: Array) -> npt.NDArray[np.uint64]:
    """uint64[rows]: source << 40 | target << 16 | lag, in the order of (source, target, lag)."""
    packed = source.astype(np.uint64) << np.uint64(40)
    packed |= target.astype(np.uint64) << np.uint64(16)
    packed |= lag.astype(np.uint64)
    return packed


def votes_of(effect: Array, confidence: Array, stability: Array) -> npt.NDArray[np.float64]:
    """float64[rows]: sign(effect) * confidence * stability, in [-1, 1] (DESIGN section 5)."""
    return np.asarray(np.sign(effect).astype(np.float64) * confidence * stability)


def unpack_keys(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """(source uint32, target uint32, lag uint16) of packed keys."""
    return (
        (keys >> np.uint64(40)).astype(np.uint32),
        ((keys >> np.uint64(16)) & np.uint64(MAX_VARIABLES - 1)).astype(np.uint32),
        (keys & np.uint64(MAX_LAG)).astype(np.uint16),
    )


class _Columns:
    """Equality, length and row selection shared by the tables."""

    __slots__ = ()

    @property
    def nbytes(self) -> int:
        """Bytes of its columns."""
        columns = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return sum(int(column.nbytes) for column in columns if column is not None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        for field in fields(self):  # type: ignore[arg-type]
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if (mine is None) != (theirs is None):
                return False
            if mine is not None and (mine.dtype != theirs.dtype or not np.array_equal(mine, theirs)):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]


_EDGE_INTS = MappingProxyType[str, Any]({"source": np.uint32, "target": np.uint32, "lag": np.uint16, "hits": np.uint32, "n": np.uint64})
_EDGE_FLOATS = ("effect", "ci_low", "ci_high", "confidence", "stability")
_EDGE_COLUMNS = (*_EDGE_INTS, *_EDGE_FLOATS)


def _check_edge_keys(table: Any, kind: str) -> None:
    for name in ("source", "target"):
        column = getattr(table, name)
        if len(column) and np.maximum.reduce(column) >= MAX_VARIABLES:
            refuse_where(column >= MAX_VARIABLES, column, f"{kind}.{name}", f"indices are below {MAX_VARIABLES}")
    if len(table.lag) and np.minimum.reduce(table.lag) == 0:
        refuse_where((table.source == table.target) & (table.lag == 0), table.source, f"{kind}.source", "source and target differ where lag is 0")
    step = _not_above(table.source, table.target, table.lag)
    if step.any():
        row = int(np.argmax(step)) + 1
        same = all(column[row] == column[row - 1] for column in (table.source, table.target, table.lag))
        what = "twice in the table" if same else "out of order"
        problem = f"edge ({table.source[row]}, {table.target[row]}, lag {table.lag[row]}) is {what}"
        raise BoundsError(problem, subject=kind, remedy="Rows ascend by (source, target, lag), each edge once")


def _not_above(*columns: Array) -> npt.NDArray[np.bool_]:
    """bool[rows - 1]: whether row i + 1 is not above row i, columns compared in the order given. Narrow columns: several times the speed of packed keys."""
    wrong = np.asarray(columns[-1][1:] <= columns[-1][:-1])
    for column in reversed(columns[:-1]):
        wrong &= column[1:] == column[:-1]
        wrong |= column[1:] < column[:-1]
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeTable(_Columns):
    """A client's (or a merged model's) lagged edges as columns, one row an edge, strictly ascending by (source, target, lag).

    source, target: uint32[rows], indices into the vocabulary; lag: uint16[rows], steps; source != target where lag is 0.
    effect: float[rows], change of the target per unit of the source; ci_low <= effect <= ci_high: float[rows], the 95 % interval, or both None.
    confidence, stability: float[rows] in [0, 1]; hits: uint32[rows], how often the edge was found; n: uint64[rows], the sample count.
    float is float64 or float32, the same in all columns. Raises BoundsError.
    """

    INTEGERS = _EDGE_INTS  # of no annotation: it would stand among the fields

    source: Array
    target: Array
    lag: Array
    effect: Array
    confidence: Array
    stability: Array
    hits: Array
    n: Array
    ci_low: Array | None = None
    ci_high: Array | None = None

    def __post_init__(self) -> None:
        freeze(self, "edges", _EDGE_INTS, _EDGE_FLOATS)
        if is_sound(self):
            return
        _check_edge_keys(self, "edges")
        check_floats(self, _EDGE_FLOATS, "edges")
        check_unit(self, ("confidence", "stability"), "edges")
        check_samples(self, "edges")
        check_interval(self, "edges")

    @classmethod
    def build(
        cls,
        *,
        source: Any,
        target: Any,
        lag: Any,
        effect: Any,
        confidence: Any,
        stability: Any,
        hits: Any = 1,
        n: Any = 0,
        ci_low: Any = None,
        ci_high: Any = None,
    ) -> Self:
        """A table from columns in any order; scalars are broadcast, -0.0 becomes 0.0. Raises BoundsError, also for an edge given twice."""
        given = {
            "source": source,
            "target": target,
            "lag": lag,
            "effect": effect,
            "confidence": confidence,
            "stability": stability,
            "hits": hits,
            "n": n,
            "ci_low": ci_low,
            "ci_high": ci_high,
        }
        rows = len(np.atleast_1d(np.asarray(source)))
        columns: dict[str, Array] = {}
        for name, value in given.items():
            if value is not None:
                column = np.asarray(value)
                if column.size == 0:
                    column = column.astype(_EDGE_INTS.get(name, np.float64))
                column = np.broadcast_to(column, (rows,)) if column.ndim == 0 else column
                columns[name] = column + 0.0 if column.dtype.kind == "f" else column
        for name, dtype in _EDGE_INTS.items():
            columns[name] = as_column(columns[name], dtype, f"edges.{name}")
        keys = pack_keys(columns["source"], columns["target"], columns["lag"])
        order = np.argsort(keys, kind="stable")
        for name, column in columns.items():
            if len(column) != rows:
                raise BoundsError(f"has {len(column)} rows where source has {rows}", subject=f"edges.{name}")
        ordered: dict[str, Any] = {name: column[order] for name, column in columns.items()}
        return cls(**ordered)

    @classmethod
    @lru_cache(maxsize=4)
    def empty(cls) -> Self:
        """The table without rows."""
        return cls.build(source=[], target=[], lag=[], effect=[], confidence=[], stability=[], hits=[], n=[])

    @classmethod
    def of_sound(cls, columns: Mapping[str, Array]) -> Self:
        """The table of columns that were looked at where they were made, and are read-only (`compiled.tables.edges`): they are not looked at again."""
        table = object.__new__(cls)
        for name in _EDGE_COLUMNS:
            object.__setattr__(table, name, columns.get(name))
        return table

    def __len__(self) -> int:
        return len(self.source)

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """uint64[rows], strictly ascending: see `pack_keys`."""
        return pack_keys(self.source, self.target, self.lag)

    @property
    def vote(self) -> npt.NDArray[np.float64]:
        """float64[rows]: sign(effect) * confidence * stability, in [-1, 1] (DESIGN section 5)."""
        return votes_of(self.effect, self.confidence, self.stability)

    def take(self, rows: Array) -> Self:
        """The table of these rows: an index array in ascending order, or a boolean mask."""
        columns: dict[str, Any] = {f.name: (None if getattr(self, f.name) is None else getattr(self, f.name)[rows]) for f in fields(self)}
        return type(self)(**columns)

    def rows(self) -> Iterator[dict[str, float | int]]:
        """One dict a row, for display and export only."""
        names = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        for values in zip(*(getattr(self, name).tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeltaTable(_Columns):
    """Changes of edges against an earlier table, as columns, strictly ascending by (source, target, lag).

    source, target, lag as in `EdgeTable`; weight_delta, ci_low_delta, ci_high_delta: float[rows]; hits_delta: int32[rows].
    An edge that the earlier table lacks cannot be changed (its confidence and stability are unknown): send the whole table.
    """

    INTEGERS = MappingProxyType[str, Any]({"source": np.uint32, "target": np.uint32, "lag": np.uint16, "hits_delta": np.int32})

    source: Array
    target: Array
    lag: Array
    weight_delta: Array
    ci_low_delta: Array
    ci_high_delta: Array
    hits_delta: Array

    def __post_init__(self) -> None:
        floats = ("weight_delta", "ci_low_delta", "ci_high_delta")
        freeze(self, "deltas", self.INTEGERS, floats)
        _check_edge_keys(self, "deltas")
        check_floats(self, floats, "deltas")

    def __len__(self) -> int:
        return len(self.source)

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        return pack_keys(self.source, self.target, self.lag)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HyperedgeTable(_Columns):
    """Several sources acting together on one target, in compressed rows, keyed by (sorted sources, target, lag).

    sources: uint32[total], the sources of row i are sources[offsets[i]:offsets[i+1]], strictly ascending, two or more; offsets: uint32[rows+1].
    The other columns are as in `EdgeTable`. Rows strictly ascend by (target, lag, number of sources, sources).
    """

    INTEGERS = MappingProxyType[str, Any](
        {"sources": np.uint32, "offsets": np.uint32, "target": np.uint32, "lag": np.uint16, "hits": np.uint32, "n": np.uint64}
    )

    sources: Array
    offsets: Array
    target: Array
    lag: Array
    effect: Array
    confidence: Array
    stability: Array
    hits: Array
    n: Array
    ci_low: Array | None = None
    ci_high: Array | None = None

    def __post_init__(self) -> None:
        freeze(self, "hyperedges", self.INTEGERS, _EDGE_FLOATS)
        self._check_shape()
        check_floats(self, _EDGE_FLOATS, "hyperedges")
        check_unit(self, ("confidence", "stability"), "hyperedges")
        check_samples(self, "hyperedges")
        check_interval(self, "hyperedges")

    def _check_shape(self) -> None:
        rows, offsets, sources = len(self.target), self.offsets, self.sources
        if len(offsets) != rows + 1 or offsets[0] != 0 or offsets[-1] != len(sources):
            raise BoundsError(f"offsets must have {rows + 1} entries from 0 to {len(sources)}", subject="hyperedges.offsets")
        offsets = offsets.astype(np.int64)
        arity = np.diff(offsets)
        if rows and (int(arity.min()) < 2 or int(arity.max()) > 64):
            raise BoundsError("a hyperedge has 2 to 64 sources", subject="hyperedges.offsets")
        for name in ("sources", "target"):
            refuse_where(getattr(self, name) >= MAX_VARIABLES, getattr(self, name), f"hyperedges.{name}", f"indices are below {MAX_VARIABLES}")
        if not rows:
            return
        starts = np.zeros(len(sources), dtype=bool)
        starts[offsets[:-1]] = True
        unsorted_at = np.zeros(len(sources), dtype=bool)
        unsorted_at[1:] = (sources[1:] <= sources[:-1]) & ~starts[1:]
        refuse_where(unsorted_at, sources, "hyperedges.sources", "the sources of a row strictly ascend")
        own = (sources == np.repeat(self.target, arity)) & (np.repeat(self.lag, arity) == 0)
        refuse_where(own, sources, "hyperedges.sources", "sources differ from the target where lag is 0")
        wrong = self._not_above(offsets[:-1], arity)
        if wrong.any():
            problem = f"row {int(np.argmax(wrong)) + 1} is out of order or given twice"
            raise BoundsError(problem, subject="hyperedges", remedy="Rows ascend by (target, lag, number of sources, sources)")

    def _not_above(self, starts: npt.NDArray[np.int64], arity: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool[rows - 1]: whether row i + 1 is not above row i. Takes memory for the sources there are, not for the widest row in every row."""
        head = self.target.astype(np.uint64)  # target << 32 | lag << 16 | number of sources, in place
        for part in (self.lag, arity.astype(np.uint16)):
            head <<= np.uint64(16)
            head |= part
        wrong = head[1:] < head[:-1]
        ties = np.flatnonzero(head[1:] == head[:-1])
        for tied in (ties[i : i + _TIES_AT_ONCE] for i in range(0, len(ties), _TIES_AT_ONCE)):
            width = arity[tied]  # two rows with one target, lag and number of sources: their first different source decides
            ends = np.cumsum(width)
            within = np.arange(ends[-1]) - np.repeat(ends - width, width)
            before = self.sources[np.repeat(starts[tied], width) + within]
            after = self.sources[np.repeat(starts[tied + 1], width) + within]
            first = np.minimum.reduceat(np.where(before != after, np.arange(ends[-1]), ends[-1]), ends - width)
            equal = first >= ends
            at = np.where(equal, 0, first)
            wrong[tied] = equal | (before[at] > after[at])
        return wrong

    def key_matrix(self) -> npt.NDArray[np.int64]:
        """int64[rows, 3 + max sources]: target, lag, number of sources, sources, then -1: equal rows are equal hyperedges."""
        offsets = self.offsets.astype(np.int64)
        arity = np.diff(offsets)
        width = int(arity.max()) if len(arity) else 0
        matrix = np.full((len(self.target), 3 + width), -1, dtype=np.int64)
        matrix[:, 0], matrix[:, 1], matrix[:, 2] = self.target, self.lag, arity
        row = np.repeat(np.arange(len(arity)), arity)
        matrix[row, 3 + np.arange(len(self.sources)) - offsets[:-1][row]] = self.sources
        return matrix

    @classmethod
    def build(
        cls,
        *,
        sources: Any,
        target: Any,
        lag: Any,
        effect: Any,
        confidence: Any,
        stability: Any,
        hits: Any = 1,
        n: Any = 0,
        ci_low: Any = None,
        ci_high: Any = None,
    ) -> Self:
        """A table from rows in any order: `sources` holds one list of indices a row, in any order; scalars are broadcast. Raises BoundsError."""
        lists = [np.sort(as_column(row, np.uint32, "hyperedges.sources")) for row in sources]
        given = {
            "target": target,
            "lag": lag,
            "effect": effect,
            "confidence": confidence,
            "stability": stability,
            "hits": hits,
            "n": n,
            "ci_low": ci_low,
            "ci_high": ci_high,
        }
        columns: dict[str, Array] = {}
        for name, value in given.items():
            if value is not None:
                column = np.asarray(value)
                column = np.broadcast_to(column, (len(lists),)) if column.ndim == 0 else column
                if column.size == 0:
                    column = column.astype(np.uint32 if name in ("target", "lag", "hits", "n") else np.float64)
                if len(column) != len(lists):
                    raise BoundsError(f"has {len(column)} rows where sources has {len(lists)}", subject=f"hyperedges.{name}")
                columns[name] = column + 0.0 if column.dtype.kind == "f" else column
        order = sorted(range(len(lists)), key=lambda i: (int(columns["target"][i]), int(columns["lag"][i]), len(lists[i]), lists[i].tolist()))
        offsets = np.concatenate([[0], np.cumsum([len(lists[i]) for i in order], dtype=np.int64)]).astype(np.int64)
        flat = np.concatenate([np.zeros(0, np.uint32), *(lists[i] for i in order)])
        ordered: dict[str, Any] = {name: column[order] for name, column in columns.items()}
        return cls(sources=flat, offsets=offsets, **ordered)

    @classmethod
    @lru_cache(maxsize=4)
    def empty(cls) -> Self:
        """The table without rows."""
        return cls.build(sources=[], target=[], lag=[], effect=[], confidence=[], stability=[], hits=[], n=[])

    def take(self, rows: Array) -> Self:
        """The table of these rows: an index array in ascending order, or a boolean mask."""
        index = np.arange(len(self))[rows]
        offsets = self.offsets.astype(np.int64)
        arity = np.diff(offsets)[index]
        ends = np.concatenate([[0], np.cumsum(arity)]).astype(np.int64)
        flat = np.arange(ends[-1]) - np.repeat(ends[:-1], arity) + np.repeat(offsets[:-1][index], arity)
        skip = ("sources", "offsets")
        columns: dict[str, Any] = {f.name: None if getattr(self, f.name) is None else getattr(self, f.name)[index] for f in fields(self) if f.name not in skip}
        return type(self)(sources=self.sources[flat], offsets=ends, **columns)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def vote(self) -> npt.NDArray[np.float64]:
        """float64[rows]: sign(effect) * confidence * stability."""
        return votes_of(self.effect, self.confidence, self.stability)
