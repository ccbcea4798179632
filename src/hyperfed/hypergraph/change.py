"""Compare two committed models, edge by edge.

1. Edges are compared by names and lag, so that a new vocabulary does not make every edge new.
2. The votes decide whether an edge is new, gone, of changed sign, stronger, weaker or unchanged.
   A difference below `NOTICEABLE` is no change.
3. Counts are exact. Of the edges themselves, only the strongest of each kind are kept.

4. Effects before and after stand beside the votes, and decide nothing.

What it does not do: compare confidence, hits and intervals (`HypergraphStore.diff` does).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hyperfed.tables.tables import pack_keys, unpack_keys

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["NOTICEABLE", "Change", "EdgeChange", "Turn", "change_between"]

NOTICEABLE = 0.01
"""The smallest difference of two |votes| that counts as a change."""


class Turn(StrEnum):
    """Names what became of an edge between two models."""

    NEW = "new"
    GONE = "gone"
    FLIPPED = "sign changed"
    STRONGER = "stronger"
    WEAKER = "weaker"
    SAME = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """Describes one edge in two models."""

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
    effect_before: float | None = None
    """The effect in the earlier model; None where the edge was not in it."""
    effect_after: float | None = None
    """The effect in the later model; None where the edge is not in it."""

    @property
    def strength(self) -> float:
        """The larger |vote| of the two models."""
        return max(abs(self.before or 0.0), abs(self.after or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Holds what changed since an earlier committed round."""

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
    round: int = 0
    """The later round."""

    def __str__(self) -> str:
        """Return what changed, a line for each edge that is not the same in both."""
        differing = self.of(*(turn for turn in Turn if turn is not Turn.SAME))
        counted = [f"{number} {turn.value}" for turn, number in self.counts.items() if number]
        lines = [f"From round {self.base_round} to round {self.round}: {', '.join(counted)}"]
        lines += [
            f"  {e.turn.value:12} {e.source} -> {e.target} (lag {e.lag}): vote "
            f"{_number(e.before)} -> {_number(e.after)}, effect {_number(e.effect_before)} -> "
            f"{_number(e.effect_after)}"
            for e in differing
        ]
        return "\n".join([*lines, *([self.words] if self.words else [])])

    def of(self, *turns: Turn) -> tuple[EdgeChange, ...]:
        """Return the kept edges of these kinds."""
        return tuple(e for e in self.edges if e.turn in turns)

    @property
    def words(self) -> str:
        """What a change means that many clients report in one round; empty where there is none."""
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


def _number(value: float | None) -> str:
    """Return a number with three digits and its sign, or a word where the edge is not there."""
    return "none" if value is None else f"{value:+.3g}"


def change_between(
    before: "GlobalModel | None", after: "GlobalModel", *, keep: int = 500
) -> Change:
    """Return what changed from `before` to `after`.

    Every edge is new where `before` is None, that is, where there was no model. At most `keep`
    edges of each kind are named.
    """
    names = list(after.vocabulary.names)
    keys, votes, effects = after.edges.keys, after.evidence.edges.vote, after.edges.effect
    old_keys, old_votes, old_effects = (
        (np.zeros(0, np.uint64), np.zeros(0), np.zeros(0))
        if before is None
        else _in_words_of(before, names)
    )
    every = np.union1d(keys, old_keys)
    at, at_old = np.searchsorted(every, keys), np.searchsorted(every, old_keys)
    now, then = _spread_out(len(every), at, votes), _spread_out(len(every), at_old, old_votes)
    effect_now = _spread_out(len(every), at, effects)
    effect_then = _spread_out(len(every), at_old, old_effects)
    turns = _turns(then, now)
    strength = np.fmax(np.abs(then), np.abs(now))
    counts, named = {}, []
    for code, turn in enumerate(Turn):
        rows = np.flatnonzero(turns == code)
        counts[turn] = len(rows)
        shown_rows = rows[np.argsort(-strength[rows], kind="stable")[:keep]]
        source, target, lag = unpack_keys(every[shown_rows])
        numbers = (
            [None if np.isnan(value) else value for value in column[shown_rows].tolist()]
            for column in (then, now, effect_then, effect_now)
        )
        named += [
            EdgeChange(
                source=names[s],
                target=names[t],
                lag=step,
                turn=turn,
                before=vote_before,
                after=vote_after,
                effect_before=effect_before,
                effect_after=effect_after,
            )
            for s, t, step, vote_before, vote_after, effect_before, effect_after in zip(
                source.tolist(), target.tolist(), lag.tolist(), *numbers, strict=True
            )
        ]
    named.sort(key=lambda e: (-e.strength, e.source, e.target, e.lag))
    about = after.evidence.edges
    turned = np.isin(keys, every[np.isin(turns, [0, 2])])
    shared = turned & (2 * about.support.astype(np.int64) >= about.measured_by)
    return Change(
        base_round=0 if before is None else before.round,
        counts=counts,
        edges=tuple(named),
        shared=int(shared.sum()),
        round=after.round,
    )


def _spread_out(length: int, at: npt.NDArray[np.intp], values: Any) -> npt.NDArray[np.float64]:
    """Return a column with the values at their places, and NaN elsewhere."""
    column = np.full(length, np.nan)
    column[at] = values
    return column


def _in_words_of(
    model: "GlobalModel", names: list[str]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the (keys, votes, effects) of a model's edges, ascending by key.

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
    return keys[order], model.evidence.edges.vote[order], model.edges.effect[order]


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
