"""The columnar store of one model: a client's, or the merged one.

1. A store is frozen: edges, hyperedges, semantic structure, the variables that were measured, and, for a merged store, the evidence.
   `apply` returns a new store.
2. Every end of an edge is among `measured`; with a vocabulary, every index is below its length. A suspected confounder need not be measured.
3. A file (`save`, `load`) is an .npz without pickle; what is read is checked like what is made. It is for local use: what travels is an
   `Update` in its codec.

Source: the reference's HypergraphStore, DESIGN sections 1, 2 and 5. It does not merge: that is `reconciler`.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from hyperfed.columns import first_outside
from hyperfed.errors import BoundsError, ConfigError, SchemaError
from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, Update
from hyperfed.tables import DeltaTable, EdgeTable, HyperedgeTable
from hyperfed.vocabulary import Variable, Vocabulary

__all__ = ["Evidence", "HypergraphStore", "StoreDiff", "StoreEvidence"]

FORMAT = 1

Array = npt.NDArray[Any]
_EVIDENCE = {
    "vote": np.float64,
    "support": np.uint32,
    "reporting": np.uint32,
    "measured_by": np.uint32,
    "samples": np.uint64,
    "std_error": np.float64,
    "tau2": np.float64,
    "i2": np.float64,
    "pooled": np.bool_,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What stands behind each row of a merged table. All columns have its length; clients of weight 0 are not counted anywhere.

    vote: float64 in [-1, 1], the weighted mean vote; support: uint32, clients reporting the row with the vote's sign; reporting: uint32,
    clients reporting it at all; measured_by: uint32, clients that could have; samples: uint64, the reporting clients' sample counts summed;
    std_error, tau2, i2: float64, of the pooled effect; pooled: bool, whether it was pooled by inverse variance (else the three are 0).
    """

    vote: Array
    support: Array
    reporting: Array
    measured_by: Array
    samples: Array
    std_error: Array
    tau2: Array
    i2: Array
    pooled: Array

    def __post_init__(self) -> None:
        for name, dtype in _EVIDENCE.items():
            column: Array = np.array(getattr(self, name), dtype=dtype)
            if column.ndim != 1 or len(column) != len(np.asarray(self.vote)):
                raise BoundsError(f"has shape {column.shape}; one value a row is needed", subject=f"evidence.{name}")
            if dtype is np.float64 and not np.isfinite(column).all():
                raise BoundsError("numbers must be finite", subject=f"evidence.{name}")
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    @classmethod
    def empty(cls) -> Self:
        """Evidence of no rows."""
        return cls(**{name: np.zeros(0, dtype=dtype) for name, dtype in _EVIDENCE.items()})

    def __len__(self) -> int:
        return len(self.vote)

    def take(self, rows: Array) -> Self:
        """The evidence of these rows: an index array or a boolean mask."""
        return type(self)(**{name: getattr(self, name)[rows] for name in _EVIDENCE})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _EVIDENCE)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEvidence:
    """Evidence of a merged store, aligned with its parts.

    confounder_scores: the share in (0, 1] that names the confounder, of the weight of those who measured or name it; dag_support: the clients
    behind each of semantic.dag_edges; intervention_clients: whose each of semantic.interventions is.
    """

    edges: Evidence
    hyperedges: Evidence | None = None
    confounder_scores: tuple[float, ...] = ()
    dag_support: tuple[int, ...] = ()
    intervention_clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDiff:
    """What separates two stores' edges. added: only in the other; removed: only in this one; before, after: the rows of both that differ, aligned."""

    added: EdgeTable
    removed: EdgeTable
    before: EdgeTable
    after: EdgeTable

    def __len__(self) -> int:
        return len(self.added) + len(self.removed) + len(self.after)

    @property
    def deltas(self) -> DeltaTable:
        """The difference as deltas. Raises BoundsError where they cannot say it: rows come or go, confidence, stability or n change, intervals appear."""
        old, new = self.before, self.after
        same = all(np.array_equal(getattr(old, name), getattr(new, name)) for name in ("confidence", "stability", "n"))
        if len(self.added) or len(self.removed) or not same or (old.ci_low is None) != (new.ci_low is None):
            raise BoundsError("deltas change effects, intervals and hits only", subject="store difference", remedy="Send the whole table")
        zero = np.zeros(len(new))
        low, high = (zero, zero) if new.ci_low is None else (_minus(new.ci_low, old.ci_low), _minus(new.ci_high, old.ci_high))
        hits = new.hits.astype(np.int64) - old.hits.astype(np.int64)
        columns = {"weight_delta": _minus(new.effect, old.effect), "ci_low_delta": low, "ci_high_delta": high, "hits_delta": hits}
        return DeltaTable(source=new.source, target=new.target, lag=new.lag, **columns)


