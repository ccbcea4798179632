"""What an audit finds in rounds of secure sums, and for what it blames nobody (R-128, R-178)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hyperfed.coordinator import choose
from hyperfed.coordinator.helper_choice import confirmed_choice
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.operations.audit import audit
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.secure_aggregation import OpenedSum, open_sum
from tests.noised_night import NoisedNight
from tests.secure_night import MEMBERS, SecureNight, named, openings, replaced

pytestmark = pytest.mark.attack

OTHERS = ("yard-1", "yard-2", "yard-3")
AFTER = timedelta(minutes=5)


def audited(night: SecureNight) -> list[tuple[str, str]]:
    """Bring a night to its end, and return (object, rule) of what its audit finds."""
    fed, now = night.federation, night.federation.night(1) + AFTER
    named(night)
    night.visits(now=now)
    assert fed.run(1, now=now).why is Why.COMMITTED
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    return [(finding.key, finding.rule) for finding in report.findings]


def test_an_audit_blames_nobody_for_a_block_that_waits_or_for_seeds_that_differ() -> None:
    blocks = (MEMBERS, OTHERS, ("dock-1", "dock-2", "dock-3"))
    night = SecureNight(members=(*MEMBERS, *OTHERS, *blocks[2]), blocks=blocks)
    night.opens()
    night.submit_all(but=("yard-1",))
    fed = night.federation
    box = Keys.boxes(1, "dock-2")
    part = openings(night).mask_boxes("dock-2")
    assert part is not None
    wrong = replace(part.value, commitments=tuple(bytes(32) for _ in part.value.commitments))
    at, keys = fed.opens(1) + timedelta(hours=1), fed.keys["dock-2"]
    signed = signed_part(wrong, PacketType.BOXES, sender="dock-2", key_pair=keys, now=at)
    replaced(night, box, signed)
    night.visits(now=fed.night(1))
    assert audited(night) == []
    for client, rule in (("yard-2", "R-174"), ("dock-2", "R-171"), ("dock-1", "R-174")):
        assert rule in str(night.federation.receipt(client))


@pytest.mark.parametrize("rule", ["R-171", "R-174"])
def test_a_block_that_is_left_out_by_an_invented_reason_is_found(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the above: all helpers confirmed the yards, and their block is complete."""

    def invented(
        choice: choose.Choice, parts: OpeningReader
    ) -> tuple[choose.Choice, tuple[str, ...]]:
        honest, helpers = confirmed_choice(choice, parts)
        out = [one for one in honest.counted if one.client in OTHERS]
        refused = (*honest.refused, *(choose.refusal_of(one, rule, "", "") for one in out))
        kept = tuple(one for one in honest.counted if one.client not in OTHERS)
        return replace(honest, counted=kept, refused=refused), helpers

    monkeypatch.setattr("hyperfed.coordinator.round_objects.confirmed_choice", invented)
    night = SecureNight(members=(*MEMBERS, *OTHERS), blocks=(MEMBERS, OTHERS))
    night.confirmed()
    assert audited(night) == [(Keys.inbox(1, client, 0), "R-128") for client in OTHERS]


@pytest.mark.parametrize("lies", [False, True])
def test_an_audit_compares_what_a_helper_answers_after_the_commit(lies: bool) -> None:
    """Three helpers opened the sum, and the fourth comes late (R-167)."""
    night = SecureNight()
    night.confirmed()
    named(night)
    fed, now = night.federation, night.federation.night(1) + AFTER
    night.visits(now=now, but=("help-4",))
    assert fed.run(1, now=now).why is Why.COMMITTED
    assert night.visit("help-4", now=now).answered == [1]
    if lies:
        lied(night, "help-4")
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    found = [finding.problem for finding in report.findings]
    assert bool(found) is lies
    assert all("gave different sums of one seed" in problem for problem in found)


