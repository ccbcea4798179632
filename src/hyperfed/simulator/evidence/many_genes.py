"""Play a hundred genes in the manner of DREAM4: few rows, many columns, ten clients.

1. The network is that of `networks.genes` with 100 genes. Every directed pair is ranked by how sure
   a way is of it, and the score is the area under the curve of precision over recall (AUPR, as the
   average precision). Guessing gives the share of pairs that are edges, `guessing`.
2. With `FEW` measurements, as in the challenge, an experiment has 20 rows for moments of 200
   columns. No round takes such statistics (R-162), nor has VarEngine rows enough: there are neither
   votes nor sums. `centred rows` then says what sums would find, which is the same on all centred
   rows in one place; `shrunk` is that on their correlations times 1 - `SHRINKAGE`.
3. With `ENOUGH` measurements both are a client's own. Votes are ranked by their mean, and mean
   effects and sums by |t|.

Sources: Marbach et al. 2009, J. Comput. Biol. 16; Ledoit & Wolf 2004, J. Multivariate Anal. 88
(shrinkage).

What it does not do: it has no data of the challenge. Our kinetics are easier to find.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.summed import SummedVar
from hyperfed.engines.var import VarEngine
from hyperfed.simulator.evidence.linear_worlds import World
from hyperfed.simulator.evidence.networks import genes
from hyperfed.simulator.evidence.pooled_rows import stacked
from hyperfed.statistics import Sums, statistics_of
from hyperfed.statistics.sweeping import regressions
from hyperfed.statistics.trust import statistics_trust

__all__ = ["ENOUGH", "FEW", "SHRINKAGE", "average_precision", "measure_many_genes", "play_genes"]

GENES, CLIENTS = 100, 10
FEW, ENOUGH = 21, 210
"""The measurements of an experiment: those of the challenge, and as many as sums need."""
SHRINKAGE = 0.3
_BOOTSTRAPS = 10

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def average_precision(score: Floats, world: World) -> float:
    """Return the AUPR of float64[source, target], without effects of a variable on itself."""
    true = np.zeros(score.shape, dtype=bool)
    for source, target, _, _ in world.edges:
        true[source, target] = True
    others = ~np.eye(len(score), dtype=bool)
    order = np.argsort(-score[others], kind="stable")
    hits = true[others][order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def play_genes(points: int, seed: int) -> Iterator[tuple[str, float]]:
    """Yield (way, AUPR) of one network, whose experiments have that many measurements."""
    rng = np.random.default_rng([seed, points])
    world = genes(rng, GENES)
    data = [world.sample(points, rng) for _ in range(CLIENTS)]
    if points >= ENOUGH:
        yield from _by_clients(world, data, rng)
        yield "sums", average_precision(_sums(world, data), world)
    centred = stacked(world, data, centred=True)
    yield "centred rows", average_precision(_t_of(centred, CLIENTS), world)
    yield "shrunk", average_precision(_t_of(centred, CLIENTS, SHRINKAGE), world)
    yield "pooled rows", average_precision(_t_of(stacked(world, data, centred=False), 1), world)
    yield "guessing", len(world.edges) / (GENES * (GENES - 1))


def _t_of(rows: Floats, intercepts: int, shrinkage: float = 0.0) -> Floats:
    """Return |t| of each gene on each, float64[source, target]."""
    degrees = len(rows) - intercepts
    covariance = rows.T @ rows / degrees
    own = np.diag(covariance.diagonal())
    covariance = (1 - shrinkage) * covariance + shrinkage * own
    fit = regressions(covariance, range(GENES, 2 * GENES), range(GENES))
    return np.asarray(np.abs(fit.coefficient / fit.errors(np.array(float(degrees)))))


def _by_clients(
    world: World, data: Sequence[Floats], rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """Yield what clients' own searches give: their mean vote, and their mean effect by its t."""
    vote, weighed, precision = (np.zeros((GENES, GENES)) for _ in range(3))
    for one in data:
        seed = int(rng.integers(1 << 31))
        engine = VarEngine(one, world.names, lags=world.lags, n_bootstrap=_BOOTSTRAPS, rng=seed)
        discovery = engine.discover()
        at, error = _places(discovery, world), np.maximum(_width(discovery), 1e-12)
        vote[at] += np.sign(discovery.effect) * discovery.confidence * discovery.stability
        weighed[at] += discovery.effect / error**2
        precision[at] += 1 / error**2
    yield "votes", average_precision(np.abs(vote), world)
    t = np.abs(weighed) / np.sqrt(np.maximum(precision, 1e-300))
    yield "mean effects", average_precision(t, world)


def _sums(world: World, data: Sequence[Floats]) -> Floats:
    """Return |t| of each gene on each in the sum of the clients' statistics, weighed by trust."""
    statistics = {
        f"site-{at:03d}": statistics_of(
            one, names=world.names, vocabulary=world.vocabulary, lags=world.lags
        )
        for at, one in enumerate(data)
    }
    trust = statistics_trust(list(statistics.values()), variables=GENES)
    weights = dict(zip(statistics, trust.weight.tolist(), strict=True))
    sums = Sums.of(statistics, variables=GENES, lags=world.lags, weights=weights)
    discovery = SummedVar(sums, world.vocabulary).discover()
    score = np.zeros((GENES, GENES))
    score[_places(discovery, world)] = np.abs(discovery.effect / _width(discovery))
    return score


def _width(discovery: Discovery) -> Floats:
    """Return the width of each interval, which is proportional to its standard error."""
    return np.asarray(discovery.ci_high - discovery.ci_low, dtype=np.float64)


def _places(discovery: Discovery, world: World) -> tuple[Ints, Ints]:
    """Return int64[edges] twice: the sources and the targets, as indices of the vocabulary."""
    index = world.vocabulary.index
    source, target = (
        np.array([index(name) for name in names.tolist()], dtype=np.int64)
        for names in (discovery.source, discovery.target)
    )
    return source, target


def measure_many_genes(
    seeds: Sequence[int], *, progress: Callable[[str], None] = lambda said: None
) -> list[dict[str, Any]]:
    """Play both numbers of measurements, and return one cell for each way, with an AUPR a seed."""
    cells = []
    for points in (FEW, ENOUGH):
        scores: dict[str, list[float]] = {}
        for seed in seeds:
            for way, aupr in play_genes(points, seed):
                scores.setdefault(way, []).append(round(aupr, 4))
        cells += [{"points": points, "way": way, "aupr": aupr} for way, aupr in scores.items()]
        progress(f"100 genes, {points} measurements: {scores}")
    return cells
