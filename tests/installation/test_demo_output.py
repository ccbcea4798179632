"""What `hyperfed demo` prints into a file: no control codes, no wide lines, liars marked, words
that agree with the numbers.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs, pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from hyperfed.cli import main; main()",
            "demo",
            "--dir",
            str(folder),
        ],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder / "demo" / "out"


def test_it_is_plain_text_that_fits(printed: tuple[str, Path]) -> None:
    text, _ = printed
    assert "\x1b" not in text
    tables = text[text.index("The graph: votes") : text.index("Written")]
    assert max(map(len, map(str.rstrip, tables.splitlines()))) <= 80
    assert "\u2026" not in tables, "nothing is cut"
    assert [line.strip() for line in text.splitlines() if "discover, sign" in line] == [
        f"night {n} of 3: 48 states discover, sign, seal and submit" for n in (1, 2, 3)
    ]


def test_liars_are_marked_and_the_words_agree_with_the_table(printed: tuple[str, Path]) -> None:
    text, _ = printed
    rows = re.findall(
        r"^ *([a-z-]+) +(LIAR|honest) +([0-9.]+) .* (left out|invited) *$", text, re.M
    )
    liars = {state for state, who, _, _ in rows if who == "LIAR"}
    assert len(liars) == 14
    words = " ".join(text[text.index("What happened") : text.index("Written")].split())
    assert f"14 of 48 states lied: {', '.join(sorted(liars))}." in words
    for state, who, weight, after in rows:
        if after == "left out":
            assert f"{state}, trust" in words, "named with its trust and why"
        if who == "honest" and weight == "0.00":
            assert f"{state} (agreement" in words


def test_the_graph_that_is_shown_is_the_one_that_was_published(printed: tuple[str, Path]) -> None:
    text, out = printed
    with (out / "edges.csv").open() as file:
        published = {
            (row["source"], row["target"], f"{float(row['vote']):+.2f}".replace("-", "\u2212"))
            for row in csv.DictReader(file)
        }
    shown = {
        (source, target, votes.split()[1])
        for source, target, votes in re.findall(r"^ *(\w+) \u2192 (\w+) +\d+ +(.*)$", text, re.M)
        if not votes.split()[1].startswith("(")
    }
    assert shown == published
    assert f"The graph has {len(published)} edges." in " ".join(text.split())
