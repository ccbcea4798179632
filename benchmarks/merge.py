"""Merging N clients of E edges beside `np.sort` of the same keys, polars, DuckDB and pyarrow, in
one run.

Steps (weighted mean, median, median with trimmed mean, random-effects pooling, intersection) are
what the reconciler is built of: `cuts`, `bincount`, `merge.order`, `merge.pooling`. Strategies are
the whole `StoreReconciler.merge`: votes, eligible voters, trust, pooling, evidence, by numpy and,
called "compiled", with the loop of `hyperfed.kernels`. Alternatives group the same rows by the same
uint64 keys, on two threads as ours do. Memory is what a merge takes beside its graphs and the
result, growth what twice the rows take.
"""

import os
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import numpy as np
from measure import best_of

from hyperfed import kernels
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge import common, pool_effects
from hyperfed.merge.order import Ordered
from hyperfed.merge.segments import cuts, number, over, rows_between
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable

VARIABLES = 1000


def clients(
    count: int, edges: int, *, distinct: int, seed: int = 0, interval: bool = True
) -> list[EdgeTable]:
    """`count` tables of `edges` edges out of `distinct`."""
    rng = np.random.default_rng(seed)
    pool = np.sort(rng.choice(VARIABLES * VARIABLES, distinct, replace=False))
    truth = rng.normal(0, 0.4, distinct)
    tables = []
    for _ in range(count):
        found = np.sort(rng.choice(distinct, edges, replace=False))
        key, effect, reach = (
            pool[found],
            truth[found] + rng.normal(0, 0.05, edges),
            0.05 + 0.05 * rng.random(edges),
        )
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


