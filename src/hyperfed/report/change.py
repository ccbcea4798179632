"""What changed between two committed models, edge by edge.

1. Edges are compared by names and lag, so that a new vocabulary does not make every edge new.
2. An edge is new, gone, of changed sign, stronger, weaker or unchanged, by its vote; a difference below `NOTICEABLE` is no change.
3. Counts are exact; of the edges themselves each kind keeps its strongest.

What it does not do: compare effects and intervals (`HypergraphStore.diff` does).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from hyperfed.global_model import GlobalModel
from hyperfed.tables import pack_keys, unpack_keys

__all__ = ["NOTICEABLE", "Change", "EdgeChange", "Turn", "change_between"]

NOTICEABLE = 0.01


class Turn(StrEnum):
    """What became of an edge."""

    NEW = "new"
    GONE = "gone"
    FLIPPED = "sign changed"
    STRONGER = "stronger"
    WEAKER = "weaker"
    SAME = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """One edge in two rounds: its votes before and after; None where it was not in the model."""

    source: str
    target: str
    lag: int
    before: float | None
    after: float | None
    turn: Turn

    @property
    def strength(self) -> float:
        """The larger |vote| of the two."""
        return max(abs(self.before or 0.0), abs(self.after or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """base_round: the committed round compared with, 0 where there is none; counts: edges of each kind, all of them; edges: the strongest, by strength."""

    base_round: int
    counts: dict[Turn, int]
    edges: tuple[EdgeChange, ...]

    def of(self, *turns: Turn) -> tuple[EdgeChange, ...]:
        return tuple(e for e in self.edges if e.turn in turns)

    @property
    def any(self) -> bool:
        """Whether there is an earlier model and anything differs from it."""
        return self.base_round > 0 and any(number for turn, number in self.counts.items() if turn is not Turn.SAME)


def change_between(before: GlobalModel | None, after: GlobalModel, *, keep: int = 500) -> Change:
    """The change from `before` (None: there was no model, every edge is new) to `after`; of each kind `keep` edges are named."""
    names = list(after.vocabulary.names)
    keys, votes = after.edges.keys, after.evidence.edges.vote
    old_keys, old_votes = (np.zeros(0, np.uint64), np.zeros(0)) if before is None else _in_words_of(before, names)
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
        kept = rows[np.argsort(-strength[rows], kind="stable")[:keep]]
        source, target, lag = unpack_keys(every[kept])
        for s, t, step, a, b in zip(source.tolist(), target.tolist(), lag.tolist(), then[kept].tolist(), now[kept].tolist(), strict=True):
            edge = EdgeChange(source=names[s], target=names[t], lag=step, before=a, after=b, turn=turn)
            named.append(replace(edge, before=None if np.isnan(a) else a, after=None if np.isnan(b) else b))
    named.sort(key=lambda e: (-e.strength, e.source, e.target, e.lag))
    return Change(base_round=0 if before is None else before.round, counts=counts, edges=tuple(named))


def _in_words_of(model: GlobalModel, names: list[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """(keys, votes) of a model's edges by the indices of `names`, ascending; variables that are not among them are appended to them."""
    known = {name: i for i, name in enumerate(names)}
    index = np.zeros(len(model.vocabulary), dtype=np.int64)
    for i, name in enumerate(model.vocabulary.names):
        if name not in known:
            known[name] = len(names)
            names.append(name)
        index[i] = known[name]
    keys = pack_keys(index[model.edges.source], index[model.edges.target], model.edges.lag)
    order = np.argsort(keys)
    return keys[order], model.evidence.edges.vote[order]


def _turns(then: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """intp[edges]: the place in `Turn` of what became of each edge; NaN: not in the model."""
    grown = np.abs(now) - np.abs(then)
    kinds = [np.isnan(then), np.isnan(now), np.sign(then) != np.sign(now), grown >= NOTICEABLE, grown <= -NOTICEABLE]
    return np.asarray(np.select(kinds, range(len(kinds)), default=len(kinds)), dtype=np.intp)
