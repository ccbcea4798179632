"""Simulate what complete blocks cost secure sums, and write docs/secure-sums.svg and its table.

python benchmarks/secure_blocks.py             # a minute of one core
python benchmarks/secure_blocks.py --page      # only table and picture, of the numbers kept

48 clients, each of an organisation of its own, 365 nights a year, 20 years from the seeds 0 to 19;
spells of absence last three nights on average (`hyperfed.simulator.secure_blocks`).
"""

import json
import sys
import time
from pathlib import Path

from hyperfed.simulator.secure_blocks import measure, picture, with_table

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "secure_blocks.json"
YEARS = 20


def main() -> None:
    if "--page" not in sys.argv:
        begun = time.process_time()
        numbers = measure(
            years=YEARS,
            progress=lambda said: print(f"{time.process_time() - begun:6.1f} s  {said}"),
        )
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n")
    kept = json.loads(NUMBERS.read_text())
    page = ROOT / "docs" / "secure-sums.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), kept), encoding="utf-8")
    (ROOT / "docs" / "secure-sums.svg").write_text(picture(kept), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
