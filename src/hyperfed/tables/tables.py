"""Hold edges as columns: the tables that updates and merged models consist of.

1. A table is sorted numpy arrays of one length, read-only, strictly ascending by key: (source,
   target, lag) is unique (STYLE 22).
2. The packed key is source << 40 | target << 16 | lag in a uint64: indices are below 2**24, lags
   below 2**16. A merge sorts these keys.
3. Every table checks itself when made; a value outside its bounds raises BoundsError with the row.
   Non-finite values are refused before anything else.
4. The float columns of one table share one dtype, float64 or float32, little-endian.

What it does not do: it does not parse bytes (`codec`) or merge (`reconciler`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.tables.columns import (
    EDGE_FLOATS,
    Columns,
    as_column,
    check_floats,
    check_interval,
    check_samples,
    check_unit,
    freeze,
    refuse_where,
)

__all__ = ["MAX_LAG", "DeltaTable", "EdgeTable", "pack_keys", "unpack_keys", "votes_of"]

MAX_LAG = (1 << 16) - 1


Array = npt.NDArray[Any]


def pack_keys(source: Array, target: Array, lag: Array) -> npt.NDArray[np.uint64]:
    """Return the packed keys, uint64[rows]: source << 40 | target << 16 | lag.

    Packed keys sort in the order of (source, target, lag).
    """
    packed = source.astype(np.uint64) << np.uint64(40)
    packed |= target.astype(np.uint64) << np.uint64(16)
    packed |= lag.astype(np.uint64)
    return packed


def votes_of(effect: Array, confidence: Array, stability: Array) -> npt.NDArray[np.float64]:
    """Return the votes, float64[rows]: sign(effect) * confidence * stability, in [-1, 1].

    The definition is in DESIGN section 5.
    """
    return np.asarray(np.sign(effect).astype(np.float64) * confidence * stability)


def unpack_keys(
    keys: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """Return the source (uint32), target (uint32) and lag (uint16) of packed keys."""
    return (
        (keys >> np.uint64(40)).astype(np.uint32),
        ((keys >> np.uint64(16)) & np.uint64(MAX_VARIABLES - 1)).astype(np.uint32),
        (keys & np.uint64(MAX_LAG)).astype(np.uint16),
    )


_EDGE_INTS = MappingProxyType[str, Any](
    {"source": np.uint32, "target": np.uint32, "lag": np.uint16, "hits": np.uint32, "n": np.uint64}
)


def _check_edge_keys(table: Any, kind: str) -> None:
    for name in ("source", "target"):
        column = getattr(table, name)
        if len(column) and np.maximum.reduce(column) >= MAX_VARIABLES:
            refuse_where(
                column >= MAX_VARIABLES,
                column,
                f"{kind}.{name}",
                f"indices are below {MAX_VARIABLES}",
            )
    if len(table.lag) and np.minimum.reduce(table.lag) == 0:
        refuse_where(
            (table.source == table.target) & (table.lag == 0),
            table.source,
            f"{kind}.source",
            "source and target differ where lag is 0",
        )
    step = _not_above(table.source, table.target, table.lag)
    if step.any():
        row = int(np.argmax(step)) + 1
        same = all(
            column[row] == column[row - 1] for column in (table.source, table.target, table.lag)
        )
        what = "twice in the table" if same else "out of order"
        problem = f"edge ({table.source[row]}, {table.target[row]}, lag {table.lag[row]}) is {what}"
        raise BoundsError(
            problem, subject=kind, remedy="Sort the rows by (source, target, lag), each edge once"
        )


def _not_above(*columns: Array) -> npt.NDArray[np.bool_]:
    """Return bool[rows - 1]: whether row i + 1 is not above row i.

    Columns are compared in the order given. On narrow columns this is several times as fast as
    comparing packed keys.
    """
    wrong = np.asarray(columns[-1][1:] <= columns[-1][:-1])
    for column in reversed(columns[:-1]):
        wrong &= column[1:] == column[:-1]
        wrong |= column[1:] < column[:-1]
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeTable(Columns):
    """Holds the lagged edges of a client, or of a merged model, as columns: one row for each edge.

    Rows strictly ascend by (source, target, lag). The float columns are all float64 or all float32.
    Raises BoundsError where a value is outside its bounds.
    """

    INTEGERS = _EDGE_INTS  # without an annotation, or it would be a field

    source: Array
    """uint32[rows]: the index of the source in the vocabulary."""
    target: Array
    """uint32[rows]: the index of the target in the vocabulary.

    It differs from the source where lag is 0.
    """
    lag: Array
    """uint16[rows]: the lag, in time steps."""
    effect: Array
    """float[rows]: the change of the target for each unit of the source."""
    confidence: Array
    """float[rows] in [0, 1]: how sure the sign of the effect is, as 1 - p of a two-sided test.

    On pure noise it is 0.50 on average, not 0.
    """
    stability: Array
    """float[rows] in [0, 1]: how often the edge is found again in resamples."""
    hits: Array
    """uint32[rows]: how often the edge was found."""
    n: Array
    """uint64[rows]: the number of samples."""
    ci_low: Array | None = None
    """float[rows], or None: the lower end of the interval, at most the effect.

    The interval is effect +- 1.96 standard errors, whatever distribution the engine tests with. A
    row with ci_low = ci_high has no known interval. Both ends are given, or neither.
    """
    ci_high: Array | None = None
    """float[rows], or None: the upper end of the interval, at least the effect."""

    def __post_init__(self) -> None:
        freeze(self, "edges", _EDGE_INTS, EDGE_FLOATS)
        _check_edge_keys(self, "edges")
        check_floats(self, EDGE_FLOATS, "edges")
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
        """Return a table made of columns in any order.

        Scalars are broadcast to all rows, and -0.0 becomes 0.0. Raises BoundsError where a value is
        outside its bounds, and where an edge is given twice.
        """
        values = {
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
        for name, value in values.items():
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
                raise BoundsError(
                    f"has {len(column)} rows where source has {rows}", subject=f"edges.{name}"
                )
        ordered: dict[str, Any] = {name: column[order] for name, column in columns.items()}
        return cls(**ordered)

    @classmethod
    @lru_cache(maxsize=4)
    def empty(cls) -> Self:
        """Return the table without rows."""
        return cls.build(
            source=[], target=[], lag=[], effect=[], confidence=[], stability=[], hits=[], n=[]
        )

    def with_votes(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return the table in which only some rows vote, bool[rows]; the others are estimates."""
        if rows.all():
            return self
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("confidence", "stability", "hits"):
            columns[name] = np.where(rows, columns[name], columns[name].dtype.type(0))
        return type(self)(**columns)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """The packed keys, uint64[rows], strictly ascending: see `pack_keys`."""
        return pack_keys(self.source, self.target, self.lag)

    @property
    def vote(self) -> npt.NDArray[np.float64]:
        """The votes, float64[rows]: sign(effect) * confidence * stability, in [-1, 1].

        The definition is in DESIGN section 5.
        """
        return votes_of(self.effect, self.confidence, self.stability)

    def take(self, rows: Array) -> Self:
        """Return the table of `rows`: an index array in ascending order, or a boolean mask."""
        columns: dict[str, Any] = {
            f.name: (None if getattr(self, f.name) is None else getattr(self, f.name)[rows])
            for f in fields(self)
        }
        return type(self)(**columns)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one dict for each row, for display and export only.

        The ends ci_low and ci_high are None in a row whose interval is not known.
        """
        columns = {
            f.name: getattr(self, f.name).tolist()
            for f in fields(self)
            if getattr(self, f.name) is not None
        }
        if self.ci_low is not None and self.ci_high is not None:
            has_interval = (self.ci_low < self.ci_high).tolist()
            columns |= {
                name: [
                    end if has_both_ends else None
                    for end, has_both_ends in zip(columns[name], has_interval, strict=True)
                ]
                for name in ("ci_low", "ci_high")
            }
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeltaTable(Columns):
    """Holds changes of edges against an earlier table, as columns.

    Rows strictly ascend by (source, target, lag); these three columns are as in `EdgeTable`. An
    edge that the earlier table lacks cannot be changed, since its confidence and stability are
    unknown: send the whole table instead.
    """

    INTEGERS = MappingProxyType[str, Any](
        {"source": np.uint32, "target": np.uint32, "lag": np.uint16, "hits_delta": np.int32}
    )

    source: Array
    target: Array
    lag: Array
    weight_delta: Array
    """float[rows]: the change of the effect."""
    ci_low_delta: Array
    """float[rows]: the change of the interval's lower end."""
    ci_high_delta: Array
    """float[rows]: the change of the interval's upper end."""
    hits_delta: Array
    """int32[rows]: the change of the number of hits."""

    def __post_init__(self) -> None:
        floats = ("weight_delta", "ci_low_delta", "ci_high_delta")
        freeze(self, "deltas", self.INTEGERS, floats)
        _check_edge_keys(self, "deltas")
        check_floats(self, floats, "deltas")

    def __len__(self) -> int:
        return len(self.source)

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """The packed keys, uint64[rows], strictly ascending: see `pack_keys`."""
        return pack_keys(self.source, self.target, self.lag)
