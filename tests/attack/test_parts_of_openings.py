"""What one helper, one client or an old registry brings into a round of secure sums stops and
opens nothing for the others: R-168 to R-173, each beside its honest twin.
"""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import Confirmation, HelperKey, HelperRefusal
from hyperfed.dropbox.openings import signed_part
from hyperfed.errors import ClockError, ConfigError, HyperfedError, RoundError
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.secure_sums import SecureSums
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.attack.test_secure_rounds import AFTER, OTHERS, elsewhere
from tests.secure_night import HELPERS, MEMBERS, SecureNight, named, openings, replaced, signed_plan

pytestmark = pytest.mark.attack

OBJECTS = "hyperfed.dropbox.opening_objects"


def commits(night: SecureNight) -> SecureNight:
    """Play a night on whose helpers have confirmed, to its commit."""
    named(night)
    night.visits(now=night.federation.night(1) + AFTER)
    assert night.federation.run(1, now=night.federation.night(1) + AFTER).why is Why.COMMITTED
    return night


def left(night: SecureNight, value: Any, kind: PacketType, key: str, sender: str) -> None:
    """Leave a signed part at a key, in place of what lies there."""
    fed = night.federation
    at, keys = fed.opens(1), fed.keys[sender]
    replaced(night, key, signed_part(value, kind, sender=sender, key_pair=keys, now=at))


