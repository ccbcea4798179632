"""What an audit says where rounds end in an odd way, and where objects are gone: each finding by
its rule and no other, and what blames nobody.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol import merkle
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.objects import Freeze
from hyperfed.registry.registry import Budget
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.test_alien_reserves import ALL_OF_IT, PRIVATE, reserve
from tests.attack.test_counted_though_inadmissible import CHOOSY, counting_all, other_vocabulary
from tests.attack.test_updates_left_out import lied, refusing, without
from tests.unit.operations.test_audit_forged import (
    FROZEN,
    OPENED,
    RELEASED,
    STAGES,
    forge,
    report,
)


def lose(fed: SmallFederation, *keys: str) -> None:
    """Erase objects, as whoever runs the bucket can."""
    for key in keys:
        fed.store._objects.pop(key)  # type: ignore[attr-defined]


def put(fed: SmallFederation, key: str, data: bytes) -> None:
    """Put an object in place of another, if there is one."""
    fed.store._objects.pop(key, None)  # type: ignore[attr-defined]
    fed.store.put_if_absent(key, data)


def found_in(found: AuditReport) -> list[tuple[str, str]]:
    return [(finding.key, finding.rule) for finding in found.findings]


def frozen_of(fed: SmallFederation, round_id: int = 2) -> Freeze:
    frozen = fed.reader().freeze(round_id)
    assert frozen is not None
    return frozen.value


# -- rounds that end in an odd way -----------------------------------------------------------------


@cache
def _with_a_void() -> SmallFederation:
    """Round 1 is committed, 2 is void without a freeze, and 5 is committed: site-03 disagrees."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    fed.open(2)
    fed.runner(2, now=fed.night(2) + timedelta(days=2)).run(2)
    fed.open(5)
    for client in fed.clients:
        sign = -1 if client == "site-03" else 1
        fed.submit(client, fed.update(client, effect=0.5 * sign), round_id=5)
    fed.run(5)
    return fed


def test_a_round_after_a_void_builds_on_the_commit_before_it() -> None:
    found = report(_with_a_void().twin())
    assert found_in(found) == []
    assert found.remarks == ()
    assert found.checked["states recomputed"] == 2


def test_what_is_written_after_a_void_decides_nothing() -> None:
    fed = _with_a_void().twin()
    late = replace(frozen_of(fed, 1), round=2, plan=b"p" * 32)
    forge(fed, Keys.freeze(2), PacketType.FREEZE, late)
    found = report(fed)
    assert found_in(found) == []
    assert found.remarks == (
        f"{Keys.freeze(2)} was written after its round was void, and decides nothing",
    )


@pytest.mark.parametrize("binds", [True, False])
def test_a_void_rounds_state_is_of_its_tombstone(binds: bool) -> None:
    fed = _with_a_void().twin()
    state, tombstone = fed.reader().state(1), fed.reader().result(2)
    assert state is not None
    assert tombstone is not None
    named = tombstone.digest if binds else b"t" * 32
    forge(
        fed,
        Keys.state(2),
        PacketType.STATE,
        replace(state.value, round=2, freeze=b"", result=named),
    )
    assert found_in(report(fed)) == ([] if binds else [(Keys.state(2), "R-67")])


def test_a_round_that_a_void_followed_was_skipped() -> None:
    fed = SmallFederation(auditors=1)
    fed.play(1)
    plan = fed.open(2)
    data = fed.objects()[plan.key]
    lose(fed, plan.key)
    fed.open(3)
    fed.runner(3, now=fed.night(3) + timedelta(days=2)).run(3)
    put(fed, plan.key, data)
    assert report(fed).remarks == ("round 2 was skipped",)


def test_a_freeze_that_has_become_stale_blames_nobody_until_it_is_reserved() -> None:
    """R-69. Its twin is reserved: `test_a_reserved_freeze_on_another_base_is_found`."""
    fed = STAGES[FROZEN].twin()
    stale = replace(frozen_of(fed), base_round=0, base_state=b"")
    forge(fed, Keys.freeze(2), PacketType.FREEZE, stale)
    assert found_in(report(fed)) == []


# -- freezes ---------------------------------------------------------------------------------------


