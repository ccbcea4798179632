"""A private night through the whole round in memory: charged, noised, stated, nothing of the sum
anywhere.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.coordinator import FederationCoordinator
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import (
    PrivacyBudgetExhausted,
    PrivacyError,
    RefusedError,
    RoundError,
    TransientError,
)
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.machine import Why
from hyperfed.protocol.objects import (
    Tombstone,
)
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

CENTRAL = PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1)
LOCAL = replace(CENTRAL, privacy="local")
SLOTS = 4 * 3 + 16
TOTAL = Decimal("0.93428")  # dp-accounting, asked for noise of 32768 / 8783 sensitivities


def model_of(federation: SmallFederation, round_id: int = 1) -> GlobalModel:
    found = federation.reader().result(round_id)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return found.value


def test_a_private_night_is_charged_as_noise_and_says_so() -> None:
    fed = SmallFederation(policy=CENTRAL)
    assert fed.play(1).why is Why.COMMITTED
    ledger = fed.reader().ledger()
    (charge,) = ledger[0].entry.mechanisms
    assert (charge.kind, charge.place, charge.unit, charge.relation) == (
        "gaussian",
        "central",
        "client",
        "zero-out",
    )
    # at the budget's delta, not the night's: less epsilon for more delta
    total = accountant_of(fed.reader(), ledger).total
    assert (total.epsilon, total.delta) == (TOTAL, Decimal("0.0001"))
    said = model_of(fed).privacy
    assert said is not None
    assert (said.epsilon, said.delta, said.slots, said.clients) == (
        Decimal("1.0926"),
        Decimal("0.00001"),
        SLOTS,
        3,
    )
    assert (said.sigma, said.sensitivity, said.vocabulary) == (
        charge.sigma,
        charge.sensitivity,
        fed.vocabulary.digest,
    )
    assert said.total_epsilon <= said.budget_epsilon == 10
    for words in (
        "one client",
        "epsilon 1.0926",
        "clipped to L2 norm 1",
        "who takes part",
        "trust scores",
    ):
        assert words in model_of(fed).statement


def test_with_enough_clients_the_effects_are_found_and_counts_are_not_released() -> None:
    fed = SmallFederation(
        clients=60,
        policy=replace(CENTRAL, privacy_epsilon=20, privacy_delta=Decimal("0.00001")),
        budget=Budget(epsilon=Decimal(60)),
    )
    fed.play(1)
    rows = model_of(fed).rows()
    true = {("heat", "load"), ("load", "wear"), ("wear", "faults")}
    # the noise is real: now and then it lifts an edge that is not there above the threshold
    assert true <= {(r["source"], r["target"]) for r in rows}
    assert true == {
        (r["source"], r["target"]) for r in sorted(rows, key=lambda r: -abs(r["effect"]))[:3]
    }
    assert all(r["support"] is None and r["samples"] is None for r in rows)
    assert all(abs(r["effect"]) < 0.8 for r in rows)


def test_an_audit_accepts_a_private_round_with_every_key() -> None:
    fed = SmallFederation(policy=CENTRAL)
    fed.play(1)
    fed.play(2)
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_state_and_reputation_come_from_attendance_alone() -> None:
    fed = SmallFederation(policy=CENTRAL, clients=4)
    fed.open(1)
    for client in fed.clients:
        fed.submit(client, fed.update(client, effect=-0.9 if client == "site-04" else 0.5))
    fed.run(1)
    state = fed.reader().state(1)
    assert state is not None
    assert len({(c.alpha, c.beta, c.weight, c.agreement) for c in state.value.clients}) == 1


def test_a_night_that_does_not_fit_is_refused_before_a_plan_is_written() -> None:
    fed = SmallFederation(
        policy=CENTRAL, budget=Budget(epsilon=Decimal(4), delta=Decimal("0.00001"))
    )
    before = fed.objects()
    with pytest.raises(PrivacyBudgetExhausted, match="tonight does not fit"):
        fed.open(1, privacy_epsilon=Decimal(5))
    assert fed.objects() == before


def test_a_budget_used_up_meanwhile_ends_the_round_with_nothing_released() -> None:
    """Two rounds are open; the first takes the last share."""
    fed = SmallFederation(
        policy=CENTRAL, budget=Budget(epsilon=Decimal("1.5"), delta=Decimal("0.00001"))
    )
    fed.open(1)
    fed.open(2)
    fed.submit_all(round_id=1)
    fed.submit_all(round_id=2)
    assert fed.run(1).why is Why.COMMITTED
    fed.run(2)
    found = fed.reader().result(2)
    assert found is not None
    assert isinstance(found.value, Tombstone)
    assert found.value.rule == "R-65"
    assert sum(len(c.entry.mechanisms) for c in fed.reader().ledger()) == 1


@pytest.mark.parametrize(
    "loosened",
    [
        {"unit": "record"},
        {"minimum_support": 1},
        {"epsilon": Decimal(20)},
        {"delta": Decimal("0.001")},
    ],
)
def test_a_registry_that_loosens_a_running_budget_stops_the_next_night(loosened: dict) -> None:
    budget = Budget(minimum_support=2)
    fed = SmallFederation(policy=CENTRAL, budget=budget)
    fed.play(1)
    decided = fed.decided()
    fed.amend(budget=replace(budget, **loosened))
    with pytest.raises(PrivacyError, match="loosens the running budget"):
        fed.open(2, record_bound=0.1)
    assert fed.decided() == decided


def test_a_record_unit_wants_an_attested_bound_and_costs_by_it() -> None:
    policy = replace(CENTRAL, record_bound=0.05)
    fed = SmallFederation(policy=policy, budget=Budget(unit="record"))
    fed.open(1)
    with pytest.raises(RefusedError, match="attests a record bound of None"):
        fed.submit("site-01")
    fed.put(fed.envelope("site-01"), "site-01")
    for client in fed.clients[1:]:
        update = fed.update(client)
        fed.submit(client, replace(update, claims=replace(update.claims, record_bound=0.04)))
    fed.run(1)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [c.client for c in frozen.value.counted] == ["site-02", "site-03"]
    assert [(r.client, r.rule) for r in frozen.value.refused] == [("site-01", "R-91")]
    said = model_of(fed).privacy
    assert said is not None
    assert said.unit == "record"
    assert said.sensitivity >= said.grid * 0.05 + SLOTS**0.5


def test_selected_edges_pay_for_their_selection() -> None:
    policy = replace(
        CENTRAL,
        discovery="selected",
        privacy_epsilon=Decimal(20),
        edges_per_client=3,
        clip_norm=0.5,
    )
    fed = SmallFederation(clients=40, policy=policy, budget=Budget(epsilon=Decimal(100)))
    fed.play(1)
    ledger = fed.reader().ledger()
    assert [m.selection_delta for m in ledger[0].entry.mechanisms] == [Decimal("0.000005"), 0]
    said = model_of(fed).privacy
    assert said is not None
    assert (said.discovery, said.slots) == ("selected", 3)
    assert 2 < said.threshold < 40


@pytest.mark.parametrize("reserved", ["nothing", "less noise"])
def test_noise_that_was_not_reserved_is_never_drawn(
    reserved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-64: the release holds itself to the ledger, whatever policy and registry have become."""
    drawn: list[int] = []
    monkeypatch.setattr(
        "hyperfed.privacy.release.discrete_gaussian",
        lambda sigma, size, random_bytes: drawn.append(size),
    )
    fed = SmallFederation(policy=CENTRAL)
    budget = PrivacyAccountant(epsilon=Decimal(10), delta=Decimal("0.0001"))
    if reserved == "less noise":
        night = plan_release(
            epsilon=Decimal(2), delta=Decimal("0.00001"), clip_norm=1.0, slots=SLOTS
        )
        budget = budget.charged(night.mechanisms)
    coordinator = FederationCoordinator(policy=CENTRAL, vocabulary=fed.vocabulary, reserved=budget)
    coordinator.handle_update("site-01", fed.update("site-01"))
    with pytest.raises(PrivacyError, match="not what was reserved"):
        coordinator.aggregate()
    assert drawn == []


