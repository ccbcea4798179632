"""The engine contract, and the VAR engine against statsmodels."""

import numpy as np
import pytest

from hyperfed.client_agent import FederationClientAgent
from hyperfed.engines import Discovery, Engine, VarEngine
from hyperfed.errors import EngineError
from hyperfed.merge.student_t import t_central, t_quantile
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


def _series(rows: int = 300, seed: int = 1) -> np.ndarray:
    """x drives y at lag 2 with 0.8; x and z are noise; every variable has its own scale."""
    noise = np.random.default_rng(seed).normal(size=(rows, 3))
    data = noise.copy()
    for t in range(2, rows):
        data[t, 1] = 0.8 * data[t - 2, 0] + 0.5 * noise[t, 1]
    return data * np.array([1.0, 100.0, 0.01])


def _row(found: Discovery, source: str, target: str, lag: int) -> int:
    return int(
        np.flatnonzero((found.source == source) & (found.target == target) & (found.lag == lag))[0]
    )


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


def test_the_lags_that_are_given_are_those_that_are_fitted() -> None:
    found = VarEngine(_series(), ("x", "y", "z"), lags=(2, 4)).discover()
    assert found.lags == (2, 4)
    assert set(found.lag.tolist()) == {2, 4}
    row = _row(found, "x", "y", 2)
    assert abs(found.effect[row] - 80) < 10
    assert found.n == 296
    whole = VarEngine(_series(), ("x", "y", "z"), max_lag=2).discover()
    given = VarEngine(_series(), ("x", "y", "z"), lags=[2, 1]).discover()
    assert np.array_equal(given.effect, whole.effect), "BIC chose the same order here"
    assert np.array_equal(given.hits, whole.hits)


def test_a_lag_is_looked_at_where_bic_would_drop_it() -> None:
    data = np.random.default_rng(3).normal(size=(60, 3))
    for t in range(2, 60):
        data[t, 1] += 0.35 * data[t - 2, 0]
    assert VarEngine(data, ("x", "y", "z"), max_lag=2).looked_at() == (1,)
    assert VarEngine(data, ("x", "y", "z"), lags=(1, 2)).looked_at() == (1, 2)


def test_lags_that_the_rows_do_not_allow_are_not_looked_at_and_the_update_says_so() -> None:
    rows, names = _series(16), ("x", "y", "z")
    found = VarEngine(rows, names, lags=(1, 2, 3, 4)).discover()
    assert found.lags == (1, 2, 3), "16 rows less 4 leave none for 12 regressors and a constant"
    assert set(found.lag.tolist()) == {1, 2, 3}
    with pytest.raises(EngineError, match=r"16 rows of 3 columns are too few for lag 12"):
        VarEngine(rows, names, lags=(12,)).discover()
    for wrong in ((), (0, 1), (0,)):
        with pytest.raises(EngineError, match="lags of at least 1 are needed"):
            VarEngine(rows, names, lags=wrong)


def test_a_discovery_says_which_lags_were_looked_at() -> None:
    row = {"source": ["x"], "target": ["y"], "lag": [1], "effect": [1.0]}
    sure = {"confidence": 1.0, "stability": 1.0}
    assert Discovery(variables=("x", "y"), **row, **sure).lags == (1,), "those of its edges"
    assert Discovery(variables=("x", "y"), lags=[2, 1, 0], **row, **sure).lags == (0, 1, 2)
    with pytest.raises(EngineError, match="has an edge at lag 1, which is not among the lags"):
        Discovery(variables=("x", "y"), lags=(0, 2), **row, **sure)
    for wrong in ((1, -1), (1, 65536), (1, 1.5), (1, True), (1, "2")):
        with pytest.raises(EngineError, match="whole numbers from 0 to 65535"):
            Discovery(variables=("x", "y"), lags=wrong, **row, **sure)


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
                assert half == pytest.approx(1.959963984540054 * fit.stderr[at, i], rel=1e-9), (
                    "the merge divides by 1.96: by t it would read too much"
                )
                t = fit.params[at, i] / fit.stderr[at, i]
                assert found.confidence[row] == pytest.approx(
                    float(t_central(np.array(t), int(fit.df_resid))), rel=1e-9
                )


