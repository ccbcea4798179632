"""How long the engines take beside the libraries they stand for, on data of one size.

    .venv/bin/python benchmarks/engines.py [--engine var|pc|lingam] [--bootstraps N] [--pairs N]

1. A vector autoregression of 20 variables, 2,000 rows and two lags: N resamples of `VarEngine`
   beside N fits of statsmodels, which give coefficients and standard errors.
2. PC and DirectLiNGAM of 20 variables and 2,000 rows: N resamples over the cores that there are,
   beside causal-learn in a loop over resamples of the rows (it has no bootstrap for PC), and
   DirectLiNGAM's own bootstrap.
3. Ours and the library's take turns, a pair after the other, so that a load that comes and goes
   meets both. What counts is the median of the pairs' ratios.

CPU seconds count for the first, where both run on one thread: on a loaded machine they stay what
they are. For the second the time on the clock counts, as it is what children save; CPU seconds,
those of children too, stand beside it.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np

from hyperfed.engines import LingamEngine, PcEngine, VarEngine
from hyperfed.engines.causal_learn import quietly
from hyperfed.engines.resampling import one_thread

WIDTH, ROWS = 20, 2000


def series() -> np.ndarray:
    rng = np.random.default_rng(0)
    weights, data = rng.normal(size=(WIDTH, WIDTH)) * 0.08, rng.normal(size=(ROWS, WIDTH))
    for row in range(2, ROWS):
        data[row] += weights @ data[row - 1] + 0.05 * data[row - 2]
    return data


def table() -> np.ndarray:
    rng = np.random.default_rng(1)
    weights = np.tril(rng.uniform(0.4, 0.9, (WIDTH, WIDTH)), -1)
    weights *= rng.random((WIDTH, WIDTH)) < 0.12
    noise = rng.uniform(-1, 1, (ROWS, WIDTH))
    return noise @ np.linalg.inv(np.eye(WIDTH) - weights).T


def cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def taken(call: Callable[[], object]) -> dict[str, float]:
    """Seconds of one run, on the clock and of CPU."""
    clock_began, cpu_began = time.perf_counter(), cpu()
    call()
    return {"clock": time.perf_counter() - clock_began, "CPU": cpu() - cpu_began}


def compare(
    what: str, counts: str, pairs: int, ours: Callable[[], object], theirs: Callable[[], object]
) -> None:
    """Run both in turn, and print each pair and the median of the ratios of what counts."""
    ratios = []
    for _ in range(pairs):
        own, library = taken(ours), taken(theirs)
        ratios.append(library[counts] / own[counts])
        said = (f"{name} {own[name]:.3f} s, the library {library[name]:.3f} s" for name in own)
        print(f"{what}: {'; '.join(said)}", flush=True)
    print(f"{what}: {statistics.median(ratios):.1f} times as fast ({counts})", flush=True)


def var(count: int, names: list[str], pairs: int) -> None:
    from statsmodels.tsa.api import VAR

    data = series()

    def fits() -> None:
        for _ in range(count):
            found = VAR(data).fit(2)
            assert found.params.shape == found.bse.shape

    engine = VarEngine(data, names, lags=(1, 2), n_bootstrap=count)
    with one_thread():
        compare(f"VAR, {count} resamples", "CPU", pairs, engine.discover, fits)


def pc(count: int, names: list[str], pairs: int) -> None:
    with quietly():
        from causallearn.search.ConstraintBased.PC import pc as library
    rows, rng = table(), np.random.default_rng(2)

    def loop() -> None:
        for _ in range(count):
            with quietly():
                library(rows[rng.integers(0, ROWS, ROWS)], 0.05, "fisherz", show_progress=False)

    engine = PcEngine(rows, names, n_bootstrap=count)
    compare(f"PC, {count} resamples", "clock", pairs, engine.discover, loop)


def lingam(count: int, names: list[str], pairs: int) -> None:
    with quietly():
        from causallearn.search.FCMBased.lingam import DirectLiNGAM
    rows, model = table(), DirectLiNGAM()
    compare(
        f"DirectLiNGAM, {count} resamples",
        "clock",
        pairs,
        LingamEngine(rows, names, n_bootstrap=count).discover,
        lambda: model.bootstrap(rows, count),
    )


def main() -> None:
    engines = {"var": var, "pc": pc, "lingam": lingam}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=engines, action="append")
    parser.add_argument("--bootstraps", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    names = [f"v{i:02}" for i in range(WIDTH)]
    for engine in arguments.engine or engines:
        engines[engine](arguments.bootstraps, names, arguments.pairs)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
