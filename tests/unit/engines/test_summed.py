"""Engines on sums: what statsmodels and causal-learn find on all centred rows in one place."""

import importlib
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from hyperfed.engines import Discovery
from hyperfed.engines.causal_learn import quietly
from hyperfed.engines.marks import MarkedGraph
from hyperfed.engines.summed import (
    SummedFci,
    SummedGes,
    SummedPc,
    SummedVar,
    make_summed_engine,
)
from hyperfed.engines.summed.independence import independence_p
from hyperfed.engines.summed.var import expected_hits
from hyperfed.errors import ConfigError, EngineError
from hyperfed.packets import Knowledge
from hyperfed.statistics import Sums, statistics_of
from hyperfed.statistics.sweeping import Regression, regressions
from hyperfed.tables.vocabulary import Variable, Vocabulary

pytestmark = pytest.mark.unit

NAMES = ("a", "b", "c", "d", "e", "f")
VOCABULARY = Vocabulary.of(*NAMES)
EDGES = ((0, 1), (1, 2), (0, 3), (3, 4), (2, 5), (4, 5))


def table(seed: int, rows: int, size: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(rows, 6))
    for source, target in EDGES:
        data[:, target] += size * data[:, source]
    return data + rng.normal(size=6) * 20  # each site has a level of its own


