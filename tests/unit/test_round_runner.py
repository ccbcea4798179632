"""The runner against a store in memory: who counts, late and corrected updates, changes against a base, registries that change, and what is refused.

Every refusal is asserted together with "nothing moved": `decided` is the same before and after.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.inbox import Arrivals
from hyperfed.coordinator.runner import Why
from hyperfed.coordinator.stragglers import waiting
from hyperfed.errors import ConfigError, QuorumMissed, RegistryError, RoundError
from hyperfed.packets import Update
from hyperfed.protocol import machine as mc
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.objects import EntryKind, Fate, Mechanism
from hyperfed.registry import Budget, KeyRecord
from hyperfed.rounds import Keys
from hyperfed.signing import PacketType
from hyperfed.tables import DeltaTable
from hyperfed.testing.federation import SmallFederation, key_of


def fates(fed: SmallFederation, round_id: int = 1) -> dict[str, tuple[Fate, str]]:
    found = {client: fed.receipt(client, round_id) for client in fed.clients}
    return {client: (r.fate, r.rule) for client, r in found.items() if r is not None}


def counted(fed: SmallFederation, round_id: int) -> dict[str, int]:
    """client -> the round its counted update was made for."""
    frozen = fed.reader().freeze(round_id)
    assert frozen is not None
    return {c.client: c.made_for for c in frozen.value.counted}


# -- late updates and corrections --------------------------------------------------------------------------------------------------


def test_a_late_update_counts_in_the_next_round_with_less_weight() -> None:
    fed = SmallFederation()
    fed.play(1, but=["site-03"])
    fed.open(2)
    fed.submit("site-03", round_id=1)
    fed.submit_all(round_id=2, but=["site-03"])
    assert fed.run(2).counted == 3
    assert counted(fed, 2) == {"site-01": 2, "site-02": 2, "site-03": 1}
    receipt = fed.receipt("site-03", 2)
    assert receipt is not None
    assert receipt.fate is Fate.LATE
    assert "weight 0.9" in receipt.reason
    runner = fed.runner(2)
    coordinator = runner.frozen.coordinator(runner.plan(2).value, runner.reader.freeze(2))  # type: ignore[arg-type]
    coordinator.aggregate()
    assert coordinator.reconciliation is not None
    weights = dict(zip(coordinator.reconciliation.clients, coordinator.reconciliation.weight.tolist(), strict=True))
    trust = dict(zip(coordinator.reconciliation.clients, coordinator.reconciliation.trust.tolist(), strict=True))
    assert weights["site-03"] / trust["site-03"] == pytest.approx(0.9 * weights["site-01"] / trust["site-01"])


def test_a_correction_after_the_freeze_does_not_count_twice() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.submit("site-01", round_id=1)
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-01"])
    fed.run(2)
    assert counted(fed, 2) == {"site-02": 2, "site-03": 2}
    assert fates(fed, 2)["site-01"] == (Fate.REFUSED, "R-94")


def test_it_does_not_count_twice_either_when_a_later_policy_reaches_back_further() -> None:
    fed = SmallFederation()
    fed.open(1, max_staleness=0)
    fed.submit_all()
    fed.run(1)
    for r in (2, 3):
        fed.open(r, max_staleness=0)
        fed.submit_all(round_id=r)
        fed.run(r)
    fed.submit("site-01", round_id=1)
    fed.open(4, max_staleness=5)
    fed.submit_all(round_id=4, but=["site-01"])
    fed.run(4)
    assert "site-01" not in counted(fed, 4)


def test_whom_a_round_counted_is_not_forgotten_by_policy() -> None:
    fed = SmallFederation()
    with pytest.raises(ConfigError, match="remembered for 32 rounds"):
        fed.open(1, max_staleness=32)
    assert fed.objects("rounds/") == {}


def test_a_void_rounds_frozen_update_is_late_for_the_next_and_its_reserve_refunded() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=["site-03"])
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    fed.open(2)
    fed.submit("site-03", round_id=2)
    with pytest.raises(RoundError, match="earlier round is still open"):
        fed.runner(2, now=fed.night(1)).run(2)
    assert fed.run(2).why is Why.COMMITTED
    assert counted(fed, 2) == {"site-01": 1, "site-02": 1, "site-03": 2}
    kinds = [(c.entry.kind, c.entry.round) for c in fed.reader().ledger()]
    assert kinds == [(EntryKind.RESERVE, 1), (EntryKind.VOID, 1), (EntryKind.RESERVE, 2), (EntryKind.COMMIT, 2)]
    entries = [c.entry for c in fed.reader().ledger()]
    assert entries[1].id == entries[0].id
    assert {fate for fate, _ in fates(fed, 1).values()} == {Fate.VOID}


def test_the_newest_of_several_updates_counts_and_the_others_are_told() -> None:
    fed = SmallFederation()
    fed.open(1)
    for _ in range(3):
        last = fed.submit("site-01")
    fed.submit_all(but=["site-01"])
    fed.run(1)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.counted[0].digest == last.digest
    assert [(r.key, r.rule) for r in frozen.value.refused] == [(Keys.inbox(1, "site-01", slot), "R-93") for slot in (0, 1)]


# -- changes against an earlier update ---------------------------------------------------------------------------------------------


def _changes(base: bytes) -> Update:
    by = np.array([0.25])
    deltas = DeltaTable(
        source=np.array([0]), target=np.array([1]), lag=np.array([1]), weight_delta=by, ci_low_delta=by, ci_high_delta=by, hits_delta=np.array([1])
    )
    return Update(measured=np.arange(4, dtype=np.uint32), deltas=deltas, base=base)


def test_changes_count_against_the_last_counted_update_and_chain() -> None:
    fed = SmallFederation()
    fed.open(1)
    base = {s.key.split("/")[2]: s.digest for s in fed.submit_all()}
    fed.run(1)
    for r in (2, 3):
        fed.open(r)
        base["site-01"] = fed.submit("site-01", _changes(base["site-01"]), round_id=r).digest
        fed.submit_all(round_id=r, but=["site-01"])
        assert fed.run(r).counted == 3
        runner = fed.runner(r)
        held = runner.frozen.coordinator(runner.plan(r).value, runner.reader.freeze(r)).stores()[0]  # type: ignore[arg-type]
        assert held.edges.effect[0] == pytest.approx(0.5 + 0.25 * (r - 1))


@pytest.mark.parametrize("gone", [True, False])
def test_changes_against_what_is_gone_or_was_not_counted_are_answered_with_send_the_whole_table(gone: bool) -> None:
    fed = SmallFederation()
    fed.open(1)
    base = fed.submit("site-01").digest
    fed.submit_all(but=["site-01"])
    fed.run(1)
    if gone:
        del fed.store._objects[fed.accepted(1)[base]]  # type: ignore[attr-defined]
    fed.open(2)
    fed.submit("site-01", _changes(base if gone else b"b" * 32), round_id=2)
    fed.submit_all(round_id=2, but=["site-01"])
    fed.run(2)
    receipt = fed.receipt("site-01", 2)
    assert receipt is not None
    assert (receipt.fate, receipt.rule, receipt.remedy) == (Fate.REFUSED, "R-97", "Send the whole table")


# -- quorum and closing ------------------------------------------------------------------------------------------------------------


def test_below_quorum_nothing_is_decided_and_a_retry_works() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit("site-01")
    with pytest.raises(QuorumMissed, match="fewer than 2 of 3"):
        fed.run(1)
    assert fed.decided() == {}
    fed.submit("site-02")
    assert fed.run(1).why is Why.COMMITTED


def test_after_close_by_the_round_is_void_with_receipts() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit("site-01")
    stage = fed.run(1, now=fed.registry.windows.deadline(2))
    assert (stage.why, stage.counted) == (Why.VOID, 0)
    assert set(fates(fed).values()) == {(Fate.VOID, "R-62")}
    assert [c.entry.kind for c in fed.reader().ledger()] == [EntryKind.VOID]
    before = fed.objects()
    assert fed.run(1).why is Why.VOID
    assert fed.objects() == before


def test_a_freeze_that_comes_after_the_void_decides_nothing() -> None:
    """Another coordinator had gathered before; its freeze appears when the round is void already. Receipts are of the ledger's view."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    slow = fed.runner(1)
    admission = slow.validate(slow.collect(1))
    candidate = slow._candidate(1, admission)
    fed.open(2)
    fed.submit_all(round_id=2)
    fed.run(2)  # voids round 1
    assert candidate is not None
    slow._execute(mc.start(1)[0], mc.PutFreeze(1, candidate))
    assert fed.run(1).why is Why.VOID
    assert {fate for fate, _ in fates(fed, 1).values()} == {Fate.VOID}


