"""Store one model as columns: a client's, or the merged one.

1. A graph is frozen: edges, hyperedges, semantic structure, the variables that were measured, the
   lags that were looked at, and, for a merged graph, the evidence. `apply` returns a new graph.
2. Every end of an edge is among `measured`; with a vocabulary, every index is below its length. A
   suspected confounder need not be measured.
3. A file (`save`, `load`) is an .npz without pickle; what is read is checked like what is made. It
   is for local use: what travels is an `Update` in its codec.

Source: the reference's HypergraphStore, DESIGN sections 1, 2 and 5.

What it does not do: it does not merge (`reconciler`).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError, ConfigError
from hyperfed.hypergraph.difference import StoreDiff, changed_interval, delta_table
from hyperfed.hypergraph.evidence import StoreEvidence
from hyperfed.hypergraph.graph_files import read_graph, write_graph
from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, Update
from hyperfed.packets.fields import ascending_lags
from hyperfed.tables.columns import first_outside
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["HypergraphStore"]


Array = npt.NDArray[Any]


def _kept(measured: Array, given: Any) -> npt.NDArray[np.uint32]:
    """Return checked indices as uint32, read-only: the array that was given where it is the same.

    Of many clients, most have measured the same variables, and share one array.
    """
    if (
        isinstance(given, np.ndarray)
        and given.dtype == np.uint32
        and not given.flags.writeable
        and np.array_equal(given, measured)
    ):
        return given
    own = measured.astype(np.uint32)
    own.flags.writeable = False
    return own


def _ascending(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the distinct indices in ascending order; the array itself where they already are."""
    return indices if (indices[1:] > indices[:-1]).all() else np.unique(indices)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HypergraphStore:
    """Holds one model as columns.

    Raises BoundsError where an edge touches a variable that was not measured, an index is outside
    the vocabulary, or the evidence has another length than its rows.
    """

    edges: EdgeTable = field(default_factory=EdgeTable.empty)
    """The edges."""
    measured: Any = None
    """uint32[variables], ascending: the variables measured.

    None means those that the edges touch.
    """
    hyperedges: HyperedgeTable = field(default_factory=HyperedgeTable.empty)
    """The hyperedges."""
    semantic: CausalSemanticPack = field(default_factory=CausalSemanticPack)
    """The semantic structure: confounders, DAG edges and interventions."""
    vocabulary: Vocabulary | None = None
    """What the indices mean, where it is known."""
    evidence: StoreEvidence | None = None
    """The evidence behind each row of a merged graph, else None."""
    lags: tuple[int, ...] | None = None
    """The lags that were looked at, ascending; None means all."""

    def __post_init__(self) -> None:
        columns = self._ends()
        if self.measured is None:
            measured = np.unique(
                np.concatenate([np.unique(column).astype(np.int64) for column in columns])
            )
        else:
            measured = _ascending(
                np.asarray(self.measured, dtype=np.int64)
                if len(self.measured)
                else np.zeros(0, np.int64)
            )
        if len(measured) and (measured[0] < 0 or measured[-1] >= (1 << 24)):
            raise BoundsError("indices of measured variables lie in [0, 2**24)", subject="graph")
        for column in columns if self.measured is not None else ():
            outside = first_outside(column, measured)
            if outside is not None:
                raise BoundsError(
                    f"uses variable {outside}, which was not measured",
                    subject="graph",
                    remedy="Name every end of an edge among `measured`",
                )
        used = [int(index) for index in (*measured[-1:], *self.semantic.confounders[-1:])]
        if self.vocabulary is not None and used and max(used) >= len(self.vocabulary):
            raise BoundsError(
                f"variable {max(used)} is not among the vocabulary's {len(self.vocabulary)}",
                subject="graph",
            )
        object.__setattr__(self, "measured", _kept(measured, self.measured))
        self._check_lags()
        self._check_evidence()

    def _ends(self) -> tuple[Array, ...]:
        """Return the columns of all variables that must be among those measured."""
        dag = np.array(
            [end for edge in self.semantic.dag_edges for end in edge[:2]], dtype=np.int64
        )
        return (
            self.edges.source,
            self.edges.target,
            self.hyperedges.sources,
            self.hyperedges.target,
            dag,
        )

    def _check_lags(self) -> None:
        """Raise BoundsError where lags do not ascend, or a row has one that was not looked at."""
        if self.lags is None:
            return
        object.__setattr__(self, "lags", ascending_lags("graph", self.lags))
        looked_at = np.array(self.lags, dtype=np.uint32)
        for column in (self.edges.lag, self.hyperedges.lag):
            outside = first_outside(column, looked_at)
            if outside is not None:
                raise BoundsError(
                    f"has an edge at lag {outside}, which was not looked at",
                    subject="graph",
                    remedy="Name the lag of every edge among `lags`",
                )

    def _check_evidence(self) -> None:
        """Raise BoundsError where the evidence does not have the lengths of the graph's parts."""
        if self.evidence is None:
            return
        hyper = self.evidence.hyperedges
        mine = (
            len(self.edges),
            len(self.hyperedges),
            len(self.semantic.confounders),
            len(self.semantic.dag_edges),
            len(self.semantic.interventions),
        )
        about = self.evidence
        theirs = (
            len(about.edges),
            0 if hyper is None else len(hyper),
            len(about.confounder_scores),
            len(about.dag_support),
            len(about.intervention_clients),
        )
        if mine != theirs:
            raise BoundsError(
                "its length is not that of what it stands behind", subject="graph evidence"
            )

    @property
    def intervened(self) -> tuple[int, ...]:
        """The variables that an experiment set in the data behind it, ascending.

        A merged graph has none: what one client set, the others only observed.
        """
        return self.semantic.intervened if self.evidence is None else ()

    # -- making one --------------------------------------------------------------------------------

    @classmethod
    def from_update(
        cls,
        update: Update,
        *,
        vocabulary: Vocabulary | None = None,
        base: "HypergraphStore | None" = None,
    ) -> Self:
        """Return the graph of an update.

        Where the update carries deltas, `base` is the sender's last counted graph. Raises
        BoundsError where deltas come without a base, or do not fit it.
        """
        if update.edges is not None:
            edges = update.edges
        elif base is None or update.deltas is None:
            raise BoundsError(
                "carries deltas and no base is at hand",
                subject="update",
                remedy="Send the whole table",
            )
        else:
            edges = base.apply(update.deltas).edges
        hyperedges = HyperedgeTable.empty() if update.hyperedges is None else update.hyperedges
        semantic = CausalSemanticPack() if update.semantic is None else update.semantic
        return cls(
            edges=edges,
            hyperedges=hyperedges,
            semantic=semantic,
            measured=update.measured,
            vocabulary=vocabulary,
            lags=update.lags,
        )

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[PathPack],
        *,
        measured: Iterable[int] | None = None,
        n: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> Self:
        """Return a graph of single packets, given in any order.

        `measured` holds the variables measured, by default those that the packets touch. `n` is the
        sample count.
        """
        rows = list(paths)
        ends = {end for path in rows for end in (path.source_idx, path.target_idx)}
        update = Update.from_paths(rows, measured=ends, n=n)
        return cls(
            edges=update.edges or EdgeTable.empty(),
            measured=None if measured is None else sorted(measured),
            vocabulary=vocabulary,
        )

    def to_paths(self) -> list[PathPack]:
        """Return the edges as single packets, in the order of (source, target, lag)."""
        names = ("source", "target", "lag", "effect", "confidence", "stability")
        columns = (getattr(self.edges, name).tolist() for name in names)
        return [PathPack(*row) for row in zip(*columns, strict=True)]

    # -- reading -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of edges and hyperedges."""
        return len(self.edges) + len(self.hyperedges)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HypergraphStore):
            return NotImplemented
        names = ("edges", "hyperedges", "semantic", "vocabulary", "evidence", "lags")
        mine, theirs = ([getattr(graph, name) for name in names] for graph in (self, other))
        return mine == theirs and np.array_equal(self.measured, other.measured)

    __hash__ = None  # type: ignore[assignment]

    def index(self, variable: int | str) -> int:
        """Return a variable's index, given its index or its name.

        Raises BoundsError for an unknown name, or a name where the graph has no vocabulary.
        """
        if isinstance(variable, str):
            if self.vocabulary is None:
                raise BoundsError(
                    "this graph has no vocabulary to look names up in",
                    subject=repr(variable)[:80],
                    remedy="Use the index",
                )
            return self.vocabulary.index(variable)
        return int(variable)

    def name(self, index: int) -> str:
        """Return a variable's name, or its index as text where there is no vocabulary."""
        return str(index) if self.vocabulary is None else self.vocabulary.variables[index].name

    def neighbors(
        self,
        variable: int | str,
        *,
        direction: Literal["out", "in", "both"] = "both",
        lag: int | None = None,
    ) -> EdgeTable:
        """Return the edges that leave ("out"), reach ("in") or touch ("both") a variable.

        The edges are those at one lag, or at all where `lag` is None. Raises BoundsError for an
        unknown name or direction.
        """
        index = self.index(variable)
        leaves, reaches = self.edges.source == index, self.edges.target == index
        masks = {"out": leaves, "in": reaches, "both": leaves | reaches}
        if direction not in masks:
            raise BoundsError(
                f"direction is {direction!r}; out, in or both is needed", subject="neighbors"
            )
        mask = masks[direction]
        return self.edges.take(mask if lag is None else mask & (self.edges.lag == lag))

    def diff(self, other: "HypergraphStore") -> StoreDiff:
        """Return what turns this graph's edges into the other's."""
        mine, theirs = self.edges, other.edges
        shared, here, there = np.intersect1d(
            mine.keys, theirs.keys, assume_unique=True, return_indices=True
        )
        before, after = mine.take(here), theirs.take(there)
        differ = np.zeros(len(shared), dtype=bool)
        for name in ("effect", "confidence", "stability", "hits", "n", "ci_low", "ci_high"):
            a, b = getattr(before, name), getattr(after, name)
            if (a is None) != (b is None):
                differ[:] = True
            elif a is not None:
                differ |= a != b
        new, gone = ~np.isin(theirs.keys, shared), ~np.isin(mine.keys, shared)
        return StoreDiff(
            added=theirs.take(new),
            removed=mine.take(gone),
            before=before.take(differ),
            after=after.take(differ),
        )

    # -- changing ----------------------------------------------------------------------------------

    def apply(self, delta: EdgeDelta | DeltaTable) -> "HypergraphStore":
        """Return a new graph with the change applied, without evidence.

        Raises BoundsError for an edge that this graph lacks, for hits below 0, for an interval that
        would not hold its effect, and for an interval's change where the table has none. In these
        cases the whole table has to be sent.
        """
        table = delta_table(delta) if isinstance(delta, EdgeDelta) else delta
        edges = self.edges
        keys, changed_keys = edges.keys, table.keys
        at = np.searchsorted(keys, changed_keys)
        is_edge = np.zeros(len(changed_keys), dtype=bool)
        inside = at < len(keys)
        is_edge[inside] = keys[at[inside]] == changed_keys[inside]
        if not is_edge.all():
            row = int(np.argmin(is_edge))
            edge = f"edge ({table.source[row]}, {table.target[row]}, lag {table.lag[row]})"
            raise BoundsError(
                "cannot be changed: this graph does not have it",
                subject=edge,
                remedy="Send the whole table",
            )
        effect = edges.effect.astype(np.float64)
        effect[at] += table.weight_delta
        hits = edges.hits.astype(np.int64)
        hits[at] += table.hits_delta
        if (hits < 0).any():
            raise BoundsError(
                "its hits would fall below 0",
                subject=_edge_name(edges, int(np.argmax(hits < 0))),
                remedy="Send the whole table",
            )
        low, high = changed_interval(edges, table, at, effect)
        changed = replace(
            edges,
            effect=effect + 0.0,
            hits=hits,
            ci_low=low,
            ci_high=high,
            confidence=_wide(edges.confidence),
            stability=_wide(edges.stability),
        )
        return replace(self, edges=changed, evidence=None)

    # -- files and other libraries -----------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph to one .npz file; an existing file is replaced at once or not at all.

        Raises ConfigError where the file cannot be written.
        """
        write_graph(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the graph that `save` wrote.

        Raises ConfigError where the file cannot be read, SchemaError where it is not such a file,
        and BoundsError where a value is outside its bounds.
        """
        return read_graph(cls, path)

    def to_networkx(self) -> Any:
        """Return the edges as a networkx.MultiDiGraph.

        Nodes are names, or indices without a vocabulary. An edge's key is its lag, and its
        attributes are the row's columns. Hyperedges are left out, since an edge of networkx has one
        source. Raises ConfigError where networkx is not installed.
        """
        try:
            import networkx
        except ImportError as exc:
            raise ConfigError(
                "networkx is not installed", subject="to_networkx", remedy="pip install networkx"
            ) from exc
        label: list[int | str] = (
            self.measured.tolist()
            if self.vocabulary is None
            else [self.name(i) for i in self.measured.tolist()]
        )
        names = dict(zip(self.measured.tolist(), label, strict=True))
        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(label)
        graph.add_edges_from(
            (names[row["source"]], names[row["target"]], row["lag"], row)
            for row in self.edges.rows()
        )
        return graph


def _wide(column: Array) -> Array:
    return column.astype(np.float64)


def _edge_name(edges: EdgeTable, row: int) -> str:
    return f"edge ({edges.source[row]}, {edges.target[row]}, lag {edges.lag[row]})"
