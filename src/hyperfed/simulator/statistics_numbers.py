"""Simulate what docs/statistics.md says of published numbers, and keep it as plain numbers.

1. A number with its standard error is [number, error]. That of a median is half the distance of the
   order statistics sqrt(n) / 2 to either side, which assumes no distribution.
2. Each part has a seed of its own, so a part may be played alone: `PARTS`.
3. `share` plays a share of the replicates, to see that it works; its numbers are no evidence.

`statistics_page` makes the page of these numbers, and plays nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec import PayloadCodec
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Update
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.standing_worlds import standing_worlds
from hyperfed.simulator.statistics import (
    Coverage,
    Standing,
    client_graph,
    coverage,
    error_rates,
    sparse_coefficients,
    standing,
)

__all__ = ["PARTS"]

_SEED = 17
_ROWS, _TAU2 = 300, 0.01
_CLIENTS = 10
_OTHER_CLIENTS = (2, 3, 5, 20, 48)
_NOISE_CLIENTS = (2, 5, 10, 30)
_SYSTEM_CLIENTS = (5, 10, 30)
_SMALL_ROWS, _SMALL_TAU2, _VARIABLES = 40, 0.0025, 6
_ROUNDS = 30
_CUTS = ("vote", "fdr")
_WIDTHS, _LONG, _RESAMPLES = (20, 50, 200), 2000, 100

Numbers = dict[str, Any]


def _times(replicates: int, share: float) -> int:
    return max(5, round(replicates * share))


def _mean(values: npt.ArrayLike) -> list[float]:
    """Return a mean and its standard error; nothing where there are no values."""
    column = np.asarray(values, dtype=np.float64)
    if len(column) < 2:
        return []
    return _rounded(column.mean(), column.std(ddof=1) / np.sqrt(len(column)))


def _median(values: npt.ArrayLike) -> list[float]:
    """Return a median and its standard error (rule 1)."""
    column = np.sort(np.asarray(values, dtype=np.float64))
    middle, step = len(column) / 2, np.sqrt(len(column)) / 2
    low, high = column[[max(0, int(middle - step)), min(len(column) - 1, int(middle + step))]]
    return _rounded(np.median(column), (high - low) / 2)


def _rounded(number: float, error: float) -> list[float]:
    return [float(f"{number:.5g}"), float(f"{error:.3g}")]


def _covered(one: Coverage) -> Numbers:
    """Return the figures of some intervals."""
    inside, kept, error = (np.array(column) for column in (one.inside, one.kept, one.error))
    spread = error.std(ddof=1)
    stated = np.sqrt(np.mean(np.square(one.std_error)))
    return {
        "estimates": len(inside),
        "interval": _mean(inside),
        "prediction": _mean(one.predicted),
        # the standard error of a standard deviation is about 1 / sqrt(2 n) of it
        "stated": _rounded(stated / spread, stated / spread / np.sqrt(2 * len(error))),
        "bias": _mean(error),
        "tau2_mean": _mean(one.tau2),
        "tau2_median": _median(one.tau2),
        "i2_mean": _mean(one.i2),
        "i2_median": _median(one.i2),
        "share": _mean(one.share),
        "kept": _mean(kept),
        "interval_kept": _mean(inside[kept]),
        "bias_kept": _mean(error[kept]),
    }


def _coverage(share: float) -> Numbers:
    """Play ten clients, and keep the figures of each true effect."""
    replicates = _times(2000, share)
    found = coverage(
        np.random.default_rng(_SEED),
        replicates=replicates,
        clients=_CLIENTS,
        rows=_ROWS,
        tau2=_TAU2,
    )
    return {
        "replicates": replicates,
        "clients": _CLIENTS,
        "rows": _ROWS,
        "tau2": _TAU2,
        "effects": [{"effect": effect} | _covered(one) for effect, one in found.items()],
    }


def _clients(share: float) -> Numbers:
    """Play other numbers of clients, and keep the figures of all effects together."""
    replicates, rng = _times(150, share), np.random.default_rng(_SEED + 3)
    rows = []
    for clients in _OTHER_CLIENTS:
        found = coverage(rng, replicates=replicates, clients=clients, rows=_ROWS, tau2=_TAU2)
        rows.append({"clients": clients} | _covered(_together(found.values())))
    return {"replicates": replicates, "rows": rows}


def _together(parts: Iterable[Coverage]) -> Coverage:
    """Return the estimates of several effects as those of one."""
    whole = Coverage()
    for part in parts:
        for name in Coverage.__slots__:
            getattr(whole, name).extend(getattr(part, name))
    return whole


def _errors(
    coefficients: Callable[[], npt.NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    clients: int,
    replicates: int,
    tau2: float = 0.0,
) -> Numbers:
    """Return the error rates of each cut, one system and one outcome a replicate."""
    found = [
        error_rates(coefficients(), rng, clients=clients, rows=_SMALL_ROWS, replicates=1, tau2=tau2)
        for _ in range(replicates)
    ]
    names = ("false_edges", "any_false", "power", "false_share")
    return {
        cut: {name: _mean([getattr(one[cut], name) for one in found]) for name in names}
        for cut in _CUTS
    }


def _noise(share: float) -> Numbers:
    """Play noise alone."""
    replicates, rng = _times(1000, share), np.random.default_rng(_SEED + 1)
    none = np.zeros((_VARIABLES, _VARIABLES))
    rows = [
        {"clients": clients} | _errors(lambda: none, rng, clients=clients, replicates=replicates)
        for clients in _NOISE_CLIENTS
    ]
    return {"replicates": replicates, "rows": rows}


def _systems(share: float) -> Numbers:
    """Play sparse systems, a new one each time."""
    replicates, rng = _times(300, share), np.random.default_rng(_SEED + 4)
    rows = [
        {"clients": clients}
        | _errors(
            lambda: sparse_coefficients(rng, _VARIABLES),
            rng,
            clients=clients,
            replicates=replicates,
            tau2=_SMALL_TAU2,
        )
        for clients in _SYSTEM_CLIENTS
    ]
    return {"replicates": replicates, "rows": rows}


def _standing(share: float) -> Numbers:
    """Play thirty rounds of each world that once silenced or expelled honest clients."""
    seeds, rounds = max(2, round(5 * share)), max(5, round(_ROUNDS * share))
    rows: dict[str, list[Numbers]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng([_SEED + 2, seed])
        for world in standing_worlds(rng):
            liars = world.liars
            found = standing(world.night, rng, rounds=rounds, liars=liars, baskets=world.baskets)
            rows.setdefault(world.name, []).append(_stood(found, liars))
    return {
        "seeds": seeds,
        "rounds": rounds,
        "worlds": [{"world": name} | _over_seeds(parts) for name, parts in rows.items()],
    }


def _stood(found: Standing, liars: Sequence[str]) -> Numbers:
    """Return how the odd client, the honest one trusted least, and the liars stand."""
    honest = [client for client in found.trust if client not in liars]
    odd = [client for client in honest if client.startswith("odd")]
    return {
        "honest_expelled": len(found.expelled - set(liars)),
        "liars_expelled": len(found.expelled & set(liars)),
        "liars": len(liars),
        "odd_weight": min((found.weight[client] for client in odd), default=None),
        "odd_trust": min((found.trust[client] for client in odd), default=None),
        "honest_trust": min(found.trust[client] for client in honest),
        "liars_trust": max((found.trust[client] for client in liars), default=None),
    }


def _over_seeds(parts: Sequence[Mapping[str, Any]]) -> Numbers:
    """Return sums of clients, and means of the rest; nothing where a world has no such client."""
    counts = ("honest_expelled", "liars_expelled", "liars")
    return {
        name: sum(part[name] for part in parts)
        if name in counts
        else ([] if parts[0][name] is None else _mean([part[name] for part in parts]))
        for name in parts[0]
    }


def _sizes(share: float) -> Numbers:
    """Measure what every estimate costs, beside the votes alone: rows, bytes, a merge's seconds."""
    rng, codec, rows = np.random.default_rng(_SEED + 5), PayloadCodec(compression="zstd"), []
    resamples = _times(_RESAMPLES, share)
    for variables in _WIDTHS if share == 1.0 else _WIDTHS[:1]:
        coefficients = _parents(rng, variables)
        graphs = [
            client_graph(coefficients, _LONG, rng, bootstraps=resamples) for _ in range(_CLIENTS)
        ]
        sent = {"votes": [_voting(graph) for graph in graphs], "all": graphs}
        seconds = []
        for _ in range(3):
            begun = time.process_time()
            StoreReconciler().reconcile(graphs)
            seconds.append(time.process_time() - begun)
        rows.append(
            {
                "variables": variables,
                "rows": {name: _usual([len(g.edges) for g in part]) for name, part in sent.items()},
                "bytes": {
                    name: _usual([_bytes(codec, graph) for graph in part])
                    for name, part in sent.items()
                },
                "seconds": round(min(seconds), 4),
            }
        )
    return {"clients": _CLIENTS, "rows": _LONG, "resamples": resamples, "widths": rows}


