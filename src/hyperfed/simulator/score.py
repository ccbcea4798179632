"""Measure how far a merged model is from the truth.

1. F1 is over signed edges: 2 found / (edges of the model + edges of the truth). An edge is found
   where the model has it with the truth's sign.
2. SHD, the structural Hamming distance, counts edges that are missing, edges that are too many and
   edges of the wrong sign, once each.
3. The effect error is the root mean square of (effect - true effect) over the true edges, relative
   to the root mean square of the true effects. A missing edge has the effect 0, so that an empty
   model has the error 1.
4. Kept is the F1 of signed edges between a night's model and the one that the same rule gives when
   nobody lies. It shows what the attack cost, apart from what the rule does to honest clients.

Source: Tsamardinos et al. 2006 (SHD).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.worlds import World

__all__ = ["Score", "kept", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Holds the distance of a model from the truth."""

    f1: float
    """The F1 of signed edges, in [0, 1]."""
    shd: int
    """The structural Hamming distance, in edges."""
    effect_error: float
    """The relative error of effects, at least 0 and at most a million."""


def score(model: HypergraphStore, world: World) -> Score:
    """Return the distance of `model` from the world's truth."""
    keys, sign = _signs(model)
    effect = np.asarray(model.edges.effect, dtype=np.float64)
    _, mine, theirs = np.intersect1d(keys, world.keys, assume_unique=True, return_indices=True)
    right = sign[mine] == np.sign(world.effects[theirs])
    right_edges, total = int(right.sum()), len(keys) + len(world.keys)
    estimate = np.zeros(len(world.keys))
    estimate[theirs] = effect[mine]
    size = float(np.sqrt(np.mean(world.effects**2))) if len(world.keys) else 1.0
    error = float(np.sqrt(np.mean((estimate - world.effects) ** 2))) if len(world.keys) else 0.0
    missing, extra = len(world.keys) - len(mine), len(keys) - len(mine)
    return Score(
        f1=2 * right_edges / total if total else 1.0,
        shd=missing + extra + int((~right).sum()),
        effect_error=min(error / size, 1e6),
    )


def kept(model: HypergraphStore, twin: HypergraphStore) -> float:
    """Return the F1 of the model's signed edges against those of its honest twin, in [0, 1]."""
    (mine, ours), (theirs, other) = _signs(model), _signs(twin)
    _, at, where = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    total = len(mine) + len(theirs)
    return 2 * float((ours[at] == other[where]).sum()) / total if total else 1.0


def _signs(model: HypergraphStore) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Return the edges' keys and the signs of their votes; without evidence those of effects."""
    effect = np.asarray(model.edges.effect, dtype=np.float64)
    return model.edges.keys, np.sign(effect) if model.evidence is None else np.sign(
        model.evidence.edges.vote
    )
