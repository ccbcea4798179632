"""The federation in one process: rounds, late updates, trust that excludes, organisations, budgets;
an attack and its honest twin.
"""

from decimal import Decimal

import numpy as np
import pytest

from hyperfed.errors import (
    AggregationError,
    ConfigError,
    PrivacyBudgetExhausted,
    RefusedError,
    RegistryError,
)
from hyperfed.hierarchy.hierarchical import HierarchicalFederation, HierarchicalModel
from hyperfed.hierarchy.layers import LayerRules
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Claims, Update
from hyperfed.privacy import PrivacyGuard
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.protocol.baskets import BasketRules
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

CLIENTS = [f"site-{i}" for i in range(9)]
TRUTH = np.array([0.5, -0.4, 0.3, 0.6])


def _update(client: str, *, sign: float = 1.0, loss: float | None = None) -> Update:
    effect = sign * (TRUTH + 0.01 * CLIENTS.index(client))
    edges = EdgeTable.build(
        source=[0] * 4,
        target=[1, 2, 3, 4],
        lag=[1] * 4,
        effect=effect,
        confidence=0.9,
        stability=0.9,
        n=100,
    )
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
    assert np.sign(model.graph.edges.effect).tolist() == np.sign(TRUTH).tolist()
    assert (federation.round, federation.stats()["waiting"]) == (2, 0)


def test_liars_lose_weight_at_once_and_their_place_after_three_nights() -> None:
    federation, honest = _federation(), _federation()
    for night in range(4):
        model, twin = _night(federation, liars=3), _night(honest)
        assert model is not None
        assert twin is not None
        assert np.sign(model.graph.edges.effect).tolist() == np.sign(TRUTH).tolist()
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
    assert np.sign(model.graph.edges.effect).tolist() == np.sign(TRUTH).tolist()


def test_baskets_give_their_own_models() -> None:
    federation = HierarchicalFederation(
        basket_rules=BasketRules(minimum=3), layer_rules=LayerRules(minimum=3)
    )
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


def _gossiping(epsilon: float = 1.0) -> HierarchicalFederation:
    night = plan_release(
        epsilon=Decimal(1), delta=Decimal("1e-5"), clip_norm=1.0, slots=25, place="local"
    )
    return _federation(
        vocabulary=Vocabulary.of("a", "b", "c", "d", "e", domain="plant"),
        guard=PrivacyGuard(max_epsilon=epsilon, max_delta=1e-4),
        gossip_noise=night,
    )


def test_a_basket_gossips_its_noised_messages_once_a_round_and_pays_once() -> None:
    federation = _gossiping(epsilon=2.0)
    for client in CLIENTS:
        federation.submit(client, _update(client))
    (first,) = federation.gossip().values()
    assert first.clients == tuple(CLIENTS)
    assert federation.guard is not None
    spent = federation.guard.spent_epsilon
    assert 0 < spent < 2
    assert federation.gossip_noise is not None
    noise = federation.gossip_noise.noise_std
    assert first.disagreement < 1e-3 * noise * 5
    exact = np.zeros(25)
    exact[[0, 1, 2, 3, 4]] = 0  # source 0 to target 0..4; the truth is below
    exact[1:5] = TRUTH + 0.04
    exact *= min(1.0, 1.0 / float(np.linalg.norm(exact)))
    off = first.averages[0] - exact
    assert 0.5 * noise / 3 < float(np.std(off)) < 1.6 * noise / 3
    # the same messages again, and nothing more is charged
    (again,) = federation.gossip().values()
    assert np.array_equal(again.averages, first.averages)
    assert federation.guard.spent_epsilon == spent
    assert federation.maybe_aggregate() is not None
    assert federation.gossip() == {}


def test_gossip_that_nobody_can_pay_draws_nothing() -> None:
    federation = _gossiping(epsilon=0.5)
    for client in CLIENTS:
        federation.submit(client, _update(client))
    with pytest.raises(PrivacyBudgetExhausted):
        federation.gossip()
    assert not federation._drawn.vectors


# -- leaving ---------------------------------------------------------------------------------------


