"""Build the worlds that simulated clients observe, each with the truth that a merge is scored by.

1. `sem` is a linear structural equation model over ordered variables at lag 0. Every client
   regresses each variable on its predecessors.
2. `var` is a stable vector autoregression of order 2. Every client runs the library's own
   `VarEngine`.
3. `sem-weak` and `var-weak` are the same with few samples for each client, and with clients that
   differ four times as much. There, honest clients are hard to tell from liars.
4. `demo` is the demonstration's real data, of up to 48 US states. Nobody knows the truth there.
   What all the states together say when nobody lies stands for it.
5. Clients differ honestly: each has coefficients of its own around the common ones, and its own
   number of samples. `drift` is the standard deviation of its coefficients from the common ones.

Everything follows from the seed. A client's graph holds what the default policy lets it share.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable
from hyperfed.demo import VARIABLES, series, states
from hyperfed.engines.var import VarEngine
from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.merge.student_t import t_central
from hyperfed.packets import PolicyPack
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable, pack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["WORLDS", "World", "build_world", "ordered_regression", "radius", "together"]

WORLDS = ("sem", "var", "sem-weak", "var-weak", "demo")
"""The names of the worlds."""
_BOOTSTRAPS = 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Holds a world: what its clients found, and the truth."""

    name: str
    """One of `WORLDS`, or what its maker calls it."""
    vocabulary: Vocabulary
    """The variables."""
    graphs: dict[str, HypergraphStore]
    """What each client found, by client id."""
    keys: npt.NDArray[np.uint64]
    """The true edges' keys, uint64[edges], ascending."""
    effects: Floats
    """The true edges' effects, float64[edges]."""


@lru_cache(maxsize=8)
def build_world(name: str, *, clients: int = 50, seed: int = 0, variables: int = 10) -> World:
    """Build the world of that name.

    Args:
        name: One of `WORLDS`.
        clients: The number of clients, at least 3; at most 48 in `demo`.
        seed: The seed that everything follows from.
        variables: The number of variables of a `sem` world; a `var` world has half as many, and at
            least 3.

    Raises ConfigError for an unknown name or a number of clients that the world cannot have.
    """
    if name not in WORLDS:
        raise ConfigError(
            f"unknown world {name!r:.40}",
            subject="simulation",
            remedy=f"Choose one of {', '.join(WORLDS)}",
        )
    if clients < 3 or (name == "demo" and clients > len(states())):
        raise ConfigError(
            f"{clients} clients",
            subject=f"world {name}",
            remedy="Give at least 3; the demo has 48",
        )
    rng = np.random.default_rng(seed)
    if name == "demo":
        return _demo(clients, rng)
    weak = name.endswith("-weak")
    if name.startswith("sem"):
        return _sem(
            name,
            clients,
            rng,
            variables,
            drift=0.2 if weak else 0.05,
            samples=(20, 60) if weak else (80, 400),
        )
    return _var(
        name,
        clients,
        rng,
        variables,
        drift=0.2 if weak else 0.05,
        samples=(30, 80) if weak else (150, 400),
    )


def _sem(
    name: str,
    clients: int,
    rng: np.random.Generator,
    variables: int,
    *,
    drift: float,
    samples: tuple[int, int],
) -> World:
    vocabulary = Vocabulary.of(*(f"x{i}" for i in range(variables)))
    target, source = np.tril_indices(variables, -1)
    there = rng.uniform(size=len(source)) < min(1.0, 2.0 / (variables - 1) * 1.2)
    effect = np.where(
        there, rng.choice([-1.0, 1.0], len(source)) * rng.uniform(0.3, 0.9, len(source)), 0.0
    )
    graphs = {}
    for client in _ids(clients):
        n = int(rng.integers(*samples))
        client_effects = np.zeros((variables, variables))
        client_effects[target, source] = np.where(
            there, effect + drift * rng.normal(size=len(effect)), 0.0
        )
        x = rng.normal(size=(n, variables)) @ np.linalg.inv(np.eye(variables) - client_effects).T
        graphs[client] = _shared(ordered_regression(x, rng), vocabulary)
    order = np.argsort(pack_keys(source, target, np.zeros(len(source), np.int64)))
    keys, effect = pack_keys(source, target, np.zeros(len(source), np.int64))[order], effect[order]
    return World(
        name=name,
        vocabulary=vocabulary,
        graphs=graphs,
        keys=keys[effect != 0],
        effects=effect[effect != 0],
    )