# -- local -----------------------------------------------------------------------------------------


def test_local_messages_leave_the_client_noised_and_charged() -> None:
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    sent = fed.submit("site-01")
    assert sent.edges == SLOTS
    guard = fed.memories["site-01"].privacy_guard(Budget())
    assert [m.place for m in guard.accountant.mechanisms] == ["local"]
    for client in fed.clients[1:]:
        fed.submit(client)
    assert fed.run(1).why is Why.COMMITTED
    said = model_of(fed).privacy
    assert said is not None
    assert said.place == "local"
    assert "each client to its own message" in model_of(fed).statement
    assert fed.reader().ledger()[0].entry.mechanisms[0].place == "local"


def test_an_unnoised_table_is_refused_in_a_local_round() -> None:
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    fed.put(fed.envelope("site-01"), "site-01")
    (refused,) = fed.judge().refused
    assert (refused.rule, "noised message" in refused.reason) == ("R-91", True)


def test_local_rows_cannot_be_cut_by_the_policy() -> None:
    fed = SmallFederation(policy=replace(LOCAL, n_proposals=10))
    with pytest.raises(PrivacyError, match="all 28 possible edges"):
        fed.open(1)


# -- the ten nights --------------------------------------------------------------------------------


def test_with_basic_composition_the_tenth_round_is_accepted_and_the_eleventh_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new runner each night: every one knows from the ledger what was spent."""
    from hyperfed.protocol.entries import (
        Mechanism,
    )

    monkeypatch.setattr(
        "hyperfed.coordinator.budget.mechanisms_of",
        lambda reader, plan: (
            Mechanism(kind="basic", epsilon=Decimal(1), delta=Decimal("0.00001")),
        ),
    )
    fed = SmallFederation()
    outcomes = [fed.play(r).why for r in range(1, 12)]
    assert outcomes == [Why.COMMITTED] * 10 + [Why.VOID]
    ledger = fed.reader().ledger()
    assert sum(1 for c in ledger if c.entry.kind is EntryKind.RESERVE) == 10
    assert np.isclose(float(accountant_of(fed.reader(), ledger).total.epsilon), 10)


def test_coordinators_at_once_spend_one_share_and_publish_one_noised_value() -> None:
    """Eight of them, each with noise of its own, and a budget for one night: what is readable is
    one and the same for all.
    """
    fed = SmallFederation(
        policy=CENTRAL, budget=Budget(epsilon=Decimal("1.5"), delta=Decimal("0.00001"))
    )
    fed.open(1)
    fed.open(2)
    fed.submit_all(round_id=1)
    fed.submit_all(round_id=2)
    start = threading.Barrier(8)

    def run(number: int) -> object:
        start.wait()
        try:
            fed.run(1)
            return fed.run(2).why
        except (RoundError, TransientError) as error:  # another was faster: run again
            return error

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    fed.run(2)
    entries = [c.entry for c in fed.reader().ledger()]
    assert [(e.kind, e.round) for e in entries if e.mechanisms] == [(EntryKind.RESERVE, 1)]
    assert len([key for key in fed.objects("rounds/") if key.endswith("/result")]) == 2
    assert model_of(fed).privacy is not None
    last = fed.reader().result(2)
    assert last is not None
    assert isinstance(last.value, Tombstone)
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_a_reason_for_a_refusal_names_no_effect_in_a_private_round() -> None:
    """Reasons are stored and shown beside the round: an un-noised value has no business there."""
    for policy, named in ((CENTRAL, False), (PolicyPack(), True)):
        fed = SmallFederation(policy=replace(policy, g_min=0.6))
        fed.open(1)
        fed.put(fed.envelope("site-01", update=fed.update("site-01", effect=0.5123)), "site-01")
        (refused,) = fed.judge().refused
        assert refused.rule == "R-91"
        assert ("0.5123" in refused.reason) is named