def test_skipped_rounds_are_said_to_be_and_cannot_be_opened() -> None:
    fed = SmallFederation()
    fed.play(2)
    with pytest.raises(RoundError, match="cannot be opened any more"):
        fed.open(1)
    with pytest.raises(RoundError, match="was not opened"):
        fed.run(1)
    assert fed.objects("rounds/00000001/") == {}


def test_a_budget_that_is_used_up_ends_the_round_in_a_tombstone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RoundRunner, "mechanisms", lambda self, plan: (Mechanism(kind="basic", epsilon=Decimal("0.1"), delta=Decimal(0)),))
    fed = SmallFederation(budget=Budget(epsilon=Decimal("0.3")))
    assert [fed.play(r).why for r in (1, 2, 3)] == [Why.COMMITTED] * 3, "three times a tenth fits"
    assert fed.play(4).why is Why.VOID
    assert set(fates(fed, 4).values()) == {(Fate.VOID, "R-65")}


def test_minimum_support_cannot_be_undercut_by_the_online_key() -> None:
    fed = SmallFederation(budget=Budget(minimum_support=3))
    with pytest.raises(ConfigError, match="below the minimum support of 3"):
        fed.open(1, quorum=2)
    fed.open(1)
    fed.submit_all(but=["site-03"])
    with pytest.raises(QuorumMissed):
        fed.run(1)
    assert fed.decided() == {}


