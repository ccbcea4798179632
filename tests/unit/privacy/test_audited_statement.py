"""What the audit says of private rounds without any key: what was reserved, and what the result
claims, is what plan, registry and ledger give (R-64).
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.coordinator import FederationCoordinator
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.packets import PolicyPack
from hyperfed.privacy.policy import statement_of
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

CENTRAL = PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1)


def audited(fed: SmallFederation, *, opened: bool = False) -> AuditReport:
    return audit(fed.store, fed.fingerprint, fed.coordinator if opened else None)


@pytest.mark.parametrize(
    "policy",
    [
        CENTRAL,
        replace(CENTRAL, privacy="local"),
        replace(CENTRAL, basket_minimum=2),
        replace(CENTRAL, discovery="selected"),
    ],
)
def test_honest_statements_pass_also_after_the_budget_was_tightened(policy: PolicyPack) -> None:
    fed = SmallFederation(policy=policy)
    fed.play(1)
    fed.play(2)
    fed.amend(budget=Budget(epsilon=Decimal(5)))
    fed.play(3)
    found = audited(fed)
    assert found.findings == ()
    assert found.checked["privacy statements"] == 3
    assert audited(fed, opened=True).checked["states recomputed"] == 3


@pytest.mark.parametrize(
    "lie",
    [
        {"epsilon": Decimal("0.1")},
        {"total_epsilon": Decimal("0.1")},
        {"sensitivity": 1},
        {"unit": "record"},
        {"budget_epsilon": Decimal(1)},
        {"not_covered": ()},
    ],
)
def test_a_statement_that_claims_more_than_the_ledger_gives_is_found(
    lie: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hyperfed.coordinator.private_round.statement_of",
        lambda *args, **kwargs: replace(statement_of(*args, **kwargs), **lie),
    )
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    (finding,) = audited(fed).findings
    assert (finding.key, finding.rule) == ("rounds/00000001/result", "R-64")
    assert next(iter(lie)) in finding.problem


def test_words_that_differ_from_their_fields_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = FederationCoordinator.aggregate
    monkeypatch.setattr(
        FederationCoordinator,
        "aggregate",
        lambda self: replace(honest(self), statement="Completely anonymous."),
    )
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    (finding,) = audited(fed).findings
    assert "in words what its fields do not say" in finding.problem


def test_a_private_result_that_was_not_charged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperfed.coordinator.budget.mechanisms_of", lambda reader, plan: ())
    monkeypatch.setattr(FrozenSets, "_reserved", lambda self, freeze: None)
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    assert [(f.key, f.rule, f.problem) for f in audited(fed).findings] == [
        ("ledger/000000000001", "R-119", "asks for something else than the plan of round 1"),
        ("ledger/000000000001", "R-64", "does not reserve what the plan spends"),
    ]


def test_a_private_plan_whose_result_says_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = FederationCoordinator.aggregate
    monkeypatch.setattr(
        FederationCoordinator, "aggregate", lambda self: replace(honest(self), privacy=None)
    )
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    (finding,) = audited(fed).findings
    assert "says nothing of the privacy" in finding.problem


def test_a_claim_that_no_plan_asks_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    private = SmallFederation(policy=CENTRAL)
    private.play(1)
    found = private.reader().result(1)
    assert found is not None
    claim = found.value.privacy  # type: ignore[union-attr]
    honest = FederationCoordinator.aggregate
    monkeypatch.setattr(
        FederationCoordinator, "aggregate", lambda self: replace(honest(self), privacy=claim)
    )
    fed = SmallFederation()
    fed.play(1)
    assert "claims a privacy that its plan does not ask for" in {
        f.problem for f in audited(fed).findings
    }


# -- noise and budget ------------------------------------------------------------------------------


def test_the_seed_of_a_rounds_noise_is_the_one_that_its_reserve_names() -> None:
    """R-111; and a seed that outlives its round is said to."""
    fed, other = SmallFederation(policy=CENTRAL), SmallFederation(policy=CENTRAL)
    for one in (fed, other):
        one.open(1)
        one.submit_all()
        runner = one.runner(1)
        runner.freeze(1, runner.validate(runner.collect(1)))
        runner.reserve(1)
    key = Keys.noise(1)
    found = audited(fed)
    assert (found.findings, found.checked["noise"]) == ((), 1)
    assert not any("noise is still there" in remark for remark in found.remarks)
    seed = fed.objects()[key]
    fed.run(1)
    fed.store.put_if_absent(key, seed)
    found = audited(fed)
    assert found.findings == ()
    assert any("noise is still there" in remark for remark in found.remarks)
    fed.store._objects[key] = other.objects()[key]  # type: ignore[attr-defined]
    (finding,) = audited(fed).findings
    assert (finding.key, finding.rule) == (key, "R-111")
    assert finding.problem == "is not the one that the reserve names"


def test_a_reserve_beyond_the_budget_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-72: the coordinator went on although nothing was left."""
    spend = replace(CENTRAL, privacy_epsilon=Decimal(1), privacy_delta=Decimal("0.00001"))
    fed = SmallFederation(policy=spend, budget=Budget(epsilon=Decimal(1)))
    fed.play(1)
    assert audited(fed).checked["budget checks"] == 1
    monkeypatch.setattr(
        "hyperfed.privacy.accountant.PrivacyAccountant.why_not", lambda self, mechanisms: None
    )
    fed.play(2)
    monkeypatch.undo()
    found = audited(fed)
    assert (found.findings[0].key, found.findings[0].rule) == (Keys.ledger(3), "R-72")
    assert found.checked["budget checks"] == 1
