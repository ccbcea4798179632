"""State what is known of a graph before anybody looks at data: tiers, and edges by name."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.packets.fields import keep_checked
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Knowledge", "forbidden_edges"]

_KIND = "Knowledge"
_MOST = 1 << 20

Bools = npt.NDArray[np.bool_]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Holds what is known of a graph, by the names of its variables.

    A round's plan carries it, so that every client's engine holds to the same. Edges are in
    ascending order. Raises BoundsError where an edge or a variable is given twice, an edge joins a
    variable to itself, or is required and forbidden.
    """

    tiers: tuple[tuple[str, ...], ...] = field(default=())
    """Groups of variables in the order of their causes: no variable causes one of an earlier tier,
    at any lag. A variable stands in one tier or in none.
    """
    forbidden: tuple[Pair, ...] = field(default=())
    """(source, target) of edges that cannot be, at any lag."""
    required: tuple[Pair, ...] = field(default=())
    """(source, target) of edges that must be looked for as causes, at any lag."""

    def __post_init__(self) -> None:
        tiers = tuple(
            tuple(_name(name) for name in _listed("a tier", tier))
            for tier in _listed("tiers", self.tiers)
        )
        placed = [name for tier in tiers for name in tier]
        if len(set(placed)) != len(placed):
            twice = sorted({name for name in placed if placed.count(name) > 1})
            raise BoundsError(
                f"variable {twice[0]!r:.80} is in two tiers",
                subject=_KIND,
                remedy="Name each variable in one tier",
            )
        keep_checked(
            self,
            tiers=tiers,
            forbidden=_pairs("forbidden", self.forbidden),
            required=_pairs("required", self.required),
        )
        place = {name: at for at, tier in enumerate(tiers) for name in tier}
        forbidden, required = set(self.forbidden), set(self.required)
        for source, target in self.required:
            if (source, target) in forbidden or place.get(source, 0) > place.get(
                target, len(tiers)
            ):
                raise BoundsError(
                    f"the edge {source!r:.80} -> {target!r:.80} is required, and forbidden by its "
                    "tiers or by name",
                    subject=_KIND,
                    remedy="Leave out one of them",
                )
            if (target, source) in required:
                raise BoundsError(
                    f"{source!r:.80} and {target!r:.80} are required to cause each other",
                    subject=_KIND,
                    remedy="Leave out one of them",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that the knowledge names, ascending."""
        edges = (*self.forbidden, *self.required)
        return tuple(
            sorted({n for tier in self.tiers for n in tier} | {n for edge in edges for n in edge})
        )

    def check_known(self, vocabulary: Vocabulary) -> None:
        """Raise BoundsError where the knowledge names a variable that a vocabulary lacks."""
        unknown = set(self.names) - set(vocabulary.names)
        if unknown:
            raise BoundsError(
                f"names {min(unknown)!r:.80}, which is no variable of the vocabulary",
                subject=_KIND,
                remedy=f"Name variables among {', '.join(vocabulary.names[:8])}",
            )

    def earlier(self, names: tuple[str, ...]) -> Bools:
        """Return bool[source, target]: whether the target's tier comes before the source's."""
        place = {name: at for at, tier in enumerate(self.tiers) for name in tier}
        tier = np.array([place.get(name, -1) for name in names], dtype=np.int64)
        placed = tier >= 0
        return (tier[:, None] > tier[None, :]) & placed[:, None] & placed[None, :]

    def forbids(self, names: tuple[str, ...]) -> Bools:
        """Return bool[source, target]: whether an edge is impossible, by tiers or by name."""
        return self.earlier(names) | _matrix(self.forbidden, names)

    def requires(self, names: tuple[str, ...]) -> Bools:
        """Return bool[source, target]: whether an edge must be looked for."""
        return _matrix(self.required, names)


def forbidden_edges(
    knowledge: Knowledge,
    names: tuple[str, ...],
    source: npt.NDArray[np.uint32],
    target: npt.NDArray[np.uint32],
) -> Bools:
    """Return bool[rows]: whether the edge of each row is impossible.

    `names` says what indices mean.
    """
    if not (knowledge.tiers or knowledge.forbidden):
        return np.zeros(len(source), dtype=bool)
    place = {name: at for at, tier in enumerate(knowledge.tiers) for name in tier}
    tier = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    later = (tier[source] > tier[target]) & (tier[target] >= 0)
    at = {name: i for i, name in enumerate(names)}
    pairs = [(at[a], at[b]) for a, b in knowledge.forbidden if a in at and b in at]
    if not pairs:
        return np.asarray(later)
    keys = np.array([(a << 32) | b for a, b in pairs], dtype=np.uint64)
    return np.asarray(later | np.isin((source.astype(np.uint64) << np.uint64(32)) | target, keys))


def _listed(what: str, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple) or len(value) > _MOST:
        raise BoundsError(f"{what} is {value!r:.80}; a list is needed", subject=_KIND)
    return tuple(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise BoundsError(
            f"{value!r:.80} is no name of a variable; a text of 1 to 200 characters is needed",
            subject=_KIND,
        )
    return value


def _pairs(what: str, value: object) -> tuple[Pair, ...]:
    """Return checked edges, ascending. Raises BoundsError."""
    pairs: list[Pair] = []
    for edge in _listed(what, value):
        ends = _listed(f"an edge of {what}", edge)
        if len(ends) != 2:
            raise BoundsError(f"{what} has {edge!r:.80}; [source, target] is needed", subject=_KIND)
        source, target = _name(ends[0]), _name(ends[1])
        if source == target:
            raise BoundsError(f"{what} joins {source!r:.80} to itself", subject=_KIND)
        pairs.append((source, target))
    if len(set(pairs)) != len(pairs):
        raise BoundsError(f"an edge of {what} is given twice", subject=_KIND)
    return tuple(sorted(pairs))


def _matrix(pairs: tuple[Pair, ...], names: tuple[str, ...]) -> Bools:
    """Return bool[source, target]: which edges are among the pairs."""
    at = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), dtype=bool)
    for source, target in pairs:
        if source in at and target in at:
            matrix[at[source], at[target]] = True
    return matrix
