"""What we export, the libraries themselves read; what they write, we read.

pgmpy and xgi are no dependencies: tests/installation/test_other_libraries.py makes an environment
that has them.
"""

import io
import json
from pathlib import Path
from typing import Any

import networkx
import pytest

from hyperfed.evidence import read, write
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
