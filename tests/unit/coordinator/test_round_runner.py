"""The runner against a store in memory: who counts, late and corrected updates, changes against a
base, registries that change, and what is refused.

Every refusal is asserted together with "nothing moved": `decided` is the same before and after.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.coordinator.round_objects import draft_freeze
from hyperfed.coordinator.stragglers import waiting
from hyperfed.dropbox.inbox import Arrivals
from hyperfed.errors import ConfigError, QuorumMissed, RoundError
from hyperfed.packets import Update
from hyperfed.protocol import machine as mc
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.registry.registry import Budget
from hyperfed.storage.memory import MemoryStore
from hyperfed.tables.tables import DeltaTable
from hyperfed.testing.federation import SmallFederation


def fates(fed: SmallFederation, round_id: int = 1) -> dict[str, tuple[Fate, str]]:
    found = {client: fed.receipt(client, round_id) for client in fed.clients}
    return {client: (r.fate, r.rule) for client, r in found.items() if r is not None}


def counted(fed: SmallFederation, round_id: int) -> dict[str, int]:
    """client -> the round its counted update was made for."""
    frozen = fed.reader().freeze(round_id)
    assert frozen is not None
    return {c.client: c.made_for for c in frozen.value.counted}


# -- late updates and corrections ------------------------------------------------------------------


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
    weights = dict(
        zip(
            coordinator.reconciliation.clients,
            coordinator.reconciliation.weight.tolist(),
            strict=True,
        )
    )
    trust = dict(
        zip(
            coordinator.reconciliation.clients,
            coordinator.reconciliation.trust.tolist(),
            strict=True,
        )
    )
    assert weights["site-03"] / trust["site-03"] == pytest.approx(
        0.9 * weights["site-01"] / trust["site-01"]
    )


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
    fed.submit("site-01", round_id=1, now=fed.night(3))
    fed.open(4, max_staleness=5)
    fed.submit_all(round_id=4, but=["site-01"])
    fed.run(4)
    assert "site-01" not in counted(fed, 4)


def test_whom_a_round_counted_is_not_forgotten_by_policy() -> None:
    fed = SmallFederation()
    with pytest.raises(ConfigError, match="remembered for 32 rounds"):
        fed.open(1, max_staleness=32)
    assert fed.objects("rounds/") == {}


def test_a_frozen_round_that_was_interrupted_is_finished_by_the_next_ones_run() -> None:
    """Its reserve is not given back and made again: what was frozen counts where it belongs."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=["site-03"])
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    before = fed.decided()
    with pytest.raises(RoundError, match="earlier round is still open"):
        fed.runner(2, now=fed.night(1)).run(2)
    assert fed.decided() == before
    assert fed.run(2).why is Why.COMMITTED
    assert counted(fed, 1) == {"site-01": 1, "site-02": 1}
    assert counted(fed, 2) == {"site-01": 2, "site-02": 2, "site-03": 2}
    kinds = [(c.entry.kind, c.entry.round) for c in fed.reader().ledger()]
    assert kinds == [
        (EntryKind.RESERVE, 1),
        (EntryKind.COMMIT, 1),
        (EntryKind.RESERVE, 2),
        (EntryKind.COMMIT, 2),
    ]


