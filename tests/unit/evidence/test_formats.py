"""The edge-evidence table, and that each format gives back what it holds."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.engines import Discovery
from hyperfed.errors import BoundsError, ConfigError, EngineError, SchemaError
from hyperfed.evidence import FORMATS, EdgeEvidence, EvidenceRow, read, read_file, write
from hyperfed.evidence.names import now_and_before
from tests.unit.evidence.example import full_table, plain_table

pytestmark = pytest.mark.unit

WHOLE = ("json", "csv", "parquet", "graphml", "gexf", "gml", "dot", "cytoscape", "hif")
GRAPHS = tuple(name for name in FORMATS if name not in WHOLE)


def _graph(table: EdgeEvidence) -> set[tuple[str, str, int, str]]:
    """Edges as a set: one that reads the same from both ends is written from the first name."""
    found = set()
    for row in table.pairs:
        ends = (row.source, row.target)
        if row.endpoints[0] == row.endpoints[-1] or row.endpoints == "<->":
            ends = (min(ends), max(ends))
        found.add((*ends, row.lag, row.endpoints))
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_a_format_that_holds_all_gives_all_back(name: str) -> None:
    table = full_table()
    back = read(write(table, name), name)
    assert back.rows == table.rows
    assert set(back.variables) == set(table.variables) - ({"alone"} if name == "csv" else set())
    if "joint effects" not in FORMATS[name].loses:
        assert back.joint == table.joint


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" '=-\"\\&<>[]{};,#\u96e8"),
    min_size=1,
    max_size=8,
).filter(str.isprintable)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    names=st.lists(NAMES, min_size=2, max_size=2, unique=True),
    effect=NUMBERS,
    lag=st.integers(0, 9),
)
@settings(max_examples=30)
def test_any_name_and_any_number_come_back_from_any_format(
    names: list[str], effect: float, lag: int
) -> None:
    rows = (EvidenceRow(source=names[0], target=names[1], lag=lag, effect=effect, engine=names[0]),)
    table = EdgeEvidence(variables=tuple(names), rows=rows)
    for name in WHOLE:
        if name != "parquet":
            assert read(write(table, name), name).rows == rows, name
    for name in ("dagitty", "caugi"):
        if not any(now_and_before(one)[1] for one in names):
            assert _graph(read(write(table, name), name)) == _graph(table), name


@pytest.mark.parametrize("name", GRAPHS)
def test_a_format_of_graphs_gives_the_graph_back(name: str) -> None:
    table = plain_table()
    back = read(write(table, name), name)
    assert _graph(back) == _graph(table)
    assert back.variables == table.variables
    held = {(row.source, row.target, row.lag): row for row in back.rows}
    for row in table.rows:
        found = held[row.source, row.target, row.lag]
        if name in ("dagitty", "tigramite"):
            assert found.effect == row.effect
        if name == "tigramite":
            assert found.q == row.q


@pytest.mark.parametrize("name", ["dagitty", "tigramite", "caugi"])
def test_every_mark_comes_back(name: str) -> None:
    table = full_table()
    assert _graph(read(write(table, name), name)) == _graph(table)


def test_names_that_a_format_cannot_write_come_back_or_are_refused() -> None:
    rows = (EvidenceRow(source="heat load", target="1st", lag=2),)
    table = EdgeEvidence(variables=("heat load", "1st"), rows=rows)
    for name in ("lavaan", "bif", "dagitty", "dot"):
        assert _graph(read(write(table, name), name)) == _graph(table)
    with pytest.raises(ConfigError, match="a space"):
        write(table, "tetrad")
    alike = EdgeEvidence(variables=("a b", "a.b"))
    with pytest.raises(ConfigError, match="the same name"):
        write(alike, "lavaan")
    for name, node in (("tetrad", "x:1"), ("bif", "x_lag1")):
        with pytest.raises(ConfigError, match="at a lag"):
            write(EdgeEvidence(variables=("x", node)), name)


def test_an_acyclic_format_refuses_a_cycle_and_names_it() -> None:
    rows = tuple(EvidenceRow(source=a, target=b) for a, b in ("ab", "bc", "ca"))
    table = EdgeEvidence(variables=("a", "b", "c"), rows=rows)
    for name in ("bif", "dagitty"):
        with pytest.raises(ConfigError, match="cycle"):
            write(table, name)
    assert json.loads(write(table, "caugi"))["graph"]["class"] == "UNKNOWN"


def test_two_edges_that_run_both_ways_are_one_pair_in_a_graph() -> None:
    rows = (
        EvidenceRow(source="a", target="b", direction=0.6, endpoints="o-o"),
        EvidenceRow(source="b", target="a", direction=0.4, endpoints="o-o"),
    )
    (pair,) = EdgeEvidence(variables=("a", "b"), rows=rows).pairs
    assert (pair.source, pair.target) == ("a", "b")


@pytest.mark.parametrize(
    "values",
    [
        {"strength": 1.5},
        {"effect": float("nan")},
        {"lag": -1},
        {"lag": 70000},
        {"lag": 1.5},
        {"support": True},
        {"endpoints": "->"},
        {"to": "a"},
        {"to": ""},
        {"effect": "much"},
    ],
)
def test_a_value_that_no_edge_has_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BoundsError):
        EvidenceRow.of({"from": "a", "to": "b"} | values)
    assert EvidenceRow.of({"from": "a", "to": "b", "lag": "2", "of another tool": "x"}).lag == 2


def test_a_table_refuses_edges_twice_and_of_no_variable() -> None:
    row = EvidenceRow(source="a", target="b")
    for variables, rows in (
        (("a", "b"), (row, row)),
        (("a",), (row,)),
        (("a", "a"), ()),
        (("a\n",), ()),
        (("",), ()),
    ):
        with pytest.raises(BoundsError):
            EdgeEvidence(variables=variables, rows=rows)


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("data", [b"", b"\x00\xff\x00", b"{}", b"<a/>", b"graph {", b"[[["])
def test_what_is_no_file_of_a_format_is_told_and_not_a_traceback(name: str, data: bytes) -> None:
    with pytest.raises((SchemaError, ConfigError, BoundsError)):
        read(data, name)


def test_xml_with_entities_is_refused_before_it_grows() -> None:
    bomb = b'<!DOCTYPE g [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><graphml>&b;</graphml>'
    with pytest.raises(SchemaError, match="document type"):
        read(bomb, "graphml")


def test_a_name_is_no_formula_in_a_spreadsheet() -> None:
    text = write(full_table(), "csv").decode()
    assert ",'=1+1," in text
    assert "\n=1+1" not in text


def test_a_table_of_bnlearn_is_read_as_r_writes_it() -> None:
    text = b'"","from","to","strength","direction"\n"1","A","B",0.95,0.6\n"2","B","A",0.95,NA\n'
    table = read(text, "csv")
    assert [(r.source, r.target, r.strength, r.direction) for r in table.rows] == [
        ("A", "B", 0.95, 0.6),
        ("B", "A", 0.95, None),
    ]


def test_a_files_suffix_says_its_format(tmp_path: Any) -> None:
    for name, one in FORMATS.items():
        file = tmp_path / f"graph{one.suffix}"
        file.write_bytes(write(plain_table(), name))
        assert _graph(read_file(file)) == _graph(plain_table())
    with pytest.raises(ConfigError, match="no format"):
        read_file(tmp_path / "graph.xyz")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "nothing.json")


def test_evidence_becomes_a_discovery_and_says_what_it_rests_on() -> None:
    rows = (
        EvidenceRow(source="a", target="b", effect=0.5, ci_low=0.402, ci_high=0.598, strength=0.8),
        EvidenceRow(source="b", target="c", effect=-0.5, strength=0.6, endpoints="o->"),
        EvidenceRow(source="c", target="d", effect=0.5, strength=0.4, endpoints="---"),
        EvidenceRow(source="a", target="d", effect=0.1, strength=0.5, endpoints="<->"),
    )
    found = Discovery.from_evidence(EdgeEvidence(variables=tuple("abcde"), rows=rows))
    edges = dict(zip(zip(found.source, found.target, strict=True), range(99), strict=False))
    assert set(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("d", "c")}
    assert found.variables == tuple("abcde"), "what was measured without an edge votes against one"
    assert found.confidence[edges["a", "b"]] == pytest.approx(1, abs=1e-9)
    assert found.stability[edges["a", "b"]] == 0.8
    assert found.stability[edges["b", "c"]] == 0.3
    assert found.stability[edges["d", "c"]] == 0.2
    assert found.bidirected == (("a", "d", 0.5),)
    bare = EdgeEvidence(
        variables=("a", "b"), rows=(replace(rows[0], ci_low=None, ci_high=None, strength=None),)
    )
    with pytest.raises(EngineError, match="how sure"):
        Discovery.from_evidence(bare)


def test_a_bare_graph_gets_its_effects_from_the_data(rng: np.random.Generator) -> None:
    a = rng.normal(size=400)
    data = np.stack([a, 0.7 * a + rng.normal(size=400)], axis=1)
    table = EdgeEvidence(variables=("a", "b"), rows=(EvidenceRow(source="a", target="b"),))
    found = Discovery.from_evidence(table, data)
    assert found.effect[0] == pytest.approx(0.7, abs=0.15)
    with pytest.raises(EngineError, match="nothing of the edges' effects"):
        Discovery.from_evidence(table)
    back = EdgeEvidence.of_discovery(found, engine="lingam", version="1.8")
    assert (back.rows[0].engine, back.rows[0].effect) == ("lingam", float(found.effect[0]))
