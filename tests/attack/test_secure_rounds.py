"""Attacks on rounds of secure sums, each beside its honest twin: R-164, R-167, R-170 to R-176."""

import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import signed_part
from hyperfed.errors import AggregationError, HyperfedError, QuorumMissed, RoundError
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.secure_sums import SecureSums
from hyperfed.storage.memory import MemoryStore
from tests.damage import damaged
from tests.secure_night import HELPERS, MEMBERS, SecureNight, named, openings, replaced, signed_plan

pytestmark = pytest.mark.attack

OTHERS = ("yard-1", "yard-2", "yard-3")
AFTER = timedelta(minutes=5)


def elsewhere(night: SecureNight, *, without: str = "") -> SecureNight:
    """Return the same federation at a drop-box where some objects never arrived.

    Helpers keep their memories: it is another view that is shown to the same helpers.
    """
    twin = copy.copy(night)
    store = MemoryStore()
    for key, data in night.federation.objects().items():
        if not without or without not in key:
            store.put_if_absent(key, data)
    twin.federation = copy.copy(night.federation)
    twin.federation.store = store
    twin.federation.memories = copy.deepcopy(night.federation.memories)
    return twin


def refusal_of(night: SecureNight, helper: str) -> str:
    refusal = openings(night).refusal(helper)
    return "" if refusal is None else refusal.reason


def test_a_coordinator_that_shows_helpers_two_cohorts_opens_one_of_them() -> None:
    """R-173, and the refusal says which cohort was opened (R-175)."""
    night = SecureNight(members=(*MEMBERS, *OTHERS), blocks=(MEMBERS, OTHERS))
    night.confirmed()
    split = elsewhere(night, without="/yard-1/")
    named(night)
    named(split)
    now = night.federation.night(1) + AFTER
    assert night.visit("help-1", now=now).answered == [1]
    assert split.visit("help-2", now=now).answered == [1]
    for view, helper in ((split, "help-1"), (night, "help-2")):
        visit = view.visit(helper, now=now)
        assert not visit.answered
        assert "another manifest of this round" in visit.refused[1]
        assert "ward-1, ward-2, ward-3, ward-4" in refusal_of(view, helper)
    for view, helper in ((night, "help-3"), (split, "help-4")):
        view.visit(helper, now=now)  # one honest helper each, and none of them opens
        with pytest.raises(QuorumMissed, match="2 of 4 helpers have answered"):
            view.federation.run(1, now=now)


def test_a_client_with_unequal_seeds_blames_nobody_else() -> None:
    """A box of it does not open: that helper is not of the set that opens (R-171)."""
    night = SecureNight(members=(*MEMBERS, *OTHERS), blocks=(MEMBERS, OTHERS))
    night.opens()
    night.submit_all()
    part = openings(night).mask_boxes("yard-1")
    assert part is not None
    boxes = part.value.boxes
    lying = replace(part.value, boxes=(boxes[0], damaged(boxes[1]), *boxes[2:]))
    fed = night.federation
    data = signed_part(
        lying, PacketType.BOXES, sender="yard-1", key_pair=fed.keys["yard-1"], now=fed.opens(1)
    )
    replaced(night, Keys.boxes(1, "yard-1"), data)
    visits = night.visits(now=fed.night(1))
    assert [len(visit.unconfirmed) for visit in visits] == [0, 1, 0, 0]
    named(night)
    night.visits(now=fed.night(1) + AFTER)
    # three helpers confirm it; its block counts, and help-2 is not of the set that opens
    assert night.federation.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    frozen = night.federation.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.helpers == ("help-1", "help-3", "help-4")
    assert "did not confirm" in refusal_of(night, "help-2")


