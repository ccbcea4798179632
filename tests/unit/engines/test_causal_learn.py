"""Engines of causal-learn: orientation traps on three variables, the library's own numbers."""

import numpy as np
import pytest

from hyperfed.engines import Discovery
from hyperfed.engines.causal_learn import FciEngine, GesEngine, LingamEngine, PcEngine
from hyperfed.engines.causal_learn_series import VarLingamEngine
from hyperfed.engines.interactions import interactions_in
from hyperfed.engines.table import TableEngine
from hyperfed.errors import EngineError
from hyperfed.packets import Knowledge

pytestmark = pytest.mark.unit

NAMES = ("x", "y", "z")


def _noise(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, width))


def _collider(rows: int = 800) -> np.ndarray:
    """x -> y <- z, each on its own scale."""
    x, e, z = _noise(rows, 3).T
    return np.c_[x, 0.8 * x - 0.7 * z + 0.5 * e, z] * np.array([1.0, 1000.0, 0.01])


def _chain(rows: int = 800) -> np.ndarray:
    """x -> y -> z."""
    x, e, u = _noise(rows, 3, 1).T
    y = 0.9 * x + 0.5 * e
    return np.c_[x, y, -0.8 * y + 0.5 * u]


def _edges(found: Discovery, least: float = 0.3) -> dict[tuple[str, str], float]:
    """The edges that would be published, each with its vote."""
    votes = np.sign(found.effect) * found.confidence * found.stability
    return {
        (str(s), str(t)): float(v)
        for s, t, v in zip(found.source, found.target, votes, strict=True)
        if abs(v) >= least
    }


@pytest.mark.parametrize("engine", [PcEngine, GesEngine])
def test_a_collider_is_oriented_and_its_effects_are_in_units_of_the_columns(
    engine: type[TableEngine],
) -> None:
    found = engine(_collider(), NAMES, n_bootstrap=10, processes=0).discover()
    edges = _edges(found)
    assert set(edges) == {("x", "y"), ("z", "y")}
    assert edges["x", "y"] > 0.9
    assert edges["z", "y"] < -0.9
    effect = dict(zip(found.source.tolist(), found.effect.tolist(), strict=True))
    assert effect["x"] == pytest.approx(800, rel=0.1), "in units of y for one of x"
    assert effect["z"] == pytest.approx(-70_000, rel=0.1)
    assert found.lags == (0,)
    assert found.n == 800


@pytest.mark.parametrize("engine", [PcEngine, GesEngine])
def test_a_chain_has_no_direction_and_is_half_a_vote_each_way(engine: type[TableEngine]) -> None:
    found = engine(_chain(), NAMES, n_bootstrap=10, processes=0).discover()
    rows = {(s, t): i for i, (s, t) in enumerate(zip(found.source, found.target, strict=True))}
    for pair in (("x", "y"), ("y", "x"), ("y", "z"), ("z", "y")):
        assert found.stability[rows[pair]] == 0.5
        assert found.endpoints[rows[pair]] == "---"
    assert not {("x", "z"), ("z", "x")} & set(_edges(found, 0.2))


def test_lingam_orients_a_chain_and_its_coefficients_are_the_librarys() -> None:
    from causallearn.search.FCMBased.lingam import DirectLiNGAM

    data = _chain()
    found = LingamEngine(data, NAMES, n_bootstrap=10, processes=0).discover()
    edges = _edges(found)
    assert set(edges) == {("x", "y"), ("y", "z")}
    assert edges["y", "z"] < -0.9
    library = DirectLiNGAM().fit(data).adjacency_matrix_  # the row is the target
    effect = {(s, t): e for s, t, e in zip(found.source, found.target, found.effect, strict=True)}
    assert effect["x", "y"] == pytest.approx(library[1, 0], rel=1e-6)
    assert effect["y", "z"] == pytest.approx(library[2, 1], rel=1e-6)


def test_fci_names_pairs_that_share_a_cause_which_nobody_measured() -> None:
    # a -> x <- (hidden) -> y <- b: FCI finds x <-> y, and only that nothing measured causes both
    rows = 3000
    hidden, a, b, e, u = _noise(rows, 5, 2).T
    x, y = hidden + 0.8 * a + 0.3 * e, hidden + 0.8 * b + 0.3 * u
    found = FciEngine(
        np.c_[a, x, y, b], ("a", "x", "y", "b"), n_bootstrap=5, processes=0
    ).discover()
    assert [pair[:2] for pair in found.bidirected] == [("x", "y")]
    assert found.bidirected[0][2] >= 0.8
    ends = {(s, t): m for s, t, m in zip(found.source, found.target, found.endpoints, strict=True)}
    assert ends["a", "x"] == "o->"
    assert ("x", "y") not in _edges(found)
    assert ("y", "x") not in _edges(found)


def test_what_is_known_of_the_graph_is_held_to() -> None:
    tiers = Knowledge(tiers=(("x",), ("y",), ("z",)))
    for engine in (PcEngine, LingamEngine):
        found = engine(_chain(), NAMES, n_bootstrap=5, processes=0, knowledge=tiers).discover()
        assert set(_edges(found)) == {("x", "y"), ("y", "z")}, engine
    wrong = Knowledge(tiers=(("z",), ("y",), ("x",)), forbidden=(("z", "y"),))
    for engine in (PcEngine, GesEngine, LingamEngine, FciEngine):
        found = engine(_chain(), NAMES, n_bootstrap=5, processes=0, knowledge=wrong).discover()
        pairs = set(zip(found.source.tolist(), found.target.tolist(), strict=True))
        assert not pairs & {("x", "y"), ("x", "z"), ("y", "z"), ("z", "y")}, engine


