"""Compute the difference between two graphs, and apply deltas to edges (`EdgeDelta` on columns).

A delta changes effects, intervals and hits. Where rows come or go, the whole table is needed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.packets import EdgeDelta
from hyperfed.tables.tables import DeltaTable, EdgeTable

__all__ = ["StoreDiff", "changed_interval", "delta_table"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDiff:
    """Holds the difference between the edges of two graphs: this one, and the other."""

    added: EdgeTable
    """The edges that only the other graph has."""
    removed: EdgeTable
    """The edges that only this graph has."""
    before: EdgeTable
    """This graph's rows of the edges that differ, aligned with `after`."""
    after: EdgeTable
    """The other graph's rows of the edges that differ."""

    def __len__(self) -> int:
        return len(self.added) + len(self.removed) + len(self.after)

    @property
    def deltas(self) -> DeltaTable:
        """The difference as deltas.

        Raises BoundsError where deltas cannot express it: rows come or go, confidence, stability or
        n change, or intervals appear or disappear.
        """
        old, new = self.before, self.after
        same = all(
            np.array_equal(getattr(old, name), getattr(new, name))
            for name in ("confidence", "stability", "n")
        )
        if (
            len(self.added)
            or len(self.removed)
            or not same
            or (old.ci_low is None) != (new.ci_low is None)
        ):
            raise BoundsError(
                "deltas change effects, intervals and hits only",
                subject="graph difference",
                remedy="Send the whole table",
            )
        zero = np.zeros(len(new))
        low, high = (
            (zero, zero)
            if new.ci_low is None
            else (_minus(new.ci_low, old.ci_low), _minus(new.ci_high, old.ci_high))
        )
        hits = new.hits.astype(np.int64) - old.hits.astype(np.int64)
        columns = {
            "weight_delta": _minus(new.effect, old.effect),
            "ci_low_delta": low,
            "ci_high_delta": high,
            "hits_delta": hits,
        }
        return DeltaTable(source=new.source, target=new.target, lag=new.lag, **columns)


def _minus(a: Any, b: Any) -> Array:
    """Return a - b as float64, without -0.0."""
    return np.asarray(a.astype(np.float64) - b.astype(np.float64) + 0.0)


def delta_table(delta: EdgeDelta) -> DeltaTable:
    """Return the packet as a table of one row."""
    floats = {
        "weight_delta": delta.weight_delta,
        "ci_low_delta": delta.ci_delta[0],
        "ci_high_delta": delta.ci_delta[1],
    }
    columns = {name: np.array([value], dtype=np.float64) + 0.0 for name, value in floats.items()}
    ints = {
        "source": delta.source_id,
        "target": delta.target_id,
        "lag": delta.lag,
        "hits_delta": delta.hits_delta,
    }
    return DeltaTable(
        **{name: np.array([value], dtype=np.int64) for name, value in ints.items()}, **columns
    )


def changed_interval(
    edges: EdgeTable, table: DeltaTable, at: Array, effect: Array
) -> tuple[Array | None, Array | None]:
    """Return the interval's columns after the change, as float64, or (None, None).

    An end that misses the effect by rounding only (1e-9 of the values) is moved onto it. Raises
    BoundsError where an interval is changed that the graph does not have.
    """
    if edges.ci_low is None or edges.ci_high is None:
        if table.ci_low_delta.any() or table.ci_high_delta.any():
            raise BoundsError(
                "changes an interval, and this graph has none",
                subject="delta",
                remedy="Send the whole table",
            )
        return None, None
    low, high = edges.ci_low.astype(np.float64), edges.ci_high.astype(np.float64)
    low[at] += table.ci_low_delta
    high[at] += table.ci_high_delta
    slack = 1e-9 * (np.abs(effect) + np.abs(low) + np.abs(high))
    low = np.where((low > effect) & (low <= effect + slack), effect, low)
    high = np.where((high < effect) & (high >= effect - slack), effect, high)
    return low + 0.0, high + 0.0
