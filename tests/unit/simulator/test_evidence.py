"""The evidence: a small part is played again, and the page is what its numbers give."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.engines.var import VarEngine
from hyperfed.simulator.evidence import tables, truths
from hyperfed.simulator.evidence.page import pages
from hyperfed.simulator.evidence.strategies import STRATEGIES, significance_threshold
from hyperfed.simulator.evidence.study import ALONE, SEEDS, SETTINGS, Setting, play, play_lags
from hyperfed.simulator.evidence.tables import GAMES, TABLE_LIARS
from hyperfed.simulator.evidence.truths import PooledVar, draw_truth

ROOT = Path(__file__).parents[3]
NUMBERS: dict[str, Any] = json.loads((ROOT / "benchmarks/results/evidence.json").read_text())
SUMS = json.loads((ROOT / "benchmarks/results/sums.json").read_text())


def kept(setting: Setting, strategy: str) -> dict[str, Any]:
    about = {"world": setting.kind, "strategy": strategy} | {
        name: getattr(setting, name) for name in ("clients", "rows", "liars")
    }
    (cell,) = [c for c in NUMBERS["cells"] if all(c[k] == v for k, v in about.items())]
    return cell


def test_every_setting_and_way_of_merging_is_in_the_numbers_with_every_seed() -> None:
    assert tuple(NUMBERS["seeds"]) == SEEDS
    assert len(SEEDS) == 10
    for setting in SETTINGS:
        for strategy in (ALONE, *STRATEGIES):
            cell = kept(setting, strategy)
            assert len(cell["f1"]) == len(cell["shd"]) == len(SEEDS), (setting, strategy)
    assert len(NUMBERS["cells"]) == len(SETTINGS) * (1 + len(STRATEGIES))


@pytest.mark.parametrize(
    "setting",
    [
        Setting(kind="var", clients=10, rows=40, liars=0.3),
        Setting(kind="sem", clients=10, rows=60),
        Setting(kind="var", clients=64, rows=40),
    ],
    ids=lambda s: f"{s.kind}-{s.clients}-{s.rows}-{s.liars}",
)
def test_a_federation_played_again_has_the_scores_that_the_page_says(setting: Setting) -> None:
    """Up to an edge or so: another processor may add in another order."""
    for name, f1, shd in play(setting, SEEDS[0]):
        cell = kept(setting, name)
        assert f1 == pytest.approx(cell["f1"][0], abs=0.03), name
        assert shd == pytest.approx(cell["shd"][0], abs=2.0), name


def test_the_plans_lags_find_what_each_clients_bic_drops() -> None:
    played = play_lags(60, SEEDS[0])
    said = {one["way"]: one["f1"][0] for one in NUMBERS["lags"] if one["rows"] == 60}
    assert played.keys() == said.keys()
    assert [played[way] for way in said] == pytest.approx(list(said.values()), abs=0.03)
    assert played["the plan's lags"] > played["BIC, not looking is no vote"] + 0.1


def test_every_game_of_engines_for_tables_is_in_the_numbers() -> None:
    played = {
        (cell["engine"], cell["rows"], seed, cell["liars"], cell["strategy"])
        for cell in NUMBERS["tables"]
        for seed in cell["seeds"]
    }
    for game in GAMES:
        for strategy in (ALONE, *STRATEGIES):
            for liars in TABLE_LIARS:
                one = (game.engine, game.rows, game.seed, liars, strategy)
                assert (one in played) == (not liars or not strategy.startswith("pooled")), one
    assert {one[:3] for one in played} == {(g.engine, g.rows, g.seed) for g in GAMES}


def test_a_small_game_of_an_engine_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truths, "TABLE_BOOTSTRAPS", 1)
    monkeypatch.setattr(tables, "_CLIENTS", 3)
    played = tables.play_game(tables.Game(engine="pc", rows=100, seed=1))
    found = {(row["liars"], row["strategy"]): row for row in played}
    assert found[0.0, "union"]["pairs"] > 0.6
    assert found[0.0, "pooled"]["pairs"] > found[0.0, ALONE]["pairs"]
    for row in played:
        assert 0 <= row["directed"] <= row["pairs"] <= 1, "a direction is right of a right pair"
    assert found[0.2, "union"]["directed"] < found[0.0, "union"]["directed"], "the liar is heard"
    cells = tables.table_cells([played, [row | {"seed": 2} for row in played]])
    assert len(cells) == len(played)
    assert cells[0]["seeds"] == [1, 2]
    assert [game.seed for game in tables.games_of(cells)] == [1, 2]
    assert tables.games_of(cells)[tables.Game(engine="pc", rows=100, seed=1)] == played


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fci", "lingam"])
def test_a_small_game_of_another_engine_for_tables(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truths, "TABLE_BOOTSTRAPS", 1)
    monkeypatch.setattr(tables, "_CLIENTS", 2)
    played = tables.play_game(tables.Game(engine=engine, rows=150, seed=1))
    found = {(row["liars"], row["strategy"]): row for row in played}
    assert found[0.0, "union"]["pairs"] > 0.5
    if engine == "lingam":  # every edge it finds has a direction
        assert found[0.0, "pooled"]["directed"] > 0.8
        assert found[0.0, "pooled"]["directed"] > found[0.0, ALONE]["directed"]


def test_only_directlingams_noise_is_not_normal() -> None:
    fourth = {}
    for kind in truths.TABLE_ENGINES:
        data = draw_truth(kind, np.random.default_rng(5)).sample(
            4_000, 1.0, np.random.default_rng(6)
        )
        fourth[kind] = float((data**4).mean())
    assert fourth.pop("lingam") < 2.7
    assert all(2.9 < moment < 3.1 for moment in fourth.values()), fourth


def test_the_page_is_what_the_numbers_give() -> None:
    for name, text in pages(NUMBERS, SUMS).items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"make evidence: {name}"


# -- what it is made of ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strength", "threshold", "kept"),
    [
        ([0.0, 0.0, 0.0, 1.0], 0.0, 1),
        ([0.0, 0.1, 0.1, 0.1, 0.9, 0.95], 0.1, 2),
        ([0.05, 0.1, 0.2, 0.85, 0.9, 0.99], 0.2, 3),
        ([0.5, 0.5], 0.5, 0),
    ],
)
def test_the_significance_threshold_lies_where_the_l1_norm_is_smallest(
    strength: list[float], threshold: float, kept: int
) -> None:
    values = np.array(strength)
    found = significance_threshold(values)
    assert found == threshold
    assert ((values > found) | (values == 1.0)).sum() == kept

    def norm(p: float) -> float:
        """The integral of |F(x) - p| over [0, 1], on a grid."""
        x = np.linspace(0, 1, 20_001)
        return float(
            np.abs(np.searchsorted(np.sort(values), x, side="right") / len(values) - p).mean()
        )

    best = (values <= found).mean()
    assert all(norm(best) <= norm(p) + 1e-4 for p in np.linspace(0, 1, 41))


def test_no_row_of_a_pooled_series_joins_two_clients() -> None:
    rng = np.random.default_rng(0)
    truth = draw_truth("var", rng)
    one, other = (truth.sample(60, 1.0, rng) for _ in range(2))
    names, options = truth.vocabulary.names, {"lags": (1, 2), "n_bootstrap": 2}
    pooled = PooledVar([one, other], names, rng=np.random.default_rng(1), **options)  # type: ignore[arg-type]
    assert pooled.discover().n == 2 * 58
    alone = PooledVar([one], names, rng=np.random.default_rng(1), **options)  # type: ignore[arg-type]
    same = VarEngine(one, names, rng=np.random.default_rng(1), **options)  # type: ignore[arg-type]
    assert np.array_equal(alone.discover().effect, same.discover().effect)


@pytest.mark.parametrize("kind", ["var", "sem"])
def test_a_worlds_data_hold_its_truth_and_tell_no_order(kind: str) -> None:
    truth = draw_truth(kind, np.random.default_rng(5))
    data = truth.sample(1_000, 1.0, np.random.default_rng(6))
    assert np.allclose(data.std(axis=0), 1.0)
    found = truth.discover([data], np.random.default_rng(7))
    strong = found.take(np.abs(found.effect) > 0.12)
    at = np.isin(truth.keys, strong.keys)
    assert at.mean() > 0.85
    _, mine, theirs = np.intersect1d(strong.keys, truth.keys, return_indices=True)
    assert (np.sign(strong.effect[mine]) == np.sign(truth.effects[theirs])).all()
    turned = truth.discover(
        [truth.sample(1_000, -1.0, np.random.default_rng(6))], np.random.default_rng(7)
    )
    strong = turned.take(np.abs(turned.effect) > 0.12)
    _, mine, theirs = np.intersect1d(strong.keys, truth.keys, return_indices=True)
    assert (np.sign(strong.effect[mine]) == -np.sign(truth.effects[theirs])).all()
