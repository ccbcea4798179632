"""Play the evidence's federations, and keep their scores as plain numbers.

1. A cell is a world, a number of clients, their rows, a share of liars and a way of merging; it has
   one F1 and one SHD for each seed (`simulator.score`). `client alone` is the mean over the honest
   clients' own graphs.
2. All ways of merging of one seed see the same clients. With liars, the first clients lie: what
   they send is the sign flip of what a client of theirs would find, sure of everything.
3. `lags` is a study of its own: it shows what is lost where each client chooses its order by BIC,
   compared with the plan's lags. Silence at a lag that nobody looked at is played as a vote of 0
   and as no vote.
4. The page's seeds are `SEEDS`. Nothing is tuned on them: try on others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperfed.client_agent import shareable
from hyperfed.engines.var import VarEngine
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.privacy.slots import slot_count
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.attackers import build_attack
from hyperfed.simulator.evidence.strategies import STRATEGIES, Sent, own_graph
from hyperfed.simulator.evidence.truths import BOOTSTRAPS, Truth, draw_truth
from hyperfed.simulator.score import score
from hyperfed.simulator.worlds import World

__all__ = [
    "ALONE",
    "LIARS",
    "SEEDS",
    "SETTINGS",
    "TOTALS",
    "Setting",
    "measure",
    "play",
    "play_lags",
    "world_of",
]

SEEDS = tuple(range(1000, 1010))
LIARS = (0.0, 0.2, 0.3)
ALONE = "client alone"
TOTALS = {"var": 2560, "sem": 3840}
"""Rows of all clients together where their number is what changes."""
_CLIENTS = (2, 4, 8, 16, 32, 64)
_LAG_ROWS = (40, 60, 100)
_LAG_WAYS = ("BIC, silence is a vote of 0", "BIC, not looking is no vote", "the plan's lags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Describes a federation to play."""

    kind: str
    """The world: one of `truths.KINDS`."""
    clients: int
    """How many clients there are."""
    rows: int
    """How many rows of data each client has."""
    liars: float = 0.0
    """The share of clients that lie."""


SETTINGS = (
    *(
        Setting(kind=kind, clients=10, rows=rows, liars=liars)
        for kind, rows in (("var", 100), ("var", 40), ("sem", 150), ("sem", 60))
        for liars in LIARS
    ),
    *(
        Setting(kind=kind, clients=clients, rows=total // clients)
        for kind, total in TOTALS.items()
        for clients in _CLIENTS
    ),
)
"""All federations of the page."""


def measure(
    settings: Sequence[Setting] = SETTINGS,
    *,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str], None] = lambda said: None,
) -> dict[str, Any]:
    """Play every setting with every seed, and return the numbers that the page is made of."""
    cells = []
    for setting in settings:
        scores: dict[str, dict[str, list[float]]] = {}
        for seed in seeds:
            for name, f1, shd in play(setting, seed):
                scores_of_name = scores.setdefault(name, {"f1": [], "shd": []})
                scores_of_name["f1"].append(round(f1, 4))
                scores_of_name["shd"].append(round(shd, 4))
        about = {
            "world": setting.kind,
            "clients": setting.clients,
            "rows": setting.rows,
            "liars": setting.liars,
        }
        cells += [
            about | {"strategy": name} | scores_of_name for name, scores_of_name in scores.items()
        ]
        progress(
            f"{setting.kind}: {setting.clients} clients of {setting.rows} rows, "
            f"{setting.liars:.0%} lie"
        )
    lags = []
    for rows in _LAG_ROWS:
        played = [play_lags(rows, seed) for seed in seeds]
        lags += [
            {"rows": rows, "way": way, "f1": [round(one[way], 4) for one in played]}
            for way in _LAG_WAYS
        ]
        progress(f"lags: 10 clients of {rows} rows")
    return {"seeds": list(seeds), "bootstraps": BOOTSTRAPS, "cells": cells, "lags": lags}


def play(setting: Setting, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield (way of merging, F1, SHD) of one federation; a client alone comes first."""
    rng = np.random.default_rng([seed, setting.clients, setting.rows])
    truth = draw_truth(setting.kind, rng)
    policy = PolicyPack(lags=truth.lags)
    liars = round(setting.liars * setting.clients)
    data = [
        truth.sample(setting.rows, -1.0 if client < liars else 1.0, rng)
        for client in range(setting.clients)
    ]
    whole = [truth.graph(truth.discover([client_data], rng)) for client_data in data]
    shared = [truth.graph(shareable(graph.edges, policy)) for graph in whole]
    lies = build_attack("sign-flip").graphs(shared[liars:], shared[:liars], rng)
    sent = Sent(
        shared=[*lies, *shared[liars:]],
        whole=[*lies, *whole[liars:]],
        pooled=truth.graph(truth.discover(data, rng)),
        possible=slot_count(len(truth.vocabulary), truth.lags),
    )
    world = world_of(truth)
    alone = [score(own_graph(graph), world) for graph in shared[liars:]]
    yield (
        ALONE,
        float(np.mean([one.f1 for one in alone])),
        float(np.mean([one.shd for one in alone])),
    )
    for name, merge in STRATEGIES.items():
        scored = score(merge(sent), world)
        yield name, scored.f1, float(scored.shd)


def play_lags(rows: int, seed: int, *, clients: int = 10) -> dict[str, float]:
    """Return the F1 of consensus by how the lags are chosen."""
    rng = np.random.default_rng([seed, clients, rows])
    truth = draw_truth("var", rng)
    data = [truth.sample(rows, 1.0, rng) for _ in range(clients)]
    seeds = rng.integers(0, 1 << 32, clients)
    names, vocabulary = truth.vocabulary.names, truth.vocabulary
    graphs: dict[str, list[HypergraphStore]] = {way: [] for way in _LAG_WAYS}
    for own, draw in zip(data, seeds.tolist(), strict=True):
        for way in _LAG_WAYS[1:]:
            chosen = {"max_lag": 2} if way == _LAG_WAYS[1] else {"lags": truth.lags}
            discovery = VarEngine(own, names, n_bootstrap=BOOTSTRAPS, rng=draw, **chosen).discover()
            edges = shareable(discovery.to_edges(vocabulary)[1], PolicyPack(lags=truth.lags))
            everything = range(len(vocabulary))
            graphs[way].append(
                HypergraphStore(edges=edges, measured=everything, lags=discovery.lags)
            )
            if way == _LAG_WAYS[1]:
                graphs[_LAG_WAYS[0]].append(HypergraphStore(edges=edges, measured=everything))
    world = world_of(truth)
    return {way: score(StoreReconciler().reconcile(own), world).f1 for way, own in graphs.items()}


def world_of(truth: Truth) -> World:
    """Return a truth as what `score` measures against."""
    return World(
        name="evidence",
        vocabulary=truth.vocabulary,
        graphs={},
        keys=truth.keys,
        effects=truth.effects,
    )
