"""What we export, the libraries themselves read; what they write, we read.

pgmpy and xgi are no dependencies of the project: their tests run where they are installed.
"""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import networkx
import pytest

from hyperfed.evidence import EdgeEvidence, read, to_xgi, write
from tests.unit.evidence.example import full_table, plain_table

pytestmark = pytest.mark.unit


def _networkx_reader(name: str) -> Any:
    if name == "cytoscape":
        return lambda data: networkx.cytoscape_graph(json.loads(data))
    if name == "gml":
        return lambda data: networkx.parse_gml(data.decode())
    if name == "gexf":
        return lambda data: networkx.read_gexf(io.BytesIO(data))
    return lambda data: networkx.read_graphml(io.BytesIO(data), force_multigraph=True)


@pytest.mark.parametrize("name", ["graphml", "gexf", "gml", "cytoscape"])
def test_networkx_reads_every_edge_with_its_numbers(name: str) -> None:
    table = full_table()
    graph = _networkx_reader(name)(write(table, name))
    assert set(graph) == set(table.variables)
    assert graph.is_directed()
    found = {(s, t, int(edge["lag"])): edge for s, t, edge in graph.edges(data=True)}
    assert len(found) == len(table.rows) == graph.number_of_edges()
    for row in table.rows:
        edge = found[row.source, row.target, row.lag]
        for field in ("vote", "effect", "q", "support", "samples"):
            value = getattr(row, field)
            assert (edge.get(field) == pytest.approx(value)) if value is not None else True
        assert "q" in edge or row.q is None


@pytest.mark.parametrize("name", ["graphml", "gexf", "gml", "cytoscape"])
def test_a_graph_that_networkx_wrote_is_read(name: str, tmp_path: Path) -> None:
    graph = networkx.MultiDiGraph() if name != "gexf" else networkx.DiGraph()
    graph.add_edge("a b", "ü", lag=2, effect=0.5, strength=0.75)
    graph.add_edge("ü", "c", lag=0, effect=-0.25)
    file = tmp_path / "graph"
    if name == "cytoscape":
        file.write_text(json.dumps(networkx.cytoscape_data(graph)))
    else:
        getattr(networkx, f"write_{name}")(graph, file)
    table = read(file.read_bytes(), name)
    assert {(r.source, r.target, r.lag, r.effect, r.endpoints) for r in table.rows} == {
        ("a b", "ü", 2, 0.5, "-->"),
        ("ü", "c", 0, -0.25, "-->"),
    }
    undirected = networkx.Graph([("a", "b")])
    if name in ("graphml", "gml"):
        getattr(networkx, f"write_{name}")(undirected, file)
        assert read(file.read_bytes(), name).rows[0].endpoints == "---"


@pytest.mark.filterwarnings("ignore")  # pydot calls its parser by old names
def test_pydot_reads_what_we_write_and_we_read_it_back() -> None:
    pydot = pytest.importorskip("pydot")
    table = full_table()
    (graph,) = pydot.graph_from_dot_data(write(table, "dot").decode())
    assert len(graph.get_edges()) == len(table.rows)
    assert graph.get_edges()[0].get("effect") == '"-0.125"'
    assert read(graph.to_string().encode(), "dot").rows == table.rows


def test_causal_learn_reads_tetrads_text_and_we_read_what_it_saves(tmp_path: Path) -> None:
    from causallearn.utils.GraphUtils import GraphUtils
    from causallearn.utils.TXT2GeneralGraph import txt2generalgraph

    assert GraphUtils is not None
    table = plain_table()
    file = tmp_path / "graph.txt"
    file.write_bytes(write(table, "tetrad"))
    graph = txt2generalgraph(str(file))
    assert graph.get_num_edges() == len(table.rows)
    back = read(str(graph).encode(), "tetrad")
    assert {(r.source, r.target, r.lag) for r in back.rows} == {
        (r.source, r.target, r.lag) for r in table.rows
    }


def test_tigramites_arrays_go_through_our_own_reader_of_its_results() -> None:
    import numpy as np

    from hyperfed.engines import Discovery

    table = plain_table()
    with np.load(io.BytesIO(write(table, "tigramite"))) as arrays:
        results = {"graph": arrays["graph"], "val_matrix": arrays["val_matrix"]}
        results["p_matrix"] = arrays["q_matrix"]
        found = Discovery.from_tigramite(results, arrays["names"].tolist())
    edges = set(zip(found.source, found.target, map(int, found.lag), strict=True))
    assert edges == {(r.source, r.target, r.lag) for r in table.rows}


def _pgmpy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pgmpy.base")


@pytest.mark.filterwarnings("ignore")
def test_pgmpy_reads_dagitty_lavaan_and_bif() -> None:
    base = _pgmpy()
    from pgmpy.readwrite import BIFReader

    table = plain_table()
    now = EdgeEvidence(
        variables=("heat", "load", "wear"), rows=tuple(r for r in table.rows if not r.lag)
    )
    edges = {(r.source, r.target) for r in now.rows}
    # its reader of lavaan's language takes letters and digits, not heat_lag1
    assert set(base.DAG.from_lavaan(string=write(now, "lavaan").decode()).edges()) == edges
    for held in (table, now):
        dag = base.DAG.from_dagitty(string=write(held, "dagitty").decode())
        assert set(dag.edges()) == {(_now(r, ":"), r.target) for r in held.rows}
    structure = BIFReader(string=write(table, "bif").decode())
    assert set(map(tuple, structure.variable_edges)) == {
        (_now(r, "_lag"), r.target) for r in table.rows
    }


def _now(row: Any, sign: str) -> str:
    return f"{row.source}{sign}{row.lag}" if row.lag else row.source


@pytest.mark.filterwarnings("ignore")
def test_xgi_holds_causes_as_tails_and_gives_them_back() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xgi = pytest.importorskip("xgi")
    table = full_table()
    graph = to_xgi(table)
    assert graph.num_edges == len(table.rows) + len(table.joint)
    tail, head = graph.edges.dimembers(f"e{len(table.rows)}")
    assert (tail, head) == ({"heat", "load"}, {"wear"})
    back = read(json.dumps(xgi.to_hif_dict(graph)).encode(), "hif")
    assert set(back.rows) == set(table.rows)
    assert {frozenset(one.sources) for one in back.joint} == {frozenset(("heat", "load"))}
