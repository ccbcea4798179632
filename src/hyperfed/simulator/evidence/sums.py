"""Play votes, sums of statistics and pooled rows on the same data, from 2 clients to 64.

1. The number of rows of all clients together stays: 1,280 of a VAR(1) of 6 variables, 2,560 of a
   linear SEM of 20 variables on an Erdos-Renyi graph with 20 edges expected.
2. `votes` is the default merge of what clients find by themselves (VarEngine; PC), `sums` the
   default merge of their statistics, `pooled rows` the same engine on all centred rows in one
   place. All are cut at half: a |vote| of .5, of a pair that of both directions together.
3. F1 is that of signed edges with their lags (VAR), and of pairs with an edge (SEM): where a
   direction cannot be known, no way of merging finds it.
4. Liars have data of another world, which they share; `plain sum` is the sum without trust.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable, statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.engines.causal_learn import PcEngine
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.evidence import StoreEvidence
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.evidence.truths import PooledVar
from hyperfed.simulator.worlds import radius
from hyperfed.statistics import statistics_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "CLIENTS",
    "LIARS",
    "ROWS",
    "WAYS",
    "World",
    "edges_of",
    "f1_of",
    "measure_sums",
    "play_sums",
    "sem_world",
    "var_world",
    "ways_of",
]

CLIENTS = (2, 4, 8, 16, 32, 64)
"""How many clients share the rows."""
ROWS = {"var": 1280, "sem": 2560}
"""The rows of all clients together."""
WAYS = ("votes", "sums", "pooled rows")
"""The ways of merging, in the order of the page."""
LIARS = 3
"""How many of ten clients lie, where some do."""
_CUT = 0.5
_BOOTSTRAPS = {"var": 50, "sem": 5}
_RESAMPLES = 5

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


def edges_of(world: World, table: EdgeTable, votes: Floats) -> Edges:
    """Return a table's edges as what F1 compares: of the SEM, pairs by both directions' votes."""
    rows = zip(
        table.source.tolist(), table.target.tolist(), table.lag.tolist(), table.effect.tolist(),
        strict=True,
    )  # fmt: skip
    if world.kind == "var":
        return {(s, t, lag, int(np.sign(effect))) for s, t, lag, effect in rows}
    strength: dict[tuple[int, int, int, int], float] = {}
    for (s, t, _, _), vote in zip(rows, np.abs(votes).tolist(), strict=True):
        pair = (min(s, t), max(s, t), 0, 1)
        strength[pair] = strength.get(pair, 0.0) + vote
    return {pair for pair, vote in strength.items() if vote >= _CUT}


def f1_of(found: Edges, true: Edges) -> float:
    """Return the F1 of some edges."""
    return 2 * len(found & true) / max(1, len(found) + len(true))


def _own(world: World, data: Sequence[Floats], rng: np.random.Generator) -> EdgeTable:
    """Return all that the engine finds in some clients' rows together."""
    count, seed = _BOOTSTRAPS[world.kind], int(rng.integers(1 << 31))
    if world.kind == "var":
        engine: Any = PooledVar(
            list(data), world.names, lags=world.lags, n_bootstrap=count, rng=rng
        )
        if len(data) == 1:
            engine = VarEngine(data[0], world.names, lags=world.lags, n_bootstrap=count, rng=seed)
    else:
        rows = np.concatenate([one - one.mean(axis=0) for one in data])
        engine = PcEngine(rows, world.names, n_bootstrap=count, rng=seed, processes=0)
    table: EdgeTable = engine.discover().to_edges(world.vocabulary)[1]
    return table


def _least(world: World) -> float:
    """Return the vote_min of a merge: an edge of a SEM has votes in both directions."""
    return _CUT if world.kind == "var" else 0.02


def _vote(evidence: StoreEvidence | None) -> Floats:
    return np.zeros(0) if evidence is None else evidence.edges.vote


def ways_of(
    world: World, data: Sequence[Floats], rng: np.random.Generator
) -> Iterator[tuple[str, Edges]]:
    """Yield (way of merging, the edges it finds) of some clients' rows, in the order of `WAYS`."""
    yield "votes", _votes(world, data, rng)
    yield "sums", _sums(world, data)
    yield "pooled rows", _pooled(world, data, rng)


def _votes(world: World, data: Sequence[Floats], rng: np.random.Generator) -> Edges:
    policy = PolicyPack(lags=world.lags)
    graphs = [
        HypergraphStore(
            edges=shareable(_own(world, [one], rng), policy),
            measured=range(len(world.names)),
            vocabulary=world.vocabulary,
            lags=world.lags,
        )
        for one in data
    ]
    merged = StoreReconciler(vote_min=_least(world)).reconcile(graphs)
    return edges_of(world, merged.edges, _vote(merged.evidence))


def _sums(world: World, data: Sequence[Floats], *, strategy: str = "consensus") -> Edges:
    engine = "var" if world.kind == "var" else "pc"
    policy = PolicyPack(
        payload="statistics",
        lags=world.lags,
        strategy=strategy,
        vote_min=_least(world),
        statistics=SumsPolicy(engine=engine, resamples=_RESAMPLES),
    )
    coordinator = FederationCoordinator(policy=policy, vocabulary=world.vocabulary)
    for client, one in enumerate(data):
        moments = statistics_of(
            one, names=world.names, vocabulary=world.vocabulary, lags=world.lags
        )
        coordinator.handle_update(f"site-{client:03d}", statistics_update(moments))
    model = coordinator.aggregate()
    return edges_of(world, model.edges, _vote(model.evidence))


def _pooled(world: World, data: Sequence[Floats], rng: np.random.Generator) -> Edges:
    table = _own(world, data, rng)
    if world.kind == "var":
        table = table.take(table.stability > _CUT)
    return edges_of(world, table, table.vote.astype(np.float64))


def play_sums(kind: str, clients: int, seed: int, *, liars: int = 0) -> Iterator[tuple[str, float]]:
    """Yield (way of merging, F1) of one federation; with liars the plain sum is one more."""
    rng = np.random.default_rng([seed, clients])
    world = var_world(rng) if kind == "var" else sem_world(rng)
    rows = ROWS[kind] // clients
    other = world
    if liars:
        other = var_world(rng) if kind == "var" else sem_world(rng)
    data = [(other if client < liars else world).sample(rows, rng) for client in range(clients)]
    for way, edges in ways_of(world, data, rng):
        yield way, f1_of(edges, world.edges)
    if liars:
        plain = _sums(world, data, strategy="mean")
        yield "plain sum", f1_of(plain, world.edges)


def measure_sums(
    seeds: Mapping[str, Sequence[int]], *, progress: Callable[[str], None] = lambda said: None
) -> list[dict[str, Any]]:
    """Play every federation, and return one cell for each way of merging, with an F1 a seed."""
    cells = []
    games = [(kind, clients, 0) for kind in seeds for clients in CLIENTS]
    games += [(kind, 10, LIARS) for kind in seeds]
    for kind, clients, liars in games:
        scores: dict[str, list[float]] = {}
        for seed in seeds[kind]:
            for way, f1 in play_sums(kind, clients, seed, liars=liars):
                scores.setdefault(way, []).append(round(f1, 4))
        about = {"world": kind, "clients": clients, "liars": liars}
        cells += [about | {"way": way, "f1": f1} for way, f1 in scores.items()]
        progress(f"{kind}: {clients} clients, {liars} lie: {scores}")
    return cells
