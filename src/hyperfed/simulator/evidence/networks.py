"""Play votes, sums and pooled rows on networks that are not linear models, and on real data.

1. `brain` is made in the manner of NetSim (Smith et al. 2011, NeuroImage 54): ten regions in two
   clusters, a linear neural process driven by noise and by switching inputs, seen through a
   haemodynamic response every 2 s with noise. A client is a subject. Pairs are scored.
2. `genes` is made in the manner of DREAM4 (Marbach et al. 2009, J. Comput. Biol. 16): ten genes
   on a scale-free graph, Hill kinetics with molecular noise; a client is an experiment, in whose
   first half some basal rates are changed. Directed edges with signs are scored, without effects
   of a gene on itself. 100 genes, as in the challenge, are refused: a series has fewer rows than
   moments have columns (R-162).
3. `cells` are the 7,466 cells of Sachs et al. 2005 (Science 308), experiments among them, with the
   published network's pairs as truth; cells are dealt to clients at random.
4. `states` are the demonstration's 48 states. There is no truth: the score is how far a way agrees
   with all centred rows in one place.

What it does not do: it carries no data of others; `cells` are given as rows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.demo import VARIABLES, series, states
from hyperfed.simulator.evidence.linear_worlds import World, f1_of
from hyperfed.simulator.evidence.sums import WAYS, ways_of

__all__ = ["NETWORKS", "brain", "cells_world", "genes", "measure_networks", "play_network"]

NETWORKS = {"brain": (8, 32), "genes": (8, 32), "cells": (8,), "states": (48,)}
"""The networks, and how many clients share their rows."""
ROWS = {"brain": 3_200, "genes": 1_600}
"""The rows of all clients together."""
_STEP, _SCAN = 0.1, 20  # seconds; steps between two scans

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rows = tuple[tuple[str, ...], Floats, frozenset[tuple[int, int]]]


def brain(rng: np.random.Generator, width: int = 10) -> World:
    """Return a network of brain regions; each call of `sample` is another subject."""
    half = width // 2
    coupling = np.zeros((width, width))  # [target, source]
    for first in (0, half):
        for at in range(half):
            coupling[first + (at + 1) % half, first + at] = 1.0
    coupling[half, 0] = 1.0
    there = np.argwhere(coupling)

    def sample(rows: int, draw: np.random.Generator) -> Floats:
        own = np.zeros((width, width))
        own[tuple(there.T)] = np.clip(draw.normal(0.4, 0.1, len(there)), 0.2, 0.6)
        steps = rows * _SCAN + 400
        inputs = np.cumsum(draw.uniform(size=(steps, width)) < _STEP / 6.0, axis=0) % 2
        drive = 0.5 * inputs + draw.normal(size=(steps, width)) / np.sqrt(_STEP)
        z = np.zeros((steps, width))
        for t in range(1, steps):
            z[t] = z[t - 1] + _STEP * (own @ z[t - 1] - z[t - 1] + drive[t - 1])
        time = np.arange(0, 20, _STEP)
        response = time**5 * np.exp(-time) / 120 - time**15 * np.exp(-time) / 7.8e12
        seen = np.apply_along_axis(lambda one: np.convolve(one, response)[:steps], 0, z)
        scans = seen[400::_SCAN][:rows]
        return np.asarray(scans + 0.01 * scans.std() * draw.normal(size=scans.shape))

    edges = {(min(a, b), max(a, b), 0, 1) for a, b in there.tolist()}
    names = tuple(f"region {i}" for i in range(width))
    return World(kind="sem", names=names, lags=(0,), edges=edges, sample=sample)


def genes(rng: np.random.Generator, width: int = 10) -> World:
    """Return a network of genes; each call of `sample` is another experiment."""
    links: list[tuple[int, int]] = []
    degree = np.ones(width)
    for target in range(1, width):
        for _ in range(1 + int(rng.uniform() < 0.3)):
            source = int(rng.choice(target, p=degree[:target] / degree[:target].sum()))
            if (source, target) not in links:
                links.append((source, target))
                degree[source] += 1.0
    sign = rng.choice([-1, 1], len(links))

    def rate(x: Floats, basal: Floats) -> Floats:
        out = basal.copy()
        for (source, target), way in zip(links, sign.tolist(), strict=True):
            hill = x[source] ** 2 / (0.25 + x[source] ** 2)
            out[target] *= 0.1 + 1.8 * (hill if way > 0 else 1.0 - hill)
        return out

    def sample(rows: int, draw: np.random.Generator) -> Floats:
        x, out = np.full(width, 0.5), np.empty((rows, width))
        changed = np.where(draw.uniform(size=width) < 1 / 3, draw.uniform(0.5, 1.5, width), 1.0)
        for t in range(-20, rows):
            basal = changed * 0.6 if t < rows // 2 else np.full(width, 0.6)
            for _ in range(5):
                noise = 0.15 * np.sqrt(np.maximum(x, 0.0)) * draw.normal(size=width)
                x = np.maximum(x + 0.2 * (rate(x, basal) - x) + noise * np.sqrt(0.2), 0.0)
            if t >= 0:
                out[t] = x
        return out * (1 + 0.02 * draw.normal(size=out.shape))

    edges = {(s, t, 1, int(way)) for (s, t), way in zip(links, sign.tolist(), strict=True)}
    names = tuple(f"gene {i}" for i in range(width))
    return World(kind="var", names=names, lags=(1,), edges=edges, sample=sample)


def cells_world(rows: Rows) -> World:
    """Return the cells' network. rows: names, float64[cells, proteins], and the network's pairs."""
    names, values, pairs = rows
    # the logarithm of a fluorescence: its noise is then of one size
    logs = np.log1p(values)

    def sample(count: int, draw: np.random.Generator) -> Floats:
        return np.asarray(logs[draw.permutation(len(logs))[:count]])

    edges = {(a, b, 0, 1) for a, b in pairs}
    return World(kind="sem", names=names, lags=(0,), edges=edges, sample=sample)


def play_network(
    name: str, clients: int, seed: int, *, cells: Rows | None = None
) -> Iterator[tuple[str, float]]:
    """Yield (way of merging, F1) on one network; of the states, F1 against centred rows."""
    rng = np.random.default_rng([seed, clients])
    if name == "states":
        data = [series(state) for state in states()]
        world = World(
            kind="var", names=VARIABLES, lags=(1,), edges=set(), sample=lambda n, draw: data[0]
        )
        found = {one.way: one.edges for one in ways_of(world, data, rng)}
        for way in WAYS:
            yield way, f1_of(found[way], found["centred rows"])
        return
    if name == "cells":
        if cells is None:
            raise ValueError("the rows of the cells are needed")
        world = cells_world(cells)
        whole = world.sample(len(cells[1]), rng)
        data = list(np.array_split(whole, clients))
    else:
        world = brain(rng) if name == "brain" else genes(rng)
        data = [world.sample(ROWS[name] // clients, rng) for _ in range(clients)]
    for played in ways_of(world, data, rng):
        others = {edge for edge in played.edges if edge[0] != edge[1]}
        yield played.way, f1_of(others, world.edges)


def measure_networks(
    seeds: Sequence[int],
    *,
    cells: Rows | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> list[dict[str, Any]]:
    """Play all networks, and return one cell for each number of clients and way of merging.

    cells: the rows of the cells; without them they are left out.
    """
    found = []
    for name, counts in NETWORKS.items():
        if name == "cells" and cells is None:
            continue
        for clients in counts:
            scores: dict[str, list[float]] = {}
            for seed in seeds if name != "states" else seeds[:1]:
                for way, f1 in play_network(name, clients, seed, cells=cells):
                    scores.setdefault(way, []).append(round(f1, 4))
            found += [
                {"network": name, "clients": clients, "way": way, "f1": f1}
                for way, f1 in scores.items()
            ]
            progress(f"{name}, {clients} clients: {scores}")
    return found
