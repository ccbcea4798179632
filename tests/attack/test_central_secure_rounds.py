"""Attacks on central noise over secure sums, each beside its honest twin: R-206 to R-209."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from hyperfed.cli.operator.inspected_openings import opening_part
from hyperfed.client import masked
from hyperfed.codec import PayloadCodec
from hyperfed.coordinator import handlers, private_sums
from hyperfed.coordinator.opened_sums import manifest_of, opened_total
from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.runner import Why
from hyperfed.crypto import sealing
from hyperfed.crypto.envelope import PacketType, open_envelope, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body, box_key, new_key
from hyperfed.dropbox import reader
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.errors import (
    AggregationError,
    BreakdownError,
    ObjectNotFound,
    QuorumMissed,
    RoundError,
)
from hyperfed.operations.audit import audit
from hyperfed.operations.offline_openings import parts_to_read
from hyperfed.packets import Update
from hyperfed.privacy.moments import plan_moments, step_of
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.records import KeyRecord
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics.clipped import steps_of
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import key_of
from tests.central_night import CentralNight
from tests.noised_night import NoisedNight, statistics
from tests.secure_night import named, openings, replaced

pytestmark = pytest.mark.attack

AFTER = timedelta(minutes=5)
AUDITOR = key_of("auditor of central nights")


def answered(night: NoisedNight, *, but: tuple[str, ...] = ()) -> NoisedNight:
    """Play a round until its helpers have answered."""
    night.confirmed()
    named(night)
    night.visits(now=night.federation.night(1) + AFTER, but=but)
    return night


def messages_of(night: NoisedNight) -> dict[str, Words]:
    """Return the masked numbers of a round whose bodies nobody has sealed."""
    held = {}
    for client in night.members:
        data = night.federation.objects()[Keys.inbox(1, client, 0)]
        update = PayloadCodec().decode(open_envelope(data, subject=client).body, Update)
        assert update.masked is not None
        held[client] = update.masked.values
    return held


def opened_by(night: NoisedNight, key_pair: KeyPair | None) -> OpenedSum | None:
    """Return the sum that somebody with all objects and a key can open, or None."""
    fed = night.federation
    parts = OpeningReader(fed.reader(), openings(night).plan, key_pair)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    try:
        return opened_total(parts, manifest_of(parts, frozen), messages_of(night))
    except BreakdownError:
        return None


def exact_sum(night: NoisedNight) -> list[int]:
    policy = night.federation.policy
    step = step_of(plan_moments(policy, 3))
    wards = [statistics(seed, policy) for seed in range(len(night.members))]
    return [sum(one.n for one in wards), *sum(steps_of(one, step) for one in wards).tolist()]


@pytest.mark.parametrize("whose", ["nobody", "ward-1", "help-1", "coordinator", "auditor"])
def test_nothing_in_the_bucket_gives_the_exact_sum_without_a_key(whose: str) -> None:
    """Bodies lie open, so that answers are all that bucket and members lack (R-206)."""
    night = CentralNight()
    fed = night.federation
    fed.policy = replace(fed.policy, sealed=False)
    fed.amend(auditors=(KeyRecord(keys=AUDITOR.public),))
    answered(night)
    keys = {"nobody": None, "coordinator": fed.coordinator, "auditor": AUDITOR} | fed.keys
    opened = opened_by(night, keys[whose])
    if whose in ("coordinator", "auditor"):
        assert opened is not None
        assert opened.total.view(np.int64).tolist() == exact_sum(night)
        return
    assert opened is None
    # nor do an answer's vectors lie anywhere in the clear
    secret = openings_of(night, fed.coordinator)
    assert len(secret) == 4
    for vector in secret:
        assert not any(vector in data for data in fed.objects().values())


def openings_of(night: NoisedNight, key_pair: KeyPair) -> list[bytes]:
    """Return the first numbers of each helper's answer, as they would lie in the clear."""
    parts = OpeningReader(night.federation.reader(), openings(night).plan, key_pair)
    answers = [parts.part_at(Keys.opening(1, helper)) for helper in night.helpers]
    return [one.value.sums[:4].astype("<u8").tobytes() for one in answers if one is not None]


