"""How far a merged model is from the truth.

1. An edge is found where the model has it with the truth's sign. F1 over signed edges: 2 found / (edges of the model + edges of the truth).
2. SHD, structural Hamming distance: edges missing, plus edges too many, plus edges of the wrong sign (once each).
3. Effect error: root mean square of (effect - true effect) over the true edges, an edge that is missing having effect 0, relative to the root mean
   square true effect. 1 is what an empty model has.

4. Kept: the F1 of signed edges between a night's model and the one that the same rule would have had, had nobody lied: what the attack cost, and
   not what the rule does to honest clients.

Source: Tsamardinos et al. 2006 (SHD).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph import HypergraphStore
from hyperfed.testing.simulator.worlds import World

__all__ = ["Score", "kept", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """f1 in [0, 1]; shd: edges; effect_error >= 0."""

    f1: float
    shd: int
    effect_error: float


def score(model: HypergraphStore, world: World) -> Score:
    """The distance of `model` from the world's truth."""
    keys, sign = _signs(model)
    effect = np.asarray(model.edges.effect, dtype=np.float64)
    _, mine, theirs = np.intersect1d(keys, world.keys, assume_unique=True, return_indices=True)
    right = sign[mine] == np.sign(world.effects[theirs])
    found, total = int(right.sum()), len(keys) + len(world.keys)
    estimate = np.zeros(len(world.keys))
    estimate[theirs] = effect[mine]
    size = float(np.sqrt(np.mean(world.effects**2))) if len(world.keys) else 1.0
    error = float(np.sqrt(np.mean((estimate - world.effects) ** 2))) if len(world.keys) else 0.0
    missing, extra = len(world.keys) - len(mine), len(keys) - len(mine)
    return Score(f1=2 * found / total if total else 1.0, shd=missing + extra + int((~right).sum()), effect_error=min(error / size, 1e6))


def kept(model: HypergraphStore, twin: HypergraphStore) -> float:
    """F1 in [0, 1] of the model's signed edges against those of its honest twin."""
    (mine, ours), (theirs, other) = _signs(model), _signs(twin)
    _, at, where = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    total = len(mine) + len(theirs)
    return 2 * float((ours[at] == other[where]).sum()) / total if total else 1.0


def _signs(model: HypergraphStore) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """The edges' keys and the signs of their votes."""
    effect = np.asarray(model.edges.effect, dtype=np.float64)
    return model.edges.keys, np.sign(effect) if model.evidence is None else np.sign(model.evidence.edges.vote)
