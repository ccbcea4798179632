"""The figures that the benchmarks are to reach, each beside what was measured in the newest
results.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["beside_targets"]

Results = dict[str, Any]


def _codec(results: Results, rows: int, codec: str, field: str) -> float:
    return next(
        float(e[field]) for e in results["codec"] if e["rows"] == rows and e["codec"] == codec
    )


def _better(seconds: dict[str, float], name: str) -> tuple[float, str]:
    """(the better of numpy and machine code, its name)."""
    return min(
        (seconds[of], by)
        for of, by in ((name, "numpy"), (f"{name}, compiled", "compiled"))
        if of in seconds
    )


def _ratio(name: str) -> Callable[[Results], tuple[float, str]]:
    def of(results: Results) -> tuple[float, str]:
        cpu = results["merge"]["cpu_seconds"]
        best, by = _better(cpu, name)
        return best / cpu["limit: np.sort"], by

    return of


def _faster(results: Results, ours: str, theirs: str) -> tuple[float, str]:
    best, by = _better(results["merge"]["seconds"], ours)
    return float(results["merge"]["seconds"][theirs]) / best, by


def _extra(results: Results, strategy: str) -> float:
    return max(float(taken[strategy]) for taken in results["merge"]["extra_bytes"].values()) / 1e6


def _night(results: Results, clients: int, edges: int, store: str, field: str) -> float:
    return next(
        float(n[field])
        for n in results["night"]
        if (n["clients"], n["edges"], n["store"]) == (clients, edges, store)
    )


def _requests(results: Results, names: tuple[str, ...]) -> float:
    """Requests of these kinds for each client of the night in memory."""
    night = next(
        n
        for n in results["night"]
        if (n["clients"], n["edges"], n["store"]) == (1000, 10_000, "memory")
    )
    return sum(
        float(s["requests"].get(name, 0)) for s in night["stages"] for name in names
    ) / float(night["clients"])


_BYTES = [(10_000, 21.0), (1_000_000, 18.7)]

# (what, part, "<=" or ">=", target, figure)
_TARGETS: list[tuple[str, str, str, float, Callable[[Results], float | tuple[float, str]]]] = [
    *(
        (
            f"bytes an edge, zstd, {rows:,} edges",
            "codec",
            "<=",
            most,
            lambda r, n=rows: _codec(r, n, "hyperfed, zstd", "bytes_an_edge"),
        )
        for rows, most in _BYTES
    ),
    *(
        (
            f"{way} with zstd, {rows:,} edges, MB/s",
            "codec",
            ">=",
            800.0,
            lambda r, n=rows, w=way: _codec(r, n, "hyperfed, zstd", f"{w}_mb_s"),
        )
        for rows, _ in _BYTES
        for way in ("encode", "decode")
    ),
    (
        "verification, x whole-message PyNaCl",
        "verification",
        ">=",
        3.5,
        lambda r: float(
            r["verification"]["hyperfed envelope"] / r["verification"]["PyNaCl, whole message"]
        ),
    ),
    ("weighted mean, x np.sort (CPU)", "merge", "<=", 2.6, _ratio("weighted mean")),
    ("median, x np.sort (CPU)", "merge", "<=", 1.3, _ratio("median")),
    (
        "median and trimmed mean, x np.sort (CPU)",
        "merge",
        "<=",
        1.7,
        _ratio("median and trimmed mean"),
    ),
    ("intersection, x np.sort (CPU)", "merge", "<=", 0.15, _ratio("intersection")),
    (
        "random-effects pooling, x np.sort (CPU)",
        "merge",
        "<=",
        5.0,
        _ratio("random-effects pooling"),
    ),
    (
        "weighted mean, x polars (1: as fast)",
        "merge",
        "<=",
        1.0,
        lambda r: (
            _better(r["merge"]["seconds"], "weighted mean")[0]
            / float(r["merge"]["seconds"]["polars: weighted mean"])
        ),
    ),
    (
        "median, times faster than polars",
        "merge",
        ">=",
        5.0,
        lambda r: _faster(r, "median", "polars: median"),
    ),
    (
        "median, times faster than DuckDB",
        "merge",
        ">=",
        5.0,
        lambda r: _faster(r, "median", "DuckDB: median"),
    ),
    (
        "mean of all rows: MB beside stores and result",
        "merge",
        "<=",
        100.0,
        lambda r: max(e["mean"] for e in r["merge"]["extra_bytes"].values()) / 1e6,
    ),
    (
        "consensus of all rows: MB beside stores and result",
        "merge",
        "<=",
        100.0,
        lambda r: max(e["consensus"] for e in r["merge"]["extra_bytes"].values()) / 1e6,
    ),
    (
        "twice the rows, times the time (the worst step)",
        "merge",
        "<=",
        2.15,
        lambda r: max(
            b["seconds"] / a["seconds"]
            for a, b in zip(r["merge"]["growth"], r["merge"]["growth"][1:], strict=False)
        ),
    ),
    (
        "a night of 1,000 x 10,000 in memory, s",
        "night",
        "<=",
        2.5,
        lambda r: _night(r, 1000, 10_000, "memory", "seconds"),
    ),
    (
        "its CPU seconds (half of them: the least that two cores could take)",
        "night",
        "<=",
        5.0,
        lambda r: _night(r, 1000, 10_000, "memory", "cpu_seconds"),
    ),
    (
        "a night of 1,000 x 10,000 from SeaweedFS, s",
        "night",
        "<=",
        2.5,
        lambda r: _night(r, 1000, 10_000, "s3", "seconds"),
    ),
    (
        "its peak, MB",
        "night",
        "<=",
        600.0,
        lambda r: _night(r, 1000, 10_000, "s3", "peak_bytes") / 1e6,
    ),
    (
        "a night of 10,000 x 1,000 from SeaweedFS, s",
        "night",
        "<=",
        30.0,
        lambda r: _night(r, 10_000, 1000, "s3", "seconds"),
    ),
    ("GETs an update", "night", "<=", 1.1, lambda r: _requests(r, ("get", "head"))),
    (
        "what the flow adds on a warm server, s",
        "flow",
        "<=",
        6.0,
        lambda r: float(r["flow"]["extra_seconds"]),
    ),
]


def beside_targets(results: Results) -> str:
    """A table of every figure whose part was measured."""
    lines = ["| figure | target | measured | |", "|---|---|---|---|"]
    for what, part, sense, target, figure in _TARGETS:
        if part in results:
            try:
                figured = figure(results)
            except StopIteration:  # that night was not measured
                continue
            got, by = figured if isinstance(figured, tuple) else (figured, "")
            good = got <= target if sense == "<=" else got >= target
            lines.append(
                f"| {what} | {sense} {target:g} | {got:.3g}{f' ({by})' if by else ''} | "
                f"{'reached' if good else 'missed'} |"
            )
    return "\n".join(lines)
