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
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.columns import as_column, first_outside
from hyperfed.errors import BoundsError, PrivacyError
from hyperfed.tables import MAX_LAG, DeltaTable, EdgeTable, HyperedgeTable
from hyperfed.vocabulary import MAX_VARIABLES

__all__ = ["CausalSemanticPack", "Claims", "EdgeDelta", "PathPack", "PolicyPack", "Update"]

STRATEGIES = ("consensus", "union", "intersection", "weighted", "mean")
PRIVACY = ("none", "central", "local")
AGGREGATION_RULES = (
    "bounded-trust",
    "mean",
    "adaptive",
    "median",
    "trimmed-mean",
    "geometric-median",
    "krum",
    "multi-krum",
    "bulyan",
    "centered-clipping",
    "mda",
    "smea",
)


def _shown(value: object) -> str:
    return f"a {value.bit_length()}-bit integer" if type(value) is int and value.bit_length() > 64 else f"{value!r:.80}"


def _integer(kind: str, name: str, value: object, low: int, below: int) -> int:
    """The value as an int: an int or a numpy integer within [low, below); a bool is none."""
    if isinstance(value, np.integer):
        value = int(value)
    if type(value) is not int or not low <= value < below:
        raise BoundsError(f"{name} is {_shown(value)}; an integer in [{low}, {below}) is needed", subject=kind)
    return value


def _index(kind: str, name: str, value: object, below: int = MAX_VARIABLES) -> int:
    return _integer(kind, name, value, 0, below)


