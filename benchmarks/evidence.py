"""`make evidence`: play the known-truth federations, and write docs/evidence.md of their numbers.

python benchmarks/evidence.py                # half an hour of a core
python benchmarks/evidence.py --part merging # all but the engines for tables, whose numbers stay
python benchmarks/evidence.py --part tables  # the engines for tables alone
python benchmarks/evidence.py --part missing # games of theirs that the numbers kept do not have
python benchmarks/evidence.py --part networks # sums on networks of other kinds, and on real data
python benchmarks/evidence.py --part page    # only the page and its pictures, of the numbers kept
"""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.simulator.evidence.many_genes import measure_many_genes
from hyperfed.simulator.evidence.networks import NETWORKS, measure_networks
from hyperfed.simulator.evidence.page import pages
from hyperfed.simulator.evidence.study import measure
from hyperfed.simulator.evidence.tables import GAMES, Game, games_of, play_game, table_cells

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "evidence.json"
SUMS = ROOT / "benchmarks" / "results" / "sums.json"
NETWORK_SEEDS = range(4000, 4003)


def played(games: Sequence[Game], tell: Any) -> dict[Game, list[dict[str, Any]]]:
    """Play games of engines for tables, as many at once as there are cores."""
    scores = {}
    with ProcessPoolExecutor() as pool:
        for game, scores_of_game in zip(games, pool.map(play_game, games), strict=True):
            tell(f"{game.engine}: {game.rows} rows, seed {game.seed}")
            scores[game] = scores_of_game
    return scores


def sachs() -> tuple[tuple[str, ...], Any, frozenset[tuple[int, int]]] | None:
    """Return names, rows and true pairs of Sachs et al. 2005, or None where they are not there.

    They lie in the package cdt, in benchmarks/.venv. It is not imported: its files alone are read.
    """
    found = sorted(ROOT.glob("benchmarks/.venv/lib/python*/site-packages/cdt/data/resources"))
    if not found:
        return None
    with (found[0] / "cyto_full_data.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    with (found[0] / "cyto_full_target.csv").open(encoding="utf-8", newline="") as file:
        links = list(csv.reader(file))[1:]
    ends = [sorted((names.index(a), names.index(b))) for a, b in links]
    return tuple(names), np.array(rows, dtype=float), frozenset((a, b) for a, b in ends)


def write(numbers: dict[str, Any]) -> None:
    """Keep the numbers, one cell a line."""
    lines = [
        f'  "{name}": [\n' + ",\n".join(f"    {json.dumps(one)}" for one in numbers[name]) + "\n  ]"
        for name in ("cells", "lags", "tables", "networks", "genes")
    ]
    about = [f'  "{name}": {json.dumps(numbers[name])}' for name in ("seeds", "bootstraps")]
    NUMBERS.write_text("{\n" + ",\n".join(about + lines) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", choices=("all", "merging", "tables", "missing", "networks", "page"), default="all"
    )
    part, begun = parser.parse_args().part, time.monotonic()

    def tell(said: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True)

    numbers = json.loads(NUMBERS.read_text())
    if part in ("all", "merging"):
        numbers |= measure(progress=tell)
    if part in ("all", "tables", "missing"):
        scores = games_of(numbers["tables"]) if part == "missing" else {}
        scores |= played([game for game in GAMES if game not in scores], tell)
        numbers["tables"] = table_cells(scores[game] for game in GAMES)
    if part in ("all", "networks"):
        cells = sachs()
        if cells is None:
            tell("the cells keep their numbers: `make bench` installs the package of their rows")
        earlier = [one for one in numbers.get("networks", []) if one["network"] == "cells"]
        played_now = measure_networks(NETWORK_SEEDS, cells=cells, progress=tell)
        numbers["networks"] = played_now + (earlier if cells is None else [])
        numbers["networks"].sort(key=lambda one: list(NETWORKS).index(one["network"]))
        numbers["genes"] = measure_many_genes(NETWORK_SEEDS, progress=tell)
    write(numbers)
    for name, text in pages(numbers, json.loads(SUMS.read_text())).items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
        print(ROOT / "docs" / name)


if __name__ == "__main__":
    main()
