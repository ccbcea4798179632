"""Play private rounds, and write the table and picture of docs/sums.md, and of docs/secure-sums.md.

python benchmarks/private_sums.py            # about a minute of a core
python benchmarks/private_sums.py --effects  # only the rounds of effects, half a minute
python benchmarks/private_sums.py --page     # only the tables and the picture, of the numbers kept
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperfed.simulator.evidence.private_effects import filled_effects, measure_effects
from hyperfed.simulator.evidence.private_sums import (
    PRIVATE_PICTURE,
    filled_private,
    measure_private,
    picture,
)

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "private_sums.json"
EFFECTS = ROOT / "benchmarks" / "results" / "private_effects.json"
SEEDS = range(3000, 3006)


def keep(path: Path, cells: list[dict[str, Any]]) -> None:
    path.write_text("[\n" + ",\n".join(f"  {json.dumps(one)}" for one in cells) + "\n]\n")


def fill(name: str, filled: Callable[[str], str]) -> None:
    page = ROOT / "docs" / name
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    begun = time.monotonic()

    def tell(said: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True)

    if "--page" not in sys.argv:
        if "--effects" not in sys.argv:
            keep(NUMBERS, measure_private(SEEDS, progress=tell))
        keep(EFFECTS, measure_effects(SEEDS, progress=tell))
    cells, effects = json.loads(NUMBERS.read_text()), json.loads(EFFECTS.read_text())
    fill("sums.md", lambda page: filled_private(page, cells))
    fill("secure-sums.md", lambda page: filled_effects(page, effects))
    (ROOT / "docs" / PRIVATE_PICTURE).write_text(picture(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
