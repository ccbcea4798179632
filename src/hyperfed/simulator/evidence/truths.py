"""Draw federations with a known truth: what the clients' data say, and the edges that made them.

1. `var`: a stable vector autoregression of order 2 over 10 variables, of whose 200 possible edges
   about 20 are there. Clients run the library's own `VarEngine` at the plan's lags.
2. `sem`: a linear structural equation model over 20 variables, whose graph is Erdos-Renyi with 40
   edges expected (ER2). Clients regress each variable on its predecessors in the true order, which
   everybody is given: the merge of strengths is measured there, not that of directions.
3. `pc`, `ges`, `fci` and `lingam`: the same model, where clients run that engine and are given no
   order. The noise is normal; of `lingam`, which needs another, it is uniform.
4. Clients have coefficients of their own around the common ones (`DRIFT`), and standardise their
   own columns: no variance gives an order away (Reisach et al. 2021).
5. A liar is a client whose data come from the same world with every sign turned; what it sends in
   place of its findings is the attack's (`study`).

Everything follows from the seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.causal_learn import FciEngine, GesEngine, LingamEngine, PcEngine
from hyperfed.engines.table import TableEngine
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.worlds import ordered_regression, radius
from hyperfed.tables.tables import EdgeTable, pack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "BOOTSTRAPS",
    "DRIFT",
    "KINDS",
    "TABLE_BOOTSTRAPS",
    "TABLE_ENGINES",
    "Truth",
    "draw_truth",
]

TABLE_ENGINES: Mapping[str, type[TableEngine]] = {
    "pc": PcEngine,
    "ges": GesEngine,
    "fci": FciEngine,
    "lingam": LingamEngine,
}
"""The engines that look for directions in a table, by the kind of their world."""
KINDS = ("var", "sem", *TABLE_ENGINES)
DRIFT = 0.05
"""Standard deviation of a client's coefficients around the common ones."""
BOOTSTRAPS = 50
TABLE_BOOTSTRAPS = 5
"""Resamples of engines for tables, whose fits take a thousand times as long."""
_SETTLING = 50  # steps before a series is looked at