@cache
def _with_a_new_key() -> SmallFederation:
    """A client whose key was replaced counts from 1 again under the new one (R-129)."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    fed.rotate("site-01", key_of("new"), from_round=2)
    fed.open(2)
    fed.put(fed.envelope("site-01", round_id=2, sequence=1), "site-01", round_id=2)
    fed.submit_all(round_id=2, but=["site-01"])
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    return fed


def test_a_freeze_names_the_key_that_signed() -> None:
    fed = _with_a_new_key().twin()
    frozen = frozen_of(fed)
    assert len(frozen.counted) == 3
    assert found_in(report(fed)) == []
    forge(fed, Keys.freeze(2), PacketType.FREEZE, replace(frozen, signed_by=()))
    pack = Keys.accepted(2, frozen.packs[0])
    assert found_in(report(fed)) == [(Keys.freeze(2), "R-89"), (pack, "R-129")]


def test_updates_that_have_seen_a_newer_registry_than_the_freeze_are_found() -> None:
    fed = STAGES[FROZEN].twin()
    frozen = frozen_of(fed)
    _, digest = fed.reader().registry_version(1)
    forged = replace(frozen, registry_version=1, registry_digest=digest)
    forge(fed, Keys.freeze(2), PacketType.FREEZE, forged)
    pack = Keys.accepted(2, frozen.packs[0])
    assert found_in(report(fed)) == [(Keys.freeze(2), "R-63"), *[(pack, "R-121")] * 3]


def test_exclusions_under_another_formula_are_a_remark() -> None:
    fed = STAGES[FROZEN].twin()
    other = {"formula": FORMULA + 1}
    forge(fed, Keys.freeze(2), PacketType.FREEZE, replace(frozen_of(fed), **other))
    assert report(fed).remarks == ("round 2 has not ended",)
    excluding = _excluding(frozen_of(fed))
    forge(fed, Keys.freeze(2), PacketType.FREEZE, excluding)
    found = report(fed)
    assert found_in(found) == []
    assert found.remarks[0] == (
        f"round 2, frozen under formula {FORMULA + 1}, excludes others than the base state gives: "
        "site-03"
    )


def test_without_the_base_state_nobody_is_blamed_for_exclusions() -> None:
    fed = STAGES[FROZEN].twin()
    forge(fed, Keys.freeze(2), PacketType.FREEZE, _excluding(frozen_of(fed)))
    assert found_in(report(fed)) == [(Keys.freeze(2), "R-95")]
    lose(fed, Keys.state(1))
    assert found_in(report(fed)) == [(Keys.state(1), "R-67")]


def _excluding(frozen: Freeze) -> Freeze:
    counted = frozen.counted[:2]
    forged = replace(
        frozen, counted=counted, in_pack=frozen.in_pack[:2], excluded=("site-03",), signed_by=()
    )
    return replace(forged, merkle_head=merkle.head(forged.leaves))


def test_a_version_that_expires_in_the_second_of_the_freeze_has_expired() -> None:
    """R-122: to the second, with the clocks' tolerance."""
    fed = SmallFederation(auditors=1)
    fed.amend(expires=fed.opens(3))
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1, now=fed.night(3))
    runner.reader.now = fed.opens(1)
    runner.run(1)
    late = int((frozen_of(fed, 1).time - fed.opens(3)).total_seconds())
    for skew, rules in ((late, [(Keys.freeze(1), "R-122")]), (late + 1, [])):
        assert found_in(report(fed, limits=Limits(clock_skew_s=skew))) == rules


def test_the_version_that_revoked_a_counted_client_is_named() -> None:
    fed = SmallFederation(auditors=1)
    fed.play(1)
    fed.amend()
    fed.revoke("site-03", from_round=1)
    fed.amend()
    (remark,) = report(fed).remarks
    assert "counts site-03, whom registry version 3 " in remark


# -- plans -----------------------------------------------------------------------------------------


def test_a_plan_cannot_name_its_own_commit() -> None:
    fed = STAGES[OPENED].twin()
    commit = fed.reader().ledger()[1]
    plan = replace(fed.plan(1), newest_commit=commit.digest, newest_commit_round=1)
    forge(fed, Keys.plan(1), PacketType.PLAN, plan)
    assert found_in(report(fed)) == [(Keys.plan(1), "R-126")]


@pytest.mark.parametrize(("round_id", "committed"), [(1, True), (2, False)])
def test_a_plan_that_is_gone_can_be_annulled_where_it_was_committed(
    round_id: int, committed: bool
) -> None:
    fed = STAGES[RELEASED].twin()
    lose(fed, Keys.plan(round_id))
    found = report(fed)
    assert (Keys.plan(round_id), "R-60") in found_in(found)
    said = [r for r in found.remarks if "registry annul" in r]
    assert len(said) == committed
    assert all("`hyperfed registry annul 1 2`" in remark for remark in said)


