"""Merging N clients of E edges beside `np.sort` of the same keys, polars, DuckDB and pyarrow, in one run.

Kernels (weighted mean, median, median with trimmed mean) are what the reconciler is built of: `split`, `bincount`, `merge.order`. Strategies are the
whole `StoreReconciler.merge`: votes, electorate, pooling, evidence. Alternatives group the same rows by the same uint64 keys, two threads.
"""

import os
import tracemalloc
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import numpy as np
from measure import medians

from hyperfed.hypergraph import HypergraphStore
from hyperfed.merge import split
from hyperfed.merge.order import Ordered
from hyperfed.reconciler import StoreReconciler
from hyperfed.tables import EdgeTable

VARIABLES = 1000


def clients(count: int, edges: int, *, distinct: int, seed: int = 0, interval: bool = True) -> list[EdgeTable]:
    """`count` tables of `edges` edges out of `distinct`."""
    rng = np.random.default_rng(seed)
    pool = np.sort(rng.choice(VARIABLES * VARIABLES, distinct, replace=False))
    truth = rng.normal(0, 0.4, distinct)
    tables = []
    for _ in range(count):
        found = np.sort(rng.choice(distinct, edges, replace=False))
        key, effect, reach = pool[found], truth[found] + rng.normal(0, 0.05, edges), 0.05 + 0.05 * rng.random(edges)
        tables.append(
            EdgeTable(
                source=(key // VARIABLES).astype(np.uint32),
                target=(key % VARIABLES).astype(np.uint32),
                lag=np.ones(edges, np.uint16),
                effect=effect.astype(np.float32),
                ci_low=(effect - reach).astype(np.float32) if interval else None,
                ci_high=(effect + reach).astype(np.float32) if interval else None,
                confidence=rng.beta(5, 1, edges).astype(np.float32),
                stability=rng.beta(4, 2, edges).astype(np.float32),
                hits=np.full(edges, 20, np.uint32),
                n=np.full(edges, 5000, np.uint64),
            )
        )
    return tables


def weighted_mean(keys: list[Any], values: list[Any], weights: np.ndarray) -> np.ndarray:
    out = []
    for part in split(keys):
        weight = part.spread(weights)
        size = len(part.keys)
        out.append(np.bincount(part.segment, part.gather(values) * weight, size) / np.bincount(part.segment, weight, size))
    return np.concatenate(out)


def medians_of(keys: list[Any], values: list[Any], *, trimmed: bool = False) -> tuple[np.ndarray, ...]:
    out: list[list[np.ndarray]] = [[], []]
    for part in split(keys):
        rows = Ordered(part.segment, len(part.keys), part.gather(values).astype(np.float64))
        out[0].append(rows.median())
        if trimmed:
            out[1].append(rows.trimmed(2))
    return tuple(np.concatenate(columns) for columns in out if columns)


def _alternatives(keys: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    import duckdb
    import polars as pl
    import pyarrow as pa

    frame = pl.DataFrame({"key": keys, "value": values, "weight": weights})
    arrow = pa.table({"key": keys, "value": values, "weight": weights, "product": values * weights})
    connection = duckdb.connect(config={"threads": 2})
    connection.register("edges", arrow)
    mean = (pl.col("value") * pl.col("weight")).sum() / pl.col("weight").sum()
    return {
        "polars: weighted mean": lambda: frame.group_by("key").agg(mean),
        "DuckDB: weighted mean": lambda: connection.execute("SELECT key, sum(value * weight) / sum(weight) FROM edges GROUP BY key").fetchnumpy(),
        "pyarrow: weighted mean": lambda: arrow.group_by("key").aggregate([("product", "sum"), ("weight", "sum")]),
        "polars: median": lambda: frame.group_by("key").agg(pl.col("value").median()),
        "DuckDB: median": lambda: connection.execute("SELECT key, median(value) FROM edges GROUP BY key").fetchnumpy(),
    }


def run(*, quick: bool) -> dict[str, Any]:
    count, edges, distinct = (100, 10_000, 100_000) if quick else (100, 100_000, 1_000_000)
    tables = clients(count, edges, distinct=distinct)
    keys, values = [t.keys for t in tables], [t.effect for t in tables]
    weights = np.linspace(0.5, 1.0, count)
    flat, flat_values, flat_weights = np.concatenate(keys), np.concatenate(values).astype(np.float64), np.repeat(weights, edges)
    shuffled = np.random.default_rng(1).permutation(flat)
    candidates: dict[str, Any] = {
        "limit: np.sort": lambda: np.sort(flat),
        "limit: np.sort, shuffled": lambda: np.sort(shuffled),
        "weighted mean": lambda: weighted_mean(keys, values, weights),
        "median": lambda: medians_of(keys, values),
        "median and trimmed mean": lambda: medians_of(keys, values, trimmed=True),
    } | _alternatives(flat, flat_values, flat_weights)
    seconds = medians(candidates, repeats=3)
    stores = [HypergraphStore(edges=t, measured=np.arange(VARIABLES)) for t in tables]
    strategies = {f"strategy {s}": (lambda s=s: StoreReconciler(strategy=s).merge(stores)) for s in ("mean", "intersection", "consensus")}
    strategies["strategy union (everything pooled)"] = lambda: StoreReconciler(strategy="union").merge(stores)
    seconds |= medians(strategies, repeats=2)
    peaks = {}
    for half in (count // 2, count):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        StoreReconciler(strategy="consensus").merge(stores[:half])
        peaks[half] = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    growth = medians({"half": lambda: StoreReconciler().merge(stores[: count // 2]), "whole": lambda: StoreReconciler().merge(stores)}, repeats=2)
    return {
        "clients": count,
        "edges": edges,
        "rows": count * edges,
        "distinct": distinct,
        "seconds": seconds,
        "consensus_peak_bytes": peaks,
        "growth_of_twice_the_clients": growth["whole"] / growth["half"],
    }


def show(result: dict[str, Any]) -> str:
    limit, shuffled = result["seconds"]["limit: np.sort"], result["seconds"]["limit: np.sort, shuffled"]
    lines = [f"{result['clients']} clients x {result['edges']:,} edges, {result['distinct']:,} keys", ""]
    lines += ["| | seconds | x np.sort as they come | x np.sort shuffled |", "|---|---|---|---|"]
    lines += [f"| {name} | {s:.2f} | {s / limit:.2f} | {s / shuffled:.2f} |" for name, s in result["seconds"].items()]
    peaks = ", ".join(f"{bytes_ / 1e6:.0f} MB at {n}" for n, bytes_ in result["consensus_peak_bytes"].items())
    lines += ["", f"consensus takes beside its stores: {peaks} clients; twice the clients take {result['growth_of_twice_the_clients']:.2f} times as long"]
    return "\n".join(lines)
