"""What an audit finds in rounds of secure sums, and for what it blames nobody (R-128, R-178)."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from hyperfed.coordinator import choose
from hyperfed.coordinator.helper_choice import confirmed_choice
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
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

    def lied(choice: choose.Choice, parts: OpeningReader) -> tuple[choose.Choice, tuple[str, ...]]:
        honest, helpers = confirmed_choice(choice, parts)
        out = [one for one in honest.counted if one.client in OTHERS]
        refused = (*honest.refused, *(choose.refusal_of(one, rule, "", "") for one in out))
        kept = tuple(one for one in honest.counted if one.client not in OTHERS)
        return replace(honest, counted=kept, refused=refused), helpers

    monkeypatch.setattr("hyperfed.coordinator.round_objects.confirmed_choice", lied)
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
    key = Keys.opening(1, "help-4")
    if lies:
        part = openings(night).part_at(key)
        assert part is not None
        false = replace(part.value, sums=part.value.sums + np.uint64(1))
        keys = fed.keys["help-4"]
        data = signed_part(false, PacketType.OPENING, sender="help-4", key_pair=keys, now=now)
        replaced(night, key, data)
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=now)
    found = [finding.problem for finding in report.findings]
    assert bool(found) is lies
    assert all("gave different sums of one seed" in problem for problem in found)