def _ascending(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The distinct indices, ascending: themselves where they are that already."""
    return indices if (indices[1:] > indices[:-1]).all() else np.unique(indices)


def _minus(a: Any, b: Any) -> Array:
    return np.asarray(a.astype(np.float64) - b.astype(np.float64) + 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HypergraphStore:
    """One model as columns.

    edges: `EdgeTable`; hyperedges: `HyperedgeTable`; semantic: `CausalSemanticPack`; measured: uint32[variables] ascending, None: the ends
    that occur; vocabulary: what the indices mean, if known; evidence: of a merged store. Raises BoundsError.
    """

    edges: EdgeTable = field(default_factory=EdgeTable.empty)
    measured: Any = None
    hyperedges: HyperedgeTable = field(default_factory=HyperedgeTable.empty)
    semantic: CausalSemanticPack = field(default_factory=CausalSemanticPack)
    vocabulary: Vocabulary | None = None
    evidence: StoreEvidence | None = None

    def __post_init__(self) -> None:
        columns = self._ends()
        if self.measured is None:
            measured = np.unique(np.concatenate([np.unique(column).astype(np.int64) for column in columns]))
        else:
            measured = _ascending(np.asarray(self.measured, dtype=np.int64) if len(self.measured) else np.zeros(0, np.int64))
        if len(measured) and (measured[0] < 0 or measured[-1] >= (1 << 24)):
            raise BoundsError("indices of measured variables lie in [0, 2**24)", subject="store")
        for column in columns if self.measured is not None else ():
            outside = first_outside(column, measured)
            if outside is not None:
                raise BoundsError(f"uses variable {outside}, which was not measured", subject="store", remedy="Every end of an edge is among `measured`")
        used = [int(index) for index in (*measured[-1:], *self.semantic.confounders[-1:])]
        if self.vocabulary is not None and used and max(used) >= len(self.vocabulary):
            raise BoundsError(f"variable {max(used)} is not among the vocabulary's {len(self.vocabulary)}", subject="store")
        measured = measured.astype(np.uint32)
        measured.flags.writeable = False
        object.__setattr__(self, "measured", measured)
        self._check_evidence()

    def _ends(self) -> tuple[Array, ...]:
        dag = np.array([end for edge in self.semantic.dag_edges for end in edge[:2]], dtype=np.int64)
        return (self.edges.source, self.edges.target, self.hyperedges.sources, self.hyperedges.target, dag)

    def _check_evidence(self) -> None:
        if self.evidence is None:
            return
        hyper = self.evidence.hyperedges
        mine = (len(self.edges), len(self.hyperedges), len(self.semantic.confounders), len(self.semantic.dag_edges), len(self.semantic.interventions))
        about = self.evidence
        theirs = (len(about.edges), 0 if hyper is None else len(hyper), len(about.confounder_scores), len(about.dag_support), len(about.intervention_clients))
        if mine != theirs:
            raise BoundsError("its length is not that of what it stands behind", subject="store evidence")

    # -- making one --------------------------------------------------------------------------------------------------------------

    @classmethod
    def from_update(cls, update: Update, *, vocabulary: Vocabulary | None = None, base: "HypergraphStore | None" = None) -> Self:
        """The store of an update; where it carries deltas, `base` is the sender's last counted store. Raises BoundsError."""
        if update.edges is not None:
            edges = update.edges
        elif base is None or update.deltas is None:
            raise BoundsError("carries deltas and no base is at hand", subject="update", remedy="Send the whole table")
        else:
            edges = base.apply(update.deltas).edges
        hyperedges = HyperedgeTable.empty() if update.hyperedges is None else update.hyperedges
        semantic = CausalSemanticPack() if update.semantic is None else update.semantic
        return cls(edges=edges, hyperedges=hyperedges, semantic=semantic, measured=update.measured, vocabulary=vocabulary)

    @classmethod
    def from_paths(cls, paths: Iterable[PathPack], *, measured: Iterable[int] | None = None, n: int = 0, vocabulary: Vocabulary | None = None) -> Self:
        """A store of single packets, in any order; `n` is the sample count, `measured` the ends that occur unless given."""
        rows = list(paths)
        ends = {end for path in rows for end in (path.source_idx, path.target_idx)}
        update = Update.from_paths(rows, measured=ends, n=n)
        return cls(edges=update.edges or EdgeTable.empty(), measured=None if measured is None else sorted(measured), vocabulary=vocabulary)

    def to_paths(self) -> list[PathPack]:
        """The edges as single packets, by (source, target, lag)."""
        names = ("source", "target", "lag", "effect", "confidence", "stability")
        columns = (getattr(self.edges, name).tolist() for name in names)
        return [PathPack(*row) for row in zip(*columns, strict=True)]

    # -- reading -----------------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Edges and hyperedges."""
        return len(self.edges) + len(self.hyperedges)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HypergraphStore):
            return NotImplemented
        mine = (self.edges, self.hyperedges, self.semantic, self.vocabulary, self.evidence)
        theirs = (other.edges, other.hyperedges, other.semantic, other.vocabulary, other.evidence)
        return mine == theirs and np.array_equal(self.measured, other.measured)

    __hash__ = None  # type: ignore[assignment]

    def index(self, variable: int | str) -> int:
        """A variable's index from its name (with a vocabulary) or index. Raises BoundsError."""
        if isinstance(variable, str):
            if self.vocabulary is None:
                raise BoundsError("this store has no vocabulary to look names up in", subject=repr(variable)[:80], remedy="Use the index")
            return self.vocabulary.index(variable)
        return int(variable)

    def name(self, index: int) -> str:
        """A variable's name, or its index as text where there is no vocabulary."""
        return str(index) if self.vocabulary is None else self.vocabulary.variables[index].name

    def neighbors(self, variable: int | str, *, direction: Literal["out", "in", "both"] = "both", lag: int | None = None) -> EdgeTable:
        """The edges that leave ("out"), reach ("in") or touch ("both") a variable, at one lag or all. Raises BoundsError."""
        index = self.index(variable)
        leaves, reaches = self.edges.source == index, self.edges.target == index
        masks = {"out": leaves, "in": reaches, "both": leaves | reaches}
        if direction not in masks:
            raise BoundsError(f"direction is {direction!r}; out, in or both is needed", subject="neighbors")
        mask = masks[direction]
        return self.edges.take(mask if lag is None else mask & (self.edges.lag == lag))

    def diff(self, other: "HypergraphStore") -> StoreDiff:
        """What turns this store's edges into the other's."""
        mine, theirs = self.edges, other.edges
        shared, here, there = np.intersect1d(mine.keys, theirs.keys, assume_unique=True, return_indices=True)
        before, after = mine.take(here), theirs.take(there)
        differ = np.zeros(len(shared), dtype=bool)
        for name in ("effect", "confidence", "stability", "hits", "n", "ci_low", "ci_high"):
            a, b = getattr(before, name), getattr(after, name)
            if (a is None) != (b is None):
                differ[:] = True
            elif a is not None:
                differ |= a != b
        new, gone = ~np.isin(theirs.keys, shared), ~np.isin(mine.keys, shared)
        return StoreDiff(added=theirs.take(new), removed=mine.take(gone), before=before.take(differ), after=after.take(differ))

    # -- changing ----------------------------------------------------------------------------------------------------------------

    def apply(self, delta: EdgeDelta | DeltaTable) -> "HypergraphStore":
        """A new store with the change applied; a merged store's evidence does not survive it.

        Raises BoundsError for an edge that this store lacks, for hits below 0, for an interval that would not hold its effect, and for an
        interval's change where the table has none: then "send the whole table".
        """
        table = _delta_table(delta) if isinstance(delta, EdgeDelta) else delta
        edges = self.edges
        keys, wanted = edges.keys, table.keys
        at = np.searchsorted(keys, wanted)
        known = np.zeros(len(wanted), dtype=bool)
        inside = at < len(keys)
        known[inside] = keys[at[inside]] == wanted[inside]
        if not known.all():
            row = int(np.argmin(known))
            edge = f"edge ({table.source[row]}, {table.target[row]}, lag {table.lag[row]})"
            raise BoundsError("cannot be changed: this store does not have it", subject=edge, remedy="Send the whole table")
        effect = edges.effect.astype(np.float64)
        effect[at] += table.weight_delta
        hits = edges.hits.astype(np.int64)
        hits[at] += table.hits_delta
        if (hits < 0).any():
            raise BoundsError("its hits would fall below 0", subject=_edge_name(edges, int(np.argmax(hits < 0))), remedy="Send the whole table")
        low, high = _changed_interval(edges, table, at, effect)
        changed = replace(edges, effect=effect + 0.0, hits=hits, ci_low=low, ci_high=high, confidence=_wide(edges.confidence), stability=_wide(edges.stability))
        return replace(self, edges=changed, evidence=None)

    # -- files and other libraries -----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the store to one .npz file; an existing file is replaced at once or not at all. Raises ConfigError."""
        arrays: dict[str, Any] = {"measured": self.measured}
        for kind, table in (("edges", self.edges), ("hyperedges", self.hyperedges)):
            arrays |= {f"{kind}.{f.name}": getattr(table, f.name) for f in fields(table) if getattr(table, f.name) is not None}
        meta: dict[str, Any] = {"format": FORMAT, "semantic": {f.name: getattr(self.semantic, f.name) for f in fields(self.semantic)}}
        if self.vocabulary is not None:
            meta["vocabulary"] = {"version": self.vocabulary.version, "variables": [[v.name, v.domain] for v in self.vocabulary.variables]}
        if self.evidence is not None:
            meta["evidence"] = {name: getattr(self.evidence, name) for name in ("confounder_scores", "dag_support", "intervention_clients")}
            for kind, evidence in (("edges", self.evidence.edges), ("hyperedges", self.evidence.hyperedges)):
                if evidence is not None:
                    arrays |= {f"evidence.{kind}.{name}": getattr(evidence, name) for name in _EVIDENCE}
        arrays["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        target = Path(path)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_bytes(stream.getvalue())
            part.replace(target)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(target)) from exc

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The store that `save` wrote. Raises ConfigError where the file cannot be read, SchemaError where it is not such a file, BoundsError on bad values."""
        subject = str(path)
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("meta").tobytes())
            if meta["format"] != FORMAT:
                raise SchemaError(f"has format {meta['format']!r}; this version reads {FORMAT}", subject=subject)
            return cls._restore(meta, arrays)
        except OSError as exc:
            raise ConfigError(f"cannot be read: {exc.strerror or exc}", subject=subject) from exc
        except (KeyError, TypeError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as exc:
            raise SchemaError(f"is not a stored hypergraph: {type(exc).__name__}", subject=subject) from exc

    @classmethod
    def _restore(cls, meta: dict[str, Any], arrays: dict[str, Array]) -> Self:
        def under(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        vocabulary = evidence = None
        if "vocabulary" in meta:
            known = meta["vocabulary"]
            vocabulary = Vocabulary(tuple(Variable(name, domain) for name, domain in known["variables"]), known["version"])
        if "evidence" in meta:
            hyper = under("evidence.hyperedges.")
            rest = {name: tuple(values) for name, values in meta["evidence"].items()}
            evidence = StoreEvidence(edges=Evidence(**under("evidence.edges.")), hyperedges=Evidence(**hyper) if hyper else None, **rest)
        semantic = dict(meta["semantic"], dag_edges=[tuple(edge) for edge in meta["semantic"]["dag_edges"]])
        return cls(
            edges=EdgeTable(**under("edges.")),
            hyperedges=HyperedgeTable(**under("hyperedges.")),
            semantic=CausalSemanticPack(**semantic),
            measured=arrays["measured"],
            vocabulary=vocabulary,
            evidence=evidence,
        )

    def to_networkx(self) -> Any:
        """A networkx.MultiDiGraph: nodes are names, or indices without a vocabulary; an edge's key is its lag, its attributes are the row's columns.

        Hyperedges are left out: an edge of that library has one source. Raises ConfigError where networkx is not installed.
        """
        try:
            import networkx
        except ImportError as exc:
            raise ConfigError("networkx is not installed", subject="to_networkx", remedy="pip install 'hyperfed[graph]'") from exc
        label: list[int | str] = self.measured.tolist() if self.vocabulary is None else [self.name(i) for i in self.measured.tolist()]
        names = dict(zip(self.measured.tolist(), label, strict=True))
        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(label)
        graph.add_edges_from((names[row["source"]], names[row["target"]], row["lag"], row) for row in self.edges.rows())
        return graph


def _wide(column: Array) -> Array:
    return column.astype(np.float64)


def _edge_name(edges: EdgeTable, row: int) -> str:
    return f"edge ({edges.source[row]}, {edges.target[row]}, lag {edges.lag[row]})"


def _delta_table(delta: EdgeDelta) -> DeltaTable:
    floats = {"weight_delta": delta.weight_delta, "ci_low_delta": delta.ci_delta[0], "ci_high_delta": delta.ci_delta[1]}
    columns = {name: np.array([value], dtype=np.float64) + 0.0 for name, value in floats.items()}
    ints = {"source": delta.source_id, "target": delta.target_id, "lag": delta.lag, "hits_delta": delta.hits_delta}
    return DeltaTable(**{name: np.array([value], dtype=np.int64) for name, value in ints.items()}, **columns)


def _changed_interval(edges: EdgeTable, table: DeltaTable, at: Array, effect: Array) -> tuple[Array | None, Array | None]:
    """The interval's columns after the change, float64; an end that misses the effect by rounding only (1e-9 of the values) is moved onto it."""
    if edges.ci_low is None or edges.ci_high is None:
        if table.ci_low_delta.any() or table.ci_high_delta.any():
            raise BoundsError("changes an interval, and this store has none", subject="delta", remedy="Send the whole table")
        return None, None
    low, high = edges.ci_low.astype(np.float64), edges.ci_high.astype(np.float64)
    low[at] += table.ci_low_delta
    high[at] += table.ci_high_delta
    slack = 1e-9 * (np.abs(effect) + np.abs(low) + np.abs(high))
    low = np.where((low > effect) & (low <= effect + slack), effect, low)
    high = np.where((high < effect) & (high >= effect - slack), effect, high)
    return low + 0.0, high + 0.0
