"""Votes, sums and pooled rows on one federation, and the tables and pictures of their numbers."""

import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from hyperfed.engines.summed.var import expected_hits
from hyperfed.merge.student_t import t_central
from hyperfed.simulator.evidence.linear_worlds import Edges, World, var_world
from hyperfed.simulator.evidence.pooled_rows import found_in_rows
from hyperfed.simulator.evidence.sums import CLIENTS, LIARS, ROWS, WAYS, play_sums, ways_of
from hyperfed.simulator.evidence.sums_page import PICTURES, filled, picture

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
CELLS = json.loads((ROOT / "benchmarks" / "results" / "sums.json").read_text())


def mean_f1(kind: str, clients: int, liars: int, way: str) -> float:
    about = {"world": kind, "clients": clients, "liars": liars, "way": way}
    (cell,) = [one for one in CELLS if all(one[k] == v for k, v in about.items())]
    return fmean(cell["f1"])


def test_with_many_small_clients_sums_find_what_votes_do_not() -> None:
    scores = {played.way: f1 for played, f1 in play_sums("var", 64, 1)}
    assert tuple(scores) == WAYS
    assert scores["sums"] > scores["votes"]
    assert scores["sums"] > scores["pooled rows"] - 0.1


def unlike_experiments(kind: str) -> tuple[World, list[np.ndarray]]:
    """Return clients whose means lie far apart: an intercept each is not one intercept."""
    rng = np.random.default_rng(5)
    world = var_world(rng)
    data = [world.sample(60, rng) + 4 * rng.normal(size=6) for _ in range(6)]
    if kind == "sem":
        world = World(kind="sem", names=world.names, lags=(0,), edges=set(), sample=world.sample)
    return world, data


@pytest.mark.parametrize("kind", ["var", pytest.param("sem", marks=pytest.mark.slow)])
def test_a_plain_sum_finds_the_edges_of_all_centred_rows_in_one_place(kind: str) -> None:
    world, data = unlike_experiments(kind)
    ways = ("plain sum", "centred rows", "pooled rows")
    found = {one.way: one.edges for one in ways_of(world, data, np.random.default_rng(), ways=ways)}
    assert found["plain sum"] == found["centred rows"]
    assert found["plain sum"]
    assert found["pooled rows"] != found["centred rows"]


def by_least_squares(data: list[np.ndarray], *, centred: bool) -> Edges:
    """Return what least squares on the rows themselves keeps: no moment is ever formed."""
    parts = [np.concatenate([one[1:], one[:-1]], axis=1) for one in data]
    dummies = np.repeat(np.eye(len(data)), [len(part) for part in parts], axis=0)
    rows = np.concatenate(parts)
    width = rows.shape[1] // 2
    intercepts = dummies if centred else np.ones((len(rows), 1))
    x = np.concatenate([rows[:, width:], intercepts], axis=1)
    q, r = np.linalg.qr(x)
    y = rows[:, :width]
    effect = np.linalg.solve(r, q.T @ y)
    free = len(rows) - x.shape[1]
    left = ((y - x @ effect) ** 2).sum(axis=0) / free
    spread = (np.linalg.inv(r) ** 2).sum(axis=1)
    t = (effect / np.sqrt(np.outer(spread, left)))[:width]
    vote = t_central(t, free) * expected_hits(t, free + width + 1.0)
    kept = np.argwhere(vote >= 0.5).tolist()
    return {(source, target, 1, int(np.sign(t[source, target]))) for source, target in kept}


@pytest.mark.parametrize("centred", [True, False])
def test_rows_in_one_place_are_searched_as_by_least_squares_with_intercepts(centred: bool) -> None:
    world, data = unlike_experiments("var")
    assert found_in_rows(world, data, centred=centred) == by_least_squares(data, centred=centred)


def test_sums_are_within_two_points_of_pooled_rows_however_many_clients_share_them() -> None:
    for kind in ROWS:
        for clients in CLIENTS:
            sums, pooled = (mean_f1(kind, clients, 0, way) for way in ("sums", "pooled rows"))
            assert abs(sums - pooled) <= 0.02, (kind, clients)
            plain, centred = (
                mean_f1(kind, clients, 0, way) for way in ("plain sum", "centred rows")
            )
            assert plain == centred


def test_three_liars_of_ten_cost_sums_little_and_an_honest_night_nothing() -> None:
    for kind in ROWS:
        assert mean_f1(kind, 10, 0, "sums") >= 0.95
        assert mean_f1(kind, 10, 3, "sums") >= 0.93
        assert mean_f1(kind, 10, 3, "plain sum") < 0.75
    assert min(mean_f1("var", 10, liars, "sums") for liars in LIARS) >= 0.93


def test_page_and_pictures_are_those_of_the_numbers() -> None:
    page = (ROOT / "docs" / "sums.md").read_text(encoding="utf-8")
    assert filled(page, CELLS) == page
    for name in PICTURES:
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == picture(CELLS, name)
    assert filled(page, [CELLS[0] | {"f1": [0.0]}, *CELLS[1:]]) != page
