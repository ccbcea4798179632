"""Results of other libraries become a Discovery in one line, each matrix read its own way."""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from hyperfed.engines import Discovery
from hyperfed.engines.graph_conversions import UNTRIED
from hyperfed.errors import EngineError

pytestmark = pytest.mark.unit

NAMES = ["x", "y", "z"]


def _data(rows: int = 600) -> np.ndarray:
    """x -> y <- z."""
    x, e, z = np.random.default_rng(0).uniform(-1, 1, (3, rows))
    return np.c_[x, 0.8 * x - 0.7 * z + 0.5 * e, z]


def _rows(found: Discovery) -> dict[tuple[str, str, int], int]:
    keys = zip(found.source.tolist(), found.target.tolist(), list(found.lag), strict=True)
    return {(s, t, int(lag)): i for i, (s, t, lag) in enumerate(keys)}


def test_a_finished_pc_of_causal_learn_brings_its_own_data() -> None:
    from causallearn.search.ConstraintBased.PC import pc

    graph = pc(_data(), 0.05, "fisherz", node_names=NAMES, show_progress=False)
    found = Discovery.from_causallearn(graph)
    rows = _rows(found)
    assert set(rows) == {("x", "y", 0), ("z", "y", 0)}
    assert found.variables == ("x", "y", "z")
    assert found.effect[rows["x", "y", 0]] == pytest.approx(0.8, abs=0.05)
    assert found.effect[rows["z", "y", 0]] == pytest.approx(-0.7, abs=0.05)
    assert found.confidence.min() > 0.999
    assert found.stability.tolist() == [UNTRIED, UNTRIED]
    assert "no resamples stand behind" in found.notes[0]
    assert found.n == 600
    sure = Discovery.from_causallearn(graph, stability=0.9)
    assert sure.stability.tolist() == [0.9, 0.9]
    assert sure.notes == ()


def test_ges_and_fci_of_causal_learn_need_the_data_they_were_found_in() -> None:
    from causallearn.search.ConstraintBased.FCI import fci
    from causallearn.search.ScoreBased.GES import ges

    data = _data()
    with pytest.raises(EngineError, match="says nothing of the edges' effects"):
        Discovery.from_causallearn(ges(data, node_names=NAMES))
    found = Discovery.from_causallearn(ges(data, node_names=NAMES), data)
    assert set(_rows(found)) == {("x", "y", 0), ("z", "y", 0)}
    graph = fci(data, "fisherz", 0.05, node_names=NAMES, show_progress=False)
    found = Discovery.from_causallearn(graph, data)
    assert found.endpoints == ("o->", "o->")
    assert found.stability.tolist() == [UNTRIED / 2, UNTRIED / 2], "x o-> y is half a vote"
    with pytest.raises(EngineError, match=r"have the shape \(600, 2\); a column for each"):
        Discovery.from_causallearn(graph, data[:, :2])
    with pytest.raises(EngineError, match="a str is no result that can be read here"):
        Discovery.from_causallearn("graph")


@pytest.mark.parametrize(
    ("at_x", "at_y", "expected", "pairs"),
    [
        (-1, 1, {("x", "y"): 1.0}, 0),
        (1, -1, {("y", "x"): 1.0}, 0),
        (-1, -1, {("x", "y"): 0.5, ("y", "x"): 0.5}, 0),
        (2, 2, {("x", "y"): 0.5, ("y", "x"): 0.5}, 0),
        (2, 1, {("x", "y"): 0.5}, 0),
        (1, 1, {}, 1),
        (4, 5, {("x", "y"): 1.0}, 1),
    ],
)
def test_each_mark_of_causal_learn_is_read_at_its_own_end(
    at_x: int, at_y: int, expected: dict[tuple[str, str], float], pairs: int
) -> None:
    matrix = np.zeros((2, 2), dtype=int)
    matrix[0, 1], matrix[1, 0] = at_x, at_y  # the library has the mark at i in graph[i, j]
    nodes = [SimpleNamespace(get_name=lambda name=name: name) for name in ("x", "y")]
    graph = SimpleNamespace(graph=matrix, nodes=nodes)
    found = Discovery.from_causallearn(graph, _data()[:, :2], stability=1.0)
    votes = zip(found.source.tolist(), found.target.tolist(), found.stability, strict=True)
    assert {(s, t): v for s, t, v in votes} == expected
    assert len(found.bidirected) == pairs


def test_a_mark_that_causal_learn_does_not_have_is_refused() -> None:
    nodes = [SimpleNamespace(get_name=lambda name=name: name) for name in ("x", "y")]
    for matrix, message in (
        ([[0, 7], [-1, 0]], "the mark 7, which is none of causal-learn's"),
        ([[0, 1], [0, 0]], "a mark at one end only"),
    ):
        graph = SimpleNamespace(graph=np.array(matrix), nodes=nodes)
        with pytest.raises(EngineError, match=message):
            Discovery.from_causallearn(graph, _data()[:, :2])


