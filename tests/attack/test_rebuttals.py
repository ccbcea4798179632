"""A helper refuses a client's boxes, and the client publishes the key of its box: whoever reads it
finds who was wrong, and learns too little to open anything (R-199).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.client.helper_night import HelperNight
from hyperfed.client.masked import mask_message
from hyperfed.client.rebuttal import rebut
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import MaskBoxes, Rebuttal
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.dropbox.rebuttals import CLIENT, HELPER, NOBODY, accusers_of, verdicts_on
from hyperfed.errors import RefusedError, TransientError
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
from hyperfed.secure_aggregation import MaskedMessage, check_seeds
from hyperfed.secure_aggregation.boxes import open_published_box, seal_seeds
from hyperfed.secure_aggregation.masking import draw_seeds
from hyperfed.testing.faults import FaultStore
from tests.secure_night import SecureNight, later, openings, replaced

pytestmark = pytest.mark.attack

LIAR = "help-2"
HONEST = HelperNight._seeds_of


@pytest.fixture
def liars(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Helpers that say of ward-1's boxes what is not so."""
    names: list[str] = []

    def seeds_of(self: HelperNight, boxes: MaskBoxes, parts: OpeningReader) -> Any:
        if boxes.client == "ward-1" and self.helper in names:
            raise RefusedError("its box does not open", subject="ward-1")
        return HONEST(self, boxes, parts)

    monkeypatch.setattr(HelperNight, "_seeds_of", seeds_of)
    return names


def sealing_wrongly(*args: Any) -> MaskedMessage:
    """Mask as a client does that gives one helper other seeds than it has committed to."""
    _, group, keys, context = args
    message = mask_message(*args)
    other = seal_seeds(draw_seeds(group), group, keys, context)
    sealed = replace(
        message.sealed,
        boxes={**message.sealed.boxes, LIAR: other.boxes[LIAR]},
        ephemeral_keys={**message.sealed.ephemeral_keys, LIAR: other.ephemeral_keys[LIAR]},
    )
    return replace(message, sealed=sealed)


def answers(night: SecureNight, *, helpers: Sequence[str] = ()) -> Any:
    session = night.federation.session("ward-1")
    return rebut(session, 1, helpers=helpers, now=later(night))


def published_by_hand(night: SecureNight, helpers: Sequence[str], **changes: Any) -> None:
    """Publish without looking, as a client of one's own making can."""
    fed, parts = night.federation, openings(night)
    boxes = parts.mask_boxes("ward-1")
    keys = fed.memories["ward-1"].box_keys.of(1, now=later(night))
    assert boxes is not None
    value = Rebuttal(
        federation="small-fed",
        round=1,
        client="ward-1",
        plan=parts.plan.digest,
        accused=boxes.digest,
        published=tuple((helper, keys[helper]) for helper in helpers),
    )
    data = signed_part(
        replace(value, **changes),
        PacketType.REBUTTAL,
        sender="ward-1",
        key_pair=fed.keys["ward-1"],
        now=later(night),
    )
    assert fed.store.put_if_absent(Keys.rebuttal(1, "ward-1"), data)


def test_a_helper_that_lies_about_a_box_is_shown_to_have_lied(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    assert accusers_of(openings(night), "ward-1") == {LIAR: "its box does not open"}
    (verdict,) = answers(night)
    assert (verdict.helper, verdict.wrong) == (LIAR, HELPER)
    assert verdicts_on(openings(night), "ward-1") == (verdict,), "whoever reads it finds the same"
    fed = night.federation
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=later(night))
    assert report.ok, report.findings
    assert any("the helper was wrong" in remark for remark in report.remarks)
    before = fed.objects()
    with pytest.raises(RefusedError, match="are not here"):
        answers(night)  # the other keys are erased
    assert fed.objects() == before


def test_a_client_with_wrong_seeds_publishes_nothing_and_by_hand_shows_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin: here the helper told the truth."""
    night = SecureNight()
    night.opens()
    with monkeypatch.context() as patch:
        patch.setattr("hyperfed.client.masked.mask_message", sealing_wrongly)
        night.submit("ward-1")
    night.submit_all(but=("ward-1",))
    night.visits(now=night.federation.night(1))
    assert list(accusers_of(openings(night), "ward-1")) == [LIAR]
    before = night.federation.objects()
    with pytest.raises(RefusedError, match="would not show that help-2 was wrong"):
        answers(night)
    assert night.federation.objects() == before
    published_by_hand(night, [LIAR])
    (verdict,) = verdicts_on(openings(night), "ward-1")
    assert verdict.wrong == CLIENT
    assert "not those that it committed to" in verdict.why


def test_a_key_that_is_not_the_boxs_shows_its_client_to_be_wrong(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    published_by_hand(night, [LIAR], published=((LIAR, bytes(range(32))),))
    (verdict,) = verdicts_on(openings(night), "ward-1")
    assert verdict.wrong == CLIENT
    assert "is not that of the box" in verdict.why


def test_no_more_than_t_boxes_are_opened_by_the_client_or_by_anybody(liars: list[str]) -> None:
    liars += [LIAR, "help-3"]
    night = SecureNight()  # one may collude
    night.confirmed()
    before = night.federation.objects()
    with pytest.raises(RefusedError, match="2 boxes, for help-2, help-3; with more than 1"):
        answers(night)
    assert night.federation.objects() == before
    group = openings(night).group
    assert set(group.held_by(LIAR)) < set(group.sets()), "one box leaves seeds unknown"
    (verdict,) = answers(night, helpers=["help-3"])
    assert (verdict.helper, verdict.wrong) == ("help-3", HELPER)


class Deaf(FaultStore):
    """A bucket that keeps what it is offered for itself, and says that it was lost."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        raise TransientError("no answer came", subject=key)