def series(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = np.zeros((rows + 20, 6))
    for t in range(2, len(y)):
        y[t] = rng.normal(size=6) + 0.4 * y[t - 1]
        for source, target in EDGES:
            y[t, target] += 0.3 * y[t - 2, source]
    return y[20:] + rng.normal(size=6) * 20


def sums_of(
    clients: list[np.ndarray], lags: tuple[int, ...] = (0,), vocabulary: Vocabulary = VOCABULARY
) -> Sums:
    parts = {
        f"c{i}": statistics_of(one, names=NAMES, vocabulary=vocabulary, lags=lags)
        for i, one in enumerate(clients)
    }
    return Sums.of(parts, variables=6, lags=lags)


def rows_of(found: Discovery) -> dict[tuple[str, str, int], tuple[float, float, float]]:
    columns = (found.source, found.target, found.lag, found.effect, found.ci_low, found.confidence)
    return {
        (str(s), str(t), int(lag)): (e, low, c)
        for s, t, lag, e, low, c in zip(*columns, strict=True)
    }


@pytest.mark.parametrize("sizes", [(300,), (150, 150), (40, 90, 35, 60)])
def test_var_is_least_squares_with_an_intercept_for_each_client(sizes: tuple[int, ...]) -> None:
    clients = [series(i, rows) for i, rows in enumerate(sizes)]
    found = rows_of(SummedVar(sums_of(clients, (1, 2)), VOCABULARY).discover())
    x, y, site = [], [], []
    for i, one in enumerate(clients):
        x.append(np.hstack([one[1:-1], one[:-2]]))
        y.append(one[2:])
        site.append(np.full(len(one) - 2, i))
    dummies = np.equal.outer(np.concatenate(site), np.arange(len(sizes))).astype(float)
    regressors = np.hstack([np.vstack(x), dummies])
    assert len(found) == 72
    for target in range(6):
        fit = sm.OLS(np.vstack(y)[:, target], regressors).fit()
        for column in range(12):
            key = (NAMES[column % 6], NAMES[target], 1 + column // 6)
            effect, low, confidence = found[key]
            assert effect == pytest.approx(fit.params[column], rel=1e-9, abs=1e-11)
            assert (effect - low) / 1.959964 == pytest.approx(fit.bse[column], rel=1e-6)
            assert confidence == pytest.approx(1 - fit.pvalues[column], abs=1e-9)


def test_var_speaks_in_the_vocabularys_units() -> None:
    wide = Vocabulary(
        tuple(Variable(n, low=-1000.0 - i, high=900.0 * i) for i, n in enumerate(NAMES, 1))
    )
    clients = [series(1, 200)]
    plain = rows_of(SummedVar(sums_of(clients, (1,)), VOCABULARY).discover())
    other = rows_of(SummedVar(sums_of(clients, (1,), wide), wide).discover())
    for key, numbers in plain.items():
        np.testing.assert_allclose(other[key], numbers, rtol=1e-8, atol=1e-12)


def test_var_holds_to_tiers_and_reads_no_rows_of_a_set_target() -> None:
    clients = [series(i, 150) for i in range(3)]
    known = Knowledge(tiers=(("a",), ("b", "c", "d", "e", "f")))
    found = rows_of(SummedVar(sums_of(clients, (1,)), VOCABULARY, knowledge=known).discover())
    assert not any(target == "a" and source != "a" for source, target, _ in found)
    forced = clients[0].copy()
    forced[:, 1] = np.random.default_rng(3).normal(size=150) * 50
    parts = {
        "x": statistics_of(
            forced, names=NAMES, vocabulary=VOCABULARY, lags=(1,), intervened=("b",)
        ),
        "w": statistics_of(clients[1], names=NAMES, vocabulary=VOCABULARY, lags=(1,)),
    }
    both = rows_of(SummedVar(Sums.of(parts, variables=6, lags=(1,)), VOCABULARY).discover())
    alone = rows_of(SummedVar(sums_of([clients[1]], (1,)), VOCABULARY).discover())
    assert both[("a", "b", 1)] == pytest.approx(alone[("a", "b", 1)], rel=1e-9)
    assert both[("b", "c", 1)] != pytest.approx(alone[("b", "c", 1)], rel=1e-3)


def test_the_share_of_resamples_is_the_one_that_draws_give() -> None:
    t = np.array([0.0, 2.0, 2.7, -3.5, 6.0])
    draws = t[:, None] + np.random.default_rng(0).normal(size=(5, 20_000))
    least = np.sqrt(500 * np.expm1(np.log(500) / 500))
    kept = (np.abs(draws) > least) & (np.sign(draws) == np.sign(t)[:, None])
    np.testing.assert_allclose(expected_hits(t, 500)[1:], kept.mean(axis=1)[1:], atol=0.012)


def stacked(clients: list[np.ndarray]) -> np.ndarray:
    return np.vstack([one - one.mean(axis=0) for one in clients])


@pytest.mark.parametrize("sizes", [(400,), (200, 120, 80)])
def test_tests_are_causal_learns_on_all_centred_rows(sizes: tuple[int, ...]) -> None:
    clients = [table(i, rows) for i, rows in enumerate(sizes)]
    sums = sums_of(clients).total
    test = importlib.import_module("causallearn.utils.cit").CIT(stacked(clients), "fisherz")
    test.sample_size = 400 - (len(sizes) - 1)  # a mean was taken for each client
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, y, *given = rng.permutation(6)[: rng.integers(2, 6)].tolist()
        p = independence_p(sums.correlation, sums.effective, x, y, given)
        assert p == pytest.approx(test(x, y, given), abs=1e-9)


@pytest.mark.parametrize("engine", [SummedPc, SummedFci, SummedGes])
def test_graphs_are_causal_learns_on_all_centred_rows(engine: type) -> None:
    clients = [table(i, rows) for i, rows in enumerate((300, 250, 200))]
    rows = stacked(clients)
    with quietly():
        if engine is SummedGes:
            module = importlib.import_module("causallearn.search.ScoreBased.GES")
            graph = module.ges(rows, "local_score_BIC")["G"]
        elif engine is SummedPc:
            module = importlib.import_module("causallearn.search.ConstraintBased.PC")
            graph = module.pc(rows, 0.05, "fisherz", show_progress=False).G
        else:
            module = importlib.import_module("causallearn.search.ConstraintBased.FCI")
            graph = module.fci(rows, "fisherz", 0.05, show_progress=False)[0]
    marks = MarkedGraph.of_causal_learn(graph.graph)
    found = engine(sums_of(clients), VOCABULARY, resamples=3).discover()
    theirs = {
        (NAMES[i], NAMES[j]): text
        for i, j in zip(*np.nonzero(marks.votes), strict=True)
        for text in marks.texts([i], [j])
    }
    mine = {
        (str(s), str(t)): text
        for s, t, text in zip(found.source, found.target, found.endpoints, strict=True)
        if text
    }
    assert mine == theirs
    assert len(mine) >= 6
    row = next(i for i, s in enumerate(found.source) if (s, found.target[i]) == ("c", "f"))
    causes = sorted(NAMES.index(s) for s, t in mine if t == "f" and mine[(s, t)] == "-->")
    fit = sm.OLS(rows[:, 5], rows[:, causes]).fit()
    assert found.effect[row] == pytest.approx(fit.params[causes.index(2)], rel=1e-9)
    assert found.stability[row] == 1.0


def test_a_difference_between_sites_is_no_effect() -> None:
    rng = np.random.default_rng(0)
    clients = []
    for site in range(8):  # within each site b falls with a; between sites both grow
        data = rng.normal(size=(60, 6))
        data[:, 1] -= 0.5 * data[:, 0]
        clients.append(data + 3.0 * site)
    found = rows_of(SummedPc(sums_of(clients), VOCABULARY, resamples=5).discover())
    assert {key[:2] for key in found if found[key][2] > 0.999} == {("a", "b"), ("b", "a")}
    assert found[("a", "b", 0)][0] == pytest.approx(-0.5, abs=0.1)


def test_knowledge_orients_and_forbids() -> None:
    clients = [table(i, 200) for i in range(3)]
    known = Knowledge(tiers=(("a",), ("b", "c", "d", "e", "f")), required=(("a", "f"),))
    for engine in (SummedPc, SummedGes):
        found = engine(sums_of(clients), VOCABULARY, knowledge=known, resamples=2).discover()
        edges = {(str(s), str(t)) for s, t in zip(found.source, found.target, strict=True)}
        assert ("a", "f") in edges
        assert not any(target == "a" for _, target in edges)


def test_what_nobody_measured_together_has_no_edge() -> None:
    data = [table(0, 300), table(1, 300)]
    parts = {
        "x": statistics_of(data[0][:, :4], names=NAMES[:4], vocabulary=VOCABULARY),
        "y": statistics_of(data[1][:, 1:], names=NAMES[1:], vocabulary=VOCABULARY),
    }
    found = SummedPc(Sums.of(parts, variables=6, lags=(0,)), VOCABULARY, resamples=2).discover()
    pairs = {frozenset((str(s), str(t))) for s, t in zip(found.source, found.target, strict=True)}
    assert frozenset("ab") in pairs
    assert frozenset("cf") in pairs
    assert not pairs & {frozenset("ae"), frozenset("af")}
    of_pair = {
        (str(s), str(t)): n for s, t, n in zip(found.source, found.target, found.n, strict=True)
    }
    assert of_pair.get(("b", "c"), of_pair.get(("c", "b"))) == 600
    assert of_pair.get(("a", "b"), of_pair.get(("b", "a"))) == 300


def test_the_same_seed_gives_the_same_and_another_engine_is_refused() -> None:
    sums = sums_of([table(i, 80, 0.3) for i in range(3)])
    one, two = (
        make_summed_engine("pc", sums, VOCABULARY, resamples=6, seed=7).discover() for _ in range(2)
    )
    assert np.array_equal(one.stability, two.stability)
    with pytest.raises(ConfigError, match="var, pc, fci, ges"):
        make_summed_engine("lasso", sums, VOCABULARY)
    with pytest.raises(EngineError, match="no lag above 0"):
        make_summed_engine("var", sums, VOCABULARY, alpha=0.1).discover()
    few = {"x": statistics_of(table(0, 20)[:, :1], names=("a",), vocabulary=VOCABULARY)}
    with pytest.raises(EngineError, match="1 variables"):
        SummedPc(Sums.of(few, variables=6, lags=(0,)), VOCABULARY)


def wide_sums(width: int, lags: tuple[int, ...]) -> tuple[Sums, Vocabulary]:
    """Return the sums of four clients of a sparse model: one cause of each variable."""
    rng = np.random.default_rng(2)
    vocabulary = Vocabulary.of(*(f"v{i}" for i in range(width)))
    clients = {}
    for client in range(4):
        data = rng.normal(size=(200, width))
        for target in range(3, width):
            data[:, target] += 0.6 * data[:, target - 3]
        clients[f"c{client}"] = statistics_of(
            data, names=vocabulary.names, vocabulary=vocabulary, lags=lags
        )
    return Sums.of(clients, variables=width, lags=lags), vocabulary


def test_var_sweeps_fifty_variables_once_however_many_targets_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def counted(covariance: np.ndarray, regressors: list[int], targets: list[int]) -> Regression:
        calls.append((len(regressors), len(targets)))
        return regressions(covariance, regressors, targets)

    monkeypatch.setattr("hyperfed.engines.summed.var.regressions", counted)
    sums, vocabulary = wide_sums(50, (1, 2))
    assert len(SummedVar(sums, vocabulary).discover().source) == 2 * 50 * 50
    assert calls == [(100, 50)]


def test_pc_asks_for_few_tests_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*args: Any, **more: Any) -> float:
        asked.append(len(args[4]))
        return independence_p(*args, **more)

    monkeypatch.setattr("hyperfed.engines.summed.independence.independence_p", counted)
    sums, vocabulary = wide_sums(15, (0,))
    SummedPc(sums, vocabulary, resamples=1).discover()
    searches, pairs = 2, 15 * 14 / 2
    assert pairs <= asked.count(0) / searches <= 2 * pairs
    # what is dense, or asks again what it knows, asks for thousands a pair
    assert len(asked) / searches < 20 * pairs


def test_ges_scores_few_families_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = importlib.import_module("causallearn.score.LocalScoreFunctionClass").LocalScoreClass
    asked, score = [], scores.score

    def counted(self: Any, *args: Any, **more: Any) -> float:
        asked.append(args)
        return float(score(self, *args, **more))

    monkeypatch.setattr(scores, "score", counted)
    sums, vocabulary = wide_sums(12, (0,))
    SummedGes(sums, vocabulary, resamples=1).discover()
    assert 0 < len(asked) / 2 < 20 * 12 * 11
