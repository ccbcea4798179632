"""Measure how fast baskets agree by gossip, and write docs/gossip.svg and the table beside it.

python benchmarks/gossip.py             # some minutes on two cores
python benchmarks/gossip.py --page      # only table and picture, of the numbers kept
"""

import json
import sys
import time
from pathlib import Path

from hyperfed.simulator.gossip_page import measure, picture, with_table

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "gossip.json"
SEEDS = 5


def main() -> None:
    if "--page" not in sys.argv:
        begun = time.monotonic()
        numbers = measure(
            seeds=SEEDS,
            progress=lambda said: print(f"{time.monotonic() - begun:6.0f} s  {said}", flush=True),
        )
        text = json.dumps(numbers, separators=(",", ":")).replace("]],", "]],\n")
        NUMBERS.write_text(text + "\n")
    kept = json.loads(NUMBERS.read_text())
    page = ROOT / "docs" / "gossip.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), kept), encoding="utf-8")
    (ROOT / "docs" / "gossip.svg").write_text(picture(kept), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