def test_parts_that_are_too_large_cost_their_client_its_night_and_nobody_elses() -> None:
    """Nobody reads on: neither helpers, nor the coordinator, nor an audit."""
    night = SecureNight(members=(*MEMBERS, *OTHERS), blocks=(MEMBERS, OTHERS))
    night.opens()
    night.submit_all()
    honest = night.at_another(night.federation.objects())
    for key in (Keys.boxes(1, "yard-1"), Keys.rebuttal(1, "yard-2")):
        replaced(night, key, bytes((1 << 16) + 1))
    for view, counted in ((night, MEMBERS), (honest, (*MEMBERS, *OTHERS))):
        fed = view.federation
        visits = view.visits(now=fed.night(1))
        why = visits[0].unconfirmed.get("yard-1", "")
        assert ("at most 65536 are read" in why) is (counted == MEMBERS)
        commits(view)
        frozen = fed.reader().freeze(1)
        assert frozen is not None
        assert tuple(one.client for one in frozen.value.counted) == counted
        assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_a_helpers_key_that_is_too_large_is_read_by_no_client() -> None:
    """Each client reads all helpers' keys: one of 256 MB would cost every one of them as much."""
    night = SecureNight()
    fed = night.federation
    night.visits(now=fed.opens(1) + timedelta(minutes=1))
    replaced(night, Keys.helper_key(1, "help-1"), bytes((1 << 16) + 1))
    fed.open(1, quorum=3)
    parts = openings(night)
    assert set(parts.helper_keys()) == set(HELPERS[1:])
    assert "at most 65536 are read" in parts.why_not[Keys.helper_key(1, "help-1")]
    night.submit_all()
    night.visits(now=fed.night(1))
    frozen = commits(night).federation.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.helpers == HELPERS[1:]


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), bytes(31)])
def test_a_helpers_key_to_which_nothing_can_be_sealed_counts_as_none(
    key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point of small order would make every client fail that seals its seeds to it."""
    night = SecureNight()
    fed = night.federation
    night.visits(now=fed.opens(1) + timedelta(minutes=1))
    with monkeypatch.context() as patch:
        patch.setattr(f"{OBJECTS}.is_round_key", lambda _: True)
        value = HelperKey(federation="small-fed", round=1, helper="help-1", sealing=key)
        left(night, value, PacketType.HELPER_KEY, Keys.helper_key(1, "help-1"), "help-1")
    fed.open(1, quorum=3)
    assert set(openings(night).helper_keys()) == set(HELPERS[1:])
    night.submit_all()
    night.visits(now=fed.night(1))
    frozen = commits(night).federation.reader().freeze(1)
    assert frozen is not None
    assert frozen.value.helpers == HELPERS[1:]


@pytest.mark.parametrize("reason", ["x" * 501, "\x1b[2J"])
def test_what_is_no_reason_stands_in_no_freeze(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The freeze and receipts repeat reasons: a helper could make them unreadable."""
    night = SecureNight()
    night.opens()
    night.submit_all()
    fed = night.federation
    night.visits(now=fed.night(1), but=("help-1",))
    about: dict[str, Any] = {"federation": "small-fed", "round": 1, "helper": "help-1"}
    with monkeypatch.context() as patch:
        patch.setattr(f"{OBJECTS}._check_reason", lambda *_: None)
        value = Confirmation(**about, confirmed=(), refused=(("ward-1", reason),))
        left(night, value, PacketType.CONFIRMATION, Keys.confirmation(1, "help-1"), "help-1")
        said = HelperRefusal(**about, manifest=bytes(32), reason=reason * 100)
        left(night, said, PacketType.HELPER_REFUSAL, Keys.helper_refusal(1, "help-1"), "help-1")
    parts = openings(night)
    assert parts.confirmation("help-1") is parts.refusal("help-1") is None
    assert all(parts.confirmation(helper) for helper in HELPERS[1:])
    commits(night)


def older(night: SecureNight) -> SecureNight:
    """Let a thief of the coordinator's key name the registry that was the newest before."""
    fed = night.federation
    version = fed.registry.version - 1
    digest = fed.reader().registry_version(version)[1]
    night.visits(now=fed.opens(1) + timedelta(minutes=1))
    data = signed_plan(night, registry_version=version, registry_digest=digest)
    assert fed.store.put_if_absent(Keys.plan(1), data)
    return night


@pytest.mark.parametrize(
    ("changes", "stands", "why"),
    [
        ({}, True, ""),
        ({"together": 4}, False, "how many are opened together"),
        ({"together": 2, "colluding_clients": 2}, False, "how many are opened together"),
        ({"colluding_helpers": 2}, False, "how many may collude"),
        ({"helpers": slice(1, 5)}, False, "helpers or their keys"),
    ],
)
def test_what_the_roots_have_changed_since_is_not_undone_by_a_plan(
    changes: dict[str, Any], stands: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients send nothing to helpers whom the roots have replaced, and helpers open no fewer
    together than the roots ask for (R-168).
    """
    night = SecureNight(helpers=(*HELPERS, "help-5"))
    fed = night.federation
    rules = fed.registry.secure_sums
    assert isinstance(rules, SecureSums)
    if "helpers" in changes:
        changes = {"helpers": rules.helpers[changes["helpers"]]}
    fed.amend(secure_sums=replace(rules, **changes))
    night.memories.pop("help-1")
    night.helpers = night.helpers[1:]
    older(night)
    if stands:
        night.submit_all()
    else:
        with pytest.raises(RoundError, match=why):
            night.submit("ward-1")
        assert not fed.objects("inbox/")
        # clients that do not look
        monkeypatch.setattr("hyperfed.client.masked.check_helpers_stand", lambda *_: None)
        night.submit_all()
    visit = night.visit("help-2", now=fed.night(1))
    assert visit.confirmed == ({1: 4} if stands else {})
    assert (why in visit.refused.get(1, "")) or stands


@pytest.mark.parametrize("lost", ["marks", "disk"])
def test_a_helper_that_has_lost_its_marks_notices(lost: str, tmp_path: Path) -> None:
    """It would answer for a second cohort (R-173), until the roots name it anew."""
    memories = {"help-1": HelperMemory(tmp_path / "help-1")}
    night = SecureNight(members=(*MEMBERS, *OTHERS), blocks=(MEMBERS, OTHERS), memories=memories)
    night.confirmed()
    split = elsewhere(night, without="/yard-1/")
    named(night)
    named(split)
    fed, now = night.federation, night.federation.night(1) + AFTER
    assert night.visit("help-1", now=now).answered == [1]
    if lost == "marks":
        (tmp_path / "help-1" / "opened.json").unlink()
    else:
        shutil.rmtree(tmp_path / "help-1")
    night.memories["help-1"] = HelperMemory(tmp_path / "help-1")
    before = split.federation.objects()
    with pytest.raises(ConfigError, match="cannot know what it has answered") as gone:
        split.visit("help-1", now=now)
    assert gone.value.rule == "R-173"
    assert split.federation.objects() == before
    assert "help-1@5" in gone.value.remedy
    rules = fed.registry.secure_sums
    assert isinstance(rules, SecureSums)
    records = (replace(rules.helpers[0], first_round=5), *rules.helpers[1:])
    fed.amend(secure_sums=replace(rules, helpers=records))
    assert night.visit("help-1", now=now).published == []
    assert night.memories["help-1"].rounds() == ()
    assert night.visit("help-1", now=fed.opens(3)).published == [5]


def test_what_breaks_one_round_keeps_no_later_round_from_having_its_keys() -> None:
    """Whoever runs the bucket leaves something else than a manifest."""
    night = SecureNight()
    night.confirmed(but=("help-1",))
    named(night)
    now = night.federation.night(1) + AFTER
    honest = night.at_another(night.federation.objects())
    replaced(night, Keys.manifest(1), b"what nobody can read")
    with pytest.raises(HyperfedError):
        night.visit("help-1", now=now)
    assert openings_keys(night) == openings_keys(honest) | {4}
    assert honest.visit("help-1", now=now).published == [4]


def openings_keys(night: SecureNight) -> set[int]:
    """The rounds for which help-1 has published a key."""
    there = night.federation.objects("rounds/")
    return {n for n in range(1, 9) if Keys.helper_key(n, "help-1") in there}


@pytest.mark.parametrize("on_disk", [False, True])
def test_one_record_is_of_one_federation(on_disk: bool, tmp_path: Path) -> None:
    """Its refusals would name another's clients, and one would erase the other's keys."""
    folder = tmp_path / "help-1" if on_disk else None
    memory = HelperMemory(folder)
    ours, theirs = (SecureNight(memories={"help-1": memory}) for _ in range(2))
    theirs.federation = SmallFederation(name="others", clients=(*MEMBERS, *HELPERS))
    theirs.federation.amend(secure_sums=ours.federation.registry.secure_sums)
    now = ours.federation.opens(1)
    assert ours.visit("help-1", now=now).published == [1, 2, 3]
    theirs.memories["help-1"] = HelperMemory(folder) if on_disk else memory
    before = theirs.federation.objects()
    with pytest.raises(ConfigError, match="answered in small-fed, not in others"):
        theirs.visit("help-1", now=now)
    assert theirs.federation.objects() == before
    assert theirs.memories["help-1"].rounds() == (1, 2, 3)
    assert ours.visit("help-1", now=now).published == []


class Slow(MemoryStore):
    clock_skew_s = -7200.0


def test_a_helper_whose_clock_is_off_does_nothing() -> None:
    """It would confirm before the window's end, or keep keys for too long (R-117)."""
    night = SecureNight(store=Slow())
    before = night.federation.objects()
    with pytest.raises(ClockError, match="7200 s behind the store's"):
        night.visit("help-1", now=night.federation.opens(1))
    assert night.federation.objects() == before
