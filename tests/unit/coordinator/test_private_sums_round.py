"""A private night of statistics through the whole round: charged, noised, published, audited."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import BoundsError, HyperfedError, PrivacyError, RefusedError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.protocol.machine import Why
from hyperfed.registry.registry import Budget
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = ("heat", "load", "wear", "faults")
VOCABULARY = Vocabulary.of(*NAMES, domain="plant")
CENTRAL = PolicyPack(
    payload="statistics",
    privacy="central",
    privacy_epsilon=Decimal(4),
    strategy="mean",
    trust_min=0,
    max_staleness=0,
    lags=(1,),
    vote_min=0.5,
    statistics=SumsPolicy(row_norm=5.0),
)
LOCAL = replace(CENTRAL, privacy="local")
BUDGET = Budget(epsilon=Decimal(50), unit="record")
TRUE = {("heat", "load"): 1, ("load", "wear"): 1, ("wear", "faults"): -1}


def series(seed: int, rows: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise, y = rng.normal(size=(rows, 4)), np.zeros((rows, 4))
    for t in range(1, rows):
        y[t] = noise[t] + 0.2 * y[t - 1]
        y[t, 1:] += np.array([0.6, 0.6, -0.6]) * y[t - 1, :3]
    return y + rng.normal(size=4) / 4


def update(seed: int, policy: PolicyPack = CENTRAL, rows: int = 2000) -> Update:
    sums = policy.statistics
    return statistics_update(
        clipped_statistics(
            series(seed, rows),
            names=NAMES,
            vocabulary=VOCABULARY,
            lags=policy.lags,
            row_norm=sums.row_norm,
            grid=plan_moments(policy, 4).bound,
            centring=sums.centring,
        )
    )


def federation(policy: PolicyPack, clients: int = 4) -> SmallFederation:
    return SmallFederation(
        clients=clients, auditors=1, policy=policy, vocabulary=VOCABULARY, budget=BUDGET
    )


def played(policy: PolicyPack, clients: int = 4) -> tuple[SmallFederation, GlobalModel]:
    fed = federation(policy, clients)
    fed.open(1)
    for i, client in enumerate(fed.clients):
        fed.submit(client, update(i, policy))
    assert fed.run(1).why is Why.COMMITTED
    pulled = fed.session("site-01").pull(now=fed.night(1))
    assert pulled is not None
    return fed, pulled.value


def found(model: GlobalModel) -> dict[tuple[str, str], int]:
    return {
        (r["source"], r["target"]): int(np.sign(r["effect"]))
        for r in model.rows()
        if r["source"] != r["target"]
    }


@pytest.mark.parametrize("policy", [CENTRAL, LOCAL], ids=["central", "local"])
def test_a_private_night_of_sums_finds_the_edges_and_an_audit_computes_them_again(
    policy: PolicyPack,
) -> None:
    policy = replace(policy, privacy_epsilon=Decimal(20))
    fed, model = played(policy)
    assert found(model) == TRUE
    night = plan_moments(policy, 4)
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    assert charge == night.mechanism
    assert (charge.unit, charge.place) == ("record", policy.privacy)
    assert accountant_of(fed.reader(), fed.reader().ledger()).total.epsilon > 0
    said = model.privacy
    assert said is not None
    assert said.slots == moment_count(4, (1,)) == 36
    assert (said.released, said.clip_norm) == ("moments", 5.0)
    for words in (
        "one record of one client",
        "one row, not a person",
        "L2 norm 5",
        "how many rows",
    ):
        assert words in model.statement
    assert all(r["support"] is None and r["samples"] is None for r in model.rows())
    assert model.moments is not None
    exact = sum(one.statistics.moments for one in (update(i, policy) for i in range(4)))  # type: ignore[union-attr, misc]
    noise = (model.moments.moments - exact) / said.noise_std
    assert 0.6 < noise.std() < 1.5
    for auditor in (None, fed.auditors[0]):
        report = audit(fed.store, fed.fingerprint, auditor)
        assert report.findings == ()
        assert report.checked["noised sums"] == 1
        assert report.checked.get("noise compared", 0) == (auditor is not None)


def test_an_audit_without_a_key_finds_edges_that_the_noised_sum_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = FederationCoordinator.aggregate

    def forged(self: FederationCoordinator) -> GlobalModel:
        model = honest(self)
        effect = model.edges.effect.copy()
        effect[0] *= 1.001
        return replace(model, edges=replace(model.edges, effect=effect))

    monkeypatch.setattr(FederationCoordinator, "aggregate", forged)
    fed, _ = played(replace(CENTRAL, privacy_epsilon=Decimal(20)))
    findings = audit(fed.store, fed.fingerprint, None).findings
    assert [finding.rule for finding in findings] == ["R-188"]


def test_an_audit_with_a_key_finds_a_sum_without_its_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "hyperfed.privacy.moments.discrete_gaussian",
        lambda sigma, size, *, random_bytes: np.zeros(size, dtype=np.int64),
    )
    fed, _ = played(CENTRAL)
    assert audit(fed.store, fed.fingerprint, None).findings == ()
    findings = audit(fed.store, fed.fingerprint, fed.auditors[0]).findings
    assert [finding.rule for finding in findings] == ["R-189"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"statistics": SumsPolicy()}, "row_norm above 0"),
        ({"statistics": SumsPolicy(row_norm=5.0, form="ranks")}, "form = 'values'"),
        ({"payload": "both"}, "payload = 'statistics'"),
        ({"max_staleness": 1}, "max_staleness = 0"),
        ({"record_bound": 1.0}, "record_bound = 0"),
        ({"discovery": "selected"}, "discovery = 'public'"),
        ({"strategy": "consensus"}, "strategy='mean'"),
        ({"trust_min": 0.1}, "trust_min=0"),
        ({"n_cap": 100}, "n_cap=0"),
        ({"basket_minimum": 2, "basket_maximum": 4}, "basket_minimum = 0"),
        ({"lags": (0,), "statistics": SumsPolicy(row_norm=5.0, engine="ges")}, "var, pc, fci"),
        ({"privacy": "none"}, "row_norm = 0"),
    ],
)
def test_a_policy_without_a_known_reach_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises((PrivacyError, BoundsError)) as caught:
        replace(CENTRAL, **wrong)  # type: ignore[arg-type]
    assert words in caught.value.remedy


def test_a_budget_for_clients_opens_no_private_round_of_sums() -> None:
    fed = SmallFederation(policy=CENTRAL, vocabulary=VOCABULARY)
    before = fed.objects()
    with pytest.raises(PrivacyError, match="protect records") as caught:
        fed.open(1)
    assert caught.value.rule == "R-185"
    assert fed.objects() == before


def test_what_is_not_clipped_whole_and_of_all_variables_is_refused_before_it_is_sent() -> None:
    fed = federation(CENTRAL)
    fed.open(1)
    good = update(0).statistics
    assert good is not None
    before = fed.objects()
    moved = good.moments.copy()
    moved[0] *= 1 + 1e-9
    large = np.where(np.arange(len(moved)) == 0, 1000 * 25.0 * good.n, good.moments)
    parts: list[tuple[Update, str]] = [
        (statistics_update(replace(good, moments=moved)), "R-186"),
        (statistics_update(replace(good, moments=large)), "R-187"),
        (statistics_update(good.without([3])), "R-186"),
        (statistics_update(replace(good, intervened=(1,))), "R-186"),
        (statistics_update(replace(good, form="noised")), "R-161"),
        (statistics_update(replace(good, lags=(2,))), "R-161"),
    ]
    for one, rule in parts:
        with pytest.raises(HyperfedError) as caught:
            fed.submit("site-01", one)
        assert caught.value.rule == rule
    assert fed.objects() == before


def test_a_local_round_takes_one_message_and_nothing_without_its_noise() -> None:
    fed = federation(LOCAL)
    fed.open(1)
    fed.submit("site-01", update(0, LOCAL))
    with pytest.raises(RefusedError) as caught:
        fed.submit("site-01", update(1, LOCAL))
    assert caught.value.rule == "R-98"