def _usual(counts: Sequence[int]) -> int:
    return round(float(np.mean(counts)))


def _parents(rng: np.random.Generator, variables: int) -> npt.NDArray[np.float64]:
    """Return a stable system in which a variable has two parents, on average."""
    shape = (variables, variables)
    there, sign = rng.uniform(size=shape) < 2 / variables, rng.choice([-1.0, 1.0], shape)
    coefficients = np.where(there, sign * rng.uniform(0.25, 0.5, shape), 0.0)
    radius = np.abs(np.linalg.eigvals(coefficients)).max()
    return np.asarray(coefficients * min(1.0, 0.8 / radius) if radius else coefficients)


def _voting(graph: HypergraphStore) -> HypergraphStore:
    """Return a graph of the rows that vote, which is what a private round sends."""
    return replace(graph, edges=graph.edges.take(np.flatnonzero(graph.edges.confidence > 0)))


def _bytes(codec: PayloadCodec, graph: HypergraphStore) -> int:
    return len(codec.encode(Update(measured=graph.measured, edges=graph.edges)))


PARTS: dict[str, Callable[[float], Numbers]] = {
    "coverage": _coverage,
    "noise": _noise,
    "systems": _systems,
    "standing": _standing,
    "sizes": _sizes,
    "clients": _clients,
}
"""Each part of the numbers by its name, with what plays it."""
