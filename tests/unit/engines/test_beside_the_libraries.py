"""Every engine on a fixed truth, with its library installed: F1 above .9, the library's numbers."""

import numpy as np
import pytest

from hyperfed.engines import (
    Discovery,
    FciEngine,
    GesEngine,
    LingamEngine,
    PcEngine,
    VarEngine,
    VarLingamEngine,
)
from hyperfed.engines.causal_learn import quietly
from hyperfed.engines.effects import standardised
from hyperfed.engines.marks import MarkedGraph
from hyperfed.engines.table import TableEngine

pytestmark = pytest.mark.unit

NAMES = tuple("abcdefgh")
EDGES = ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (5, 4), (5, 6), (6, 7))
TRUTH = {(NAMES[i], NAMES[j]) for i, j in EDGES}
LAGGED = {("a", "b", 1), ("b", "c", 1), ("c", "d", 1), ("a", "d", 2), ("a", "a", 1), ("d", "d", 1)}
NOW = {("a", "c", 0), ("c", "e", 0)}


def _table(rows: int = 2000) -> np.ndarray:
    rng, data = np.random.default_rng(8), np.zeros((rows, len(NAMES)))
    weights = np.zeros((len(NAMES),) * 2)
    weights[tuple(zip(*EDGES, strict=True))] = 0.8
    for variable in (0, 1, 2, 3, 5, 4, 6, 7):
        data[:, variable] = data @ weights[:, variable] + rng.uniform(-1, 1, rows)
    return data


def _series(edges: set[tuple[str, str, int]], rows: int = 1500) -> np.ndarray:
    rng, names = np.random.default_rng(9), NAMES[:5]
    data = rng.uniform(-1, 1, (rows, len(names)))
    for row in range(2, rows):
        for source, target, lag in sorted(edges, key=lambda edge: edge[1]):
            i, j = names.index(source), names.index(target)
            data[row, j] += (0.4 if i == j else 0.7) * data[row - lag, i]
    return data


def _published(found: Discovery) -> set[tuple[str, str, int]]:
    """The edges on which this client's own vote would keep them."""
    rows = zip(found.source.tolist(), found.target.tolist(), found.lag.tolist(), strict=True)
    strong = found.confidence * found.stability >= 0.3
    return {row for row, kept in zip(rows, strong.tolist(), strict=True) if kept}


def _f1(found: set, truth: set) -> float:
    return 2 * len(found & truth) / (len(found) + len(truth))


@pytest.fixture(scope="module")
def found() -> dict[type[TableEngine], Discovery]:
    data = _table()
    return {
        engine: engine(data, NAMES, n_bootstrap=6, processes=0).discover()
        for engine in (PcEngine, GesEngine, FciEngine, LingamEngine)
    }


@pytest.mark.parametrize("engine", [PcEngine, GesEngine, FciEngine, LingamEngine])
def test_the_pairs_of_a_fixed_truth_are_found(
    engine: type[TableEngine], found: dict[type[TableEngine], Discovery]
) -> None:
    pairs = {frozenset(edge[:2]) for edge in _published(found[engine])}
    assert _f1(pairs, {frozenset(edge) for edge in TRUTH}) > 0.9


@pytest.mark.parametrize("engine", [LingamEngine, VarEngine, VarLingamEngine])
def test_the_edges_of_a_fixed_truth_are_found_with_their_directions(
    engine: type, found: dict[type[TableEngine], Discovery]
) -> None:
    if engine is LingamEngine:
        assert _f1(_published(found[engine]), {(*edge, 0) for edge in TRUTH}) > 0.9
        return
    lagged, lags = (LAGGED, (1, 2)) if engine is VarEngine else (LAGGED | NOW, (0, 1, 2))
    more = {} if engine is VarEngine else {"processes": 0}
    made = engine(_series(lagged), NAMES[:5], lags=lags, n_bootstrap=20, rng=1, **more)
    edges = _published(made.discover())
    assert _f1(edges, lagged) > 0.9, sorted(edges ^ lagged)


@pytest.mark.parametrize("engine", [PcEngine, GesEngine, FciEngine])
def test_marks_are_those_of_the_library_called_directly(
    engine: type[TableEngine], found: dict[type[TableEngine], Discovery]
) -> None:
    from causallearn.search.ConstraintBased.FCI import fci
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.search.ScoreBased.GES import ges

    data, _ = standardised(_table())
    with quietly():
        graph = {
            PcEngine: lambda: pc(data, 0.05, "fisherz", show_progress=False).G,
            GesEngine: lambda: ges(data, "local_score_BIC")["G"],
            FciEngine: lambda: fci(data, "fisherz", 0.05, show_progress=False)[0],
        }[engine]()
    marked, ours = MarkedGraph.of_causal_learn(graph.graph), found[engine]
    theirs = {
        (NAMES[i], NAMES[j]): marked.texts([i], [j])[0]
        for i, j in np.argwhere(marked.votes > 0).tolist()
    }
    rows = zip(ours.source.tolist(), ours.target.tolist(), ours.endpoints, strict=True)
    assert {(s, t): marks for s, t, marks in rows if marks} == theirs


@pytest.mark.parametrize("engine", [PcEngine, GesEngine, LingamEngine])
def test_coefficients_are_those_of_the_library_called_directly(
    engine: type[TableEngine], found: dict[type[TableEngine], Discovery]
) -> None:
    """DirectLiNGAM gives its own; of a graph they are those of statsmodels on its causes."""
    from causallearn.search.FCMBased.lingam import DirectLiNGAM
    from statsmodels.api import OLS, add_constant

    data, ours = _table(), found[engine]
    rows = zip(ours.source.tolist(), ours.target.tolist(), ours.endpoints, strict=True)
    directed = {(s, t): row for row, (s, t, marks) in enumerate(rows) if marks == "-->"}
    assert len(directed) >= 4
    if engine is LingamEngine:
        library = DirectLiNGAM().fit(data).adjacency_matrix_  # the row is the target
        for (source, target), row in directed.items():
            expected = library[NAMES.index(target), NAMES.index(source)]
            assert ours.effect[row] == pytest.approx(expected, rel=1e-6)
        return
    for target in {target for _, target in directed}:
        causes = sorted(source for source, other in directed if other == target)
        x = add_constant(data[:, [NAMES.index(cause) for cause in causes]])
        fit = OLS(data[:, NAMES.index(target)], x).fit()
        for at, cause in enumerate(causes, start=1):
            row = directed[cause, target]
            assert ours.effect[row] == pytest.approx(fit.params[at], rel=1e-9)
            half = ours.ci_high[row] - ours.effect[row]
            assert half == pytest.approx(1.959963984540054 * fit.bse[at], rel=1e-9)
