"""The engine contract, the VAR engine against statsmodels, and the CSV reader."""

from pathlib import Path

import numpy as np
import pytest

from hyperfed.engines import Discovery, Engine, VarEngine, read_csv
from hyperfed.engines.student_t import t_central, t_quantile
from hyperfed.errors import ConfigError, EngineError
from hyperfed.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


def _series(rows: int = 300, seed: int = 1) -> np.ndarray:
    """x drives y at lag 2 with 0.8; x and z are noise; every variable has its own scale."""
    noise = np.random.default_rng(seed).normal(size=(rows, 3))
    data = noise.copy()
    for t in range(2, rows):
        data[t, 1] = 0.8 * data[t - 2, 0] + 0.5 * noise[t, 1]
    return data * np.array([1.0, 100.0, 0.01])


def _row(found: Discovery, source: str, target: str, lag: int) -> int:
    return int(np.flatnonzero((found.source == source) & (found.target == target) & (found.lag == lag))[0])


def test_the_true_edge_is_found_with_its_effect_interval_and_stability() -> None:
    found = VarEngine(_series(), ("x", "y", "z"), max_lag=4).discover()
    row = _row(found, "x", "y", 2)
    assert set(found.lag.tolist()) == {1, 2}
    assert len(found) == 18
    assert found.ci_low[row] < 80 < found.ci_high[row]
    assert abs(found.effect[row] - 80) < 10
    assert found.confidence[row] > 0.999
    assert found.stability[row] == 1.0
    assert found.hits[row] == 100
    others = np.delete(found.confidence * found.stability, row)
    assert np.median(others) < 0.3


def test_coefficients_errors_and_order_agree_with_statsmodels() -> None:
    from statsmodels.tsa.api import VAR

    data = _series() / np.array([1.0, 100.0, 0.01])
    engine = VarEngine(data, ("x", "y", "z"), max_lag=5)
    model = VAR(data)
    order = int(np.argmin(model.select_order(5).ics["bic"][1:])) + 1
    assert engine.order() == order == 2
    fit = model.fit(order)
    found = engine.discover()
    assert found.n == fit.nobs
    for lag in (1, 2):
        for i, target in enumerate("xyz"):
            for j, source in enumerate("xyz"):
                row = _row(found, source, target, lag)
                at = 1 + 3 * (lag - 1) + j
                assert found.effect[row] == pytest.approx(fit.params[at, i], rel=1e-9, abs=1e-12)
                half = found.ci_high[row] - found.effect[row]
                assert half == pytest.approx(t_quantile(0.95, fit.df_resid) * fit.stderr[at, i], rel=1e-9)
                t = fit.params[at, i] / fit.stderr[at, i]
                assert found.confidence[row] == pytest.approx(float(t_central(np.array(t), int(fit.df_resid))), rel=1e-9)


@pytest.mark.parametrize("df", [1, 2, 3, 8, 9, 40, 293, 5000])
def test_students_t_agrees_with_scipy(df: int) -> None:
    from scipy import stats

    t = np.array([0.0, 0.1, 0.7, 1.5, 2.5, 6.0])
    np.testing.assert_allclose(t_central(t, df), 2 * stats.t.cdf(t, df) - 1, atol=1e-10 if df <= 1000 else 3e-4)
    assert t_quantile(0.95, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-8 if df <= 1000 else 1e-3)


def test_a_seed_gives_the_same_result_again_and_the_scale_does_not_matter() -> None:
    data = _series(60)
    first, again = (VarEngine(data, ("x", "y", "z"), rng=7).discover() for _ in range(2))
    np.testing.assert_array_equal(first.stability, again.stability)
    scaled = VarEngine(data * np.array([1e8, 1e-8, 1.0]), ("x", "y", "z"), rng=7).discover()
    np.testing.assert_array_equal(first.stability, scaled.stability)
    np.testing.assert_allclose(first.confidence, scaled.confidence, rtol=1e-6)
    row = _row(first, "x", "y", 1)
    assert scaled.effect[row] == pytest.approx(first.effect[row] * 1e-16, rel=1e-6)
    other = VarEngine(data, ("x", "y", "z"), rng=8).discover()
    assert (first.stability != other.stability).any()


def test_blocks_keep_what_single_rows_would_tear_apart() -> None:
    """With one block as long as the data every resample is the data itself: stability is 0 or 1."""
    found = VarEngine(_series(40), ("x", "y", "z"), block_length=39).discover()
    assert set(np.unique(found.stability)) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.__setitem__((5, 1), np.nan), ("'y'", "nan", "row 5")),
        (lambda d: d.__setitem__((0, 2), np.inf), ("'z'", "inf", "row 0")),
        (lambda d: d.__setitem__((slice(None), 0), 3.0), ("'x'", "constant")),
        (lambda d: d.__setitem__((slice(None), 2), 2 * d[:, 0] - d[:, 1]), ("'z'", "follows")),
        (lambda d: d.__setitem__((3, 0), 1e200), ("'x'", "1e100")),
    ],
)
def test_unusable_data_are_refused_by_column(change, words) -> None:
    data = _series(50)
    change(data)
    with pytest.raises(EngineError) as caught:
        VarEngine(data, ("x", "y", "z")).discover()
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("data", "names", "words"),
    [
        (np.zeros(5), ("x",), "shape"),
        (np.zeros((9, 2)), ("x",), "1 names for 2 columns"),
        (_series(50), ("x", "y", "x"), "twice: x"),
        (_series(7), ("x", "y", "z"), "too few"),
        ([["a", "b"]], ("x", "y"), "not numbers"),
    ],
)
def test_wrong_shapes_and_names_are_refused(data, names, words) -> None:
    with pytest.raises(EngineError, match=words):
        VarEngine(data, names)