def test_a_bucket_that_loses_an_answer_is_offered_no_other_one(liars: list[str]) -> None:
    """It has seen the first, and with the keys of a second box it would know all seeds."""
    liars += [LIAR, "help-3"]
    night = SecureNight()
    night.confirmed()
    session = night.federation.session("ward-1", store=Deaf(night.federation.store))
    with pytest.raises(TransientError):
        rebut(session, 1, helpers=[LIAR], now=later(night))
    before = night.federation.objects()
    with pytest.raises(RefusedError, match="are not here"):
        answers(night, helpers=["help-3"])
    assert night.federation.objects() == before
    (verdict,) = answers(night, helpers=[LIAR])  # the twin: the same answer may be repeated
    assert (verdict.helper, verdict.wrong) == (LIAR, HELPER)


def test_an_answer_with_more_keys_counts_for_nobody(liars: list[str]) -> None:
    liars += [LIAR, "help-3"]
    night = SecureNight()
    night.confirmed()
    published_by_hand(night, liars)
    parts = openings(night)
    assert verdicts_on(parts, "ward-1") == ()
    assert "at most 1" in parts.why_not[Keys.rebuttal(1, "ward-1")]


def test_only_helpers_that_refused_are_answered(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    for helpers, why in ((["help-1"], "not refused by help-1"), (["ward-2"], "by ward-2")):
        with pytest.raises(RefusedError, match=why):
            answers(night, helpers=helpers)
    liars.clear()
    other = SecureNight()
    other.confirmed()
    with pytest.raises(RefusedError, match="not refused by any helper"):
        answers(other)
    published_by_hand(other, ["help-1"])
    (verdict,) = verdicts_on(openings(other), "ward-1")
    assert verdict.wrong == NOBODY, "a helper that refused nothing was not wrong"


def test_boxes_that_were_changed_after_the_accusation_blame_no_helper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client and whoever runs the bucket put right boxes where a helper saw wrong ones."""
    night = SecureNight()
    night.opens()
    fed = night.federation
    with monkeypatch.context() as patch:
        patch.setattr("hyperfed.client.masked.mask_message", sealing_wrongly)
        night.submit("ward-1")
    night.visit(LIAR, now=fed.night(1))
    twin = SecureNight(memories=night.memories)
    for key, data in fed.objects().items():
        if "ward-1" not in key:
            twin.federation.store.put_if_absent(key, data)
    twin.submit("ward-1")
    right = twin.federation.store.read(Keys.boxes(1, "ward-1"), max_bytes=1 << 20)
    fed.memories["ward-1"] = twin.federation.memories["ward-1"]
    replaced(night, Keys.boxes(1, "ward-1"), right)
    published_by_hand(night, [LIAR])
    (verdict,) = verdicts_on(openings(night), "ward-1")
    assert verdict.wrong == NOBODY
    assert "refused other boxes than lie there" in verdict.why


def test_an_answer_belongs_to_its_round_and_plan(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    night.confirmed(2)
    fed = night.federation
    published_by_hand(night, [LIAR])
    moved = fed.store.read(Keys.rebuttal(1, "ward-1"), max_bytes=1 << 20)
    assert fed.store.put_if_absent(Keys.rebuttal(2, "ward-1"), moved)
    assert verdicts_on(openings(night, 2), "ward-1") == ()
    parts = openings(night, 2)
    assert parts.rebuttal("ward-1") is None
    assert "R-51" in parts.why_not[Keys.rebuttal(2, "ward-1")]


def test_an_answer_to_another_plan_counts_for_nobody(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    published_by_hand(night, [LIAR], plan=bytes(32))
    assert verdicts_on(openings(night), "ward-1") == ()


def test_what_is_published_opens_its_box_and_no_other(liars: list[str]) -> None:
    liars.append(LIAR)
    night = SecureNight()
    night.confirmed()
    answers(night)
    parts = openings(night)
    rebuttal, boxes = parts.rebuttal("ward-1"), parts.mask_boxes("ward-1")
    assert rebuttal is not None
    assert boxes is not None
    ((helper, key),) = rebuttal.value.published
    for at, name in enumerate(parts.group.helpers):
        public = parts.helper_key(name)
        assert public is not None
        if name != helper:
            with pytest.raises(Exception, match="not that of the box"):
                open_published_box(boxes.value.boxes[at], name, parts.group, public, key)
            continue
        seeds = open_published_box(boxes.value.boxes[at], name, parts.group, public, key)
        commitments = dict(zip(parts.group.sets(), boxes.value.commitments, strict=True))
        assert not check_seeds(seeds, commitments, boxes.value.context)


def test_keys_of_boxes_are_erased_when_helpers_erase_theirs() -> None:
    night = SecureNight()
    night.confirmed()
    fed = night.federation
    keys, ends = fed.memories["ward-1"].box_keys, fed.registry.help_ends(1)
    assert sorted(keys.of(1, now=ends - timedelta(seconds=1))) == list(night.helpers)
    assert keys.of(1, now=ends) == {}
    assert keys.of(1, now=fed.opens(1)) == {}, "erased, not hidden"
