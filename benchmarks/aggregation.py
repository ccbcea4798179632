"""Speed and memory of the aggregation rules beside flwr's functions and byzfl's aggregators: n = 50
clients, float32, one core, one run.

    python -m venv /tmp/bench && /tmp/bench/bin/pip install numpy flwr byzfl torch scipy -e .
    /tmp/bench/bin/python benchmarks/aggregation.py [--quick]

1. Seconds are CPU seconds of this process (BLAS held to one thread), the best of `REPEATS`, taken
   alternately: other load on the machine costs both alike.
2. flwr gets one layer; its lists are made outside the clock. byzfl gets the numpy matrix. What is
   not installed is left out and said.
3. "pass" is the time to read the matrix once (its sum): what no rule can beat. "memory" is the peak
   of what the rule allocates, as a share of the input.
4. Every answer is compared with the other implementation's before it is timed; a rule that answers
   something else is not fast.
"""

import argparse
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hyperfed.aggregation import build_rule

CLIENTS, F, REPEATS = 50, 10, 3


def _flower() -> Any:
    try:
        from flwr.server.strategy import aggregate
    except ImportError as exc:
        print(f"flwr cannot be imported ({exc}): left out", file=sys.stderr)
        return None
    return aggregate


def _byzfl() -> Any:
    try:
        from byzfl.aggregators import aggregators
    except ImportError as exc:
        print(f"byzfl cannot be imported ({exc}): left out", file=sys.stderr)
        return None
    return aggregators


def _seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _peak(run: Callable[[], Any]) -> int:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare(
    name: str,
    other: str,
    x: np.ndarray,
    ours: Callable[[], Any],
    theirs: Callable[[], Any] | None,
    *,
    tolerance: float = 1e-4,
) -> None:
    """One line of the table."""
    mine = np.asarray(ours()).ravel()
    best, their_best, gap = np.inf, np.inf, 0.0
    repeats = REPEATS
    if theirs is not None:
        began = time.process_time()
        answer = theirs()
        their_best = time.process_time() - began
        theirs_flat = (
            np.concatenate([np.asarray(a).ravel() for a in answer])
            if isinstance(answer, list)
            else np.asarray(answer).ravel()
        )
        gap = float(np.abs(mine - theirs_flat).max())
        assert gap < tolerance, (name, gap)
        repeats = REPEATS if their_best < 5 else 1
    for _ in range(repeats):
        best = min(best, _seconds(ours))
        if theirs is not None and repeats > 1:
            their_best = min(their_best, _seconds(theirs))
    once = min(_seconds(x.sum) for _ in range(3))
    memory = _peak(ours) / x.nbytes
    ratio = f"{their_best / best:8.1f}x" if theirs is not None else "       - "
    theirs_ms = f"{1000 * their_best:.1f}" if theirs is not None else "-"
    cells = (
        name,
        f"{x.shape[1]:,}",
        other,
        f"{1000 * best:.1f}",
        theirs_ms,
        ratio.strip(),
        f"{best / once:.1f}",
        f"{100 * memory:.1f} %",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A tenth of the coordinates.")
    scale = 10 if parser.parse_args().quick else 1
    flower, byzfl = _flower(), _byzfl()
    rng = np.random.default_rng(0)
    print(
        "| rule | d | against | ms | theirs, ms | ratio | passes | memory "
        "|\n|---|---|---|---|---|---|---|---|"
    )
    x = rng.standard_normal((CLIENTS, 1_000_000 // scale), dtype=np.float32)

    def lists() -> list[tuple[list[np.ndarray], int]]:
        return [([row], 1) for row in x]

    def with_flower(call: Callable[[Any], Any]) -> Callable[[], Any] | None:
        return None if flower is None else lambda: call(lists())

    rule = {
        name: build_rule(name, f=F)
        for name in (
            "median",
            "trimmed-mean",
            "krum",
            "multi-krum",
            "bulyan",
            "geometric-median",
            "bounded-trust",
        )
    }
    compare(
        "mean",
        "flwr",
        x,
        lambda: build_rule("mean").aggregate(x),
        with_flower(lambda r: flower.aggregate(r)),
    )
    compare(
        "median",
        "flwr",
        x,
        lambda: rule["median"].aggregate(x),
        with_flower(lambda r: flower.aggregate_median(r)),
    )
    compare(
        "trimmed-mean",
        "flwr",
        x,
        lambda: rule["trimmed-mean"].aggregate(x),
        with_flower(lambda r: flower.aggregate_trimmed_avg(r, F / CLIENTS)),
    )
    compare(
        "krum",
        "flwr",
        x,
        lambda: rule["krum"].aggregate(x),
        with_flower(lambda r: flower.aggregate_krum(r, F, 0)),
    )
    compare(
        "multi-krum",
        "flwr",
        x,
        lambda: rule["multi-krum"].aggregate(x),
        with_flower(lambda r: flower.aggregate_krum(r, F, CLIENTS - F)),
    )
    compare("bounded-trust", "-", x, lambda: rule["bounded-trust"].aggregate(x), None)
    x = rng.standard_normal((CLIENTS, 100_000 // scale), dtype=np.float32)
    bulyan = with_flower(lambda r: flower.aggregate_bulyan(r, F, flower.aggregate_krum, to_keep=0))
    compare("bulyan", "flwr", x, lambda: rule["bulyan"].aggregate(x), bulyan)
    steps = None if byzfl is None else (lambda: byzfl.GeometricMedian(nu=0.1, T=20)(x))
    compare(
        "geometric-median",
        "byzfl, 20 steps",
        x,
        lambda: rule["geometric-median"].aggregate(x),
        steps,
        tolerance=1e-2,
    )
    for name, theirs in (
        ("centered-clipping", "CenteredClipping"),
        ("median", "Median"),
        ("multi-krum", "MultiKrum"),
    ):
        if byzfl is None:
            continue
        kind = getattr(byzfl, theirs)
        if name == "centered-clipping":
            mine, other = build_rule(name, radius=100.0, steps=5), kind(L=5, tau=100.0)
        else:
            mine, other = rule[name], kind() if name == "median" else kind(f=F)
        compare(
            name,
            "byzfl",
            x,
            partial(mine.aggregate, x),
            partial(other, x),
            tolerance=np.inf,
        )


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # BLAS reads it when numpy is imported
        os.execve(  # noqa: S606 - itself
            sys.executable,
            [sys.executable, *sys.argv],
            os.environ
            | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        )
    main()
