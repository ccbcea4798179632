"""Define one client's contribution to a round: its edges as columns, and what it claims of them.

An `Update` carries many packets as columns (`hyperfed.tables.tables`) and says which variables its
client measured and at which lags it looked. A client that measured both ends of an edge, looked at
its lag and does not report it votes against it. A client that did not has no vote on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hyperfed.codec.versions import since
from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.packets.edges import PathPack
from hyperfed.packets.fields import ascending_lags, keep_checked, number
from hyperfed.packets.masked import MaskedNumbers
from hyperfed.packets.semantic import CausalSemanticPack
from hyperfed.statistics.record import Statistics
from hyperfed.tables.columns import as_column, first_outside
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable

__all__ = ["Claims", "Update", "intervened_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Holds what a client states about its own update. A claim that is None is not stated.

    Raises BoundsError where a claim is negative or not finite.
    """

    clip_norm: float | None = None
    """L2 bound that the client applied to its effects."""
    loss: float | None = None
    """Loss of the client's model on its own data."""
    record_bound: float | None = None
    """How far one of the client's records may move its clipped effects (L2)."""

    def __post_init__(self) -> None:
        for name in ("clip_norm", "loss", "record_bound"):
            value = getattr(self, name)
            if value is not None:
                keep_checked(self, **{name: number("Claims", name, value, 0)})


