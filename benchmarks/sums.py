"""Play votes, sums and pooled rows, and write the table and the pictures of docs/sums.md.

`python benchmarks/evidence.py --part page` writes the section of docs/evidence.md afterwards.

python benchmarks/sums.py               # a quarter of an hour of a core
python benchmarks/sums.py --only sem    # one world; the numbers of the other stay
python benchmarks/sums.py --page        # only the table and the pictures, of the numbers kept
"""

import json
import sys
import time
from pathlib import Path

from hyperfed.simulator.evidence.sums import measure_sums
from hyperfed.simulator.evidence.sums_page import PICTURES, filled, picture

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "sums.json"
SEEDS = {"var": range(2000, 2016), "sem": range(2000, 2008)}
WITH_VOTES = {
    "var": 16,
    "sem": 3,
}  # of so many seeds the clients' own searches, which PC takes long


def main() -> None:
    if "--page" not in sys.argv:
        begun = time.monotonic()

        def tell(said: str) -> None:
            print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True)

        only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
        seeds = {kind: SEEDS[kind] for kind in SEEDS if only in ("", kind)}
        earlier = json.loads(NUMBERS.read_text()) if only else []
        cells = [cell for cell in earlier if cell["world"] not in seeds]
        cells += measure_sums(seeds, with_votes=WITH_VOTES, progress=tell)
        cells.sort(key=lambda cell: (list(SEEDS).index(cell["world"]), cell["liars"]))
        NUMBERS.write_text("[\n" + ",\n".join(f"  {json.dumps(one)}" for one in cells) + "\n]\n")
    cells = json.loads(NUMBERS.read_text())
    page = ROOT / "docs" / "sums.md"
    page.write_text(filled(page.read_text(encoding="utf-8"), cells), encoding="utf-8")
    for name in PICTURES:
        (ROOT / "docs" / name).write_text(picture(cells, name), encoding="utf-8")


if __name__ == "__main__":
    main()