def _var(
    name: str,
    clients: int,
    rng: np.random.Generator,
    variables: int,
    *,
    drift: float,
    samples: tuple[int, int],
) -> World:
    width = max(3, variables // 2)
    vocabulary = Vocabulary.of(*(f"y{i}" for i in range(width)))
    while True:
        there = rng.uniform(size=(2, width, width)) < 1.5 / width
        coefficient = np.where(
            there, rng.choice([-1.0, 1.0], there.shape) * rng.uniform(0.25, 0.6, there.shape), 0.0
        )
        if there[1].any() and radius(coefficient) < 0.85:
            break
    graphs = {}
    for client in _ids(clients):
        n = int(rng.integers(*samples))
        client_coefficients = np.where(
            there, coefficient + drift * rng.normal(size=there.shape), 0.0
        )
        while radius(client_coefficients) >= 0.97:
            client_coefficients *= 0.95
        y = np.zeros((n + 50, width))
        for t in range(2, len(y)):
            y[t] = (
                client_coefficients[0] @ y[t - 1]
                + client_coefficients[1] @ y[t - 2]
                + rng.normal(size=width)
            )
        engine = VarEngine(y[50:], vocabulary.names, max_lag=2, n_bootstrap=_BOOTSTRAPS, rng=rng)
        graphs[client] = _shared(engine.discover().to_edges(vocabulary)[1], vocabulary)
    lag, target, source = np.nonzero(there)
    keys = pack_keys(source, target, lag + 1)
    order = np.argsort(keys)
    return World(
        name=name,
        vocabulary=vocabulary,
        graphs=graphs,
        keys=keys[order],
        effects=coefficient[lag, target, source][order],
    )


def _demo(clients: int, rng: np.random.Generator) -> World:
    vocabulary = Vocabulary.of(*VARIABLES)
    some = sorted(rng.permutation(np.array(states()))[:clients].tolist())
    graphs = {
        state: _shared(
            VarEngine(series(state), VARIABLES, n_bootstrap=50, rng=rng)
            .discover()
            .to_edges(vocabulary)[1],
            vocabulary,
        )
        for state in some
    }
    return together("demo", vocabulary, graphs)


def together(name: str, vocabulary: Vocabulary, graphs: dict[str, HypergraphStore]) -> World:
    """Return the world whose truth is what all its clients say together when nobody lies."""
    merged = StoreReconciler(bounded=False).reconcile(graphs.values(), client_ids=list(graphs))
    return World(
        name=name,
        vocabulary=vocabulary,
        graphs=graphs,
        keys=merged.edges.keys,
        effects=np.asarray(merged.edges.effect, dtype=np.float64),
    )


def _ids(clients: int) -> list[str]:
    return [f"site-{i:03d}" for i in range(clients)]


def radius(coefficient: Floats) -> float:
    """Return the largest modulus of the companion matrix's eigenvalues.

    The process is stable where it is below 1. coefficient: float64[2, width, width], by lag.
    """
    width = coefficient.shape[1]
    companion = np.block(
        [[coefficient[0], coefficient[1]], [np.eye(width), np.zeros((width, width))]]
    )
    return float(np.abs(np.linalg.eigvals(companion)).max())


def _shared(edges: EdgeTable, vocabulary: Vocabulary) -> HypergraphStore:
    return HypergraphStore(
        edges=shareable(edges, PolicyPack()), measured=range(len(vocabulary)), vocabulary=vocabulary
    )


def ordered_regression(x: Floats, rng: np.random.Generator) -> EdgeTable:
    """Regress every variable on all its predecessors by least squares, and return the edges.

    The stability of an edge is the share of bootstraps in which BIC keeps the edge with its sign.
    x: float64[rows, variables].
    """
    rows, width = x.shape
    samples = [np.arange(rows, dtype=np.int64)] + [
        rng.integers(0, rows, rows) for _ in range(_BOOTSTRAPS)
    ]
    columns: dict[str, list[Floats]] = {
        name: [] for name in ("source", "target", "effect", "half", "confidence", "stability")
    }
    for j in range(1, width):
        fits = [_fit(x[s, :j], x[s, j]) for s in samples]
        effect, error = fits[0]
        in_resample = [
            (np.sign(e) == np.sign(effect)) & ((e / s) ** 2 > math.log(rows)) for e, s in fits[1:]
        ]
        free = rows - j - 1
        columns["source"].append(np.arange(j, dtype=np.float64))
        columns["target"].append(np.full(j, float(j)))
        columns["effect"].append(effect)
        columns["half"].append(Z95 * error)
        columns["confidence"].append(np.asarray(t_central(effect / error, free)))
        columns["stability"].append(np.mean(in_resample, axis=0))
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
    """Return (coefficients, standard errors) of y on x and an intercept, float64[columns] each."""
    x = x - x.mean(axis=0)
    y = y - y.mean()
    try:
        inverse = np.linalg.inv(x.T @ x)
    except np.linalg.LinAlgError:  # a resample of few rows that has too few different ones
        inverse = np.linalg.pinv(x.T @ x)
    effect = inverse @ (x.T @ y)
    residual = y - x @ effect
    variance = float(residual @ residual) / (len(y) - x.shape[1] - 1)
    return effect, np.sqrt(np.maximum(np.diagonal(inverse) * variance, 1e-300))