def test_a_helper_that_lies_stops_the_round_and_is_named_in_dispute() -> None:
    night = SecureNight()
    night.confirmed()
    honest = elsewhere(night)
    for view in (night, honest):
        named(view)
    fed, now = night.federation, night.federation.night(1) + AFTER
    night.visit("help-1", now=now)
    stored = openings(night).opening("help-1", 43)
    assert stored is not None
    part = openings(night)._part(Keys.opening(1, "help-1"), PacketType.OPENING, _sums(), "help-1")
    assert part is not None
    false = replace(part.value, sums=part.value.sums + np.uint64(1))
    data = signed_part(
        false, PacketType.OPENING, sender="help-1", key_pair=fed.keys["help-1"], now=now
    )
    replaced(night, Keys.opening(1, "help-1"), data)
    before = len(night.federation.objects("ledger/"))
    for helper in HELPERS[1:]:
        night.visit(helper, now=now)
    with pytest.raises(AggregationError, match="gave different sums") as dispute:
        night.federation.run(1, now=now)
    assert dispute.value.rule == "R-167"
    assert dispute.value.problem.startswith("the helpers help-1, ")
    assert night.federation.reader().result(1) is None
    assert len(night.federation.objects("ledger/")) == before
    closed = night.federation.plan(1).close_by
    assert night.federation.run(1, now=closed).why is Why.VOID
    honest.visits(now=now)
    assert honest.federation.run(1, now=now).why is Why.COMMITTED


def _sums() -> Any:
    from hyperfed.dropbox.opening_objects import OpeningSums

    return OpeningSums


def test_an_answer_that_somebody_else_signed_counts_as_none() -> None:
    night = SecureNight()
    night.confirmed()
    named(night)
    fed, now = night.federation, night.federation.night(1) + AFTER
    night.visits(now=now, but=("help-3", "help-4"))
    key = Keys.opening(1, "help-3")
    replaced(night, key, fed.objects()[Keys.opening(1, "help-2")])
    with pytest.raises(QuorumMissed, match="2 of 4 helpers have answered"):
        night.federation.run(1, now=now)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"helpers": ("help-1", "help-2")}, "names too few helpers"),
        ({"plan": bytes(32)}, "of another plan"),
        ({"counted": slice(0, 3)}, "no union of complete blocks"),
        ({"late": True}, "late messages or corrections"),
    ],
)
def test_helpers_refuse_what_does_not_follow_from_the_plan(
    changes: dict[str, Any], why: str
) -> None:
    """A thief of the coordinator's key signs a freeze and a manifest of its own (R-172)."""
    night = SecureNight()
    night.confirmed()
    honest = elsewhere(night)
    named(night)
    named(honest)
    fed = night.federation
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    counted = frozen.value.counted
    if "counted" in changes:
        changes = {"counted": counted[changes["counted"]], "packs": (), "in_pack": ()}
    if changes.pop("late", False):
        changes = {"counted": (replace(counted[0], slot=1), *counted[1:])}
    forged = replace(frozen.value, **changes)
    write = sign_object(
        Keys.freeze(1), PacketType.FREEZE, forged, key_pair=fed.coordinator, time=forged.time
    )
    replaced(night, Keys.freeze(1), write.data)
    stolen = night.federation.reader().freeze(1)
    manifest = openings(night).manifest()
    assert stolen is not None
    assert manifest is not None
    clients = {one.client for one in forged.counted}
    other = replace(
        manifest.value,
        freeze=stolen.digest,
        messages=tuple(pair for pair in manifest.value.messages if pair[0] in clients),
    )
    write = sign_object(
        Keys.manifest(1), PacketType.MANIFEST, other, key_pair=fed.coordinator, time=forged.time
    )
    replaced(night, Keys.manifest(1), write.data)
    now = fed.night(1) + AFTER
    visit = night.visit("help-1", now=now)
    assert not visit.answered
    assert why in visit.refused[1]
    assert honest.visit("help-2", now=now).answered == [1]


def test_helpers_answer_nothing_that_was_not_reserved() -> None:
    night = SecureNight()
    night.confirmed()
    named(night)
    unreserved = elsewhere(night, without="ledger/")
    now = night.federation.night(1) + AFTER
    assert "no reserve of this freeze" in unreserved.visit("help-1", now=now).refused[1]
    assert night.visit("help-1", now=now).answered == [1]


def test_blocks_that_are_drawn_anew_cut_nobody_out() -> None:
    """Nights with and without two wards would tell their sum, which the registry does not allow
    (R-174).
    """
    night = SecureNight()
    fed = night.federation
    night.confirmed()
    named(night)
    night.visits(now=fed.night(1) + AFTER)
    assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    rules = fed.registry.secure_sums
    assert isinstance(rules, SecureSums)
    fed.amend(secure_sums=replace(rules, blocks=(MEMBERS[:3],)))
    night.confirmed(2)
    named(night, 2)
    visits = night.visits(now=fed.night(2) + AFTER)
    assert not any(2 in visit.answered for visit in visits)
    assert "ward-4 could be told apart" in visits[0].refused[2]
    assert "in round 1 statistics: ward-1, ward-2, ward-3, ward-4" in visits[0].refused[2]


