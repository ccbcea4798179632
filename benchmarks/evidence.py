"""`make evidence`: play the known-truth federations, and write docs/evidence.md of their numbers.

python benchmarks/evidence.py           # some minutes on two cores
python benchmarks/evidence.py --page    # only the page and its pictures, of the numbers kept
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hyperfed.simulator.evidence.page import pages
from hyperfed.simulator.evidence.study import measure
from hyperfed.simulator.evidence.tables import GAMES, play_game, table_cells

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "evidence.json"


def games(tell: Any) -> Iterator[list[dict[str, Any]]]:
    """Play the games of engines for tables, as many at once as there are cores."""
    with ProcessPoolExecutor() as pool:
        for game, played in zip(GAMES, pool.map(play_game, GAMES), strict=True):
            tell(f"{game.engine}: {game.rows} rows, seed {game.seed}")
            yield played


def main() -> None:
    if "--page" not in sys.argv:
        begun = time.monotonic()

        def tell(said: str) -> None:
            print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True)

        numbers = measure(progress=tell)
        numbers["tables"] = table_cells(games(tell))
        lines = [
            f'  "{name}": [\n'
            + ",\n".join(f"    {json.dumps(one)}" for one in numbers[name])
            + "\n  ]"
            for name in ("cells", "lags", "tables")
        ]
        about = [f'  "{name}": {json.dumps(numbers[name])}' for name in ("seeds", "bootstraps")]
        NUMBERS.write_text("{\n" + ",\n".join(about + lines) + "\n}\n")
    for name, text in pages(json.loads(NUMBERS.read_text())).items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
        print(ROOT / "docs" / name)


if __name__ == "__main__":
    main()
