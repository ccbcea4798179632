"""Play votes, sums of statistics and pooled rows on the same data, from 2 clients to 64.

1. The number of rows of all clients together stays: 1,280 of a VAR(1) of 6 variables, 2,560 of a
   linear SEM of 20 variables on an Erdos-Renyi graph with 20 edges expected.
2. `votes` is the default merge of what clients find by themselves (VarEngine; PC), cut at a |vote|
   of half, of a pair that of both directions together. `pooled effects` is the merge of the same
   tables with `cut = "fdr"`: edges whose pooled effect is not 0.
3. `sums` is the default merge of the clients' statistics, and `plain sum` that without trust and
   without the correction for short series. `centred rows` and `pooled rows` are the plan's engine
   on all rows in one place (`pooled_rows`). All are cut at half.
4. Liars have data of another world, which they share.
5. Seconds are of the processor: those of a client, and those of whoever merges.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable, statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.engines.causal_learn import PcEngine
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.evidence.linear_worlds import Edges, World, f1_of, sem_world, var_world
from hyperfed.simulator.evidence.pooled_rows import CUT, RESAMPLES, edges_of, found_in_rows
from hyperfed.statistics import statistics_of
from hyperfed.tables.tables import EdgeTable

__all__ = [
    "CLIENTS",
    "LIARS",
    "ROWS",
    "WAYS",
    "Played",
    "measure_sums",
    "play_sums",
    "ways_of",
]

CLIENTS = (2, 4, 8, 16, 32, 64)
"""How many clients share the rows."""
ROWS = {"var": 1280, "sem": 2560}
"""The rows of all clients together."""
WAYS = ("votes", "pooled effects", "sums", "plain sum", "centred rows", "pooled rows")
"""The ways of merging, in the order of the page."""
LIARS = (1, 2, 3, 4)
"""How many of ten clients lie, where some do."""
_BY_VOTES = WAYS[:2]
_BOOTSTRAPS = {"var": 50, "sem": 5}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Holds what one way of merging found, and what it took."""

    way: str
    """One of `WAYS`."""
    edges: Edges
    """What it found."""
    client_s: float
    """Processor time of a client, the mean over the clients, in seconds."""
    merge_s: float
    """Processor time of whoever merges, in seconds."""


def ways_of(
    world: World, data: Sequence[Floats], rng: np.random.Generator, *, ways: Sequence[str] = WAYS
) -> Iterator[Played]:
    """Yield what each way of merging finds in some clients' rows, in the order of `WAYS`."""
    if any(way in ways for way in _BY_VOTES):
        began = time.process_time()
        tables = [_own(world, one, rng) for one in data]
        client_s = (time.process_time() - began) / len(data)
        for way in _BY_VOTES:
            if way in ways:
                began = time.process_time()
                edges = _merged(world, tables, cut="fdr" if way == "pooled effects" else "vote")
                merge_s = time.process_time() - began
                yield Played(way=way, edges=edges, client_s=client_s, merge_s=merge_s)
    for way, options in (
        ("sums", {}),
        ("plain sum", {"strategy": "mean", "short_bias": "kept"}),
    ):
        if way in ways:
            yield _summed(world, data, way=way, **options)
    for way in ("centred rows", "pooled rows"):
        if way in ways:
            began = time.process_time()
            edges = found_in_rows(world, data, centred=way == "centred rows")
            merge_s = time.process_time() - began
            yield Played(way=way, edges=edges, client_s=0.0, merge_s=merge_s)


def _own(world: World, data: Floats, rng: np.random.Generator) -> EdgeTable:
    """Return all that the engine finds in one client's rows."""
    count, seed = _BOOTSTRAPS[world.kind], int(rng.integers(1 << 31))
    engine: Any
    if world.kind == "var":
        engine = VarEngine(data, world.names, lags=world.lags, n_bootstrap=count, rng=seed)
    else:
        engine = PcEngine(data, world.names, n_bootstrap=count, rng=seed, processes=0)
    table: EdgeTable = engine.discover().to_edges(world.vocabulary)[1]
    return table


def _least(world: World) -> float:
    """Return the vote_min of a merge: an edge of a SEM has votes in both directions."""
    return CUT if world.kind == "var" else 0.02


