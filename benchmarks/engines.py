"""How long the engines take beside the libraries they stand for, on data of one size.

    .venv/bin/python benchmarks/engines.py [--bootstraps N]

1. A vector autoregression of 20 variables, 2,000 rows and two lags: N resamples of `VarEngine`
   beside N fits of statsmodels, which give coefficients and standard errors.
2. PC and DirectLiNGAM of 20 variables and 2,000 rows: N resamples over the cores that there are,
   beside causal-learn in a loop over resamples of the rows, and its own bootstrap.

CPU seconds count for the first, where both run on one thread: on a loaded machine they stay what
they are. For the second the time on the clock counts, as it is what children save.
"""

import argparse
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


def seconds(call: Callable[[], object], clock: Callable[[], float], times: int = 1) -> float:
    """The least of some runs."""
    taken = []
    for _ in range(times):
        began = clock()
        call()
        taken.append(clock() - began)
    return min(taken)


def say(what: str, ours: float, theirs: float) -> None:
    print(f"{what}: {ours:.3f} s, the library {theirs:.3f} s: {theirs / ours:.1f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstraps", type=int, default=100)
    count = parser.parse_args().bootstraps
    names = [f"v{i:02}" for i in range(WIDTH)]
    from statsmodels.tsa.api import VAR

    data = series()

    def fits() -> None:
        for _ in range(count):
            found = VAR(data).fit(2)
            assert found.params.shape == found.bse.shape

    engine = VarEngine(data, names, lags=(1, 2), n_bootstrap=count)
    with one_thread():
        say(
            f"VAR, {count} resamples (CPU)",
            seconds(engine.discover, time.process_time, 3),
            seconds(fits, time.process_time),
        )
    with quietly():
        from causallearn.search.ConstraintBased.PC import pc
        from causallearn.search.FCMBased.lingam import DirectLiNGAM
    rows, rng = table(), np.random.default_rng(2)

    def loop() -> None:
        for _ in range(count):
            with quietly():
                pc(rows[rng.integers(0, ROWS, ROWS)], 0.05, "fisherz", show_progress=False)

    say(
        f"PC, {count} resamples (clock)",
        seconds(PcEngine(rows, names, n_bootstrap=count).discover, time.perf_counter),
        seconds(loop, time.perf_counter),
    )
    model = DirectLiNGAM()
    say(
        f"DirectLiNGAM, {count} resamples (clock)",
        seconds(LingamEngine(rows, names, n_bootstrap=count).discover, time.perf_counter),
        seconds(lambda: model.bootstrap(rows, count), time.perf_counter),
    )


if __name__ == "__main__":
    main()
