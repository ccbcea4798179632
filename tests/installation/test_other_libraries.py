"""Results of the real pgmpy and the real tigramite become a Discovery; what we export, the real
pgmpy and the real xgi read.

The lock has none of them: pgmpy and xgi bring what nothing else needs, and tigramite is under the
GPL. They share an environment, in which the example package's engine is installed, too.
"""

from pathlib import Path

import pytest

from tests.installation.venvs import ROOT, run_with

pytestmark = [pytest.mark.installation, pytest.mark.slow, pytest.mark.timeout(700)]

NEEDS = ("pgmpy==1.1.2", "tigramite==5.2.10.1", "xgi==0.10.2")
CHILD = """
import numpy as np
import pandas as pd
from pgmpy.base import DAG, PDAG
from pgmpy.estimators import PC, ExpertKnowledge

from hyperfed.engines import Discovery
from hyperfed.engines.catalogue import make_engine, reads
from hyperfed.engines.knowledge import knowledge_from_pgmpy
from hyperfed.errors import ConfigError


def rows_of(found):
    keys = zip(found.source.tolist(), found.target.tolist(), found.lag.tolist())
    return {key: row for row, key in enumerate(keys)}


def least_squares(frame, target, causes):
    x = np.c_[np.ones(len(frame)), frame[causes]]
    return dict(zip(causes, np.linalg.lstsq(x, frame[target], rcond=None)[0][1:]))


# 1. pgmpy's PC on a collider: directions, and the coefficients of least squares on its causes.
x, e, z = np.random.default_rng(0).normal(size=(3, 500))
frame = pd.DataFrame({"z": z, "x": x, "y": 0.8 * x - 0.7 * z + 0.5 * e})
quiet = {"ci_test": "pearsonr", "return_type": "pdag", "show_progress": False, "n_jobs": 1}
found = Discovery.from_pgmpy(PC(frame).estimate(**quiet), frame)
edges = rows_of(found)
assert set(edges) == {("x", "y", 0), ("z", "y", 0)}, edges
for cause, coefficient in least_squares(frame, "y", ["x", "z"]).items():
    row = edges[cause, "y", 0]
    assert abs(found.effect[row] - coefficient) < 1e-9
    assert (found.endpoints[row], found.stability[row]) == ("-->", 0.5)
    assert found.confidence[row] > 0.999

# 2. A chain has no direction: half a vote each way. The frame's columns are found by name.
frame["y"] = 0.8 * frame["x"] + 0.5 * e
frame["z"] = 0.8 * frame["y"] + 0.5 * z
found = Discovery.from_pgmpy(PC(frame).estimate(**quiet), frame, stability=1.0)
assert set(rows_of(found)) == {(a, b, 0) for a, b in ("xy", "yx", "yz", "zy")}
assert set(found.stability.tolist()) == {0.5}
assert set(found.endpoints) == {"---"}

# 3. A DAG, with a variable that nothing joins; a PDAG with both kinds of edge.
dag = DAG([("x", "y")])
dag.add_node("z")
found = Discovery.from_pgmpy(dag, frame)
assert set(rows_of(found)) == {("x", "y", 0)}
assert set(found.variables) == {"x", "y", "z"}, "no edge is a vote against one"
both = PDAG(directed_ebunch=[("x", "y")], undirected_ebunch=[("y", "z")])
found = Discovery.from_pgmpy(both, frame, stability=1.0)
votes = {key: found.stability[row] for key, row in rows_of(found).items()}
assert votes == {("x", "y", 0): 1.0, ("y", "z", 0): 0.5, ("z", "y", 0): 0.5}, votes

# 4. What is known.
expert = ExpertKnowledge(
    forbidden_edges=[("z", "x")], required_edges=[("x", "y")], temporal_order=[["x"], ["y", "z"]]
)
known = knowledge_from_pgmpy(expert)
assert known.tiers == (("x",), ("y", "z"))
assert known.forbidden == (("z", "x"),)
assert known.required == (("x", "y"),)
assert knowledge_from_pgmpy(ExpertKnowledge()).names == ()
try:
    knowledge_from_pgmpy(ExpertKnowledge(search_space=[("x", "y")]))
except ConfigError as error:
    assert "search space" in str(error)
else:
    raise AssertionError("a search space was forgotten")

# 5. PCMCI by its entry point: the example package is installed here.
from tigramite.data_processing import DataFrame
from tigramite.independence_tests.parcorr import ParCorr
from tigramite.pcmci import PCMCI

names = ("a", "b", "c")
series = np.random.default_rng(1).normal(size=(500, 3))
truth = {("a", "b", 1), ("b", "c", 2), ("a", "a", 1)}
for t in range(2, 500):
    series[t, 0] += 0.5 * series[t - 1, 0]
    series[t, 1] += 0.7 * series[t - 1, 0]
    series[t, 2] -= 0.7 * series[t - 2, 1]
assert reads("pcmci") == "series"
found = make_engine("pcmci", series, names, {"lags": (1, 2), "n_bootstrap": 5}).discover()
edges = {key for key, row in rows_of(found).items() if found.stability[row] > 0.5}
assert 2 * len(edges & truth) / (len(edges) + len(truth)) > 0.9, edges
pcmci = PCMCI(dataframe=DataFrame(series, var_names=list(names)), cond_ind_test=ParCorr())
direct = pcmci.run_pcmci(tau_min=1, tau_max=2, alpha_level=0.01)
for (source, target, lag), row in rows_of(found).items():
    at = (names.index(source), names.index(target), lag)
    assert direct["graph"][at] == "-->"
    assert found.effect[row] == direct["val_matrix"][at]
    assert abs(found.confidence[row] - (1 - direct["p_matrix"][at])) < 1e-12
"""