_PARTS = (
    ("edges", EdgeTable),
    ("deltas", DeltaTable),
    ("base", bytes),
    ("hyperedges", HyperedgeTable),
    ("semantic", CausalSemanticPack),
    ("claims", Claims),
    ("statistics", Statistics),
    ("masked", MaskedNumbers),
)
_parts_of = attrgetter(*(name for name, _ in _PARTS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """Holds one client's contribution to one round.

    An update holds either `edges`, or `deltas` together with `base`. Raises BoundsError where it
    holds both or neither, where an end of an edge was not measured, or where nobody looked at an
    edge's lag.
    """

    # without an annotation, which would make it a field
    COLUMNS = MappingProxyType({"measured": np.uint32})

    measured: npt.NDArray[np.uint32]
    """uint32[variables], strictly ascending: indices of the variables that the client measured. The
    ends of every edge are among them.
    """
    edges: EdgeTable | None = None
    """The whole edge table, or None where `deltas` are given."""
    deltas: DeltaTable | None = None
    """Changes against the edge table of the sender's last counted update, or None."""
    base: bytes | None = None
    """Packet digest (32 bytes) of the update that `deltas` change, or None."""
    hyperedges: HyperedgeTable | None = None
    """The hyperedges, or None where there are none."""
    semantic: CausalSemanticPack | None = None
    """Higher-level structure, or None where there is none."""
    claims: Claims = field(default_factory=Claims)
    """What the client states about this update."""
    lags: tuple[int, ...] | None = field(default=None, metadata=since(2))
    """The lags that the client looked at, ascending. The lag of every edge is among them. None
    stands for all lags that the round's plan allows, as in an update of schema version 1.
    """
    statistics: Statistics | None = field(default=None, metadata=since(6))
    """The second moments of the client's rows, or None where edges alone are shared. Its variables
    are `measured`, its lags are `lags`, and its experiments those of `semantic`.
    """
    masked: MaskedNumbers | None = field(default=None, metadata=since(8))
    """The same moments under masks, in a round whose sum helpers open; None elsewhere."""

    def __post_init__(self) -> None:
        measured = as_column(self.measured, np.uint32, "Update.measured")
        if (len(measured) > 1 and not np.logical_and.reduce(measured[1:] > measured[:-1])) or (
            len(measured) and measured[-1] >= MAX_VARIABLES
        ):
            raise BoundsError(
                f"measured must be strictly ascending indices below {MAX_VARIABLES}",
                subject="Update",
            )
        for (name, kind), value in zip(_PARTS, _parts_of(self), strict=True):
            if (value is not None or kind is Claims) and not isinstance(value, kind):
                raise BoundsError(
                    f"{name} is a {type(value).__name__}; a {kind.__name__} is needed",
                    subject="Update",
                )
        measured = measured.view()
        measured.flags.writeable = False
        object.__setattr__(self, "measured", measured)
        if (self.edges is None) == (self.deltas is None):
            raise BoundsError(
                "an update carries either its edges or deltas against its last counted update",
                subject="Update",
            )
        if (self.deltas is None) != (self.base is None) or (
            self.base is not None and len(self.base) != 32
        ):
            raise BoundsError(
                "deltas name their base by its 32-byte digest, whole tables name none",
                subject="Update",
            )
        for name, indices in self._ends():
            outside = first_outside(indices, measured)
            if outside is not None:
                raise BoundsError(
                    f"{name} uses variable {outside}, which the client did not measure",
                    subject="Update",
                    remedy="Name every end of an edge among `measured`",
                )
        if self.lags is not None:
            self._check_lags(ascending_lags("Update", self.lags))
        if self.statistics is not None:
            self._check_statistics(self.statistics)
        if self.masked is not None and (self.statistics is not None or self.deltas is not None):
            raise BoundsError(
                "carries masked numbers beside statistics or changes, which reveal them",
                subject="Update",
                remedy="Send the masked numbers alone",
            )

    def _check_statistics(self, statistics: Statistics) -> None:
        """Raise BoundsError where the statistics are of other data than the update says."""
        if self.deltas is not None:
            raise BoundsError("carries statistics beside changes", subject="Update")
        stated = (self.measured.tolist(), self.lags, intervened_of(self))
        if stated != (statistics.variables.tolist(), statistics.lags, statistics.intervened):
            raise BoundsError(
                "its statistics have other variables, lags or experiments than it states",
                subject="Update",
                remedy="Make both of the same data",
            )

    def _check_lags(self, lags: tuple[int, ...]) -> None:
        """Keep the lags. Raises BoundsError where a table has a lag that is not among them."""
        keep_checked(self, lags=lags)
        looked_at = np.array(lags, dtype=np.uint32)
        for name in ("edges", "deltas", "hyperedges"):
            table = getattr(self, name)
            outside = None if table is None else first_outside(table.lag, looked_at)
            if outside is not None:
                raise BoundsError(
                    f"{name} has lag {outside}, which the client did not look at",
                    subject="Update",
                    remedy="Name the lag of every edge among `lags`",
                )

    @property
    def nbytes(self) -> int:
        """The number of bytes of its columns."""
        tables = (
            table for table in (self.edges, self.deltas, self.hyperedges) if table is not None
        )
        moments = sum(part.nbytes for part in (self.statistics, self.masked) if part is not None)
        return int(self.measured.nbytes) + moments + sum(table.nbytes for table in tables)

    def parted(self) -> tuple[EdgeTable, "Update"]:
        """Return its edge table, and a copy of the update with an empty one.

        This parts what is large from what is small. The update's deltas must be resolved.
        """
        # no second check: the update was checked with more edges than these
        none, small = EdgeTable.empty(), object.__new__(Update)
        keep_checked(
            small,
            measured=self.measured,
            lags=self.lags,
            **{name: part for (name, _), part in zip(_PARTS, _parts_of(self), strict=True)}
            | {"edges": none},
        )
        return none if self.edges is None else self.edges, small

    def _ends(self) -> Iterable[tuple[str, npt.NDArray[np.uint32]]]:
        for table in (self.edges, self.deltas):
            if table is not None:
                yield "edges", table.source
                yield "edges", table.target
        if self.hyperedges is not None:
            yield "hyperedges", self.hyperedges.sources
            yield "hyperedges", self.hyperedges.target
        if self.semantic is not None:
            yield (
                "dag_edges",
                np.array(
                    [end for edge in self.semantic.dag_edges for end in edge[:2]], dtype=np.uint32
                ),
            )

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[PathPack],
        *,
        measured: Iterable[int],
        n: int = 0,
        semantic: CausalSemanticPack | None = None,
    ) -> "Update":
        """Return an update of these packets, which may come in any order.

        `measured` names the variables that the client measured; `n` is its sample count.
        """
        rows = [
            (p.source_idx, p.target_idx, p.lag, p.effect, p.confidence, p.stability) for p in paths
        ]
        columns = list(zip(*rows, strict=True)) or [()] * 6
        names = ("source", "target", "lag", "effect", "confidence", "stability")
        arrays = {
            name: np.array(column, dtype=np.int64 if i < 3 else np.float64)
            for i, (name, column) in enumerate(zip(names, columns, strict=True))
        }
        table = EdgeTable.build(
            **arrays, hits=np.ones(len(rows), np.uint32), n=np.full(len(rows), n, np.uint64)
        )
        return cls(
            measured=np.array(sorted(set(measured)), dtype=np.uint32),
            edges=table,
            semantic=semantic,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Update):
            return NotImplemented
        mine = (
            self.lags,
            self.base,
            self.semantic,
            self.claims,
            self.edges,
            self.deltas,
            self.hyperedges,
            self.statistics,
            self.masked,
        )
        theirs = (
            other.lags,
            other.base,
            other.semantic,
            other.claims,
            other.edges,
            other.deltas,
            other.hyperedges,
            other.statistics,
            other.masked,
        )
        return np.array_equal(self.measured, other.measured) and mine == theirs

    __hash__ = None  # type: ignore[assignment]


def intervened_of(update: Update) -> tuple[int, ...]:
    """Return the variables that the client's experiment set, ascending."""
    return () if update.semantic is None else update.semantic.intervened