Floats = npt.NDArray[np.float64]
Data = list[Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Holds a world's truth, and how its clients look at data."""

    vocabulary: Vocabulary
    """The names of the variables."""
    lags: tuple[int, ...]
    """The lags that the plan names."""
    keys: npt.NDArray[np.uint64]
    """uint64[edges], ascending: the edges that are there."""
    effects: Floats
    """float64[edges]: their common effects."""
    sample: Callable[[int, float, np.random.Generator], Floats]
    """Returns one client's standardised data: float64[rows, variables], of (rows, sign, rng)."""
    discover: Callable[[Data, np.random.Generator], EdgeTable]
    """Returns every edge that an engine finds in some clients' data together, weak ones too."""

    def graph(self, edges: EdgeTable) -> HypergraphStore:
        """Return a client's graph of these edges."""
        return HypergraphStore(
            edges=edges,
            measured=range(len(self.vocabulary)),
            vocabulary=self.vocabulary,
            lags=self.lags,
        )


def draw_truth(kind: str, rng: np.random.Generator) -> Truth:
    """Return a world of one of `KINDS`."""
    return _var(rng) if kind == "var" else _sem(rng, kind)


def _var(rng: np.random.Generator, width: int = 10) -> Truth:
    """Return a stable VAR(2) with about 20 edges of sizes .2 to .5."""
    while True:
        there = rng.uniform(size=(2, width, width)) < 0.1
        common = np.where(
            there, rng.choice([-1.0, 1.0], there.shape) * rng.uniform(0.2, 0.5, there.shape), 0.0
        )
        if there[1].any() and 0.2 < radius(common) < 0.9:
            break
    names = tuple(f"y{i}" for i in range(width))
    lags = (1, 2)

    def sample(rows: int, sign: float, draw: np.random.Generator) -> Floats:
        coefficients = sign * np.where(there, common + DRIFT * draw.normal(size=there.shape), 0.0)
        while radius(coefficients) >= 0.97:
            coefficients *= 0.95
        y = np.zeros((rows + _SETTLING, width))
        noise = draw.normal(size=y.shape)
        for t in range(2, len(y)):
            y[t] = coefficients[0] @ y[t - 1] + coefficients[1] @ y[t - 2] + noise[t]
        return _standardised(y[_SETTLING:])

    def discover(data: Data, draw: np.random.Generator) -> EdgeTable:
        engine = PooledVar(data, names, lags=lags, n_bootstrap=BOOTSTRAPS, rng=draw)
        return engine.discover().to_edges(Vocabulary.of(*names))[1]

    lag, target, source = np.nonzero(there)
    return _truth(
        names,
        lags,
        pack_keys(source, target, lag + 1),
        common[lag, target, source],
        sample,
        discover,
    )


def _sem(rng: np.random.Generator, kind: str, width: int = 20) -> Truth:
    """Return a linear SEM whose graph is ER2, with edges of sizes .3 to .8 in a random order."""
    target, source = np.tril_indices(width, -1)
    there = rng.uniform(size=len(source)) < 2.0 * width / len(source)
    common = np.where(
        there, rng.choice([-1.0, 1.0], len(source)) * rng.uniform(0.3, 0.8, len(source)), 0.0
    )
    order = rng.permutation(width)  # of the variables: the i-th in it depends on those before it
    names = tuple(f"x{i}" for i in range(width))

    def sample(rows: int, sign: float, draw: np.random.Generator) -> Floats:
        coefficients = np.zeros((width, width))
        coefficients[target, source] = sign * np.where(
            there, common + DRIFT * draw.normal(size=len(common)), 0.0
        )
        uniform = kind == "lingam"  # it needs noise that is not normal
        noise = (
            draw.uniform(-1.0, 1.0, (rows, width)) if uniform else draw.normal(size=(rows, width))
        )
        x = noise @ np.linalg.inv(np.eye(width) - coefficients).T
        out = np.empty_like(x)
        out[:, order] = x
        return _standardised(out)

    def discover(data: Data, draw: np.random.Generator) -> EdgeTable:
        if kind in TABLE_ENGINES:
            seed = int(draw.integers(1 << 32))
            options: dict[str, Any] = {"n_bootstrap": TABLE_BOOTSTRAPS, "rng": seed, "processes": 0}
            engine = TABLE_ENGINES[kind](np.concatenate(data), names, **options)
            return engine.discover().to_edges(Vocabulary.of(*names))[1]
        fit = ordered_regression(np.concatenate(data)[:, order], draw)
        columns = {
            name: getattr(fit, name)
            for name in (
                "lag",
                "effect",
                "ci_low",
                "ci_high",
                "confidence",
                "stability",
                "hits",
                "n",
            )
        }
        return EdgeTable.build(source=order[fit.source], target=order[fit.target], **columns)

    keys = pack_keys(order[source[there]], order[target[there]], np.zeros(there.sum(), np.int64))
    return _truth(names, (0,), keys, common[there], sample, discover)


def _truth(
    names: Sequence[str],
    lags: tuple[int, ...],
    keys: npt.NDArray[np.uint64],
    effects: Floats,
    sample: Callable[[int, float, np.random.Generator], Floats],
    discover: Callable[[Data, np.random.Generator], EdgeTable],
) -> Truth:
    order = np.argsort(keys)
    return Truth(
        vocabulary=Vocabulary.of(*names),
        lags=lags,
        keys=keys[order],
        effects=effects[order],
        sample=sample,
        discover=discover,
    )


def _standardised(data: Floats) -> Floats:
    """Return the data with columns of mean 0 and standard deviation 1."""
    return np.asarray((data - data.mean(axis=0)) / data.std(axis=0))


class PooledVar(VarEngine):
    """Runs the built-in engine over the rows of several series, none of which joins two of them."""

    def __init__(
        self,
        series: Data,
        names: Sequence[str],
        *,
        lags: Sequence[int],
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(np.concatenate(series), names, lags=lags, n_bootstrap=n_bootstrap, rng=rng)
        self._series = series

    def _regression(self, lags: Sequence[int], first: int) -> tuple[Floats, Floats]:
        parts = []
        for series in self._series:
            lagged = [series[first - lag : len(series) - lag] for lag in lags]
            parts.append(
                (
                    np.concatenate([np.ones((len(series) - first, 1)), *lagged], axis=1),
                    series[first:],
                )
            )
        x, y = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return x, y
