"""Play private rounds of statistics, and write the table and the picture of docs/sums.md.

python benchmarks/private_sums.py           # about a minute of a core
python benchmarks/private_sums.py --page    # only the table and the picture, of the numbers kept
"""

import json
import sys
import time
from pathlib import Path

from hyperfed.simulator.evidence.private_sums import (
    PRIVATE_PICTURE,
    filled_private,
    measure_private,
    picture,
)

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "private_sums.json"
SEEDS = range(3000, 3006)


def main() -> None:
    if "--page" not in sys.argv:
        begun = time.monotonic()

        def tell(said: str) -> None:
            print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True)

        cells = measure_private(SEEDS, progress=tell)
        NUMBERS.write_text("[\n" + ",\n".join(f"  {json.dumps(one)}" for one in cells) + "\n]\n")
    cells = json.loads(NUMBERS.read_text())
    page = ROOT / "docs" / "sums.md"
    page.write_text(filled_private(page.read_text(encoding="utf-8"), cells), encoding="utf-8")
    (ROOT / "docs" / PRIVATE_PICTURE).write_text(picture(cells), encoding="utf-8")


if __name__ == "__main__":
    main()