def test_lingams_matrix_has_the_target_in_the_row() -> None:
    model = SimpleNamespace(adjacency_matrix_=[[0, 0, 0], [0.8, 0, -0.7], [0, 0, 0]])
    found = Discovery.from_lingam(model, NAMES, _data())
    rows = _rows(found)
    assert set(rows) == {("x", "y", 0), ("z", "y", 0)}
    assert found.effect[rows["z", "y", 0]] == -0.7
    assert found.ci_low is not None
    assert found.ci_low[rows["x", "y", 0]] < 0.8 < found.ci_high[rows["x", "y", 0]]
    with pytest.raises(EngineError, match="nothing tells how sure its edges are"):
        Discovery.from_lingam(model, NAMES)
    with pytest.raises(EngineError, match="a SimpleNamespace is no result"):
        Discovery.from_lingam(SimpleNamespace(), NAMES)


def test_lingams_bootstrap_says_how_often_the_sign_came_again() -> None:
    model = SimpleNamespace(adjacency_matrix_=[[0, 0], [0.8, 0]])
    samples = np.zeros((4, 2, 2))
    samples[:3, 1, 0] = [0.7, 0.9, -0.1]
    again = SimpleNamespace(adjacency_matrices_=samples)
    found = Discovery.from_lingam(model, ["x", "y"], bootstrap=again, confidence=0.99)
    assert found.stability.tolist() == [0.5]
    assert found.confidence.tolist() == [0.99]
    assert found.notes == ()


def test_var_lingams_matrices_and_bootstrap_are_one_for_each_lag() -> None:
    matrices = np.zeros((2, 2, 2))
    matrices[0, 1, 0], matrices[1, 0, 1] = 0.5, -0.4  # x -> y at once, y -> x a step later
    samples = np.zeros((5, 2, 4))  # [resample, to, lag * from]
    samples[:4, 1, 0], samples[:2, 0, 3] = 0.5, -0.4
    model = SimpleNamespace(adjacency_matrices_=matrices)
    again = SimpleNamespace(adjacency_matrices_=samples)
    found = Discovery.from_lingam(model, ["x", "y"], bootstrap=again)
    rows = _rows(found)
    assert set(rows) == {("x", "y", 0), ("y", "x", 1)}
    assert found.stability[rows["x", "y", 0]] == 0.8
    assert found.stability[rows["y", "x", 1]] == 0.4
    assert found.lags == (0, 1)


def test_real_var_lingam_and_its_bootstrap_are_read() -> None:
    from causallearn.search.FCMBased.lingam import VARLiNGAM

    data = np.random.default_rng(1).uniform(-1, 1, (300, 2))
    for t in range(1, 300):
        data[t, 1] += 0.8 * data[t - 1, 0]
    model = VARLiNGAM(lags=1, criterion=None)
    again = model.bootstrap(data, 5)
    found = Discovery.from_lingam(model, ["x", "y"], bootstrap=again)
    row = _rows(found)["x", "y", 1]
    assert found.effect[row] == pytest.approx(0.8, abs=0.1)
    assert found.stability[row] == 1.0


def _tigramite() -> dict[str, np.ndarray]:
    """x -> y at lag 1, y o-o z and x <-> z at once, as `run_pcmciplus` returns them."""
    graph = np.full((3, 3, 2), "", dtype="<U3")
    graph[0, 1, 1] = "-->"
    graph[1, 2, 0] = graph[2, 1, 0] = "o-o"
    graph[0, 2, 0] = graph[2, 0, 0] = "<->"
    value, p = np.full((3, 3, 2), 0.1), np.full((3, 3, 2), 0.5)
    value[0, 1, 1], p[0, 1, 1] = -0.6, 0.001
    return {"graph": graph, "val_matrix": value, "p_matrix": p}


def test_tigramites_links_run_from_the_first_index_to_the_second() -> None:
    found = Discovery.from_tigramite(_tigramite(), NAMES, stability=np.full((3, 3, 2), 0.8))
    rows = _rows(found)
    assert set(rows) == {("x", "y", 1), ("y", "z", 0), ("z", "y", 0)}
    assert found.effect[rows["x", "y", 1]] == -0.6
    assert found.confidence[rows["x", "y", 1]] == pytest.approx(0.999)
    assert found.stability[rows["x", "y", 1]] == 0.8
    assert found.stability[rows["y", "z", 0]] == 0.4
    assert found.bidirected == (("x", "z", 0.5),)
    assert found.lags == (0, 1)
    later = {**_tigramite(), "graph": np.where(_tigramite()["graph"] == "-->", "-->", "")}
    assert Discovery.from_tigramite(later, NAMES, tau_min=1).lags == (1,)
    wrong = {**_tigramite(), "graph": np.where(_tigramite()["graph"] == "-->", "?->", "")}
    with pytest.raises(EngineError, match=r"a link '\?->', which cannot be read here"):
        Discovery.from_tigramite(wrong, NAMES)
    with pytest.raises(EngineError, match="has no p_matrix"):
        Discovery.from_tigramite({"graph": _tigramite()["graph"]}, NAMES)