class Part:
    """One key range of all clients' rows: `keys`, and the place of each row's key in `segment`."""

    def __init__(self, keys: list[Any], low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high = low, high
        self.keys, self.segment = number(rows_between(keys, low, high))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Each client's value, repeated for its rows."""
        return np.repeat(values, self.high - self.low)

    def gather(self, columns: list[Any]) -> np.ndarray:
        """The rows of one column of each client."""
        return rows_between(columns, self.low, self.high)


def over_parts(work: Any, keys: list[Any]) -> list[Any]:
    return list(over(lambda ends: work(Part(keys, *ends)), cuts(keys)))


def weighted_mean(keys: list[Any], values: list[Any], weights: np.ndarray) -> np.ndarray:
    def mean(part: Any) -> np.ndarray:
        weight, size = part.spread(weights), len(part.keys)
        return np.bincount(part.segment, part.gather(values) * weight, size) / np.bincount(
            part.segment, weight, size
        )

    return np.concatenate(over_parts(mean, keys))


def medians_of(
    keys: list[Any], values: list[Any], *, trimmed: bool = False
) -> list[tuple[np.ndarray, ...]]:
    def statistics(part: Any) -> tuple[np.ndarray, ...]:
        rows = Ordered(part.segment, len(part.keys), part.gather(values).astype(np.float64))
        return (rows.median(), rows.trimmed(2)) if trimmed else (rows.median(),)

    return over_parts(statistics, keys)


def pooled(tables: list[EdgeTable], keys: list[Any], weights: np.ndarray) -> list[Any]:
    low, high, effects = (
        [getattr(t, name) for t in tables] for name in ("ci_low", "ci_high", "effect")
    )

    def pool(part: Any) -> Any:
        effect, width = (
            part.gather(effects).astype(np.float64),
            part.gather(high).astype(np.float64) - part.gather(low),
        )
        return pool_effects(
            part.segment.astype(np.intp),
            len(part.keys),
            effect=effect,
            vote=effect,
            weight=part.spread(weights),
            width=width,
        )

    return over_parts(pool, keys)


@contextmanager
def one_thread() -> Iterator[None]:
    """Key ranges are worked on one after the other."""
    defaults = over.__kwdefaults__
    assert defaults is not None
    before, defaults["threads"] = defaults["threads"], 1
    try:
        yield
    finally:
        defaults["threads"] = before


def both(candidates: dict[str, Any]) -> dict[str, Any]:
    """Each candidate by numpy, and, "compiled", by machine code where numba is there."""

    def numpy_only(work: Any) -> Any:
        with kernels.by_numpy():
            return work()

    chosen = {name: (lambda work=work: numpy_only(work)) for name, work in candidates.items()}
    kernels.prepare(kernels.ROWS)
    if kernels.machine_code() is not None:
        chosen |= {f"{name}, compiled": work for name, work in candidates.items()}
    return chosen


def _alternatives(keys: np.ndarray, values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    import duckdb
    import polars as pl
    import pyarrow as pa

    frame = pl.DataFrame({"key": keys, "value": values, "weight": weights})
    arrow = pa.table({"key": keys, "value": values, "weight": weights, "product": values * weights})
    tenth = arrow.slice(0, len(keys) // 10)  # of all of them it takes minutes
    connection = duckdb.connect(config={"threads": 2})
    connection.register("edges", arrow)
    mean = (pl.col("value") * pl.col("weight")).sum() / pl.col("weight").sum()
    return {
        "polars: weighted mean": lambda: frame.group_by("key").agg(mean),
        "DuckDB: weighted mean": lambda: connection.execute(
            "SELECT key, sum(value * weight) / sum(weight) FROM edges GROUP BY key"
        ).fetchnumpy(),
        "pyarrow: weighted mean of a tenth of the rows": lambda: tenth.group_by("key").aggregate(
            [("product", "sum"), ("weight", "sum")]
        ),
        "polars: median": lambda: frame.group_by("key").agg(pl.col("value").median()),
        "DuckDB: median": lambda: connection.execute(
            "SELECT key, median(value) FROM edges GROUP BY key"
        ).fetchnumpy(),
    }


def steps(tables: list[EdgeTable]) -> dict[str, Any]:
    """Ours, and the sort that bounds them."""
    keys, values = [t.keys for t in tables], [t.effect for t in tables]
    flat, weights = np.concatenate(keys), np.linspace(0.5, 1.0, len(tables))
    ours = {
        "weighted mean": lambda: weighted_mean(keys, values, weights),
        "median": lambda: medians_of(keys, values),
        "median and trimmed mean": lambda: medians_of(keys, values, trimmed=True),
        "random-effects pooling": lambda: pooled(tables, keys, weights),
    }
    return {"limit: np.sort": lambda: np.sort(flat)} | ours | {"intersection": lambda: common(keys)}


def run(*, quick: bool) -> dict[str, Any]:
    count, edges, distinct = (100, 10_000, 100_000) if quick else (100, 100_000, 1_000_000)
    tables = clients(count, edges, distinct=distinct)
    keys, values = [t.keys for t in tables], [t.effect for t in tables]
    weights = np.linspace(0.5, 1.0, count)
    flat, flat_values, flat_weights = (
        np.concatenate(keys),
        np.concatenate(values).astype(np.float64),
        np.repeat(weights, edges),
    )
    shuffled = np.random.default_rng(1).permutation(flat)
    candidates = (
        steps(tables)
        | {"limit: np.sort, shuffled": lambda: np.sort(shuffled)}
        | _alternatives(flat, flat_values, flat_weights)
    )
    seconds = best_of(candidates, repeats=3)
    cpu_seconds = best_of(steps(tables), repeats=2, clock=time.process_time)
    graphs = [HypergraphStore(edges=t, measured=np.arange(VARIABLES)) for t in tables]
    names = {f"strategy {s}": s for s in ("mean", "intersection", "consensus")}
    names["strategy union (everything pooled)"] = "union"
    strategies = {
        name: partial(StoreReconciler(strategy=s).merge, graphs) for name, s in names.items()
    }
    seconds |= best_of(both(strategies), repeats=2)
    cpu_seconds |= best_of(
        both({"strategy consensus": strategies["strategy consensus"]}),
        repeats=2,
        clock=time.process_time,
    )

    def on_one() -> Any:
        with one_thread():
            return StoreReconciler().merge(graphs)

    threads = best_of({"1": on_one, "2": lambda: StoreReconciler().merge(graphs)}, repeats=3)
    with kernels.by_numpy():
        extra = {
            str(rows): extra_bytes(graphs[: rows // edges])
            for rows in (count * edges // 4, count * edges // 2, count * edges)
        }
    return {
        "clients": count,
        "edges": edges,
        "rows": count * edges,
        "distinct": distinct,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "extra_bytes": extra,  # of numpy: tracemalloc does not see what machine code allocates
        "threads": threads,
        "growth": growth(graphs),
    }


def extra_bytes(graphs: list[HypergraphStore]) -> dict[str, int]:
    """By strategy: the peak of a merge beside its graphs, less what the result itself takes."""
    taken = {}
    for strategy in ("mean", "consensus"):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept = StoreReconciler(strategy=strategy).merge(graphs)
        left, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        taken[strategy] = peak - left
        assert left - before > 0
        assert len(kept.clients) == len(graphs)
    return taken


def growth(graphs: list[HypergraphStore]) -> list[dict[str, float]]:
    """CPU seconds of a consensus of about an eighth of the clients, and of twice, four and eight
    times as many.
    """
    sizes = [times * (len(graphs) // 8) for times in (1, 2, 4, 8)]
    seconds = best_of(
        {str(n): partial(StoreReconciler().merge, graphs[:n]) for n in sizes},
        repeats=9,
        clock=time.process_time,
    )
    return [{"rows": n * len(graphs[0].edges), "seconds": seconds[str(n)]} for n in sizes]


def show(result: dict[str, Any]) -> str:
    limit, shuffled = (
        result["seconds"]["limit: np.sort"],
        result["seconds"]["limit: np.sort, shuffled"],
    )
    lines = [
        f"{result['clients']} clients x {result['edges']:,} edges, {result['distinct']:,} keys",
        "",
    ]
    lines += ["| | seconds | x np.sort as they come | x np.sort shuffled |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {s:.2f} | {s / limit:.2f} | {s / shuffled:.2f} |"
        for name, s in result["seconds"].items()
    ]
    cpu = result["cpu_seconds"]
    lines.append(
        "\nin CPU seconds, x np.sort: "
        + ", ".join(f"{name} {s / cpu['limit: np.sort']:.2f}" for name, s in cpu.items())
    )
    for rows, taken in result["extra_bytes"].items():
        each = ", ".join(f"{strategy} {bytes_ / 1e6:.0f} MB" for strategy, bytes_ in taken.items())
        lines.append(f"\nbeside graphs and result, {int(rows):,} rows: {each}")
    steps = [b["seconds"] / a["seconds"] for a, b in pairwise(result["growth"])]
    lines.append(
        "\ntwice the rows take, in CPU seconds, "
        + ", ".join(f"{step:.2f}" for step in steps)
        + " times as long"
    )
    lines.append(f"\none thread {result['threads']['1']:.2f} s, two {result['threads']['2']:.2f} s")
    return "\n".join(lines)