# -- registries and keys -----------------------------------------------------------------------------------------------------------


def test_a_coordinator_whose_key_is_not_registered_writes_nothing() -> None:
    fed = SmallFederation()
    with pytest.raises(ConfigError, match="is not the coordinator's"):
        fed.runner(1, keys=key_of("mallory")).open_round(1, policy=fed.policy, vocabulary=fed.vocabulary)
    fed.open(1)
    fed.submit_all()
    sealed_to_us = fed.runner(1)
    arrivals = sealed_to_us.collect(1)
    admission = sealed_to_us.validate(arrivals)
    before = fed.objects()
    with pytest.raises(RegistryError, match="is not the coordinator's in round 1"):
        fed.runner(1, keys=key_of("mallory")).freeze(1, admission)
    assert fed.objects() == before, "an unverifiable freeze would occupy its key for ever"
    assert fed.run(1).why is Why.COMMITTED


def test_a_second_registered_coordinator_finishes_what_the_first_began() -> None:
    fed = SmallFederation()
    second = key_of("second")
    fed.amend(coordinators=(*fed.registry.coordinators, KeyRecord(keys=second.public)))
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    other = fed.runner(1, keys=second, now=fed.night(1) + timedelta(hours=1))
    assert other.run(1).why is Why.COMMITTED
    assert fed.reader().result(1).signed.header.key_id == second.key_id  # type: ignore[union-attr]


def test_a_revocation_between_validation_and_freeze_works_at_once() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    admission = fed.judge(1)
    fed.revoke("site-02", from_round=1)
    stage = fed.runner(1).freeze(1, admission)
    assert (stage.counted, stage.refused) == (2, 1)
    assert fed.runner(1).conclude(1).why is Why.COMMITTED
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.registry_version == 2
    assert [(r.client, r.rule) for r in frozen.value.refused] == [("site-02", "R-81")]


def test_a_registry_that_changes_after_the_freeze_changes_nothing_of_it() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    fed.revoke("site-02", from_round=1)
    assert fed.runner(1).run(1).counted == 3


def test_a_plan_that_contradicts_the_registry_is_refused() -> None:
    fed = SmallFederation()
    plan = fed.open(1).value
    longer = replace(plan, round=2, opens=fed.opens(2), deadline=fed.opens(9), close_by=fed.opens(9))
    fed.store.put_if_absent(Keys.plan(2), sign_object(Keys.plan(2), PacketType.PLAN, longer, keys=fed.coordinator, time=fed.opens(2)).data)
    with pytest.raises(RoundError, match="does not follow from registry") as info:
        fed.run(2)
    assert info.value.rule == "R-52"
    with pytest.raises(RoundError):
        fed.submit("site-01", round_id=2)


# -- waiting -----------------------------------------------------------------------------------------------------------------------


def test_waiting() -> None:
    some = Arrivals(round=1, quorum=2, present=("a", "b"), missing=("c",), keys=(), closed=False, decided=False)
    assert waiting(some, waited_s=0, delay_s=10) == "2 of 3 are there, quorum 2; waiting for c"
    assert waiting(some, waited_s=9.9, delay_s=10) is not None
    assert waiting(some, waited_s=10, delay_s=10) is None, "the time is used up"
    assert waiting(replace(some, missing=()), waited_s=0, delay_s=10) is None, "everyone is there"
    assert waiting(replace(some, closed=True), waited_s=0, delay_s=10) is None
    assert waiting(replace(some, decided=True), waited_s=0, delay_s=10) is None
    none = replace(some, present=(), missing=tuple(f"c{i:02d}" for i in range(12)))
    assert str(waiting(none, waited_s=0, delay_s=10)).endswith("c09 and 2 more")