def test_what_a_void_rounds_manifest_named_counts_in_no_other() -> None:
    night = SecureNight()
    fed = night.federation
    night.confirmed()
    named(night)
    night.visits(now=fed.night(1) + AFTER, but=("help-3", "help-4"))
    closed = fed.plan(1).close_by
    assert fed.run(1, now=closed).why is Why.VOID
    night.opens(2)
    night.visits(now=fed.night(2))
    with pytest.raises(QuorumMissed):
        fed.run(2)
    assert fed.reader().freeze(2) is None


def test_a_helper_that_lost_its_marks_answers_nothing_before_its_new_entry() -> None:
    night = SecureNight()
    fed = night.federation
    rules = fed.registry.secure_sums
    assert isinstance(rules, SecureSums)
    night.confirmed()
    named(night)
    records = (replace(rules.helpers[0], first_round=2), *rules.helpers[1:])
    fed.amend(secure_sums=replace(rules, helpers=records))
    lost = HelperMemory()
    lost._keys = dict(night.memories["help-1"]._keys)
    night.memories["help-1"] = lost
    visits = night.visits(now=fed.night(1) + AFTER)
    assert "answers from round 2 on" in visits[0].refused[1]
    assert [visit.answered for visit in visits[1:]] == [[1]] * 3


def test_a_masked_message_tells_nothing_that_stands_beside_it() -> None:
    """A client may send no edges, claims or experiments beside masked numbers (R-170)."""
    night = SecureNight()
    night.opens()
    fed = night.federation
    from tests.secure_night import update

    fed.put(fed.envelope("ward-1", update=update(1)), "ward-1")
    admission = fed.judge(1)
    (refused,) = admission.refused
    assert refused.rule == "R-170"


def with_close_by(close_by: datetime, **registry: Any) -> SecureNight:
    """Return a night whose plan, signed by a thief of the coordinator's key, stays open so long."""
    night = SecureNight()
    fed = night.federation
    fed.amend(**registry)
    night.visits(now=fed.opens(1) + timedelta(minutes=1))
    assert fed.store.put_if_absent(Keys.plan(1), signed_plan(night, close_by=close_by))
    return night


@pytest.mark.parametrize(
    ("windows", "registry", "helped"),
    [(7, {}, True), (8, {}, False), (8, {"close_windows": 8}, True), (365, {}, False)],
)
def test_a_late_close_by_keeps_no_rounds_key_alive(
    windows: int, registry: dict[str, Any], helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-198. Where the roots bound nothing helpers do, and clients send nothing."""
    late = SecureNight().federation.registry.windows.deadline(1 + windows)
    night = with_close_by(late, **registry)
    fed = night.federation
    if not helped:
        with pytest.raises(RoundError, match="helpers erase its keys"):
            night.submit("ward-1")
        assert not fed.objects("inbox/")
        # a client that does not look
        monkeypatch.setattr("hyperfed.client.masked.check_help_ends", lambda *_: None)
    night.submit_all()
    visit = night.visit("help-1", now=fed.night(1))
    assert visit.confirmed == ({1: 4} if helped else {})
    assert ("R-198" in visit.refused.get(1, "")) is not helped
    bound = registry.get("close_windows", 7)
    before = fed.registry.windows.deadline(1 + bound) - timedelta(minutes=1)
    replaced(night, Keys.ledger(1), b"what nobody can read")
    for now in (before, before + timedelta(minutes=1)):
        with pytest.raises(HyperfedError):  # whoever breaks the ledger keeps no key alive, either
            night.visit("help-1", now=now)
        assert (1 in night.memories["help-1"].rounds()) is (now == before)


def test_an_honest_coordinator_opens_no_round_that_outlasts_its_helpers_keys() -> None:
    night = SecureNight()
    fed = night.federation
    runner, ends = fed.runner(1, now=fed.opens(1)), fed.registry.help_ends(1)
    options: dict[str, Any] = {"policy": fed.policy, "vocabulary": fed.vocabulary}
    with pytest.raises(RoundError, match="helpers erase its keys"):
        runner.open_round(1, **options, close_by=ends + timedelta(seconds=1))
    assert not fed.objects("rounds/00000001/plan")
    assert runner.open_round(1, **options, close_by=ends).value.close_by == ends
