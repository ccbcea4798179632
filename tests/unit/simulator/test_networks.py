"""Networks in the manner of NetSim and DREAM4, private sums, and what is made of their numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from hyperfed.errors import EngineError
from hyperfed.simulator.evidence.many_genes import FEW, average_precision, play_genes
from hyperfed.simulator.evidence.networks import (
    NETWORKS,
    brain,
    cells_world,
    genes,
    measure_networks,
    play_network,
)
from hyperfed.simulator.evidence.private_sums import (
    PRIVATE_PICTURE,
    filled_private,
    picture,
    play_private,
)
from hyperfed.statistics import statistics_of

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def test_regions_of_a_cluster_move_together_and_no_others() -> None:
    world = brain(np.random.default_rng(0))
    scans = world.sample(300, np.random.default_rng(1))
    assert scans.shape == (300, 10)
    assert len(world.edges) == 11
    inverse = np.linalg.inv(np.corrcoef(scans.T))
    partial = np.abs(inverse / np.sqrt(np.outer(inverse.diagonal(), inverse.diagonal())))
    joined = {(a, b) for a, b, _, _ in world.edges}
    pairs = {(a, b): partial[a, b] for a in range(10) for b in range(a + 1, 10)}
    near = np.mean([size for ends, size in pairs.items() if ends in joined])
    assert near > 3 * np.mean([size for ends, size in pairs.items() if ends not in joined])


def test_a_gene_follows_its_regulator_with_the_sign_of_their_link() -> None:
    world = genes(np.random.default_rng(2))
    levels = world.sample(4000, np.random.default_rng(3))
    assert (levels >= 0).all()
    into: dict[int, list[tuple[int, int]]] = {}
    for source, target, lag, sign in world.edges:
        assert lag == 1
        assert source < target
        into.setdefault(target, []).append((source, sign))
    alone = [(parents[0], target) for target, parents in into.items() if len(parents) == 1]
    half = levels[2000:]
    agree = [
        np.sign(np.corrcoef(half[:-1, source], half[1:, target])[0, 1]) == sign
        for (source, sign), target in alone
    ]
    assert np.mean(agree) > 0.8


def test_cells_are_dealt_out_whole() -> None:
    rows = np.exp(np.arange(24.0).reshape(8, 3) / 10)
    world = cells_world((("a", "b", "c"), rows, frozenset({(0, 2)})))
    dealt = world.sample(8, np.random.default_rng(0))
    assert sorted(dealt[:, 0]) == pytest.approx(np.log1p(rows)[:, 0])
    assert world.edges == {(0, 2, 0, 1)}
    with pytest.raises(ValueError, match="rows of the cells"):
        next(play_network("cells", 2, 0))


def test_more_epsilon_finds_more_of_the_same_rows() -> None:
    weak, strong = (
        np.mean([play_private(500, epsilon, "public centre", seed) for seed in (0, 1)])
        for epsilon in (1, 16)
    )
    assert strong > weak
    assert strong > 0.7


def test_tables_and_picture_are_those_of_the_numbers() -> None:
    cells = json.loads((ROOT / "benchmarks" / "results" / "private_sums.json").read_text())
    page = (ROOT / "docs" / "sums.md").read_text(encoding="utf-8")
    assert filled_private(page, cells) == page
    assert (ROOT / "docs" / PRIVATE_PICTURE).read_text(encoding="utf-8") == picture(cells)
    cells[0]["f1"] = [0.5]
    assert filled_private(page, cells) != page
    kept = json.loads((ROOT / "benchmarks" / "results" / "evidence.json").read_text())["networks"]
    assert {(one["network"], one["clients"]) for one in kept} == {
        (name, clients) for name, counts in NETWORKS.items() for clients in counts
    }


def test_a_ranking_that_is_right_has_the_area_one_and_a_blind_one_that_of_guessing() -> None:
    rng = np.random.default_rng(4)
    world = genes(rng, 30)
    true = np.zeros((30, 30))
    for source, target, _, _ in world.edges:
        true[source, target] = 1.0
    assert average_precision(true, world) == 1.0
    assert average_precision(-true, world) < 0.1
    share = len(world.edges) / (30 * 29)
    assert average_precision(rng.uniform(size=(30, 30)), world) < 4 * share


def test_a_hundred_genes_of_few_measurements_are_refused_and_shrinkage_ranks_them_best() -> None:
    rng = np.random.default_rng([4000, FEW])
    world = genes(rng, 100)
    few = world.sample(FEW, rng)
    with pytest.raises(EngineError, match="too few to be told apart from their moments"):
        statistics_of(few, names=world.names, vocabulary=world.vocabulary, lags=world.lags)
    scores = dict(play_genes(FEW, 4000))
    assert "sums" not in scores
    assert scores["shrunk"] > scores["centred rows"] > 10 * scores["guessing"]


@pytest.mark.slow
def test_networks_are_played_as_said() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "evidence.json").read_text())["networks"]
    said = {
        one["way"]: one["f1"][0]
        for one in kept
        if (one["network"], one["clients"]) == ("genes", 32)
    }
    played = dict(play_network("genes", 32, 4000))
    for way, f1 in said.items():
        assert played[way] == pytest.approx(f1, abs=0.1)
    assert measure_networks([]) == []
