"""`make evidence`: play the known-truth federations, and write docs/evidence.md of their numbers.

python benchmarks/evidence.py                # half an hour of a core
python benchmarks/evidence.py --part merging # all but the engines for tables, whose numbers stay
python benchmarks/evidence.py --part tables  # the engines for tables alone
python benchmarks/evidence.py --part missing # games of theirs that the numbers kept do not have
python benchmarks/evidence.py --part page    # only the page and its pictures, of the numbers kept
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hyperfed.simulator.evidence.page import pages
from hyperfed.simulator.evidence.study import measure
from hyperfed.simulator.evidence.tables import GAMES, Game, games_of, play_game, table_cells

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "evidence.json"


def played(games: Sequence[Game], tell: Any) -> dict[Game, list[dict[str, Any]]]:
    """Play games of engines for tables, as many at once as there are cores."""
    scores = {}
    with ProcessPoolExecutor() as pool:
        for game, scores_of_game in zip(games, pool.map(play_game, games), strict=True):
            tell(f"{game.engine}: {game.rows} rows, seed {game.seed}")
            scores[game] = scores_of_game
    return scores


def write(numbers: dict[str, Any]) -> None:
    """Keep the numbers, one cell a line."""
    lines = [
        f'  "{name}": [\n' + ",\n".join(f"    {json.dumps(one)}" for one in numbers[name]) + "\n  ]"
        for name in ("cells", "lags", "tables")
    ]
    about = [f'  "{name}": {json.dumps(numbers[name])}' for name in ("seeds", "bootstraps")]
    NUMBERS.write_text("{\n" + ",\n".join(about + lines) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", choices=("all", "merging", "tables", "missing", "page"), default="all"
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
    write(numbers)
    for name, text in pages(numbers).items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
        print(ROOT / "docs" / name)


if __name__ == "__main__":
    main()
