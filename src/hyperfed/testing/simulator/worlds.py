"""What the simulated clients know: three worlds, each with the truth that a merge is measured against.

1. `sem`: a linear structural equation model over ordered variables at lag 0; every client regresses each variable on its predecessors.
2. `var`: a stable vector autoregression of order 2; every client runs the library's own `VarEngine`.
3. `sem-weak`, `var-weak`: the same with few samples a client and clients that differ four times as much: where honest clients are hard to tell from liars.
4. `demo`: the demonstration's 48 US states, real data. Nobody knows the truth there: it is what all the states together say when nobody lies.
5. Clients differ honestly: each has coefficients of its own around the common ones, and its own number of samples. `drift` is the
   standard deviation of that difference.

Everything follows from the seed. A client's store holds what the default policy lets it share.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable
from hyperfed.demo import VARIABLES, series, states
from hyperfed.engines.student_t import t_central, t_quantile
from hyperfed.engines.var import VarEngine
from hyperfed.errors import ConfigError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.reconciler import StoreReconciler
from hyperfed.tables import EdgeTable, pack_keys
from hyperfed.vocabulary import Vocabulary

__all__ = ["WORLDS", "World", "build_world"]

WORLDS = ("sem", "var", "sem-weak", "var-weak", "demo")
_BOOTSTRAPS = 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """name; vocabulary; stores: what each client found, by client id; keys: uint64[edges] and effects: float64[edges], the truth."""

    name: str
    vocabulary: Vocabulary
    stores: dict[str, HypergraphStore]
    keys: npt.NDArray[np.uint64]
    effects: Floats


@lru_cache(maxsize=8)
def build_world(name: str, *, clients: int = 50, seed: int = 0, variables: int = 10) -> World:
    """The world of that name. demo: at most 48 clients. Raises ConfigError."""
    if name not in WORLDS:
        raise ConfigError(f"unknown world {name!r:.40}", subject="simulation", remedy=f"One of {', '.join(WORLDS)} is needed")
    if clients < 3 or (name == "demo" and clients > len(states())):
        raise ConfigError(f"{clients} clients", subject=f"world {name}", remedy="At least 3 are needed; the demo has 48")
    rng = np.random.default_rng(seed)
    if name == "demo":
        return _demo(clients, rng)
    weak = name.endswith("-weak")
    if name.startswith("sem"):
        return _sem(name, clients, rng, variables, drift=0.2 if weak else 0.05, samples=(20, 60) if weak else (80, 400))
    return _var(name, clients, rng, variables, drift=0.2 if weak else 0.05, samples=(30, 80) if weak else (150, 400))


def _sem(name: str, clients: int, rng: np.random.Generator, variables: int, *, drift: float, samples: tuple[int, int]) -> World:
    vocabulary = Vocabulary.of(*(f"x{i}" for i in range(variables)))
    target, source = np.tril_indices(variables, -1)
    there = rng.uniform(size=len(source)) < min(1.0, 2.0 / (variables - 1) * 1.2)
    effect = np.where(there, rng.choice([-1.0, 1.0], len(source)) * rng.uniform(0.3, 0.9, len(source)), 0.0)
    stores = {}
    for client in _ids(clients):
        n = int(rng.integers(*samples))
        own = np.zeros((variables, variables))
        own[target, source] = np.where(there, effect + drift * rng.normal(size=len(effect)), 0.0)
        x = rng.normal(size=(n, variables)) @ np.linalg.inv(np.eye(variables) - own).T
        stores[client] = _shared(_ordered_regression(x, rng), vocabulary)
    order = np.argsort(pack_keys(source, target, np.zeros(len(source), np.int64)))
    keys, effect = pack_keys(source, target, np.zeros(len(source), np.int64))[order], effect[order]
    return World(name=name, vocabulary=vocabulary, stores=stores, keys=keys[effect != 0], effects=effect[effect != 0])


def _var(name: str, clients: int, rng: np.random.Generator, variables: int, *, drift: float, samples: tuple[int, int]) -> World:
    width = max(3, variables // 2)
    vocabulary = Vocabulary.of(*(f"y{i}" for i in range(width)))
    while True:
        there = rng.uniform(size=(2, width, width)) < 1.5 / width
        coefficient = np.where(there, rng.choice([-1.0, 1.0], there.shape) * rng.uniform(0.25, 0.6, there.shape), 0.0)
        if there[1].any() and _radius(coefficient) < 0.85:
            break
    stores = {}
    for client in _ids(clients):
        n = int(rng.integers(*samples))
        own = np.where(there, coefficient + drift * rng.normal(size=there.shape), 0.0)
        while _radius(own) >= 0.97:
            own *= 0.95
        y = np.zeros((n + 50, width))
        for t in range(2, len(y)):
            y[t] = own[0] @ y[t - 1] + own[1] @ y[t - 2] + rng.normal(size=width)
        engine = VarEngine(y[50:], vocabulary.names, max_lag=2, n_bootstrap=_BOOTSTRAPS, rng=rng)
        stores[client] = _shared(engine.discover().to_edges(vocabulary)[1], vocabulary)
    lag, target, source = np.nonzero(there)
    keys = pack_keys(source, target, lag + 1)
    order = np.argsort(keys)
    return World(name=name, vocabulary=vocabulary, stores=stores, keys=keys[order], effects=coefficient[lag, target, source][order])


def _demo(clients: int, rng: np.random.Generator) -> World:
    vocabulary = Vocabulary.of(*VARIABLES)
    some = sorted(rng.permutation(np.array(states()))[:clients].tolist())
    stores = {state: _shared(VarEngine(series(state), VARIABLES, n_bootstrap=50, rng=rng).discover().to_edges(vocabulary)[1], vocabulary) for state in some}
    together = StoreReconciler(bounded=False).reconcile(stores.values(), client_ids=some)
    effects = np.asarray(together.edges.effect, dtype=np.float64)
    return World(name="demo", vocabulary=vocabulary, stores=stores, keys=together.edges.keys, effects=effects)


def _ids(clients: int) -> list[str]:
    return [f"site-{i:03d}" for i in range(clients)]


def _radius(coefficient: Floats) -> float:
    """The largest modulus of the companion matrix's eigenvalues: below 1 the process is stable."""
    width = coefficient.shape[1]
    companion = np.block([[coefficient[0], coefficient[1]], [np.eye(width), np.zeros((width, width))]])
    return float(np.abs(np.linalg.eigvals(companion)).max())