def test_who_leaves_is_not_counted_and_what_waited_is_dropped() -> None:
    federation = _federation()
    for client in CLIENTS:
        federation.submit(client, _update(client))
    federation.unregister("site-4")
    assert "site-4" not in federation.clients
    assert "site-4" not in federation.budgets()["slots"]
    assert federation.stats()["waiting"] == len(CLIENTS) - 1
    model = federation.maybe_aggregate()
    assert model is not None
    assert model.clients == tuple(c for c in CLIENTS if c != "site-4")
    assert all("site-4" not in basket.members for basket in federation.baskets)
    with pytest.raises(RegistryError, match="site-4: is not registered"):
        federation.submit("site-4", _update("site-4"))


def test_leaving_may_cost_the_quorum() -> None:
    federation = HierarchicalFederation(quorum=2)
    for client in CLIENTS[:2]:
        federation.register(client)
        federation.submit(client, _update(client))
    assert federation.should_aggregate()
    federation.unregister("site-0")
    assert not federation.should_aggregate()
    assert federation.maybe_aggregate() is None
    federation.unregister("site-1")
    assert (federation.clients, federation.baskets) == ((), ())
    assert federation.stats()["trust"] == []


def test_a_model_that_counted_who_left_stays_and_the_next_one_is_without_it() -> None:
    federation = _federation()
    first = _night(federation)
    federation.unregister("site-8")
    assert federation.model is first
    for client in CLIENTS[:8]:
        federation.submit(client, _update(client))
    second = federation.maybe_aggregate()
    assert first is not None
    assert second is not None
    assert (len(first.clients), second.clients) == (9, tuple(CLIENTS[:8]))


def test_who_returns_goes_on_with_its_reputation_its_sequences_and_its_slots() -> None:
    federation = _federation()
    for _ in range(3):
        _night(federation, liars=3)
    trust = federation.scorer.get_trust("site-0")
    assert trust < federation.trust_min
    federation.submit("site-0", _update("site-0"), sequence=10, digest=b"ten")
    federation.unregister("site-0")
    for client in CLIENTS[1:]:
        federation.submit(client, _update(client))
    federation.maybe_aggregate()
    assert (
        federation.scorer.get_trust("site-0") == trust
    )  # a round without it is not held against it
    federation.register("site-0")
    for sequence, digest in ((10, b"other"), (11, b"ten")):
        with pytest.raises(RefusedError):
            federation.submit("site-0", _update("site-0"), sequence=sequence, digest=digest)
    with pytest.raises(RefusedError, match="already counted"):
        federation.submit("site-0", _update("site-0"), made_for=3)
    federation.submit("site-0", _update("site-0"))
    model = _night_of(federation, CLIENTS[1:])
    assert set(model.excluded) == set(CLIENTS[:3])
    assert "site-0" not in model.clients


def test_an_honest_client_that_returns_counts_again_with_the_slots_it_had_left() -> None:
    federation = _federation()
    federation.submit("site-0", _update("site-0"))
    federation.unregister("site-0")
    federation.register("site-0", organisation="Elsewhere")
    assert federation.budgets()["slots"]["site-0"] == 3
    assert federation.stats()["waiting"] == 0
    federation.submit("site-0", _update("site-0"))
    model = _night_of(federation, CLIENTS[1:])
    assert model.clients == tuple(CLIENTS)


def test_a_stranger_cannot_leave_and_nothing_moves() -> None:
    federation = _federation()
    federation.submit("site-0", _update("site-0"))
    before = (federation.clients, federation.baskets, federation.stats(), federation.budgets())
    with pytest.raises(RegistryError, match="stranger: is not registered"):
        federation.unregister("stranger")
    assert before == (
        federation.clients,
        federation.baskets,
        federation.stats(),
        federation.budgets(),
    )
    federation.unregister("site-0")
    with pytest.raises(RegistryError):
        federation.unregister("site-0")


def _night_of(federation: HierarchicalFederation, clients: list[str]) -> HierarchicalModel:
    for client in clients:
        federation.submit(client, _update(client))
    model = federation.maybe_aggregate()
    assert model is not None
    return model