def test_an_order_that_the_rows_cannot_carry_is_not_tried() -> None:
    assert VarEngine(_series(16), ("x", "y", "z"), max_lag=12).order() <= 3


def test_any_object_with_discover_is_an_engine_and_names_become_indices() -> None:
    class Mine:
        def discover(self) -> Discovery:
            columns = {"lag": [0, 1, 1], "effect": [1.0, -2.0, 3.0], "confidence": 0.5, "stability": [0.1, 0.2, 0.3], "n": 9}
            return Discovery(variables=("b", "a", "local"), source=["b", "a", "local"], target=["a", "a", "b"], **columns)

    engine = Mine()
    assert isinstance(engine, Engine)
    measured, edges = engine.discover().to_edges(Vocabulary.of("a", "other", "b"))
    assert measured.tolist() == [0, 2]
    assert [(row["source"], row["target"], row["lag"], row["effect"], row["n"]) for row in edges.rows()] == [(0, 0, 1, -2.0, 9), (2, 0, 0, 1.0, 9)]
    with pytest.raises(EngineError, match="none of the data's variables"):
        engine.discover().to_edges(Vocabulary.of("elsewhere"))


def test_a_discovery_checks_its_names_and_values() -> None:
    good = {"lag": 1, "effect": [1.0], "confidence": 1.0, "stability": 1.0}
    with pytest.raises(EngineError, match="'c'"):
        Discovery(variables=("a", "b"), source=["c"], target=["a"], **good)
    with pytest.raises(EngineError, match="twice: a"):
        Discovery(variables=("a", "a"), source=["a"], target=["a"], **good)
    with pytest.raises(EngineError, match="1 sources and 2 targets"):
        Discovery(variables=("a",), source=["a"], target=["a", "a"], **good)
    found = Discovery(variables=("a",), source=["a"], target=["a"], **(good | {"confidence": 1.5}))
    with pytest.raises(EngineError, match=r"confidence.*\[0, 1\]"):
        found.to_edges(Vocabulary.of("a"))


def test_csv_is_read_and_columns_are_picked(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("\ufeffday,x,y\n2020-01-01,1.5,2\n\n2020-01-02,-3e2,4\n", encoding="utf-8")
    names, data = read_csv(file, columns=["y", "x"])
    assert names == ("y", "x")
    assert data.tolist() == [[2.0, 1.5], [4.0, -300.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("line 1",)),
        ("x,x\n1,2\n", ("line 1", "'x'", "twice")),
        ("x,\n1,2\n", ("line 1", "without a name")),
        ("x,y\n", ("no rows",)),
        ("x,y\n1,2\n3\n", ("line 3", "1 cells")),
        ("x,y\n1,2\n3,abc\n", ("line 3", "'y'", "'abc'")),
        ("x,y\n1,\n", ("line 2", "'y'", "empty")),
        ("x,y\n1,nan\n", ("line 2", "'y'", "'nan'")),
        ('x,y\n1,"2\n', ("line 2",)),
    ],
)
def test_a_bad_csv_is_refused_by_file_line_and_column(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "data.csv"
    file.write_text(text)
    with pytest.raises(EngineError) as caught:
        read_csv(file)
    assert all(word in str(caught.value) for word in ("data.csv", *words))


def test_an_unreadable_csv_is_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.csv"):
        read_csv(tmp_path / "nothing.csv")
    (tmp_path / "latin.csv").write_bytes(b"x\n\xff\n")
    with pytest.raises(EngineError, match="UTF-8"):
        read_csv(tmp_path / "latin.csv")
    (tmp_path / "good.csv").write_text("x\n1\n")
    with pytest.raises(EngineError, match="no column 'z'"):
        read_csv(tmp_path / "good.csv", columns=["z"])


def test_a_resample_with_the_other_sign_does_not_count_for_stability() -> None:
    engine = VarEngine(_series(), ("x", "y", "z"), max_lag=2)
    raw, y = engine._regression(2, 2)
    x, y = (raw - raw.mean(axis=0)) / np.where(raw.std(axis=0) > 0, raw.std(axis=0), 1.0), (y - y.mean(axis=0)) / y.std(axis=0)
    x[:, 0] = 1.0
    sign = np.ones((6, 3))
    assert engine._bootstrap(x, y, sign)[3, 1] == 100
    assert engine._bootstrap(x, y, -sign)[3, 1] == 0