@pytest.mark.parametrize("df", [1, 2, 3, 8, 9, 40, 293, 5000])
def test_students_t_agrees_with_scipy(df: int) -> None:
    from scipy import stats

    t = np.array([0.0, 0.1, 0.7, 1.5, 2.5, 6.0])
    np.testing.assert_allclose(
        t_central(t, df), 2 * stats.t.cdf(t, df) - 1, atol=1e-10 if df <= 1000 else 3e-4
    )
    assert t_quantile(0.95, df) == pytest.approx(
        stats.t.ppf(0.975, df), rel=1e-8 if df <= 1000 else 1e-3
    )


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
        (lambda d: d.__setitem__((0, 2), np.inf), ("'z'", "inf", "row 0")),
        (lambda d: d.__setitem__((slice(None), 0), 3.0), ("'x'", "constant")),
        (lambda d: d.__setitem__((slice(None), 2), 2 * d[:, 0] - d[:, 1]), ("'z'", "follows")),
        (lambda d: d.__setitem__((slice(None), 1), np.nan), ("'y'", "no values")),
        (lambda d: d.__setitem__((slice(None), 1), 3 - 2 * d[:, 0]), ("'y'", "copy of 'x'")),
        (lambda d: d.__setitem__((slice(None), 0), np.arange(50) * 3 + 7), ("'x'", "grows by 3")),
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
            columns = {
                "lag": [0, 1, 1],
                "effect": [1.0, -2.0, 3.0],
                "confidence": 0.5,
                "stability": [0.1, 0.2, 0.3],
                "n": 9,
            }
            return Discovery(
                variables=("b", "a", "local"),
                source=["b", "a", "local"],
                target=["a", "a", "b"],
                **columns,
            )

    engine = Mine()
    assert isinstance(engine, Engine)
    measured, edges = engine.discover().to_edges(Vocabulary.of("a", "other", "b"))
    assert measured.tolist() == [0, 2]
    assert [
        (row["source"], row["target"], row["lag"], row["effect"], row["n"]) for row in edges.rows()
    ] == [(0, 0, 1, -2.0, 9), (2, 0, 0, 1.0, 9)]
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


def test_what_an_engine_says_of_its_run_reaches_the_agent() -> None:
    class Telling:
        def discover(self) -> Discovery:
            return Discovery(**EDGES, notes=["auto chose the VAR"])

    agent = FederationClientAgent(Telling(), "texas")
    agent.get_shareable_update()
    assert agent.notes == ("auto chose the VAR",)