def _merged(world: World, tables: Sequence[EdgeTable], *, cut: str) -> Edges:
    """Return the edges of the merge of what clients found."""
    policy = PolicyPack(lags=world.lags)
    graphs = [
        HypergraphStore(
            edges=shareable(table, policy),
            measured=range(len(world.names)),
            vocabulary=world.vocabulary,
            lags=world.lags,
        )
        for table in tables
    ]
    if cut == "fdr":
        merged = StoreReconciler(cut="fdr", fdr_max=policy.fdr_max).reconcile(graphs)
        return edges_of(world, merged.edges, np.ones(len(merged.edges)))
    merged = StoreReconciler(vote_min=_least(world)).reconcile(graphs)
    return edges_of(world, merged.edges, _vote(merged))


def _vote(merged: Any) -> Floats:
    vote = np.zeros(0) if merged.evidence is None else merged.evidence.edges.vote
    return np.asarray(vote, dtype=np.float64)


def _summed(
    world: World,
    data: Sequence[Floats],
    *,
    way: str,
    strategy: str = "consensus",
    short_bias: str = "removed",
) -> Played:
    """Play a round of statistics, by the library's own coordinator."""
    policy = PolicyPack(
        payload="statistics",
        lags=world.lags,
        strategy=strategy,
        vote_min=_least(world),
        statistics=SumsPolicy(
            engine="var" if world.kind == "var" else "pc",
            resamples=RESAMPLES,
            short_bias=short_bias,
        ),
    )
    coordinator = FederationCoordinator(policy=policy, vocabulary=world.vocabulary)
    began = time.process_time()
    updates = [
        statistics_update(
            statistics_of(one, names=world.names, vocabulary=world.vocabulary, lags=world.lags)
        )
        for one in data
    ]
    client_s = (time.process_time() - began) / len(data)
    began = time.process_time()
    for client, update in enumerate(updates):
        coordinator.handle_update(f"site-{client:03d}", update)
    model = coordinator.aggregate()
    merge_s = time.process_time() - began
    edges = edges_of(world, model.edges, _vote(model))
    return Played(way=way, edges=edges, client_s=client_s, merge_s=merge_s)


def play_sums(
    kind: str, clients: int, seed: int, *, liars: int = 0, ways: Sequence[str] = WAYS
) -> Iterator[tuple[Played, float]]:
    """Yield (what a way of merging found, its F1) of one federation."""
    rng = np.random.default_rng([seed, clients])
    world = var_world(rng) if kind == "var" else sem_world(rng)
    rows = ROWS[kind] // clients
    other = world
    if liars:
        other = var_world(rng) if kind == "var" else sem_world(rng)
    data = [(other if client < liars else world).sample(rows, rng) for client in range(clients)]
    for played in ways_of(world, data, rng, ways=ways):
        yield played, f1_of(played.edges, world.edges)


def measure_sums(
    seeds: Mapping[str, Sequence[int]],
    *,
    with_votes: Mapping[str, int],
    progress: Callable[[str], None] = lambda said: None,
) -> list[dict[str, Any]]:
    """Play every federation, and return one cell for each way of merging, with an F1 a seed.

    with_votes: for each world, with how many of its seeds the clients search by themselves too.
    """
    cells = []
    games = [(kind, clients, 0) for kind in seeds for clients in CLIENTS]
    games += [(kind, 10, liars) for kind in seeds for liars in (0, *LIARS)]
    for kind, clients, liars in games:
        by_way: dict[str, dict[str, list[float]]] = {}
        for at, seed in enumerate(seeds[kind]):
            ways = WAYS if at < with_votes[kind] else WAYS[len(_BY_VOTES) :]
            for played, f1 in play_sums(kind, clients, seed, liars=liars, ways=ways):
                kept = by_way.setdefault(played.way, {"f1": [], "client_s": [], "merge_s": []})
                kept["f1"].append(round(f1, 4))
                kept["client_s"].append(played.client_s)
                kept["merge_s"].append(played.merge_s)
        about = {"world": kind, "clients": clients, "liars": liars}
        for way, kept in by_way.items():
            # the least: whatever else the machine does can only add to it
            took = {name: round(min(kept[name]), 4) for name in ("client_s", "merge_s")}
            cells.append(about | {"way": way, "f1": kept["f1"]} | took)
        said = {way: round(float(np.mean(kept["f1"])), 3) for way, kept in by_way.items()}
        progress(f"{kind}: {clients} clients, {liars} lie: {said}")
    return cells
