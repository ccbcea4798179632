"""Worlds of linear processes with a known graph, whose rows can be shared by any number of clients.

1. `var_world` is a VAR(1), `sem_world` a linear structural equation model at lag 0.
2. What F1 compares are signed edges of a VAR, and pairs with an edge of a SEM: where a direction
   cannot be known, no way of merging finds it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.worlds import radius
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Edges", "World", "f1_of", "sem_world", "var_world"]

Floats = npt.NDArray[np.float64]
Edges = set[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Holds a process with a known graph."""

    kind: str
    """"var" or "sem": what engines and scores suit it."""
    names: tuple[str, ...]
    """The variables."""
    lags: tuple[int, ...]
    """The lags of its edges."""
    edges: Edges
    """The edges: (source, target, lag, sign); of a SEM pairs, (lower, higher, 0, 1)."""
    sample: Callable[[int, np.random.Generator], Floats]
    """Returns float64[rows, variables]."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The variables as a vocabulary."""
        return Vocabulary.of(*self.names)


def var_world(rng: np.random.Generator, width: int = 6) -> World:
    """Return a stable VAR(1) with effects of .2 to .5."""
    while True:
        there = rng.uniform(size=(width, width)) < 0.25
        size = rng.choice([-1.0, 1.0], there.shape) * rng.uniform(0.2, 0.5, there.shape)
        matrix = np.where(there, size, 0.0)  # [target, source]
        if there.sum() > 3 and 0.2 < radius(np.stack([matrix, np.zeros_like(matrix)])) < 0.9:
            break

    def sample(rows: int, draw: np.random.Generator) -> Floats:
        y = np.zeros((rows + 50, width))
        noise = draw.normal(size=y.shape)
        for t in range(1, len(y)):
            y[t] = matrix @ y[t - 1] + noise[t]
        return np.asarray(y[50:])

    edges = {
        (int(s), int(t), 1, int(np.sign(matrix[t, s])))
        for t, s in zip(*np.nonzero(there), strict=True)
    }
    names = tuple(f"y{i}" for i in range(width))
    return World(kind="var", names=names, lags=(1,), edges=edges, sample=sample)


def sem_world(rng: np.random.Generator, width: int = 20) -> World:
    """Return a linear SEM on an Erdos-Renyi graph with as many edges as variables expected."""
    order = rng.permutation(width)
    target, source = np.tril_indices(width, -1)
    there = rng.uniform(size=len(source)) < width / len(source)
    size = rng.choice([-1.0, 1.0], len(source)) * rng.uniform(0.3, 0.8, len(source))
    matrix = np.zeros((width, width))
    matrix[target, source] = np.where(there, size, 0.0)

    def sample(rows: int, draw: np.random.Generator) -> Floats:
        x = draw.normal(size=(rows, width)) @ np.linalg.inv(np.eye(width) - matrix).T
        out = np.empty_like(x)
        out[:, order] = x
        return out

    edges = {
        (min(a, b), max(a, b), 0, 1)
        for a, b in zip(order[target[there]].tolist(), order[source[there]].tolist(), strict=True)
    }
    names = tuple(f"x{i}" for i in range(width))
    return World(kind="sem", names=names, lags=(0,), edges=edges, sample=sample)


def f1_of(found: Edges, true: Edges) -> float:
    """Return the F1 of some edges."""
    return 2 * len(found & true) / max(1, len(found) + len(true))