def test_helpers_keys_open_no_round() -> None:
    fed = STAGES[OPENED].twin()
    put(fed, Keys.helper_key(3, "help-1"), b"key")
    assert found_in(report(fed)) == []
    put(fed, Keys.boxes(3, "site-01"), b"boxes")
    assert found_in(report(fed)) == [(Keys.plan(3), "R-60")]


# -- objects that are gone, or there too much ------------------------------------------------------


def test_a_missing_freeze_or_state_is_no_lie_of_the_receipts() -> None:
    fed = STAGES[OPENED].twin()
    lose(fed, Keys.freeze(1))
    found = found_in(report(fed))
    assert found[0] == (Keys.freeze(1), "R-63")
    assert {rule for _, rule in found} == {"R-63", "R-66", "R-67"}
    fed = STAGES[OPENED].twin()
    lose(fed, Keys.state(1))
    assert found_in(report(fed)) == [(Keys.state(1), "R-67")]


def test_a_void_rounds_missing_freeze_is_no_lie_of_the_receipts() -> None:
    fed = SmallFederation(auditors=1, policy=PRIVATE)
    fed.open(1)
    fed.submit_all()
    fed.amend(budget=Budget(epsilon=Decimal("0.5")))
    fed.run(1)
    assert fed.reader().ledger()[-1].entry.freeze
    assert found_in(report(fed)) == []
    lose(fed, Keys.freeze(1))
    assert found_in(report(fed)) == [(Keys.freeze(1), "R-63")]


@pytest.mark.parametrize(
    ("folder", "beyond", "copied", "missing", "rule"),
    [
        ("ledger", Keys.ledger(9), Keys.ledger(2), Keys.ledger(3), "R-71"),
        ("registry", Keys.registry(4), Keys.registry(2), Keys.registry(3), "R-23"),
    ],
)
def test_a_hole_is_found_by_its_rule(
    folder: str, beyond: str, copied: str, missing: str, rule: str
) -> None:
    fed = STAGES[OPENED].twin()
    put(fed, beyond, fed.objects()[copied])
    assert found_in(report(fed)) == [(missing, rule)], folder


def test_of_a_ledger_that_breaks_the_entries_before_stand() -> None:
    fed = STAGES[OPENED].twin()
    data = bytearray(fed.objects()[Keys.ledger(2)])
    data[-1] ^= 1
    put(fed, Keys.ledger(2), bytes(data))
    found = report(fed)
    assert found.first_broken == Keys.ledger(2)
    assert found.checked["ledger entries"] == 1
    assert found.head.sequence == 1
    assert not any("is missing, though" in finding.problem for finding in found.findings)


def test_a_rebuttal_in_a_round_without_helpers_says_nothing() -> None:
    fed = STAGES[OPENED].twin()
    put(fed, Keys.rebuttal(2, "site-01"), b"no packet")
    found = report(fed)
    assert found_in(found) == []
    assert found.remarks == ("round 2 has not ended",)


def test_what_a_merge_has_left_is_a_remark() -> None:
    fed = STAGES[OPENED].twin()
    put(fed, Keys.scratch(2, "sums") + "0/0/x", b"sealed")
    found = report(fed)
    assert found_in(found) == []
    assert found.remarks[0].startswith("round 2 left 1 sealed scratch objects (6 bytes)")


