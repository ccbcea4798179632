"""Robust rules, baskets and organisation caps in real rounds of the drop-box: what the signed plan
says is what is merged, and the audit computes it again.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.config import MAX_EFFECT
from hyperfed.coordinator.reputation import trust_of
from hyperfed.demo import flip_signs
from hyperfed.errors import BoundsError, BreakdownError, ConfigError, PrivacyError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import Claims, PolicyPack, Update
from hyperfed.protocol.baskets import BasketPhase
from hyperfed.protocol.machine import Why
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation, key_of

pytestmark = pytest.mark.attack


def _lie(federation: SmallFederation, client: str) -> Update:
    update = federation.update(client)
    assert update.edges is not None
    return replace(update, edges=flip_signs(update.edges))


def _play(
    federation: SmallFederation, round_id: int = 1, *, liars: int = 0, **policy: Any
) -> GlobalModel:
    federation.open(round_id, **policy)
    for i, client in enumerate(federation.clients):
        federation.submit(
            client, _lie(federation, client) if i < liars else None, round_id=round_id
        )
    stage = federation.run(round_id)
    assert stage.why is Why.COMMITTED
    result = federation.reader().result(round_id)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    return result.value


def _clean(federation: SmallFederation) -> None:
    report = audit(
        federation.store, fingerprint=federation.fingerprint, key_pair=federation.coordinator
    )
    assert not report.findings, report.findings


@pytest.mark.parametrize(
    "rule",
    [
        "bounded-trust",
        "median",
        "trimmed-mean",
        "geometric-median",
        "krum",
        "multi-krum",
        "centered-clipping",
        "mda",
        "smea",
    ],
)
def test_a_round_by_each_rule_survives_its_liars_and_can_be_audited(rule: str) -> None:
    federation = SmallFederation(clients=9)
    model = _play(federation, liars=2, rule=rule, f=2, quorum=9)
    assert model.policy.rule == rule
    assert len(model.edges) == 3
    assert (model.edges.effect > 0.4).all()
    _clean(federation)


def test_the_twin_that_bears_nothing_falls() -> None:
    federation = SmallFederation(clients=9)
    assert len(_play(federation, liars=4, rule="mean").edges) == 0


def test_a_plan_that_its_rule_cannot_bear_is_not_made() -> None:
    federation = SmallFederation(clients=6)
    before = federation.objects()
    with pytest.raises(ConfigError, match="cannot be met by 6"):
        federation.open(1, rule="bulyan", f=1)
    with pytest.raises(ConfigError, match=r"below the 5 clients that krum needs.*R-100"):
        federation.open(1, rule="krum", f=1, quorum=4)
    assert federation.objects() == before
    assert federation.open(1, rule="krum", f=1).value.quorum == 5


def test_a_policy_that_contradicts_itself_is_refused() -> None:
    for wrong in (
        {"rule": "magic"},
        {"rule": "krum", "strategy": "union"},
        {"f": 1, "rule": "mean"},
        {"f": 1, "weigh_by": "reputation"},
        {"weigh_by": "both"},
    ):
        with pytest.raises(BoundsError):
            PolicyPack(**wrong)
    with pytest.raises(BoundsError):
        PolicyPack(basket_minimum=3, basket_maximum=4)
    private = {"privacy": "central", "strategy": "mean", "trust_min": 0.0}
    with pytest.raises(PrivacyError, match="group_weights"):
        PolicyPack(**private, basket_minimum=2, group_weights="trust")
    with pytest.raises(BoundsError, match="belong to the strategy consensus"):
        PolicyPack(**private, rule="median")


def test_adaptive_needs_every_claim() -> None:
    federation = SmallFederation(clients=3)
    federation.open(1, rule="adaptive")
    for i, client in enumerate(federation.clients):
        federation.submit(client, replace(federation.update(client), claims=Claims(loss=1.0 + i)))
    assert federation.run(1).why is Why.COMMITTED
    state = federation.reader().state(1)
    assert state is not None
    assert [c.weight for c in state.value.clients] == pytest.approx([1, 1 / 2, 1 / 3])


def _with_organisations(
    clients: int, organisation: Any, basket: Any = lambda i: "default"
) -> SmallFederation:
    federation = SmallFederation(clients=clients)
    records = tuple(
        ClientRecord(
            client_id=c,
            organisation=organisation(i),
            basket=basket(i),
            keys=(KeyRecord(keys=federation.keys[c].public),),
        )
        for i, c in enumerate(federation.clients)
    )
    federation.amend(clients=records)
    return federation


def test_splitting_into_many_clients_gains_nothing() -> None:
    """Five of eight clients are one organisation's and lie: together they weigh like one, and the
    other three's model stands.
    """
    federation = _with_organisations(8, lambda i: "hydra" if i < 5 else f"org {i}")
    model = _play(federation, liars=5)
    assert (model.edges.effect > 0.4).all()
    assert len(model.edges) == 3
    _clean(federation)
    uncapped = _with_organisations(8, lambda i: "hydra" if i < 5 else f"org {i}")
    assert not (_play(uncapped, liars=5, organisation_cap=0.0).edges.effect > 0.4).any()


def test_registering_anew_never_helps() -> None:
    """An excluded client's organisation registers another: it is excluded too, until the
    organisation's standing has come back.
    """
    federation = _with_organisations(6, lambda i: f"org {i}")
    for night in range(1, 4):
        _play(federation, night, liars=1)
    federation.keys["site-99"] = key_of("small-fed/site-99")
    newcomer = ClientRecord(
        client_id="site-99",
        organisation="org 0",
        keys=(KeyRecord(keys=federation.keys["site-99"].public),),
    )
    honest = ClientRecord(
        client_id="site-98",
        organisation="org 98",
        keys=(KeyRecord(keys=key_of("small-fed/site-98").public),),
    )
    revoked = federation.registry.revoke(
        "site-01", from_round=4, previous=b"p" * 32, issued=federation.registry.issued
    )
    federation.amend(
        clients=tuple(sorted((*revoked.clients, newcomer, honest), key=lambda c: c.client_id))
    )
    federation.keys["site-98"] = key_of("small-fed/site-98")
    for client in ("site-98", "site-99"):
        federation.memories[client] = type(federation.memories["site-02"])()
    federation.open(4)
    for client in ("site-02", "site-03", "site-04", "site-05", "site-98", "site-99"):
        federation.submit(client, federation.update("site-02"), round_id=4)
    assert federation.run(4).why is Why.COMMITTED
    frozen = federation.reader().freeze(4)
    assert frozen is not None
    assert frozen.value.excluded == ("site-99",)
    assert {c.client for c in frozen.value.counted} >= {"site-98", "site-02"}
    assert [r.rule for r in frozen.value.refused] == ["R-95"]
    _clean(federation)


def test_baskets_are_in_the_plan_and_their_models_in_the_result() -> None:
    """R-102."""
    federation = _with_organisations(
        9, lambda i: f"org {i}", lambda i: "east" if i < 4 else "west" if i < 8 else "north"
    )
    model = _play(federation, liars=1, basket_minimum=3)
    plan = federation.plan(1)
    assert [(b.name, b.phase, len(b.members)) for b in plan.baskets] == [
        ("east", BasketPhase.ACTIVE, 4),
        ("north", BasketPhase.FORMING, 1),
        ("west", BasketPhase.ACTIVE, 4),
    ]
    by_name = {b.name: b for b in model.baskets}
    assert sorted(by_name) == ["", "east", "west"]
    assert by_name[""].left_out == "1 counted clients, 3 are needed"
    assert (by_name["east"].share, by_name["west"].share) == (0.5, 0.5)
    assert (by_name["east"].edges.effect > 0.4).all()
    assert len(by_name["west"].edges) == 3
    assert (model.edges.effect > 0.4).all()
    assert model.evidence.edges.support.tolist() == [7, 7, 7]
    _play(federation, 2, basket_minimum=3)
    assert federation.plan(2).baskets == plan.baskets
    _clean(federation)


def test_hyperedges_are_in_the_baskets_models_too_and_their_support_counts_clients() -> None:
    federation = _with_organisations(8, lambda i: f"org {i}", lambda i: "east" if i < 4 else "west")
    federation.open(1, basket_minimum=3)
    for i, client in enumerate(federation.clients):
        sources = [[0, 1], [1, 2]] if i < 4 else [[0, 1]]  # the second one is the east's alone
        rows = len(sources)
        table = HyperedgeTable.build(
            sources=sources,
            target=[3] * rows,
            lag=[1] * rows,
            effect=[0.5] * rows,
            confidence=0.9,
            stability=0.9,
            n=10,
        )
        federation.submit(client, replace(federation.update(client), hyperedges=table))
    assert federation.run(1).why is Why.COMMITTED
    result = federation.reader().result(1)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    by_name = {b.name: b for b in result.value.baskets}
    assert [by_name[name].hyperedges.sources.tolist() for name in ("east", "west")] == [
        [0, 1, 1, 2],
        [0, 1],
    ]
    assert by_name["east"].hyper_evidence.support.tolist() == [4, 4]
    evidence = result.value.evidence.hyperedges
    assert evidence is not None
    assert evidence.support.tolist() == [8, 4]
    assert evidence.samples.tolist() == [80, 40]
    _clean(federation)


def test_a_round_with_too_few_groups_ends_in_nothing() -> None:
    federation = _with_organisations(4, lambda i: f"org {i}", lambda i: "east")
    federation.open(1, basket_minimum=3, minimum_groups=2)
    federation.submit_all(round_id=1)
    with pytest.raises(BreakdownError, match="1 of 1 groups"):
        federation.run(1)
    assert federation.reader().result(1) is None


def test_reputation_weighs_where_the_policy_says_so() -> None:
    federation = SmallFederation(clients=5)
    for night in (1, 2):
        _play(federation, night, liars=1)
    _play(federation, 3, weigh_by="reputation")
    before, after = federation.reader().state(2), federation.reader().state(3)
    assert before is not None
    assert after is not None
    for client in after.value.clients:
        assert client.weight == pytest.approx(trust_of(before.value, client.client))
    assert np.ptp([c.weight for c in after.value.clients]) > 0.2
    _clean(federation)


@pytest.mark.parametrize("strategy", ["union", "weighted", "intersection", "mean", "consensus"])
@pytest.mark.parametrize(
    ("effect", "half"), [(9e29, 1e29), (-MAX_EFFECT, 0.0), (0.5, 1e-30), (1e-300, 1e-301)]
)
def test_a_result_stays_finite_whatever_one_client_claims(
    strategy: str, effect: float, half: float
) -> None:
    """One liar with the largest number that is admitted, or an interval of nothing: the round has a
    result, all is finite, and consensus is not moved.
    """
    federation = SmallFederation(clients=5)
    federation.open(1, strategy=strategy)
    for client in federation.clients[:-1]:
        federation.submit(client)
    honest = federation.update()
    assert honest.edges is not None
    value = np.full(3, effect)
    lie = EdgeTable.build(
        source=[0, 1, 2],
        target=[1, 2, 3],
        lag=1,
        effect=value,
        ci_low=value - half,
        ci_high=value + half,
        confidence=1.0,
        stability=1.0,
        n=9,
    )
    federation.submit(federation.clients[-1], replace(honest, edges=lie))
    assert federation.run(1).why is Why.COMMITTED
    result = federation.reader().result(1)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    edges, evidence = result.value.edges, result.value.evidence.edges
    for column in (
        edges.effect,
        edges.confidence,
        edges.stability,
        evidence.std_error,
        evidence.tau2,
        evidence.i2,
    ):
        assert np.isfinite(column).all()
    if strategy == "consensus":
        np.testing.assert_allclose(edges.effect, [0.515, 0.615, 0.715], atol=0.01)