def test_a_required_edge_is_looked_at_where_the_data_show_none() -> None:
    known = Knowledge(required=(("z", "x"),))
    found = PcEngine(_collider(), NAMES, n_bootstrap=5, processes=0, knowledge=known).discover()
    rows = {(s, t): i for i, (s, t) in enumerate(zip(found.source, found.target, strict=True))}
    assert found.confidence[rows["z", "x"]] < 0.999, "and judged by the data all the same"


def test_two_causes_that_act_together_are_reported() -> None:
    x, z, e = _noise(1500, 3, 3).T
    y = 0.8 * x + 0.8 * z + 2.0 * x * z + 0.3 * e
    found = PcEngine(np.c_[x, y, z], NAMES, n_bootstrap=20, processes=0).discover()
    (one,) = found.interactions
    assert one.sources == ("x", "z")
    assert one.target == "y"
    assert one.effect == pytest.approx(2.0, rel=0.1)
    assert one.stability == 1.0
    plain = PcEngine(_collider(), NAMES, n_bootstrap=20, processes=0).discover()
    assert plain.interactions == ()


def test_a_resample_that_fits_whatever_it_is_given_keeps_no_interaction() -> None:
    """40 rows, 8 causes: 37 regressors, and about 25 distinct rows in a resample."""
    data = np.random.default_rng(2).normal(size=(40, 9))
    data[:, 8] = data[:, :8].sum(axis=1) + 5 * data[:, 0] * data[:, 1] + 1e-3 * data[:, 8]
    causes = np.zeros((9, 9), dtype=bool)
    causes[:8, 8] = True
    names = tuple("abcdefghy")
    found = interactions_in(data, names, causes, count=30, rng=np.random.default_rng(0))
    assert ("a", "b") in {one.sources for one in found}
    assert {(one.stability, one.hits) for one in found} == {(0.0, 0)}


def test_an_exact_product_has_an_error_that_rounding_leaves() -> None:
    data = np.random.default_rng(2).normal(size=(400, 3))
    data[:, 2] = data[:, 0] + data[:, 1] + data[:, 0] * data[:, 1]
    causes = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    (one,) = interactions_in(data, tuple("xzy"), causes, count=10, rng=np.random.default_rng(0))
    assert one.effect == pytest.approx(1.0, abs=1e-6)
    assert one.stability == 1.0
    assert 1e-12 < one.std_error < 1e-6


def test_rows_with_holes_are_left_out_and_told() -> None:
    data = _collider()
    data[:100, 1] = np.nan
    found = PcEngine(data, NAMES, n_bootstrap=2, processes=0).discover()
    assert found.n == 700
    assert any("100 of 800 rows lack a value" in note for note in found.notes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.c_[_noise(50, 2), np.ones(50)], "'z' is constant"),
        (_noise(50, 2) @ np.array([[1, 0, 1], [0, 1, 1]]), "'z' follows from the columns before"),
        (np.c_[_noise(50, 2), _noise(50, 1) * np.nan], "'z' holds no values"),
        (_noise(5, 3), "5 rows without a missing value of 3 columns are too few"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_column(data: np.ndarray, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        PcEngine(data, NAMES)


def test_an_unknown_option_and_a_wrong_level_are_refused() -> None:
    with pytest.raises(EngineError, match="option is not known"):
        GesEngine(_collider(), NAMES, alpha=0.1)
    with pytest.raises(EngineError, match="a level between 0 and 1"):
        PcEngine(_collider(), NAMES, alpha=2.0)


def test_lagged_and_instant_edges_of_a_series_are_the_librarys() -> None:
    from causallearn.search.FCMBased.lingam import VARLiNGAM

    data = _noise(500, 3, 4)
    for t in range(1, 500):
        data[t, 1] += 0.8 * data[t - 1, 0]
        data[t, 2] += 0.7 * data[t, 1]
    found = VarLingamEngine(data, NAMES, n_bootstrap=10, processes=0).discover()
    keys = zip(found.source.tolist(), found.target.tolist(), found.lag.tolist(), strict=True)
    rows = {key: i for i, key in enumerate(keys)}
    votes = np.abs(found.confidence * found.stability)
    strong = {key for key, i in rows.items() if votes[i] >= 0.8}
    assert strong == {("x", "y", 1), ("y", "z", 0)}
    centred = data - data.mean(axis=0)  # the library fits no intercept
    library = VARLiNGAM(lags=1, criterion=None).fit(centred).adjacency_matrices_
    assert found.effect[rows["x", "y", 1]] == pytest.approx(library[1][1, 0], rel=1e-6)
    assert found.effect[rows["y", "z", 0]] == pytest.approx(library[0][2, 1], rel=1e-6)
    assert found.lags == (0, 1)
    with pytest.raises(EngineError, match="one of at least 1 is needed"):
        VarLingamEngine(data, NAMES, lags=(0,))
    data[7, 1] = np.nan
    with pytest.raises(EngineError, match="the series lacks values"):
        VarLingamEngine(data, NAMES)