@pytest.mark.parametrize("forged", [False, True])
def test_an_audit_looks_at_the_opening_of_a_round_without_a_result(forged: bool) -> None:
    """Helpers refused a manifest that a thief of the coordinator's key signed, or never came."""
    night = SecureNight()
    night.confirmed()
    named(night)
    fed, now = night.federation, night.federation.night(1) + AFTER
    true = fed.objects()[Keys.manifest(1)]
    manifest = openings(night).manifest()
    assert manifest is not None
    fewer = replace(manifest.value, messages=manifest.value.messages[:3])
    write = sign_object(
        Keys.manifest(1), PacketType.MANIFEST, fewer, key_pair=fed.coordinator, time=fed.opens(2)
    )
    if forged:
        replaced(night, Keys.manifest(1), write.data)
        night.visits(now=now)
        replaced(night, Keys.manifest(1), true)
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    if forged:
        replaced(night, Keys.manifest(1), write.data)
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    found = [(finding.key, finding.rule) for finding in report.findings]
    assert found == ([(Keys.manifest(1), "R-165")] if forged else [])
    refusals = [remark for remark in report.remarks if "refused to open it" in remark]
    assert len(refusals) == (4 if forged else 0)
    assert all("names other clients than the freeze" in remark for remark in refusals)


def test_an_audit_says_where_a_dispute_ended_a_round() -> None:
    night = SecureNight()
    night.confirmed()
    named(night)
    fed, now = night.federation, night.federation.night(1) + AFTER
    night.visits(now=now)
    lied(night, "help-4")
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    assert report.findings == ()
    assert any("gave different sums of one seed" in remark for remark in report.remarks)


def lied(night: SecureNight, helper: str) -> None:
    """Put a false answer in place of a helper's."""
    fed, key = night.federation, Keys.opening(1, helper)
    part = openings(night).part_at(key)
    assert part is not None
    false = replace(part.value, sums=part.value.sums + np.uint64(1))
    data = signed_part(
        false,
        PacketType.OPENING,
        sender=helper,
        key_pair=fed.keys[helper],
        now=fed.night(1) + AFTER,
    )
    replaced(night, key, data)


def shifted(*args: Any, **more: Any) -> OpenedSum:
    opened = open_sum(*args, **more)
    total = opened.total.copy()
    total[1:20] += np.uint64(3 << 24)
    return replace(opened, total=total)


def released(night: SecureNight, forged: bool, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Let an open round be sent to, opened and released, and return the hour then.

    forged: whether its coordinator releases another sum.
    """
    night.submit_all()
    fed, now = night.federation, night.federation.night(1) + AFTER
    night.visits(now=fed.night(1))
    named(night)
    night.visits(now=now)
    with monkeypatch.context() as patch:
        if forged:
            patch.setattr("hyperfed.coordinator.opened_sums.open_sum", shifted)
        assert fed.run(1, now=now).why is Why.COMMITTED
    return now


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("forged", [False, True])
def test_anybody_adds_up_masked_messages_that_are_not_sealed(
    sealed: bool, forged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that releases another sum is found without a key (R-213).

    Where messages are sealed, the audit says that it could not add them up.
    """

    night = SecureNight()
    night.opens(sealed=sealed)
    now = released(night, forged, monkeypatch)
    fed = night.federation
    report = audit(fed.store, fed.fingerprint, None, now=now)
    found = {(finding.key, finding.rule) for finding in report.findings}
    assert ((Keys.result(1), "R-66") in found) is (forged and not sealed)
    assert bool(found) is (forged and not sealed)
    assert report.checked.get("results recomputed", 0) == (not sealed and not forged)
    assert report.checked.get("sums added up without a key", 0) == (not sealed)
    said = " ".join(report.remarks)
    assert ("the masked messages of 1 rounds are sealed" in said) is sealed
    assert ("but for 1 rounds of open masked messages" in said) is not sealed
    with_key = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    assert bool(with_key.findings) is forged


@pytest.mark.parametrize("forged", [False, True])
def test_anybody_adds_up_shares_of_noise(forged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with noise in shares: the whole released model follows from open messages."""
    night = NoisedNight()
    night.opens(sealed=False)
    now = released(night, forged, monkeypatch)
    fed = night.federation
    report = audit(fed.store, fed.fingerprint, None, now=now)
    assert [finding.rule for finding in report.findings] == (["R-189"] if forged else [])
    assert report.checked["sums added up without a key"] == 1