def _shared(edges: EdgeTable, vocabulary: Vocabulary) -> HypergraphStore:
    return HypergraphStore(edges=shareable(edges, PolicyPack()), measured=range(len(vocabulary)), vocabulary=vocabulary)


def _ordered_regression(x: Floats, rng: np.random.Generator) -> EdgeTable:
    """Every variable on all its predecessors by least squares; stability is the share of bootstraps in which BIC keeps the edge with its sign."""
    rows, width = x.shape
    samples = [np.arange(rows, dtype=np.int64)] + [rng.integers(0, rows, rows) for _ in range(_BOOTSTRAPS)]
    columns: dict[str, list[Floats]] = {name: [] for name in ("source", "target", "effect", "half", "confidence", "stability")}
    for j in range(1, width):
        fits = [_fit(x[s, :j], x[s, j]) for s in samples]
        effect, error = fits[0]
        kept = [(np.sign(e) == np.sign(effect)) & ((e / s) ** 2 > math.log(rows)) for e, s in fits[1:]]
        free = rows - j - 1
        columns["source"].append(np.arange(j, dtype=np.float64))
        columns["target"].append(np.full(j, float(j)))
        columns["effect"].append(effect)
        columns["half"].append(t_quantile(0.95, free) * error)
        columns["confidence"].append(np.asarray(t_central(effect / error, free)))
        columns["stability"].append(np.mean(kept, axis=0))
    c = {name: np.concatenate(parts) for name, parts in columns.items()}
    return EdgeTable.build(
        source=c["source"].astype(np.int64),
        target=c["target"].astype(np.int64),
        lag=np.zeros(len(c["source"]), np.int64),
        effect=c["effect"],
        ci_low=c["effect"] - c["half"],
        ci_high=c["effect"] + c["half"],
        confidence=np.clip(c["confidence"], 0, 1),
        stability=c["stability"],
        hits=_BOOTSTRAPS,
        n=rows,
    )


def _fit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(coefficients, standard errors) of y on x and an intercept."""
    x = x - x.mean(axis=0)
    y = y - y.mean()
    inverse = np.linalg.inv(x.T @ x)
    effect = inverse @ (x.T @ y)
    left = y - x @ effect
    variance = float(left @ left) / (len(y) - x.shape[1] - 1)
    return effect, np.sqrt(np.maximum(np.diagonal(inverse) * variance, 1e-300))
