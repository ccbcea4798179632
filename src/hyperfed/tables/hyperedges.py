"""Hold hyperedges as columns: several sources acting together on one target, in compressed rows.

The table checks itself when made, like every other (`hyperfed.tables.tables`): a value outside its
bounds raises BoundsError with the row.
"""

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
from hyperfed.tables.tables import votes_of

__all__ = ["HyperedgeTable"]

_TIES_AT_ONCE = 1 << 10
_ROWS_AT_ONCE = 1 << 16
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HyperedgeTable(Columns):
    """Holds hyperedges in compressed rows: in each, several sources act together on one target.

    The key of a row is (sorted sources, target, lag). Rows strictly ascend by (target, lag, number
    of sources, sources). The columns without a description are as in `EdgeTable`.
    """

    INTEGERS = MappingProxyType[str, Any](
        {
            "sources": np.uint32,
            "offsets": np.uint32,
            "target": np.uint32,
            "lag": np.uint16,
            "hits": np.uint32,
            "n": np.uint64,
        }
    )

    sources: Array
    """uint32[total]: the sources of row i are sources[offsets[i]:offsets[i+1]].

    They are strictly ascending, and there are 2 to 64 of them.
    """
    offsets: Array
    """uint32[rows + 1]: where the sources of each row begin, and where the last row's end."""
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
        freeze(self, "hyperedges", self.INTEGERS, EDGE_FLOATS)
        self._check_shape()
        check_floats(self, EDGE_FLOATS, "hyperedges")
        check_unit(self, ("confidence", "stability"), "hyperedges")
        check_samples(self, "hyperedges")
        check_interval(self, "hyperedges")

    def _check_shape(self) -> None:
        """Raise BoundsError where the columns do not describe hyperedges in ascending order."""
        rows, offsets, sources = len(self.target), self.offsets, self.sources
        if len(offsets) != rows + 1 or offsets[0] != 0 or offsets[-1] != len(sources):
            raise BoundsError(
                f"offsets must have {rows + 1} entries from 0 to {len(sources)}",
                subject="hyperedges.offsets",
            )
        offsets = offsets.astype(np.int64)
        arity = np.diff(offsets)
        if rows and (int(arity.min()) < 2 or int(arity.max()) > 64):
            raise BoundsError("a hyperedge has 2 to 64 sources", subject="hyperedges.offsets")
        for name in ("sources", "target"):
            refuse_where(
                getattr(self, name) >= MAX_VARIABLES,
                getattr(self, name),
                f"hyperedges.{name}",
                f"indices are below {MAX_VARIABLES}",
            )
        if not rows:
            return
        starts = np.zeros(len(sources), dtype=bool)
        starts[offsets[:-1]] = True
        unsorted_at = np.zeros(len(sources), dtype=bool)
        unsorted_at[1:] = (sources[1:] <= sources[:-1]) & ~starts[1:]
        refuse_where(
            unsorted_at, sources, "hyperedges.sources", "the sources of a row strictly ascend"
        )
        is_own_source = (sources == np.repeat(self.target, arity)) & (
            np.repeat(self.lag, arity) == 0
        )
        refuse_where(
            is_own_source,
            sources,
            "hyperedges.sources",
            "sources differ from the target where lag is 0",
        )
        wrong = self._not_above(offsets[:-1], arity)
        if wrong.any():
            problem = f"row {int(np.argmax(wrong)) + 1} is out of order or given twice"
            raise BoundsError(
                problem,
                subject="hyperedges",
                remedy="Sort the rows by (target, lag, number of sources, sources)",
            )

    def _not_above(
        self, starts: npt.NDArray[np.int64], arity: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return bool[rows - 1]: whether row i + 1 is not above row i.

        The memory used grows with the number of sources there are, not with rows times the widest
        row.
        """
        # The head is target << 32 | lag << 16 | number of sources, built in place.
        head = self.target.astype(np.uint64)
        for part in (self.lag, arity.astype(np.uint16)):
            head <<= np.uint64(16)
            head |= part
        wrong = head[1:] < head[:-1]
        ties = np.flatnonzero(head[1:] == head[:-1])
        for tied in (ties[i : i + _TIES_AT_ONCE] for i in range(0, len(ties), _TIES_AT_ONCE)):
            # Where target, lag and number of sources are equal, the first different source
            # decides.
            width = arity[tied]
            ends = np.cumsum(width)
            within = np.arange(ends[-1]) - np.repeat(ends - width, width)
            sources_before = self.sources[np.repeat(starts[tied], width) + within]
            sources_after = self.sources[np.repeat(starts[tied + 1], width) + within]
            first = np.minimum.reduceat(
                np.where(sources_before != sources_after, np.arange(ends[-1]), ends[-1]),
                ends - width,
            )
            equal = first >= ends
            at = np.where(equal, 0, first)
            wrong[tied] = equal | (sources_before[at] > sources_after[at])
        return wrong

    def key_matrix(self) -> npt.NDArray[np.int64]:
        """Return int64[rows, 3 + max sources]: target, lag, number of sources, sources, then -1.

        Equal rows of the matrix are equal hyperedges.
        """
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
        """Return a table made of rows in any order.

        `sources` holds one list of indices for each row, in any order. Scalars are broadcast to all
        rows. Raises BoundsError where a value is outside its bounds.
        """
        lists = [np.sort(as_column(row, np.uint32, "hyperedges.sources")) for row in sources]
        values = {
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
        for name, value in values.items():
            if value is not None:
                column = np.asarray(value)
                column = np.broadcast_to(column, (len(lists),)) if column.ndim == 0 else column
                if column.size == 0:
                    column = column.astype(
                        np.uint32 if name in ("target", "lag", "hits", "n") else np.float64
                    )
                if len(column) != len(lists):
                    raise BoundsError(
                        f"has {len(column)} rows where sources has {len(lists)}",
                        subject=f"hyperedges.{name}",
                    )
                columns[name] = column + 0.0 if column.dtype.kind == "f" else column
        order = sorted(
            range(len(lists)),
            key=lambda i: (
                int(columns["target"][i]),
                int(columns["lag"][i]),
                len(lists[i]),
                lists[i].tolist(),
            ),
        )
        offsets = np.concatenate(
            [[0], np.cumsum([len(lists[i]) for i in order], dtype=np.int64)]
        ).astype(np.int64)
        flat = np.concatenate([np.zeros(0, np.uint32), *(lists[i] for i in order)])
        ordered: dict[str, Any] = {name: column[order] for name, column in columns.items()}
        return cls(sources=flat, offsets=offsets, **ordered)

    @classmethod
    @lru_cache(maxsize=4)
    def empty(cls) -> Self:
        """Return the table without rows."""
        return cls.build(
            sources=[], target=[], lag=[], effect=[], confidence=[], stability=[], hits=[], n=[]
        )

    def take(self, rows: Array) -> Self:
        """Return the table of `rows`: an index array in ascending order, or a boolean mask."""
        index = np.arange(len(self))[rows]
        offsets = self.offsets.astype(np.int64)
        arity = np.diff(offsets)[index]
        ends = np.concatenate([[0], np.cumsum(arity)]).astype(np.int64)
        flat = (
            np.arange(ends[-1])
            - np.repeat(ends[:-1], arity)
            + np.repeat(offsets[:-1][index], arity)
        )
        skip = ("sources", "offsets")
        columns: dict[str, Any] = {
            f.name: None if getattr(self, f.name) is None else getattr(self, f.name)[index]
            for f in fields(self)
            if f.name not in skip
        }
        return type(self)(sources=self.sources[flat], offsets=ends, **columns)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def vote(self) -> npt.NDArray[np.float64]:
        """The votes, float64[rows]: sign(effect) * confidence * stability, in [-1, 1]."""
        return votes_of(self.effect, self.confidence, self.stability)