def test_a_predecessor_with_a_quorum_in_its_inbox_is_run_by_any_stage_of_the_next() -> None:
    """Nobody had run it before its close_by. What its clients sent counts in its own round."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    fed.open(2)
    fed.submit_all(round_id=2)
    arrivals = fed.runner(2).collect(2)
    assert arrivals.present == fed.clients
    assert counted(fed, 1) == dict.fromkeys(fed.clients, 1)
    assert {fate for fate, _ in fates(fed, 1).values()} == {Fate.COUNTED}
    assert fed.run(2).why is Why.COMMITTED


def test_a_predecessor_below_quorum_is_void_and_its_updates_are_late() -> None:
    fed = SmallFederation()
    fed.open(1, quorum=3)
    fed.submit_all(but=["site-03"])
    fed.open(2)
    fed.submit("site-03", round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert counted(fed, 2) == {"site-01": 1, "site-02": 1, "site-03": 2}
    assert {(fate, rule) for fate, rule in fates(fed, 1).values()} == {(Fate.VOID, "R-60")}


def test_a_void_rounds_frozen_update_is_late_for_the_next_and_its_reserve_refunded() -> None:
    """The bucket has lost the copies: no result can be computed from the freeze (R-118)."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all(but=["site-03"])
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    assert isinstance(fed.store, MemoryStore)
    for key in fed.objects("rounds/00000001/accepted/"):
        fed.store.forget(key)
    with pytest.raises(RoundError) as caught:
        fed.run(1)
    assert caught.value.rule == "R-66", "until close_by somebody may bring them back"
    fed.open(2)
    fed.submit("site-03", round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert counted(fed, 2) == {"site-01": 1, "site-02": 1, "site-03": 2}
    entries = [c.entry for c in fed.reader().ledger()]
    assert [(e.kind, e.round) for e in entries] == [
        (EntryKind.RESERVE, 1),
        (EntryKind.VOID, 1),
        (EntryKind.RESERVE, 2),
        (EntryKind.COMMIT, 2),
    ]
    assert entries[1].id == entries[0].id
    assert set(fates(fed, 1).values()) == {(Fate.VOID, "R-118")}


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
    assert [(r.key, r.rule) for r in frozen.value.refused] == [
        (Keys.inbox(1, "site-01", slot), "R-93") for slot in (0, 1)
    ]


# -- changes against an earlier update -------------------------------------------------------------


def _changes(base: bytes) -> Update:
    by = np.array([0.25])
    deltas = DeltaTable(
        source=np.array([0]),
        target=np.array([1]),
        lag=np.array([1]),
        weight_delta=by,
        ci_low_delta=by,
        ci_high_delta=by,
        hits_delta=np.array([1]),
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
        held = runner.frozen.coordinator(runner.plan(r).value, runner.reader.freeze(r)).graphs()[0]  # type: ignore[arg-type]
        assert held.edges.effect[0] == pytest.approx(0.5 + 0.25 * (r - 1))


@pytest.mark.parametrize("gone", [True, False])
def test_changes_against_what_is_gone_or_was_not_counted_are_answered_with_send_the_whole_table(
    gone: bool,
) -> None:
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
    assert (receipt.fate, receipt.rule, receipt.remedy) == (
        Fate.REFUSED,
        "R-97",
        "Send the whole table",
    )


# -- quorum and closing ----------------------------------------------------------------------------


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
    """Another coordinator had gathered before; its freeze appears when the round is void already.
    Receipts are of the ledger's view.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    slow = fed.runner(1)
    admission = slow.validate(slow.collect(1))
    candidate = draft_freeze(slow.reader, slow.plan(1), slow.base_state(1), admission, now=slow.now)
    assert isinstance(fed.store, MemoryStore)
    for client in fed.clients[1:]:  # the bucket hides them, and the round is below quorum
        fed.store.forget(Keys.inbox(1, client, 0))
    fed.open(2)
    fed.submit_all(round_id=2)
    fed.run(2)  # voids round 1
    assert candidate is not None
    slow.handlers.execute(mc.start(1)[0], mc.PutFreeze(1, candidate))
    assert fed.run(1).why is Why.VOID
    assert {fate for fate, _ in fates(fed, 1).values()} == {Fate.VOID}


def test_skipped_rounds_are_said_to_be_and_cannot_be_opened() -> None:
    fed = SmallFederation()
    fed.play(2)
    with pytest.raises(RoundError, match="cannot be opened any more"):
        fed.runner(2).open_round(1, policy=fed.policy, vocabulary=fed.vocabulary)
    with pytest.raises(RoundError, match="was not opened"):
        fed.run(1)
    assert fed.objects("rounds/00000001/") == {}


def test_a_budget_that_is_used_up_ends_the_round_in_a_tombstone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "hyperfed.coordinator.budget.mechanisms_of",
        lambda reader, plan: (Mechanism(kind="basic", epsilon=Decimal("0.1"), delta=Decimal(0)),),
    )
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


def test_minimum_support_that_was_raised_after_the_round_was_opened_holds_at_the_freeze() -> None:
    """The plan's quorum is two of three; the roots ask for three before anything is frozen."""
    fed = SmallFederation()
    assert fed.open(1).value.quorum == 2
    fed.submit_all(but=["site-03"])
    fed.amend(budget=Budget(minimum_support=3))
    with pytest.raises(QuorumMissed, match=r"fewer than 3 of 3 .* minimum support 3"):
        fed.run(1)
    assert fed.decided() == {}
    fed.submit("site-03")
    assert fed.run(1).counted == 3


# -- waiting ---------------------------------------------------------------------------------------


def test_waiting() -> None:
    some = Arrivals(
        round=1, quorum=2, present=("a", "b"), missing=("c",), keys=(), closed=False, decided=False
    )
    assert waiting(some, waited_s=0, delay_s=10) == "waiting for 1 of 3 clients (quorum 2): c"
    assert waiting(some, waited_s=9.9, delay_s=10) is not None
    assert waiting(some, waited_s=10, delay_s=10) is None, "the time is used up"
    assert waiting(replace(some, missing=()), waited_s=0, delay_s=10) is None, "everyone is there"
    assert waiting(replace(some, closed=True), waited_s=0, delay_s=10) is None
    assert waiting(replace(some, decided=True), waited_s=0, delay_s=10) is None
    none = replace(some, present=(), missing=tuple(f"c{i:02d}" for i in range(12)))
    assert str(waiting(none, waited_s=0, delay_s=10)).endswith("c09 and 2 more")


def test_a_round_that_misses_its_quorum_by_refusals_says_which() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    for client in fed.clients:
        fed.put(fed.envelope(client, expires=fed.night(1) - timedelta(hours=2)), client)
    before = fed.objects()
    with pytest.raises(QuorumMissed, match=r"3 objects were refused, \d of them by R-85") as missed:
        fed.run(1)
    assert "hyperfed submit --round 1" in missed.value.remedy
    assert fed.objects() == before