def test_networkx_gives_its_edges_attributes() -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from(["x", "y", "z"])
    graph.add_edge("x", "y", weight=0.5, p_value=0.01, lag=2, n=40)
    graph.add_edge("y", "y", weight=0.1, confidence=0.7, lag=1)
    found = Discovery.from_networkx(graph, stability=1.0)
    rows = _rows(found)
    assert set(rows) == {("x", "y", 2), ("y", "y", 1)}
    assert found.confidence[rows["x", "y", 2]] == pytest.approx(0.99)
    assert found.variables == ("x", "y", "z"), "z was measured, and has no edge"
    undirected = nx.Graph()
    undirected.add_edge("x", "y", weight=0.5)
    both = Discovery.from_networkx(undirected, confidence=0.9, stability=1.0)
    assert set(_rows(both)) == {("x", "y", 0), ("y", "x", 0)}
    assert both.stability.tolist() == [0.5, 0.5]
    with pytest.raises(EngineError, match="has no attribute 'effect'"):
        Discovery.from_networkx(graph, weight="effect")
    with pytest.raises(EngineError, match="nothing tells how sure its edge 'x' -> 'y' is"):
        Discovery.from_networkx(undirected)


def test_a_matrix_is_read_by_what_its_rows_are() -> None:
    weights = [[0, 0.5, 0], [0, 0, 0], [0, 0, 0]]
    found = Discovery.from_matrix(weights, NAMES, confidence=0.9)
    assert set(_rows(found)) == {("x", "y", 0)}
    turned = Discovery.from_matrix(weights, NAMES, rows="target", confidence=0.9)
    assert set(_rows(turned)) == {("y", "x", 0)}
    p = np.full((3, 3), 0.2)
    assert Discovery.from_matrix(weights, NAMES, p_values=p).confidence.tolist() == [0.8]
    lagged = np.zeros((2, 3, 3))
    lagged[1, 2, 0] = 1.0
    found = Discovery.from_matrix(lagged, NAMES, lags=(1, 5), confidence=0.5, stability=0.7)
    assert set(_rows(found)) == {("z", "x", 5)}
    assert found.lags == (1, 5)
    for wrong, message in (
        ({"rows": "cause", "confidence": 1.0}, "source or target is needed"),
        ({"confidence": np.ones((2, 2))}, r"confidence has the shape \(1, 2, 2\)"),
        ({}, "nothing tells how sure its edges are"),
    ):
        with pytest.raises(EngineError, match=message):
            Discovery.from_matrix(weights, NAMES, **wrong)


def test_pgmpys_graphs_take_effects_from_the_data() -> None:
    graph = nx.DiGraph([("x", "y"), ("z", "y")])  # as pgmpy's DAG is one
    found = Discovery.from_pgmpy(graph, _data(), names=NAMES)
    rows = _rows(found)
    assert set(rows) == {("x", "y", 0), ("z", "y", 0)}
    assert found.effect[rows["x", "y", 0]] == pytest.approx(0.8, abs=0.05)
    half = nx.DiGraph([("x", "y"), ("y", "x"), ("z", "y")])
    half.undirected_edges = {("x", "y")}  # as pgmpy's PDAG says it
    found = Discovery.from_pgmpy(half, _data(), names=NAMES, stability=1.0)
    rows = _rows(found)
    assert found.stability[rows["x", "y", 0]] == 0.5
    assert found.stability[rows["y", "x", 0]] == 0.5
    assert found.stability[rows["z", "y", 0]] == 1.0
    with pytest.raises(EngineError, match="says nothing of the edges' effects"):
        Discovery.from_pgmpy(graph)


def test_a_frames_columns_are_found_by_name() -> None:
    import pandas as pd

    frame = pd.DataFrame(_data()[:, [2, 1, 0]], columns=["z", "y", "x"])
    found = Discovery.from_pgmpy(nx.DiGraph([("x", "y"), ("z", "y")]), frame)
    assert found.effect[_rows(found)["x", "y", 0]] == pytest.approx(0.8, abs=0.05)
    with pytest.raises(EngineError, match="have no column 'x'"):
        Discovery.from_pgmpy(nx.DiGraph([("x", "y")]), frame[["y", "z"]])
