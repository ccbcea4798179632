"""What blocks cost: held to arithmetic, and page and picture follow from the numbers kept."""

import json
from pathlib import Path

import pytest

from hyperfed.simulator.secure_blocks import (
    ABSENCES,
    BLOCKS,
    BlockWorld,
    measure,
    picture,
    play,
    with_table,
)

ROOT = Path(__file__).parents[3]
NUMBERS = json.loads((ROOT / "benchmarks" / "results" / "secure_blocks.json").read_text())


def test_page_and_picture_are_what_the_numbers_give() -> None:
    page = (ROOT / "docs" / "secure-sums.md").read_text(encoding="utf-8")
    assert with_table(page, NUMBERS) == page, "python benchmarks/secure_blocks.py --page"
    assert (ROOT / "docs" / "secure-sums.svg").read_text(encoding="utf-8") == picture(NUMBERS)
    assert list(NUMBERS) == [f"{absence:g}" for absence in ABSENCES]
    assert all(list(rows) == [str(size) for size in BLOCKS] for rows in NUMBERS.values())


@pytest.mark.parametrize("absence", ABSENCES)
@pytest.mark.parametrize("size", BLOCKS)
def test_who_is_left_out_is_what_arithmetic_says(absence: float, size: int) -> None:
    """A client that is there is summed if the size - 1 others are: (1 - absence)^(size - 1)."""
    mean, error = NUMBERS[f"{absence:g}"][str(size)]["left_out"]
    assert abs(mean - (1 - (1 - absence) ** (size - 1))) <= 4 * error + 1e-3


def test_a_year_gives_the_numbers_that_are_kept() -> None:
    """Two years more of blocks of 4 lie within the spread of the twenty that are kept."""
    for absence, played in measure(years=2, blocks=(4,)).items():
        for figure, (mean, _) in played["4"].items():
            kept, error = NUMBERS[absence]["4"][figure]
            assert abs(mean - kept) <= 4 * error * (20 / 2) ** 0.5 + 1e-3


def test_without_blocks_nobody_is_left_out_and_a_client_waits_as_long_as_it_is_away() -> None:
    year = play(BlockWorld(block=1, absence=0.1, nights=60))
    assert year.left_out == 0.0
    assert year.missed_nights == 0.0
    assert play(BlockWorld(block=1, absence=1e-12, nights=20)).longest_wait == 0.0


def test_a_short_last_block_joins_the_one_before() -> None:
    """Ten clients in blocks of six are one block: a rest of four would be less than was asked."""
    year = play(BlockWorld(clients=10, block=6, absence=0.1, spell=1.0, nights=400))
    assert year.left_out == pytest.approx(1 - 0.9**9, abs=0.1)  # 0.35 with a block of four beside
