"""Compare two committed models, edge by edge.

1. Edges are compared by names and lag, so that a new vocabulary does not make every edge new.
2. The votes decide whether an edge is new, gone, of changed sign, stronger, weaker or unchanged.
   A difference below `NOTICEABLE` is no change.
3. Counts are exact. Of the edges themselves, only the strongest of each kind are kept.

What it does not do: compare effects and intervals (`HypergraphStore.diff` does).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.tables.tables import pack_keys, unpack_keys

__all__ = ["NOTICEABLE", "Change", "EdgeChange", "Turn", "change_between"]

NOTICEABLE = 0.01
"""The smallest difference of two |votes| that counts as a change."""


class Turn(StrEnum):
    """What became of an edge between two models."""

    NEW = "new"
    GONE = "gone"
    FLIPPED = "sign changed"
    STRONGER = "stronger"
    WEAKER = "weaker"
    SAME = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """One edge in two models."""

    source: str
    """The variable that acts."""
    target: str
    """The variable that it acts on."""
    lag: int
    """The number of steps after which it acts."""
    before: float | None
    """The vote in the earlier model, in [-1, 1]; None where the edge was not in it."""
    after: float | None
    """The vote in the later model, in [-1, 1]; None where the edge is not in it."""
    turn: Turn
    """What became of the edge."""

    @property
    def strength(self) -> float:
        """The larger |vote| of the two models."""
        return max(abs(self.before or 0.0), abs(self.after or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changed since an earlier committed round."""

    base_round: int
    """The earlier round; 0 where there is none."""
    counts: dict[Turn, int]
    """The number of all edges of each kind."""
    edges: tuple[EdgeChange, ...]
    """The strongest edges of each kind, the strongest first."""
    shared: int = 0
    """The number of edges that are new or of changed sign, and have the support of at least half of
    the clients that could report them.
    """

    def of(self, *turns: Turn) -> tuple[EdgeChange, ...]:
        """Return the kept edges of these kinds."""
        return tuple(e for e in self.edges if e.turn in turns)

    @property
    def words(self) -> str:
        """What a change means that many clients report in one night; empty where there is none."""
        if not self.base_round or not self.shared:
            return ""
        edges = "1 edge" if self.shared == 1 else f"{self.shared} edges"
        return (
            f"{edges} came or turned since round {self.base_round} with the support of at least "
            "half of the clients that could report them. That is a change of the world, or of how "
            "it is measured; nobody's trust suffers from it."
        )

    @property
    def any(self) -> bool:
        """Whether there is an earlier model and the later one differs from it."""
        return self.base_round > 0 and any(
            number for turn, number in self.counts.items() if turn is not Turn.SAME
        )


def change_between(before: GlobalModel | None, after: GlobalModel, *, keep: int = 500) -> Change:
    """Return what changed from `before` to `after`.

    Every edge is new where `before` is None, that is, where there was no model. At most `keep`
    edges of each kind are named.
    """
    names = list(after.vocabulary.names)
    keys, votes = after.edges.keys, after.evidence.edges.vote
    old_keys, old_votes = (
        (np.zeros(0, np.uint64), np.zeros(0)) if before is None else _in_words_of(before, names)
    )
    every = np.union1d(keys, old_keys)
    now, then = np.full(len(every), np.nan), np.full(len(every), np.nan)
    now[np.searchsorted(every, keys)] = votes
    then[np.searchsorted(every, old_keys)] = old_votes
    turns = _turns(then, now)
    strength = np.fmax(np.abs(then), np.abs(now))
    counts, named = {}, []
    for code, turn in enumerate(Turn):
        rows = np.flatnonzero(turns == code)
        counts[turn] = len(rows)
        shown_rows = rows[np.argsort(-strength[rows], kind="stable")[:keep]]
        source, target, lag = unpack_keys(every[shown_rows])
        for s, t, step, a, b in zip(
            source.tolist(),
            target.tolist(),
            lag.tolist(),
            then[shown_rows].tolist(),
            now[shown_rows].tolist(),
            strict=True,
        ):
            edge = EdgeChange(
                source=names[s], target=names[t], lag=step, before=a, after=b, turn=turn
            )
            named.append(
                replace(edge, before=None if np.isnan(a) else a, after=None if np.isnan(b) else b)
            )
    named.sort(key=lambda e: (-e.strength, e.source, e.target, e.lag))
    about = after.evidence.edges
    turned = np.isin(keys, every[np.isin(turns, [0, 2])])
    shared = turned & (2 * about.support.astype(np.int64) >= about.measured_by)
    return Change(
        base_round=0 if before is None else before.round,
        counts=counts,
        edges=tuple(named),
        shared=int(shared.sum()),
    )


def _in_words_of(
    model: GlobalModel, names: list[str]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Return the (keys, votes) of a model's edges, ascending by key.

    The keys number variables by their place in `names`. Variables that are missing there are
    appended to it.
    """
    position = {name: i for i, name in enumerate(names)}
    index = np.zeros(len(model.vocabulary), dtype=np.int64)
    for i, name in enumerate(model.vocabulary.names):
        if name not in position:
            position[name] = len(names)
            names.append(name)
        index[i] = position[name]
    keys = pack_keys(index[model.edges.source], index[model.edges.target], model.edges.lag)
    order = np.argsort(keys)
    return keys[order], model.evidence.edges.vote[order]


def _turns(then: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return for each edge the place in `Turn` of what became of it, intp[edges].

    A vote of NaN says that the edge is not in that model.
    """
    grown = np.abs(now) - np.abs(then)
    kinds = [
        np.isnan(then),
        np.isnan(now),
        np.sign(then) != np.sign(now),
        grown >= NOTICEABLE,
        grown <= -NOTICEABLE,
    ]
    return np.asarray(np.select(kinds, range(len(kinds)), default=len(kinds)), dtype=np.intp)