def test_with_noise_in_shares_anybody_opens_the_sum_which_has_noise_already() -> None:
    """The twin of the above: what is public there is noised."""
    night = NoisedNight()
    night.federation.policy = replace(night.federation.policy, sealed=False)
    answered(night)
    opened = opened_by(night, None)
    assert opened is not None
    assert opened.total.view(np.int64).tolist()[1:] != exact_sum(night)[1:]


def resealed(night: CentralNight, helper: str, how: str) -> None:
    """Put in a helper's place the same answer, sealed as `how` says."""
    fed, key = night.federation, Keys.opening(1, helper)
    part = OpeningReader(fed.reader(), openings(night).plan, fed.coordinator).part_at(key)
    assert part is not None
    to = {
        "right": (fed.coordinator.public,),
        "open": (),
        "to itself": (fed.keys[helper].public,),
        "to one more": (fed.coordinator.public, AUDITOR.public),
        "to a false key": (fed.coordinator.public,),
    }[how]
    with pytest.MonkeyPatch.context() as patch:
        if how == "to a false key":  # the coordinator's name on a box that another key opens
            box = ((fed.coordinator.key_id, box_key(new_key(), (AUDITOR.public,))[0][1]),)
            patch.setattr(sealing, "box_key", lambda *_: box)
        data = signed_part(
            part.value,
            PacketType.OPENING,
            sender=helper,
            key_pair=fed.keys[helper],
            now=fed.night(1),
            recipients=to,
        )
    replaced(night, key, data)


@pytest.mark.parametrize("how", ["right", "open", "to itself", "to one more", "to a false key"])
def test_an_answer_that_is_sealed_to_others_counts_as_missing_and_is_named(how: str) -> None:
    night = answered(CentralNight(), but=("help-4",))
    fed, now = night.federation, night.federation.night(1) + AFTER
    resealed(night, "help-2", how)
    if how != "right":
        with pytest.raises(QuorumMissed) as missed:
            fed.run(1, now=now)
        assert missed.value.rule == "R-166"
        assert "2 of 4 helpers have answered" in missed.value.problem
        assert Keys.opening(1, "help-2") in missed.value.problem
        assert fed.reader().result(1) is None
    night.visits(now=now)  # the fourth one comes: its answer is enough
    assert fed.run(1, now=now).why is Why.COMMITTED
    result = fed.reader().result(1)
    assert result is not None
    others = ("help-1", "help-3", "help-4")
    assert result.value.opened_by == (night.helpers if how == "right" else others)
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


@pytest.mark.parametrize("how", ["moved", "signed anew"])
def test_an_answer_of_another_round_counts_for_nothing(how: str) -> None:
    """The bucket moves it, or its helper signs what it sealed in round 1 for round 2."""
    night = answered(CentralNight())
    fed = night.federation
    assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    night.confirmed(2)
    named(night, 2)
    now = fed.night(2) + AFTER
    night.visits(now=now, but=("help-3", "help-4"))
    honest = night.at_another(fed.objects())
    data = fed.objects()[Keys.opening(1, "help-3")]
    if how == "signed anew":
        data = _for_round(night, "help-3", 2)
    fed.store.put_if_absent(Keys.opening(2, "help-3"), data)
    with pytest.raises(QuorumMissed, match="2 of 4 helpers have answered") as missed:
        fed.run(2, now=now)
    assert Keys.opening(2, "help-3") in missed.value.problem
    honest.visits(now=now)
    assert honest.federation.run(2, now=now).why is Why.COMMITTED


def _for_round(night: CentralNight, helper: str, round_id: int) -> bytes:
    """Return a helper's sealed answer of round 1 under a header of another round."""
    fed = night.federation
    part = OpeningReader(fed.reader(), openings(night).plan).part_at(Keys.opening(1, helper))
    assert part is not None
    body = bytes(part.signed.body)
    header = bind_body(replace(part.signed.header, round=round_id), body)
    return sign_envelope(PacketType.OPENING, header, body, [fed.keys[helper]])