EVIDENCE = (
    f"""
import json
import sys

sys.path.insert(0, {str(ROOT)!r})
"""
    + """
import xgi
from pgmpy.readwrite import BIFReader

from hyperfed.evidence import EdgeEvidence, read, to_xgi, write
from tests.unit.evidence.example import full_table, plain_table


def cause(row, sign):
    return f"{row.source}{sign}{row.lag}" if row.lag else row.source


# 6. pgmpy reads dagitty, lavaan and BIF. Its reader of lavaan's language takes letters and digits
# alone, not heat_lag1.
table = plain_table()
now = EdgeEvidence(
    variables=("heat", "load", "wear"), rows=tuple(r for r in table.rows if not r.lag)
)
assert len(table.rows) > len(now.rows) > 0
edges = {(r.source, r.target) for r in now.rows}
assert set(DAG.from_lavaan(string=write(now, "lavaan").decode()).edges()) == edges
for held in (table, now):
    dag = DAG.from_dagitty(string=write(held, "dagitty").decode())
    assert set(dag.edges()) == {(cause(r, ":"), r.target) for r in held.rows}
structure = BIFReader(string=write(table, "bif").decode())
assert set(map(tuple, structure.variable_edges)) == {
    (cause(r, "_lag"), r.target) for r in table.rows
}

# 7. xgi holds causes as tails, and gives them back.
table = full_table()
graph = to_xgi(table)
assert graph.num_edges == len(table.rows) + len(table.joint)
tail, head = graph.edges.dimembers(f"e{len(table.rows)}")
assert (tail, head) == ({"heat", "load"}, {"wear"})
back = read(json.dumps(xgi.to_hif_dict(graph)).encode(), "hif")
assert set(back.rows) == set(table.rows)
assert {frozenset(one.sources) for one in back.joint} == {frozenset(("heat", "load"))}
"""
)


def test_what_the_libraries_return_and_read_is_as_they_mean_it(tmp_path: Path) -> None:
    run_with(tmp_path, NEEDS, CHILD + EVIDENCE, package=ROOT / "examples" / "hyperfed-pcmci")
