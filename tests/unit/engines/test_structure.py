"""What an engine finds beside edges becomes a semantic pack and hyperedges."""

import numpy as np
import pytest

from hyperfed.client_agent import FederationClientAgent
from hyperfed.engines import Discovery
from hyperfed.engines.structure import Interaction
from hyperfed.errors import EngineError
from hyperfed.packets import Knowledge, PolicyPack
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

VOCABULARY = Vocabulary.of("a", "b", "c", "d")


def _found(**changes: object) -> Discovery:
    columns = {
        "variables": ("d", "c", "b", "a", "elsewhere"),
        "source": ["a", "b", "c", "elsewhere"],
        "target": ["b", "c", "d", "a"],
        "lag": [0, 0, 0, 0],
        "effect": [1.0, 2.0, 3.0, 4.0],
        "confidence": 0.9,
        "stability": [0.8, 0.4, 0.5, 0.9],
        "endpoints": ["-->", "o->", "---", "-->"],
        "bidirected": [("d", "b", 0.7), ("a", "c", 0.3), ("elsewhere", "a", 0.9)],
        "interactions": [_both()],
    }
    return Discovery(**{**columns, **changes})


def _both(**changes: object) -> Interaction:
    fields = {
        "sources": ("c", "a"),
        "target": "d",
        "effect": 1.5,
        "std_error": 0.1,
        "confidence": 0.99,
        "stability": 0.7,
        "hits": 70,
        "n": 200,
    }
    return Interaction(**{**fields, **changes})


class _Engine:
    def __init__(self, found: Discovery) -> None:
        self.found = found

    def discover(self) -> Discovery:
        return self.found


def _update(found: Discovery, policy: PolicyPack | None = None, intervened: tuple[str, ...] = ()):
    agent = FederationClientAgent(
        _Engine(found),
        "iowa",
        policy=policy or PolicyPack(),
        vocabulary=VOCABULARY,
        intervened=intervened,
    )
    return agent.get_shareable_update()


def test_marks_shared_causes_and_interactions_travel() -> None:
    update = _update(_found())
    assert update.semantic is not None
    assert update.semantic.dag_edges == [(0, 1, 0.8), (1, 2, 0.4)]
    assert update.semantic.confounders == [0, 1, 3], (
        "b <-> d, and a, whose other end is no variable"
    )
    assert update.semantic.interventions == []
    hyper = update.hyperedges
    assert hyper is not None
    assert hyper.sources.tolist() == [0, 2]
    assert hyper.target.tolist() == [3]
    assert hyper.effect.tolist() == [1.5]
    assert hyper.ci_low is not None
    assert hyper.ci_low[0] == pytest.approx(1.5 - 0.196, abs=1e-3)


def test_marks_are_told_of_shared_edges_alone() -> None:
    update = _update(_found(), PolicyPack(stability_min=0.6))
    assert update.semantic is not None
    assert update.semantic.dag_edges == [(0, 1, 0.8)]


def test_a_private_round_takes_edges_and_nothing_else() -> None:
    private = PolicyPack(privacy="central", strategy="mean", trust_min=0.0)
    update = _update(_found(), private)
    assert update.semantic is None
    assert update.hyperedges is None
    assert update.edges is not None
    assert len(update.edges) == 3


def test_weak_interactions_are_held_back_as_edges_are() -> None:
    found = _found(interactions=[_both(), _both(target="b", stability=0.05)])
    assert len(_update(found).hyperedges or ()) == 1
    assert _update(found, PolicyPack(g_min=2.0)).hyperedges is None


def test_a_discovery_without_them_is_what_it_was() -> None:
    found = _found(endpoints=None, bidirected=(), interactions=())
    update = _update(found)
    assert update.semantic is None
    assert update.hyperedges is None


def test_edges_into_what_an_experiment_set_are_left_out_and_it_is_named() -> None:
    update = _update(_found(), intervened=("d",))
    assert update.semantic is not None
    assert update.semantic.interventions == [{"variable": 3}]
    assert update.edges is not None
    assert set(update.edges.target.tolist()) == {1, 2}, "nothing into d"
    assert update.hyperedges is None
    assert 3 not in update.semantic.confounders
    with pytest.raises(EngineError, match="intervened names 'x'"):
        _update(_found(), intervened=("x",))


def test_edges_that_the_plans_knowledge_forbids_stay_here() -> None:
    policy = PolicyPack(knowledge=Knowledge(tiers=(("b",), ("a",)), forbidden=(("c", "d"),)))
    update = _update(_found(), policy)
    assert update.edges is not None
    pairs = list(zip(update.edges.source.tolist(), update.edges.target.tolist(), strict=True))
    assert pairs == [(1, 2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"endpoints": ["-->"]}, "1 endpoints for 4 edges"),
        ({"endpoints": ["-->", "<->", "---", "-->"]}, "endpoints has '<->'"),
        ({"bidirected": [("a", "x", 0.5)]}, "bidirected names 'x'"),
        ({"bidirected": [("a", "a", 0.5)]}, "two variables and a share"),
        ({"bidirected": [("a", "b", 1.5)]}, "two variables and a share"),
    ],
)
def test_what_is_wrong_beside_the_edges_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        _found(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ("a",)}, "an interaction has 1 different causes"),
        ({"sources": ("a", "a")}, "an interaction has 1 different causes"),
        ({"target": "a"}, "acts on itself after a lag only"),
        ({"confidence": 1.5}, r"confidence is 1.5, outside \[0, 1\]"),
        ({"effect": np.inf}, "effect is inf"),
    ],
)
def test_a_wrong_interaction_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        _both(**changes)


def test_an_interaction_is_given_once_at_a_lag_that_was_looked_at() -> None:
    with pytest.raises(EngineError, match="is there twice"):
        _update(_found(interactions=[_both(), _both(sources=("a", "c"))]))
    with pytest.raises(EngineError, match="has lag 2, which is not among the lags looked at"):
        _found(interactions=[_both(lag=2)])
