"""The federation in one process: rounds, late updates, trust that excludes, organisations, budgets; an attack and its honest twin."""

import numpy as np
import pytest

from hyperfed.basket import BasketRules
from hyperfed.errors import AggregationError, ConfigError, RefusedError, RegistryError
from hyperfed.hierarchical import HierarchicalFederation
from hyperfed.hypergraph import HypergraphStore
from hyperfed.layers import LayerRules
from hyperfed.packets import Claims, Update
from hyperfed.privacy import PrivacyGuard
from hyperfed.tables import EdgeTable

pytestmark = pytest.mark.unit

CLIENTS = [f"site-{i}" for i in range(9)]
TRUTH = np.array([0.5, -0.4, 0.3, 0.6])


def _update(client: str, *, sign: float = 1.0, loss: float | None = None) -> Update:
    effect = sign * (TRUTH + 0.01 * CLIENTS.index(client))
    edges = EdgeTable.build(source=[0] * 4, target=[1, 2, 3, 4], lag=[1] * 4, effect=effect, confidence=0.9, stability=0.9, n=100)
    return Update(measured=np.arange(5, dtype=np.uint32), edges=edges, claims=Claims(loss=loss))


def _federation(**settings: object) -> HierarchicalFederation:
    federation = HierarchicalFederation(**settings)  # type: ignore[arg-type]
    for client in CLIENTS:
        federation.register(client)
    return federation


def _night(federation: HierarchicalFederation, liars: int = 0):
    for i, client in enumerate(CLIENTS):
        federation.submit(client, _update(client, sign=-1.0 if i < liars else 1.0))
    return federation.maybe_aggregate()


def test_a_round_needs_its_quorum_and_moves_on() -> None:
    federation = _federation(quorum=3)
    for client in CLIENTS[:2]:
        federation.submit(client, _update(client))
    assert not federation.should_aggregate()
    assert federation.maybe_aggregate() is None
    assert federation.round == 1
    federation.submit(CLIENTS[2], _update(CLIENTS[2]))
    model = federation.maybe_aggregate()
    assert model is not None
    assert model.clients == tuple(CLIENTS[:3])
    assert np.sign(model.store.edges.effect).tolist() == np.sign(TRUTH).tolist()
    assert (federation.round, federation.stats()["waiting"]) == (2, 0)


def test_liars_lose_weight_at_once_and_their_place_after_three_nights() -> None:
    federation, honest = _federation(), _federation()
    for night in range(4):
        model, twin = _night(federation, liars=3), _night(honest)
        assert model is not None
        assert twin is not None
        assert np.sign(model.store.edges.effect).tolist() == np.sign(TRUTH).tolist()
        assert set(model.excluded) == (set(CLIENTS[:3]) if night == 3 else set())
        assert not twin.excluded
        if night < 3:
            assert [model.weights[c] for c in CLIENTS[:3]] == [0, 0, 0]
    assert federation.scorer.get_trust("site-0") < 0.15 < honest.scorer.get_trust("site-0")


def test_under_every_rule_reputation_means_the_same() -> None:
    krum, trust = _federation(rule="krum", f=2), _federation(f=2)
    _night(krum, liars=2)
    _night(trust, liars=2)
    for client in CLIENTS:
        assert krum.scorer.get_trust(client) == trust.scorer.get_trust(client)


def test_reputation_may_weigh_in_place_of_the_rule() -> None:
    federation = _federation(weigh_by="reputation")
    for _ in range(3):
        model = _night(federation, liars=1)
    assert model is not None
    assert 0 < model.weights["site-0"] < 0.16 < 0.4 < model.weights["site-5"]
    with pytest.raises(ConfigError):
        _federation(weigh_by="both")


def test_a_late_update_weighs_less() -> None:
    federation = _federation()
    _night(federation)
    federation.submit("site-1", _update("site-1"))
    with pytest.raises(RefusedError, match="already counted"):
        federation.submit("site-0", _update("site-0"), made_for=1)
    model = federation.maybe_aggregate()
    assert model is not None
    federation.register("site-late")
    federation.submit("site-late", HypergraphStore.from_update(_update("site-1")), made_for=1)
    for client in CLIENTS:
        federation.submit(client, _update(client))
    model = federation.maybe_aggregate()
    assert model is not None
    assert model.weights["site-late"] == pytest.approx(0.81)


def test_one_organisation_that_is_many_weighs_like_one() -> None:
    federation = HierarchicalFederation(organisation_cap=1.0, weigh_by="reputation")
    for i, client in enumerate(CLIENTS):
        federation.register(client, organisation="hydra" if i < 6 else "")
    model = _night(federation, liars=6)
    assert model is not None
    assert sum(model.weights[c] for c in CLIENTS[:6]) == pytest.approx(model.weights["site-8"])
    assert np.sign(model.store.edges.effect).tolist() == np.sign(TRUTH).tolist()


def test_baskets_give_their_own_models() -> None:
    federation = HierarchicalFederation(basket_rules=BasketRules(minimum=3), layer_rules=LayerRules(minimum=3))
    for i, client in enumerate(CLIENTS):
        federation.register(client, basket="east" if i < 5 else "west")
    model = _night(federation)
    assert model is not None
    assert [(g.name, g.clients) for g in model.groups] == [("east", 5), ("west", 4)]
    assert federation.stats()["baskets"]["active"] == 2


def test_adaptive_uses_the_claimed_losses() -> None:
    federation = _federation(rule="adaptive")
    for i, client in enumerate(CLIENTS):
        federation.submit(client, _update(client, loss=1.0 + (i == 4)))
    model = federation.maybe_aggregate()
    assert model is not None
    assert model.weights["site-4"] == pytest.approx(0.5)
    federation.submit("site-0", _update("site-0"))
    with pytest.raises(AggregationError, match="claim no loss"):
        federation.maybe_aggregate()
    assert federation.round == 2


def test_budgets_and_strangers() -> None:
    federation = _federation(guard=PrivacyGuard(max_epsilon=1.0, max_delta=1e-5))
    federation.submit("site-0", _update("site-0"))
    budgets = federation.budgets()
    assert (budgets["slots"]["site-0"], budgets["slots"]["site-1"]) == (3, 4)
    assert float(budgets["privacy"][0]) == 1.0
    with pytest.raises(RegistryError):
        federation.submit("stranger", _update("site-0"))
    with pytest.raises(ConfigError, match="gossip"):
        federation.gossip()
