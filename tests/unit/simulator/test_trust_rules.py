"""benchmarks/trust_rules.py plays both rules, whatever was renamed in the library."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hyperfed.simulator.run import attacked_graphs
from hyperfed.simulator.worlds import build_world

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def trust_rules() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "trust_rules.py"
    spec = importlib.util.spec_from_file_location("trust_rules", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_rules_judge_the_same_graphs_and_the_new_one_is_put_back(
    trust_rules: ModuleType,
) -> None:
    world = build_world("var", clients=8, seed=3)
    ids = sorted(world.graphs)
    graphs = attacked_graphs(dict(world.graphs), ids[:2], "reversal", np.random.default_rng(3))
    new, old = (trust_rules.merged(rule, graphs) for rule in ("new", "old"))
    assert np.array_equal(new.edges.keys, old.edges.keys)
    assert new.evidence is not None
    assert old.evidence is not None
    # the old rule gives part of a weight where the new one says that noise explains it
    assert not np.array_equal(new.evidence.edges.vote, old.evidence.edges.vote)
    again = trust_rules.merged("new", graphs)
    assert np.array_equal(new.evidence.edges.vote, again.evidence.edges.vote)
    assert trust_rules.edge_weights.trust_of is trust_rules.RULES["new"]