EDGES = {
    "variables": ("a", "b"),
    "source": ["a", "b"],
    "target": ["b", "b"],
    "lag": [0, 3],
    "effect": [1.0, -2.0],
    "confidence": [0.9, 0.5],
    "stability": [0.8, 0.5],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"confidence": [0.5, 1.9]}, "confidence is 1.9, outside [0, 1]"),
        ({"confidence": [0.5, np.nan]}, "confidence is nan, outside [0, 1]"),
        ({"stability": [0.5, -0.1]}, "stability is -0.1, outside [0, 1]"),
        ({"effect": [0.5, np.inf]}, "effect is inf, not a finite number"),
        ({"effect": [0.5, np.nan]}, "effect is nan, not a finite number"),
        ({"lag": [1, -1]}, "lag is -1, no whole number from 0 to 65535"),
        ({"lag": [1, 1.5]}, "lag is 1.5, no whole number"),
        ({"lag": [1, 70000]}, "lag is 70000, no whole number"),
        ({"lag": 0}, "lag is 0, the lag of a variable's edge to itself"),
        ({"hits": [1, -1]}, "hits is -1, no whole number"),
        ({"n": [1, np.nan]}, "n is nan, no whole number"),
        ({"source": ["b", "b"], "lag": 3}, "is there twice"),
        ({"ci_low": [0, -1.5], "ci_high": [2, -1]}, "ci_low is -1.5, above the effect"),
        ({"ci_low": [0, -3], "ci_high": [2, -2.5]}, "ci_high is -2.5, below the effect"),
        (
            {"ci_low": [0, -np.inf], "ci_high": [2, np.inf]},
            "effect is -2, an effect with an endless interval",
        ),
        (
            {"ci_low": [0, np.nan], "ci_high": [2, -1]},
            "effect is -2, an effect of whose interval one end is missing",
        ),
        ({"std_error": [1, -1]}, "std_error is -1, no standard error"),
        ({"ci_low": [0, -3], "ci_high": [2, -1], "dof": [5, 0]}, "dof is 0, below 1"),
    ],
)
def test_a_discovery_refuses_when_it_is_made_what_no_edge_has(change: dict, said: str) -> None:
    Discovery(**EDGES)
    with pytest.raises(EngineError) as caught:
        Discovery(**(EDGES | change))
    assert said in caught.value.problem
    assert "'b' -> 'b', lag" in caught.value.subject, "the second edge is the wrong one"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"effect": [1.0]}, "effect has 1 rows where source has 2 rows"),
        ({"effect": [[1.0, 2.0]]}, "effect has the shape (1, 2)"),
        ({"confidence": ["high", "low"]}, "confidence is no column of numbers"),
        ({"ci_low": [0, -3]}, "ci_low and ci_high come together"),
        ({"ci_low": [0, -3], "ci_high": [2, -1], "std_error": 1.0}, "std_error takes the place"),
        ({"dof": 5}, "dof says what"),
        ({"variables": ()}, "which is not among its variables"),
    ],
)
def test_a_discovery_refuses_columns_that_do_not_fit(change: dict, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        Discovery(**(EDGES | change))
    assert said in caught.value.problem


def test_t_intervals_and_standard_errors_become_the_interval_that_travels() -> None:
    """At 5 degrees of freedom t is 2.571: read by 1.96, the error would be 1.31 times too wide."""
    error = np.array([0.1, 0.2])
    effect = np.array(EDGES["effect"])
    by_error = Discovery(**EDGES, std_error=error)
    half = np.array([2.5705818356363146, 12.706204736174698]) * error
    by_t = Discovery(**EDGES, ci_low=effect - half, ci_high=effect + half, dof=[5, 1])
    for found in (by_error, by_t):
        np.testing.assert_allclose(
            (found.ci_high - found.ci_low) / (2 * 1.959963984540054), error, rtol=1e-7
        )
        np.testing.assert_allclose((found.ci_high + found.ci_low) / 2, effect)
    as_given = Discovery(**EDGES, ci_low=effect - half, ci_high=effect + half)
    assert as_given.ci_low.tolist() == (effect - half).tolist()


@pytest.mark.parametrize(
    "columns",
    [
        {"std_error": [0.1, None]},
        {"std_error": [0.1, np.nan]},
        {"ci_low": [0.5, None], "ci_high": [1.5, None]},
    ],
)
def test_an_edge_without_interval_is_one_without_width(columns: dict) -> None:
    _, edges = Discovery(**EDGES, **columns).to_edges(Vocabulary.of("a", "b"))
    first, second = edges.rows()
    assert first["ci_low"] < 1 < first["ci_high"]
    assert (second["ci_low"], second["ci_high"]) == (None, None)
    assert edges.ci_low is not None
    assert edges.ci_low[1] == -2.0


def test_confidence_is_uniform_on_noise() -> None:
    """1 - p: .50 on average where there is nothing, as the glossary says."""
    shares = [
        VarEngine(np.random.default_rng(seed).normal(size=(60, 3)), ("x", "y", "z"), n_bootstrap=1)
        .discover()
        .confidence
        for seed in range(60)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.mean(np.concatenate(shares) > 0.9) == pytest.approx(0.1, abs=0.04)
