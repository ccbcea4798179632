"""Simulate what docs/statistics.md says, and write its tables and pictures: `make statistics`.

    python benchmarks/statistics_page.py                  # a quarter of an hour of one core
    python benchmarks/statistics_page.py --only coverage  # one part; the others' numbers stay
    python benchmarks/statistics_page.py --page           # only the page, of the numbers kept

Everything follows from seeds. `--quick` plays a fiftieth, to see that it works.
"""

import argparse
import json
import re
import time
from pathlib import Path

from hyperfed.simulator.statistics_numbers import PARTS
from hyperfed.simulator.statistics_page import pages

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "benchmarks" / "results" / "statistics.json"
PAGE = ROOT / "docs" / "statistics.md"
PAIR = re.compile(r"\[\s+(\S+),\s+(\S+)\s+\]")
"""A number and its standard error, which stand in one line."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true", help="play nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, to play it alone")
    given = parser.parse_args()
    numbers = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for part in [] if given.page else given.only or PARTS:
        begun = time.process_time()
        numbers[part] = PARTS[part](0.02 if given.quick else 1.0)
        NUMBERS.write_text(PAIR.sub(r"[\1, \2]", json.dumps(numbers, indent=1)) + "\n")
        print(f"{part}: {time.process_time() - begun:.0f} s of a core", flush=True)
    for name, text in pages(PAGE.read_text(), numbers).items():
        (PAGE.parent / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