def test_a_helper_seals_to_nobody_whose_key_the_roots_have_withdrawn() -> None:
    """A coordinator's freeze names a version in which a stolen auditor's key still opens sums."""
    night = CentralNight()
    fed = night.federation
    fed.amend(auditors=(KeyRecord(keys=AUDITOR.public),))
    night.confirmed()
    named(night)
    honest = night.at_another(fed.objects())
    fed.amend(auditors=())
    visits = night.visits(now=fed.night(1) + AFTER)
    assert not any(visit.answered for visit in visits)
    assert "withdrawn" in visits[0].refused[1]
    assert not fed.objects(Keys.opening(1, ""))
    visits = honest.visits(now=fed.night(1) + AFTER)
    assert all(visit.answered == [1] for visit in visits)


class Forgetful(MemoryStore):
    """A bucket that has lost round 2's freeze once somebody has read round 1's."""

    asked = False

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.asked = self.asked or key == Keys.freeze(1)
        if self.asked and key == Keys.freeze(2):
            raise ObjectNotFound("is gone", subject=key)
        return super().read(key, max_bytes=max_bytes)


@pytest.mark.parametrize("forgets", [True, False])
def test_a_bucket_that_hides_the_freeze_late_gets_no_open_answer(
    forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that reads many old freezes forgets this one, and must not ask again to whom its
    answer is sealed (R-206): nobody would be the answer.
    """
    night = answered(CentralNight())
    fed = night.federation
    assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    night.confirmed(2)
    named(night, 2)
    store = Forgetful() if forgets else MemoryStore()
    for key, data in fed.objects().items():
        store.put_if_absent(key, data)
    fed.store = store
    monkeypatch.setattr(reader, "_KEPT", 1)  # it remembers one object, as if there were many
    assert night.visit("help-1", now=fed.night(2) + AFTER).answered == [2]
    data = store.read(Keys.opening(2, "help-1"), max_bytes=1 << 20)
    sent = open_envelope(data, subject="an answer")
    assert sealing.sealed_to(sent.body, subject="an answer") == (fed.coordinator.key_id,)


def without_noise(name: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coordinator's drafting of reserves that names no noise, as in earlier versions."""

    def draft(*args: Any, **more: Any) -> Any:
        return replace(name(*args, **more), noise=b"", final=False)

    return draft


def test_a_reserve_that_names_no_noise_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its coordinator could draw noise again and again, and show each (R-207)."""
    night = CentralNight()
    night.confirmed()
    honest = night.at_another(night.federation.objects())
    now = night.federation.night(1) + AFTER
    with monkeypatch.context() as patch:
        patch.setattr(handlers, "draft_entry", without_noise(handlers.draft_entry))
        named(night)
    visits = night.visits(now=now)
    assert not any(visit.answered for visit in visits)
    assert "names no noise" in visits[0].refused[1]
    named(honest)
    assert all(visit.answered == [1] for visit in honest.visits(now=now))


def test_a_second_manifest_of_a_round_is_answered_by_nobody() -> None:
    """A coordinator that has the exact sum asks for that of one block, to subtract (R-172)."""
    night = answered(CentralNight())
    fed, now = night.federation, night.federation.night(1) + AFTER
    manifest, key = openings(night).manifest(), Keys.opening(1, "help-1")
    assert manifest is not None
    fewer = replace(manifest.value, messages=manifest.value.messages[:3])
    write = sign_object(
        Keys.manifest(1), PacketType.MANIFEST, fewer, key_pair=fed.coordinator, time=fed.opens(2)
    )
    unanswered = {name: data for name, data in fed.objects().items() if name != key}
    asked = night.at_another(unanswered | {Keys.manifest(1): write.data})
    visit = asked.visit("help-1", now=now)
    assert not visit.answered
    assert "names other clients than the freeze" in visit.refused[1]
    again = night.at_another(unanswered)  # the twin: its answer was lost
    assert again.visit("help-1", now=now).answered == [1]
    first, second = (
        OpeningReader(one.federation.reader(), openings(one).plan, fed.coordinator).part_at(key)
        for one in (night, again)
    )
    assert first is not None
    assert second is not None
    assert first.value == second.value  # the same numbers, sealed anew
    assert first.signed.body != second.signed.body


def test_a_liar_ends_a_round_and_learns_what_noise_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn for its sum is remembered: no second sum of the freeze gets noise (R-209)."""
    night = CentralNight()
    fed = night.federation
    night.opens()
    true = masked.clipped_vector

    def lies(*args: Any, **more: Any) -> Words:
        words = true(*args, **more)
        words[1:] += np.uint64(1 << 49)
        return words

    with monkeypatch.context() as patch:
        patch.setattr(masked, "clipped_vector", lies)
        fed.submit("ward-1", night.update_of("ward-1"))
    night.submit_all(but=("ward-1",))
    night.visits(now=fed.night(1))
    named(night)
    now, marks = fed.night(1) + AFTER, ReleaseMarks()
    night.visits(now=now)
    monkeypatch.setattr("hyperfed.coordinator.runner.ReleaseMarks", lambda: marks)
    with pytest.raises(AggregationError, match="cannot have") as impossible:
        fed.run(1, now=now)
    assert impossible.value.rule == "R-176"
    with monkeypatch.context() as patch:  # helpers who collude shift the sum until it is possible
        honest = private_sums.noised_total
        patch.setattr(
            private_sums,
            "noised_total",
            lambda total, *rest: honest(total - shift_of(total), *rest),
        )
        with pytest.raises(RoundError, match="another value of this round was shown") as second:
            fed.run(1, now=now)
    assert second.value.rule == "R-110"
    assert fed.reader().result(1) is None
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID


def shift_of(total: Words) -> Words:
    return np.where(np.arange(len(total)) > 0, np.uint64(1 << 49), np.uint64(0))


def test_an_audit_finds_another_sum_than_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator moves the noised sum by many standard deviations (R-189)."""
    night = answered(CentralNight())
    fed = night.federation
    honest = night.at_another(fed.objects())
    now, true = fed.night(1) + AFTER, private_sums.noised_total
    with monkeypatch.context() as patch:
        patch.setattr(
            private_sums,
            "noised_total",
            lambda total, *rest: (
                true(total + np.uint64(0), *rest)
                + np.where(np.arange(len(total)) > 0, np.uint64(1 << 20), np.uint64(0))
            ),
        )
        assert fed.run(1, now=now).why is Why.COMMITTED
    findings = audit(fed.store, fed.fingerprint, fed.coordinator).findings
    assert [finding.rule for finding in findings] == ["R-189"]
    assert audit(fed.store, fed.fingerprint, None).findings == ()  # it says what it cannot check
    twin = honest.federation
    assert twin.run(1, now=now).why is Why.COMMITTED
    assert audit(twin.store, twin.fingerprint, twin.coordinator).findings == ()


def test_a_coordinator_that_adds_no_noise_is_found() -> None:
    night = answered(CentralNight())
    fed = night.federation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_sums, "noised_total", lambda total, *_: total)
        assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    findings = audit(fed.store, fed.fingerprint, fed.coordinator).findings
    assert [finding.rule for finding in findings] == ["R-189"]


def test_sealed_answers_are_shown_and_carried_without_a_key() -> None:
    """Who has answered is public; a stick takes answers along that nobody there can open."""
    night = answered(CentralNight())
    fed, key = night.federation, Keys.opening(1, "help-2")
    _, content = opening_part(fed.reader(), key, 1)
    assert content["sealed_to"] == (fed.coordinator.key_id,)
    assert "sums" not in content
    carried = dict(parts_to_read(fed.reader(), 1, "help-1"))
    assert carried[key] == fed.objects()[key]
    resealed(night, "help-2", "open")
    assert "nobody" in str(dict(parts_to_read(fed.reader(), 1, "help-1"))[key])


@pytest.mark.parametrize("privacy", ["central", "shares"])
def test_open_messages_alone_are_added_up_by_nobody(privacy: str) -> None:
    """Without a key an audit adds up what lies open (R-213), and says where answers do not."""
    night: NoisedNight = CentralNight() if privacy == "central" else NoisedNight()
    fed = night.federation
    fed.policy = replace(fed.policy, sealed=False)
    answered(night)
    assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    for key in (None, fed.keys["ward-1"]):
        report = audit(fed.store, fed.fingerprint, key)
        assert report.findings == ()
        assert report.checked.get("noise compared", 0) == (privacy == "shares")
        said = [text for text in report.remarks if "were not compared or added up" in text]
        assert len(said) == (privacy == "central")
        assert not any("masked messages of" in text for text in report.remarks)