class Listing(MemoryStore):
    """A store that lists an object that cannot be read."""

    def __init__(self, fed: SmallFederation, key: str) -> None:
        super().__init__()
        self._key = key
        for name, data in fed.objects().items():
            self.put_if_absent(name, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from super().list(prefix)
        if self._key.startswith(prefix):
            yield ObjectInfo(key=self._key, size=1)


def test_one_page_holds_everybodys_receipts_or_nobodys() -> None:
    names = [name for i in range(900) if page_of(name := f"site-{i}") == 7][:3]
    fed = SmallFederation(clients=names, auditors=1, limits=Limits(own_receipts=2))
    fed.play(1)
    page = Keys.receipt_page(1, 7)
    assert page in fed.objects()
    assert found_in(report(fed, limits=fed.limits)) == []
    lose(fed, page)
    found = audit(Listing(fed, page), fed.fingerprint, fed.auditors[0], limits=fed.limits)
    assert found_in(found) == []
    assert found.remarks == ("round 1 lacks 3 of 3 receipts: run it again",)


# -- reserves and noise ----------------------------------------------------------------------------


def test_a_reserve_that_the_plan_does_not_ask_for_is_found() -> None:
    fed = STAGES[RELEASED].twin()
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    lose(fed, Keys.ledger(3))
    reserve(fed, 2, ALL_OF_IT, freeze=frozen.digest)
    said = {(f.key, f.rule): f.problem for f in report(fed).findings}
    assert said[Keys.ledger(3), "R-119"] == "asks for something else than the plan of round 2"
    assert (Keys.ledger(3), "R-64") in said


@cache
def _private() -> tuple[SmallFederation, bytes]:
    """A private round that is reserved and not released, and the noise of another try of it."""
    fed = SmallFederation(auditors=1, policy=PRIVATE)
    fed.open(1)
    fed.submit_all()
    twin = fed.twin()
    for one in (fed, twin):
        runner = one.runner(1)
        runner.freeze(1, runner.validate(runner.collect(1)))
        runner.reserve(1)
    return fed, twin.objects()[Keys.noise(1)]


def test_the_noise_is_the_one_that_was_reserved() -> None:
    fed, other = _private()
    fed = fed.twin()
    found = report(fed)
    assert (found_in(found), found.checked["noise"]) == ([], 1)
    assert found.remarks == ("round 1 has not ended",)
    put(fed, Keys.noise(1), other)
    assert found_in(report(fed)) == [(Keys.noise(1), "R-111")]


def test_noise_that_stays_after_its_round_is_a_remark() -> None:
    fed = _private()[0].twin()
    noise = fed.objects()[Keys.noise(1)]
    fed.runner(1).run(1)
    put(fed, Keys.noise(1), noise)
    found = report(fed)
    assert found_in(found) == []
    assert "the seed of round 1's noise is still there" in found.remarks[0]


# -- the inbox -------------------------------------------------------------------------------------


@cache
def _corrected() -> SmallFederation:
    fed = SmallFederation(auditors=1)
    fed.open(1)
    fed.submit_all()
    fed.submit("site-01", fed.update("site-01", effect=0.6))
    fed.run(1)
    return fed


def test_only_what_was_refused_is_judged_again() -> None:
    """What has been erased or replaced since says nothing of the coordinator."""
    fed, refused = _corrected().twin(), Keys.inbox(1, "site-01", 0)
    found = report(fed)
    assert (found_in(found), found.checked["refusals judged again"]) == ([], 1)
    put(fed, refused, fed.envelope("site-01", sequence=50))
    for change in (lambda: None, lambda: lose(fed, refused)):
        change()
        found = report(fed)
        assert (found_in(found), found.checked.get("refusals judged again")) == ([], None)


def test_the_largest_update_that_may_be_read_is_missed() -> None:
    fed = SmallFederation(clients=5, auditors=1)
    fed.open(1)
    fed.submit_all()
    lied(fed, arrivals=lambda a: without(a, "site-05"))
    key = Keys.inbox(1, "site-05", 0)
    largest = max(len(data) for name, data in fed.objects().items() if name.startswith("inbox/"))
    put(fed, key, fed.envelope("site-05", body=b"x" * 4000))
    size = len(fed.objects()[key])
    assert size > largest
    limits = replace(DEFAULT_LIMITS, max_update_bytes=size)
    assert found_in(report(fed, limits=limits)) == [(key, "R-127")]
    limits = replace(DEFAULT_LIMITS, max_update_bytes=size - 1)
    assert found_in(report(fed, limits=limits)) == []


def _refused_by_a_lie(fed: SmallFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    fed.open(1)
    fed.submit_all()
    lied(fed, judged=lambda j: refusing(j, "site-04", "R-90"))


def _counted_by_a_lie(fed: SmallFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    counting_all(fed, monkeypatch, other_vocabulary)


@pytest.mark.parametrize("play", [_refused_by_a_lie, _counted_by_a_lie])
@pytest.mark.parametrize("formula", [FORMULA - 1, FORMULA])
def test_by_another_formula_nothing_is_judged_again(
    monkeypatch: pytest.MonkeyPatch, formula: int, play: Callable[..., None]
) -> None:
    monkeypatch.setattr("hyperfed.coordinator.round_objects.FORMULA", formula)
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    play(fed, monkeypatch)
    assert report(fed).ok == (formula != FORMULA)


def test_whose_bodies_are_open_is_computed_again_by_anybody() -> None:
    fed = SmallFederation(policy=PolicyPack(sealed=False))
    fed.play(1)
    given: dict[str, Any] = {"key_pair": key_of("stranger")}
    found = audit(fed.store, fed.fingerprint, **given)
    assert (found.findings, found.remarks) == ((), ())
    assert found.checked["results recomputed"] == 1
