"""Time the engines on sums: processor seconds of one search, in 50 variables and 2,560 rows.

python benchmarks/summed_engines.py     # a minute of a core; prints the table of NOTES.md
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import time

import numpy as np

from hyperfed.engines.summed import make_summed_engine
from hyperfed.simulator.evidence.linear_worlds import sem_world
from hyperfed.statistics import Sums, statistics_of

WIDTH, CLIENTS, ROWS = 50, 8, 2_560
TURNS = 3


def main() -> None:
    rng = np.random.default_rng(1)
    world = sem_world(rng, WIDTH)
    data = [world.sample(ROWS // CLIENTS, rng) for _ in range(CLIENTS)]
    print("| engine | search and one resample, CPU s, best of 3 | edges shown |\n|---|---|---|")
    for name in ("var", "pc", "fci", "ges"):
        lags = (1, 2) if name == "var" else (0,)
        statistics = {
            f"site-{at}": statistics_of(
                one, names=world.names, vocabulary=world.vocabulary, lags=lags
            )
            for at, one in enumerate(data)
        }
        sums = Sums.of(statistics, variables=WIDTH, lags=lags)
        engine = make_summed_engine(name, sums, world.vocabulary, resamples=1, short_bias="removed")
        seconds, found = [], 0
        for _ in range(TURNS):
            began = time.process_time()
            found = len(engine.discover().source)
            seconds.append(time.process_time() - began)
        print(f"| {name} | {min(seconds):.2f} | {found} |", flush=True)


if __name__ == "__main__":
    main()
