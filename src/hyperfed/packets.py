"""What travels between clients and the coordinator, as values.

1. `PathPack`, `EdgeDelta`, `PolicyPack` and `CausalSemanticPack` are the reference's packets, with its field names (docs/protocol.md).
2. An `Update` carries many packets as columns (`hyperfed.tables`) and says which variables its client measured: an edge that is not
   reported by a client that measured both its ends is a vote against it, and no vote by a client that did not.
3. Every packet checks itself when made and raises BoundsError.

What it does not do: bytes (`codec`), signatures (`signing`), admission (`validator`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.tables import MAX_LAG, DeltaTable, EdgeTable, HyperedgeTable
from hyperfed.vocabulary import MAX_VARIABLES

__all__ = ["CausalSemanticPack", "Claims", "EdgeDelta", "PathPack", "PolicyPack", "Update"]

STRATEGIES = ("consensus", "union", "intersection", "weighted")


def _index(kind: str, name: str, value: object, below: int = MAX_VARIABLES) -> None:
    if type(value) is not int or not 0 <= value < below:
        raise BoundsError(f"{name} is {value!r}; an integer in [0, {below}) is needed", subject=kind)


def _number(kind: str, name: str, value: object, low: float = -math.inf, high: float = math.inf) -> None:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise BoundsError(f"{name} is {value!r}; a finite number is needed", subject=kind)
    if not low <= value <= high:  # type: ignore[operator]
        raise BoundsError(f"{name} is {value!r}; it must lie in [{low:g}, {high:g}]", subject=kind)


@dataclass(frozen=True, slots=True)
class PathPack:
    """One discovered edge: `source_idx` acts on `target_idx` after `lag` steps with `effect`; confidence and stability lie in [0, 1]."""

    source_idx: int
    target_idx: int
    lag: int
    effect: float
    confidence: float
    stability: float

    def __post_init__(self) -> None:
        _index("PathPack", "source_idx", self.source_idx)
        _index("PathPack", "target_idx", self.target_idx)
        _index("PathPack", "lag", self.lag, MAX_LAG + 1)
        _number("PathPack", "effect", self.effect)
        _number("PathPack", "confidence", self.confidence, 0, 1)
        _number("PathPack", "stability", self.stability, 0, 1)
        if self.lag == 0 and self.source_idx == self.target_idx:
            raise BoundsError("source and target differ where lag is 0", subject="PathPack")


@dataclass(frozen=True, slots=True)
class EdgeDelta:
    """The change of one edge against an earlier table: its weight (effect), the two ends of its interval, and its hits.

    `lag` is the edge's, 0 unless given: the key of an edge is (source, target, lag).
    """

    source_id: int
    target_id: int
    weight_delta: float
    ci_delta: tuple[float, float]
    hits_delta: int
    lag: int = 0

    def __post_init__(self) -> None:
        _index("EdgeDelta", "source_id", self.source_id)
        _index("EdgeDelta", "target_id", self.target_id)
        _index("EdgeDelta", "lag", self.lag, MAX_LAG + 1)
        _number("EdgeDelta", "weight_delta", self.weight_delta)
        if not isinstance(self.ci_delta, tuple | list) or len(self.ci_delta) != 2:
            raise BoundsError(f"ci_delta is {self.ci_delta!r}; a pair of numbers is needed", subject="EdgeDelta")
        object.__setattr__(self, "ci_delta", tuple(self.ci_delta))
        for end in self.ci_delta:
            _number("EdgeDelta", "ci_delta", end)
        if type(self.hits_delta) is not int or not -(2**31) <= self.hits_delta < 2**31:
            raise BoundsError(f"hits_delta is {self.hits_delta!r}; a 32-bit integer is needed", subject="EdgeDelta")


@dataclass(frozen=True, slots=True)
class PolicyPack:
    """What clients share and how it is merged; part of the signed plan.

    g_min: minimum gain, edges with |effect| >= g_min are shared; stability_min: and stability >= this (0.1: weak rows help the merge);
    n_proposals: at most so many edges an update, the strongest. max_lag: the longest lag, steps.
    strategy: consensus | union | intersection | weighted; vote_min: an edge stays where |weighted mean vote| >= this (consensus), or where
    the share of weight times confidence is (weighted). trust_min: clients below it in the base state are not
    counted, once they were observed for trust_nights nights.
    max_staleness: windows a late update may be late; staleness_decay: it weighs decay**staleness. n_cap: weights are also proportional to
    min(n, n_cap) samples; 0: they are not. sealed: bodies must be sealed to the coordinator. privacy: "none" (mechanisms come with `privacy`).
    """

    g_min: float = 0.0
    stability_min: float = 0.1
    n_proposals: int = 100_000
    max_lag: int = 64
    strategy: str = "consensus"
    vote_min: float = 0.3
    trust_min: float = 0.15
    trust_nights: int = 3
    max_staleness: int = 3
    staleness_decay: float = 0.9
    n_cap: int = 0
    sealed: bool = True
    privacy: str = "none"

    def __post_init__(self) -> None:
        _number("PolicyPack", "g_min", self.g_min, 0)
        for name in ("stability_min", "vote_min", "trust_min", "staleness_decay"):
            _number("PolicyPack", name, getattr(self, name), 0, 1)
        for name in ("g_min", "stability_min", "vote_min", "trust_min", "staleness_decay"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.staleness_decay < 1e-3:
            raise BoundsError(f"staleness_decay is {self.staleness_decay!r}; at least 0.001 is needed", subject="PolicyPack")
        _index("PolicyPack", "n_proposals", self.n_proposals, 1 << 32)
        _index("PolicyPack", "max_lag", self.max_lag, MAX_LAG + 1)
        _index("PolicyPack", "trust_nights", self.trust_nights, 367)
        _index("PolicyPack", "max_staleness", self.max_staleness, 367)
        _index("PolicyPack", "n_cap", self.n_cap, 1 << 53)
        if type(self.sealed) is not bool:
            raise BoundsError(f"sealed is {self.sealed!r}; true or false is needed", subject="PolicyPack")
        if self.strategy not in STRATEGIES:
            raise BoundsError(f"strategy is {self.strategy!r}; one of {', '.join(STRATEGIES)} is needed", subject="PolicyPack")
        if self.privacy != "none":
            raise BoundsError(f"privacy is {self.privacy!r}; this version knows only 'none'", subject="PolicyPack")


@dataclass(frozen=True, slots=True)
class CausalSemanticPack:
    """Higher-level structure. dag_edges: (source, target, weight) votes; confounders: variables a client suspects; interventions: what it did.

    Merged, dag_edges carry the mean weighted vote, and confounders those that a share of the clients names (DESIGN section 2).
    """

    dag_edges: list[tuple[int, int, float]] = field(default_factory=list)
    confounders: list[int] = field(default_factory=list)
    interventions: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kind = "CausalSemanticPack"
        edges = []
        for edge in self.dag_edges:
            if len(edge) != 3:
                raise BoundsError(f"dag edge {edge!r}; (source, target, weight) is needed", subject=kind)
            source, target, weight = edge
            _index(kind, "dag edge source", source)
            _index(kind, "dag edge target", target)
            _number(kind, "dag edge weight", weight)
            if source == target:
                raise BoundsError(f"dag edge {edge!r} points at its own source", subject=kind)
            edges.append((source, target, float(weight)))
        if len({edge[:2] for edge in edges}) != len(edges):
            raise BoundsError("a dag edge is given twice", subject=kind)
        for variable in self.confounders:
            _index(kind, "confounder", variable)
        if len(set(self.confounders)) != len(self.confounders):
            raise BoundsError("a confounder is given twice", subject=kind)
        for intervention in self.interventions:
            _check_intervention(intervention)
        object.__setattr__(self, "dag_edges", sorted(edges))
        object.__setattr__(self, "confounders", sorted(self.confounders))
        object.__setattr__(self, "interventions", [dict(i) for i in self.interventions])


def _check_intervention(value: object) -> None:
    """An intervention is a flat map of texts to texts, numbers, booleans or None: nothing that nests."""
    kind = "CausalSemanticPack"
    if not isinstance(value, dict) or len(value) > 64:
        raise BoundsError("an intervention is a map of at most 64 entries", subject=kind)
    for name, entry in value.items():
        if not isinstance(name, str) or len(name) > 200:
            raise BoundsError(f"intervention entry {name!r:.80}: names are texts of at most 200 characters", subject=kind)
        if type(entry) in (int, float):
            _number(kind, f"intervention {name}", entry)
            if type(entry) is int and not -(2**63) <= entry < 2**63:
                raise BoundsError(f"intervention {name} does not fit into 64 bits", subject=kind)
        elif not (entry is None or type(entry) is bool or (type(entry) is str and len(entry) <= 2000)):
            raise BoundsError(f"intervention {name} is a {type(entry).__name__}; texts, numbers, booleans and null are allowed", subject=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a client states about its own update. clip_norm: the L2 bound it applied; loss: its model's loss on its own data. None: not stated."""

    clip_norm: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        for name in ("clip_norm", "loss"):
            value = getattr(self, name)
            if value is not None:
                _number("Claims", name, value, 0)
                object.__setattr__(self, name, float(value))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """One client's contribution to one round.

    measured: uint32[variables], strictly ascending indices of what the client measured; every edge's ends are among them.
    edges: the whole table, or None where `deltas` change the table of the sender's own last counted update, named by `base` (its packet digest, 32 bytes).
    """

    measured: npt.NDArray[np.uint32]
    edges: EdgeTable | None = None
    deltas: DeltaTable | None = None
    base: bytes | None = None
    hyperedges: HyperedgeTable | None = None
    semantic: CausalSemanticPack | None = None
    claims: Claims = field(default_factory=Claims)

    def __post_init__(self) -> None:
        measured = np.ascontiguousarray(np.asarray(self.measured), dtype=np.uint32)
        if measured.ndim != 1 or (len(measured) > 1 and not (measured[1:] > measured[:-1]).all()):
            raise BoundsError("measured must be strictly ascending indices", subject="Update")
        measured = measured.view()
        measured.flags.writeable = False
        object.__setattr__(self, "measured", measured)
        if (self.edges is None) == (self.deltas is None):
            raise BoundsError("an update carries either its edges or deltas against its last counted update", subject="Update")
        if (self.deltas is None) != (self.base is None) or (self.base is not None and len(self.base) != 32):
            raise BoundsError("deltas name their base by its 32-byte digest, whole tables name none", subject="Update")
        for name, indices in self._ends():
            outside = ~np.isin(indices, measured)
            if outside.any():
                raise BoundsError(
                    f"{name} uses variable {int(indices[np.argmax(outside)])}, which the client did not measure",
                    subject="Update",
                    remedy="Every end of an edge is among `measured`",
                )

    def _ends(self) -> Iterable[tuple[str, npt.NDArray[np.uint32]]]:
        for table in (self.edges, self.deltas):
            if table is not None:
                yield "edges", table.source
                yield "edges", table.target
        if self.hyperedges is not None:
            yield "hyperedges", self.hyperedges.sources
            yield "hyperedges", self.hyperedges.target
        if self.semantic is not None:
            yield "dag_edges", np.array([end for edge in self.semantic.dag_edges for end in edge[:2]], dtype=np.uint32)

    @classmethod
    def from_paths(cls, paths: Iterable[PathPack], *, measured: Iterable[int], n: int = 0, semantic: CausalSemanticPack | None = None) -> "Update":
        """An update of these packets, in any order; `n` is the client's sample count."""
        rows = [(p.source_idx, p.target_idx, p.lag, p.effect, p.confidence, p.stability) for p in paths]
        columns = list(zip(*rows, strict=True)) or [()] * 6
        names = ("source", "target", "lag", "effect", "confidence", "stability")
        arrays = {name: np.array(column, dtype=np.int64 if i < 3 else np.float64) for i, (name, column) in enumerate(zip(names, columns, strict=True))}
        table = EdgeTable.build(**arrays, hits=np.ones(len(rows), np.uint32), n=np.full(len(rows), n, np.uint64))
        return cls(measured=np.array(sorted(set(measured)), dtype=np.uint32), edges=table, semantic=semantic)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Update):
            return NotImplemented
        mine = (self.base, self.semantic, self.claims, self.edges, self.deltas, self.hyperedges)
        theirs = (other.base, other.semantic, other.claims, other.edges, other.deltas, other.hyperedges)
        return np.array_equal(self.measured, other.measured) and mine == theirs

    __hash__ = None  # type: ignore[assignment]