def _number(kind: str, name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """The value as the one float that travels: finite, within its bounds, 0.0 for -0.0. An int or a numpy number will do; a bool is none."""
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if type(value) is int and value.bit_length() > 1000:
        raise BoundsError(f"{name} is {_shown(value)}; a finite number is needed", subject=kind)
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise BoundsError(f"{name} is {_shown(value)}; a finite number is needed", subject=kind)
    if not low <= value <= high:  # type: ignore[operator]
        raise BoundsError(f"{name} is {_shown(value)}; it must lie in [{low:g}, {high:g}]", subject=kind)
    return float(value) + 0.0  # type: ignore[arg-type]


def _decimal(kind: str, name: str, value: object, below: Decimal) -> Decimal:
    """The value as the decimal it is written as, within (0, below], with at most 30 digits."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or not 0 < number <= below or len(number.as_tuple().digits) > 30 or number.adjusted() < -30:
        raise BoundsError(f"{name} is {value!r:.80}; a number above 0 and at most {below} is needed", subject=kind)
    return number


def _set(packet: object, **values: object) -> None:
    """Keep the checked form of fields; the packets are frozen for everyone else."""
    for name, value in values.items():
        object.__setattr__(packet, name, value)


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
        _set(
            self,
            source_idx=_index("PathPack", "source_idx", self.source_idx),
            target_idx=_index("PathPack", "target_idx", self.target_idx),
            lag=_index("PathPack", "lag", self.lag, MAX_LAG + 1),
            effect=_number("PathPack", "effect", self.effect),
            confidence=_number("PathPack", "confidence", self.confidence, 0, 1),
            stability=_number("PathPack", "stability", self.stability, 0, 1),
        )
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
        if not isinstance(self.ci_delta, tuple | list) or len(self.ci_delta) != 2:
            raise BoundsError(f"ci_delta is {self.ci_delta!r:.80}; a pair of numbers is needed", subject="EdgeDelta")
        _set(
            self,
            source_id=_index("EdgeDelta", "source_id", self.source_id),
            target_id=_index("EdgeDelta", "target_id", self.target_id),
            lag=_index("EdgeDelta", "lag", self.lag, MAX_LAG + 1),
            weight_delta=_number("EdgeDelta", "weight_delta", self.weight_delta),
            ci_delta=tuple(_number("EdgeDelta", "ci_delta", end) for end in self.ci_delta),
            hits_delta=_integer("EdgeDelta", "hits_delta", self.hits_delta, -(2**31), 2**31),
        )
        if self.lag == 0 and self.source_id == self.target_id:
            raise BoundsError("source and target differ where lag is 0", subject="EdgeDelta")


@dataclass(frozen=True, slots=True)
class PolicyPack:
    """What clients share and how it is merged; part of the signed plan.

    g_min: minimum gain, edges with |effect| >= g_min are shared; stability_min: and stability >= this (0.1: weak rows help the merge);
    n_proposals: at most so many edges an update, the strongest. max_lag: the longest lag, steps.
    strategy: consensus | union | intersection | weighted | mean; vote_min: an edge stays where |weighted mean vote| >= this (consensus, mean), or where
    the share of weight times confidence is (weighted). trust_min: clients below it in the base state are not
    counted, once they were observed for trust_nights nights.
    max_staleness: windows a late update may be late; staleness_decay: it weighs decay**staleness. n_cap: weights are also proportional to
    min(n, n_cap) samples; 0: they are not. sealed: bodies must be sealed to the coordinator.

    Of rounds without privacy: rule, f: what consensus weighs clients by (`hyperfed.aggregation.RULES`), and how many of them may be arbitrary;
    weigh_by: "rule", or "reputation", past trust in place of it; organisation_cap: the clients of one organisation weigh together what so many
    clients do, 0: no cap. Of all rounds: basket_minimum: counted clients that a basket needs, 0: no baskets, all clients are one group; basket_maximum:
    members, more are split; group_weights: size | trust (without privacy) | equal; minimum_groups: models that layer 2 needs; influence_cap: the largest
    share of a basket.

    privacy: "none"; "central", the coordinator noises the sum of the clients' clipped effects; "local", each client noises its own. Of both: privacy_epsilon,
    privacy_delta: what the noise of a night is chosen by; clip_norm: the L2 bound of one client's effects; record_bound: how far one record
    may move them (budgets whose unit is the record); discovery: "public", every possible edge is noised, or "selected", edges that enough clients
    name (privately counted) are, each client naming at most edges_per_client. Raises PrivacyError for a rule whose result has no known sensitivity.
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
    rule: str = "bounded-trust"
    f: int = 0
    weigh_by: str = "rule"
    organisation_cap: float = 1.0
    basket_minimum: int = 0
    basket_maximum: int = 1000
    group_weights: str = "size"
    minimum_groups: int = 1
    influence_cap: float = 0.5
    privacy: str = "none"
    privacy_epsilon: Decimal = Decimal(1)
    privacy_delta: Decimal = Decimal("0.00001")
    clip_norm: float = 1.0
    record_bound: float = 0.0
    discovery: str = "public"
    edges_per_client: int = 20

    def __post_init__(self) -> None:
        kind = "PolicyPack"
        _set(self, g_min=_number(kind, "g_min", self.g_min, 0))
        for name in ("stability_min", "vote_min", "trust_min", "staleness_decay"):
            _set(self, **{name: _number(kind, name, getattr(self, name), 0, 1)})
        if self.staleness_decay < 1e-3:
            raise BoundsError(f"staleness_decay is {self.staleness_decay!r}; at least 0.001 is needed", subject=kind)
        whole = {"n_proposals": 1 << 32, "max_lag": MAX_LAG + 1, "trust_nights": 367, "max_staleness": 367, "n_cap": 1 << 53}
        for name, below in whole.items():
            _set(self, **{name: _index(kind, name, getattr(self, name), below)})
        if type(self.sealed) is not bool:
            raise BoundsError(f"sealed is {self.sealed!r:.80}; true or false is needed", subject=kind)
        if self.strategy not in STRATEGIES:
            raise BoundsError(f"strategy is {self.strategy!r:.80}; one of {', '.join(STRATEGIES)} is needed", subject=kind)
        self._check_robustness(kind)
        self._check_privacy(kind)

    def _check_robustness(self, kind: str) -> None:
        for name, known in (("rule", AGGREGATION_RULES), ("weigh_by", ("rule", "reputation")), ("group_weights", ("size", "trust", "equal"))):
            if getattr(self, name) not in known:
                raise BoundsError(f"{name} is {getattr(self, name)!r:.80}; one of {', '.join(known)} is needed", subject=kind)
        _set(self, f=_index(kind, "f", self.f, 1 << 20), organisation_cap=_number(kind, "organisation_cap", self.organisation_cap, 0, 1e9))
        _set(
            self, influence_cap=_number(kind, "influence_cap", self.influence_cap, 1e-6, 1), basket_minimum=_index(kind, "basket_minimum", self.basket_minimum)
        )
        _set(self, basket_maximum=_integer(kind, "basket_maximum", self.basket_maximum, max(1, 2 * self.basket_minimum - 1), 1 << 24))
        _set(self, minimum_groups=_integer(kind, "minimum_groups", self.minimum_groups, 1, 1 << 20))
        if (self.rule != "bounded-trust" or self.f or self.weigh_by != "rule") and self.strategy != "consensus":
            raise BoundsError(
                f"rule {self.rule!r}, f = {self.f}, weigh_by {self.weigh_by!r} belong to the strategy consensus, not {self.strategy!r}", subject=kind
            )
        if self.f and (self.rule in ("mean", "adaptive") or self.weigh_by == "reputation"):
            raise BoundsError(f"f is {self.f}, and neither mean, adaptive nor reputation bears a fault", subject=kind)

    def _check_privacy(self, kind: str) -> None:
        if self.privacy not in PRIVACY or self.discovery not in ("public", "selected"):
            raise BoundsError(
                f"privacy is {self.privacy!r:.40}, discovery {self.discovery!r:.40}; {', '.join(PRIVACY)} and public or selected are known", subject=kind
            )
        _set(self, privacy_epsilon=_decimal(kind, "privacy_epsilon", self.privacy_epsilon, Decimal(1000)))
        _set(self, privacy_delta=_decimal(kind, "privacy_delta", self.privacy_delta, Decimal("0.5")))
        _set(self, clip_norm=_number(kind, "clip_norm", self.clip_norm, 1e-9, 1e9), record_bound=_number(kind, "record_bound", self.record_bound, 0, 1e9))
        _set(self, edges_per_client=_integer(kind, "edges_per_client", self.edges_per_client, 1, 1 << 20))
        if self.privacy == "none":
            return
        wrong = {
            "strategy='mean'": self.strategy != "mean",  # median, Krum, votes by trust: one client may move them without bound
            "trust_min=0": self.trust_min > 0,  # leaving clients out by their data
            "n_cap=0": self.n_cap > 0,  # weights that depend on data
            "group_weights='size'": self.basket_minimum > 0 and self.group_weights == "trust",
        }
        if any(wrong.values()):
            raise PrivacyError(
                f"privacy={self.privacy!r} needs a result with a known sensitivity, and strategy {self.strategy!r} with trust_min {self.trust_min:g}, "
                f"n_cap {self.n_cap} and group_weights {self.group_weights!r} has none",
                subject=kind,
                remedy=f"Say {', '.join(name for name, bad in wrong.items() if bad)}; robust rules and trust weights carry no privacy label",
            )


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
            if not isinstance(edge, tuple | list) or len(edge) != 3:
                raise BoundsError(f"dag edge {edge!r:.80}; (source, target, weight) is needed", subject=kind)
            source, target = _index(kind, "dag edge source", edge[0]), _index(kind, "dag edge target", edge[1])
            if source == target:
                raise BoundsError(f"dag edge {edge!r:.80} points at its own source", subject=kind)
            edges.append((source, target, _number(kind, "dag edge weight", edge[2])))
        if len({edge[:2] for edge in edges}) != len(edges):
            raise BoundsError("a dag edge is given twice", subject=kind)
        confounders = [_index(kind, "confounder", variable) for variable in self.confounders]
        if len(set(confounders)) != len(confounders):
            raise BoundsError("a confounder is given twice", subject=kind)
        _set(self, dag_edges=sorted(edges), confounders=sorted(confounders), interventions=[_intervention(i) for i in self.interventions])


def _intervention(value: object) -> dict[str, Any]:
    """An intervention is a flat map of texts to texts, numbers, booleans or None: nothing that nests."""
    kind = "CausalSemanticPack"
    kept: dict[str, Any] = {}
    if not isinstance(value, dict) or len(value) > 64:
        raise BoundsError("an intervention is a map of at most 64 entries", subject=kind)
    for name, entry in value.items():
        if not isinstance(name, str) or len(name) > 200:
            raise BoundsError(f"intervention entry {name!r:.80}: names are texts of at most 200 characters", subject=kind)
        if type(entry) is int or isinstance(entry, np.integer):
            kept[name] = _integer(kind, f"intervention {name!r:.80}", entry, -(2**63), 2**63)
        elif type(entry) is float or isinstance(entry, np.floating):
            kept[name] = _number(kind, f"intervention {name!r:.80}", entry)
        elif entry is None or type(entry) is bool or (type(entry) is str and len(entry) <= 2000):
            kept[name] = entry
        else:
            what = f"a text of {len(entry)} characters" if isinstance(entry, str) else f"a {type(entry).__name__}"
            what = "a binary field" if isinstance(entry, bytes | memoryview) else what
            raise BoundsError(f"intervention {name!r:.80} is {what}; texts of at most 2000 characters, numbers, booleans and null are allowed", subject=kind)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a client states about its own update. clip_norm: the L2 bound it applied; loss: its model's loss on its own data; record_bound: how far
    one of its records may move its clipped effects (L2). None: not stated."""

    clip_norm: float | None = None
    loss: float | None = None
    record_bound: float | None = None

    def __post_init__(self) -> None:
        for name in ("clip_norm", "loss", "record_bound"):
            value = getattr(self, name)
            if value is not None:
                _set(self, **{name: _number("Claims", name, value, 0)})


_PARTS = (("edges", EdgeTable), ("deltas", DeltaTable), ("base", bytes), ("hyperedges", HyperedgeTable), ("semantic", CausalSemanticPack), ("claims", Claims))
_parts_of = attrgetter(*(name for name, _ in _PARTS))


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
        measured = as_column(self.measured, np.uint32, "Update.measured")
        if (len(measured) > 1 and not np.logical_and.reduce(measured[1:] > measured[:-1])) or (len(measured) and measured[-1] >= MAX_VARIABLES):
            raise BoundsError(f"measured must be strictly ascending indices below {MAX_VARIABLES}", subject="Update")
        for (name, kind), value in zip(_PARTS, _parts_of(self), strict=True):
            if (value is not None or kind is Claims) and not isinstance(value, kind):
                raise BoundsError(f"{name} is a {type(value).__name__}; a {kind.__name__} is needed", subject="Update")
        measured = measured.view()
        measured.flags.writeable = False
        object.__setattr__(self, "measured", measured)
        if (self.edges is None) == (self.deltas is None):
            raise BoundsError("an update carries either its edges or deltas against its last counted update", subject="Update")
        if (self.deltas is None) != (self.base is None) or (self.base is not None and len(self.base) != 32):
            raise BoundsError("deltas name their base by its 32-byte digest, whole tables name none", subject="Update")
        for name, indices in self._ends():
            outside = first_outside(indices, measured)
            if outside is not None:
                raise BoundsError(
                    f"{name} uses variable {outside}, which the client did not measure",
                    subject="Update",
                    remedy="Every end of an edge is among `measured`",
                )

    @property
    def nbytes(self) -> int:
        """Bytes of its columns."""
        tables = (table for table in (self.edges, self.deltas, self.hyperedges) if table is not None)
        return int(self.measured.nbytes) + sum(table.nbytes for table in tables)

    def parted(self) -> tuple[EdgeTable, "Update"]:
        """(its edges, itself without them): what is large, and what is small. Its deltas are resolved."""
        none, small = EdgeTable.empty(), object.__new__(Update)  # not checked again: it was, with more edges
        _set(small, measured=self.measured, **{name: part for (name, _), part in zip(_PARTS, _parts_of(self), strict=True)} | {"edges": none})
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
