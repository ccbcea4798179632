"""Who puts three sums together, or hides what was opened before, and what helpers say (R-212).

The adversary is the coordinator's key with one helper, and the bucket where a test says so. The
roots have drawn blocks anew twice, or replaced a helper. Each attack has its honest twin.
"""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.helper_night import HelperVisit
from hyperfed.coordinator.runner import Why
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import QuorumMissed
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.secure_sums import SecureSums
from hyperfed.storage.memory import MemoryStore
from tests.secure_night import SecureNight, named

pytestmark = pytest.mark.attack

VICTIM, WARDS, YARDS = "dock-1", ("ward-1", "ward-2", "ward-3"), ("yard-1", "yard-2", "yard-3")
EVERYONE = (VICTIM, *WARDS, *YARDS)
AFTER = timedelta(minutes=5)


def drawn_anew(night: SecureNight, *blocks: tuple[str, ...]) -> None:
    rules = night.federation.registry.secure_sums
    assert isinstance(rules, SecureSums)
    night.federation.amend(secure_sums=replace(rules, blocks=blocks))


def answered_by(night: SecureNight, round_id: int, *helpers: str) -> list[HelperVisit]:
    """Bring a round to its manifest, and let some helpers come then."""
    fed = night.federation
    night.confirmed(round_id)
    named(night, round_id)
    now = fed.night(round_id) + AFTER
    return [night.visit(helper, now=now) for helper in helpers]


def two_sums(*, third: tuple[str, ...] = YARDS) -> SecureNight:
    """Return a federation that has summed everyone, then the wards, and has drawn blocks again.

    help-3 was away in round 1, and help-1 in round 2; help-4 colludes and answers whatever it is
    asked. The bucket shows nobody a manifest later. The third sum would tell what is left of the
    first: the victim.
    """
    night = SecureNight(members=EVERYONE, blocks=(EVERYONE,))
    fed = night.federation
    answered_by(night, 1, "help-1", "help-2", "help-4")
    assert fed.run(1, now=fed.night(1) + AFTER).why is Why.COMMITTED
    without(night, Keys.manifest(1))
    drawn_anew(night, WARDS)
    answered_by(night, 2, "help-2", "help-3", "help-4")
    assert fed.run(2, now=fed.night(2) + AFTER).why is Why.COMMITTED
    without(night, Keys.manifest(2))
    drawn_anew(night, third)
    return night


def without(night: SecureNight, *hidden: str, replace_with: bytes = b"") -> None:
    """Let the bucket hide some objects, or show other bytes in their place."""
    store = MemoryStore()
    for key, data in night.federation.objects().items():
        if key not in hidden:
            store.put_if_absent(key, data)
        elif replace_with:
            store.put_if_absent(key, replace_with)
    night.federation.store = store


def test_three_quorums_open_no_third_sum_that_leaves_one_client() -> None:
    """help-1 and help-3 know two of the three cohorts themselves, and the ledger tells the third.

    With the colluding helper they would be the quorum of three.
    """
    night = two_sums()
    visits = answered_by(night, 3, "help-1", "help-3")
    for visit in visits:
        assert not visit.answered
        assert f"{VICTIM} could be told apart" in visit.refused[3]
    assert "in round 2 (reserved) ward-1, ward-2, ward-3" in visits[0].refused[3]
    assert "in round 1 (reserved) dock-1, ward-1" in visits[1].refused[3]


def test_three_sums_that_leave_nobody_alone_are_opened() -> None:
    """The honest twin: the wards again, after the same two sums."""
    night = two_sums(third=WARDS)
    visits = answered_by(night, 3, "help-1", "help-3", "help-4")
    assert [visit.answered for visit in visits] == [[3]] * 3
    fed = night.federation
    assert fed.run(3, now=fed.night(3) + AFTER).why is Why.COMMITTED


def new_helper(
    night: SecureNight, helper: str, first_round: int, folder: Path | None = None
) -> None:
    """Have the roots name a helper anew, which has keys ahead and has answered nothing."""
    rules = night.federation.registry.secure_sums
    assert isinstance(rules, SecureSums)
    records = tuple(
        replace(one, first_round=first_round) if one.client_id == helper else one
        for one in rules.helpers
    )
    night.federation.amend(secure_sums=replace(rules, helpers=records))
    keys, memory = dict(night.memories[helper]._keys), HelperMemory(folder)
    if folder is None:
        memory._keys = keys
    else:
        memory.marks.begin(night.federation.registry.federation)
        for round_id, secret in keys.items():
            (folder / f"round-{round_id:08d}.key").write_text(secret.hex())
    night.memories[helper] = memory


@pytest.mark.parametrize(("third", "opens"), [(YARDS, False), (WARDS, True)])
def test_a_new_helper_counts_what_was_opened_before_it_came(
    third: tuple[str, ...], opens: bool
) -> None:
    night = two_sums(third=third)
    new_helper(night, "help-1", 3)
    (visit,) = answered_by(night, 3, "help-1")
    assert visit.answered == ([3] if opens else [])
    assert (f"{VICTIM} could be told apart" in visit.refused.get(3, "")) is not opens


def test_a_void_rounds_cohort_counts_too() -> None:
    """Two helpers had answered, and the third's answer may lie in somebody's hands."""
    night = SecureNight(members=EVERYONE, blocks=(EVERYONE,))
    fed = night.federation
    answered_by(night, 1, "help-1", "help-2")
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    drawn_anew(night, WARDS)
    (visit,) = answered_by(night, 2, "help-3")
    assert visit.answered == [2]  # four others are left of the first
    drawn_anew(night, YARDS)
    new_helper(night, "help-3", 3)
    (visit,) = answered_by(night, 3, "help-3")
    assert f"{VICTIM} could be told apart" in visit.refused[3]


@pytest.mark.parametrize(
    ("shown", "said"),
    [(None, "is gone"), ("the freeze of round 2", "speaks for round 2"), ("junk", "")],
)
def test_a_bucket_that_hides_a_freeze_gets_no_answer(shown: str | None, said: str) -> None:
    night = two_sums(third=WARDS)  # harmless, if one may believe what is left
    new_helper(night, "help-1", 3)
    night.confirmed(3)
    named(night, 3)
    objects = night.federation.objects()
    bytes_shown = {None: b"", "junk": b"junk"}.get(shown, objects[Keys.freeze(2)])
    without(night, Keys.freeze(1), replace_with=bytes_shown)
    now = night.federation.night(3) + AFTER
    visit = night.visit("help-1", now=now)
    assert not visit.answered
    assert Keys.freeze(1) in visit.refused[3]
    assert "nobody can say whose sum was opened then" in visit.refused[3]
    assert said in visit.refused[3]
    assert not night.memories["help-1"].marks.opened


def test_what_was_read_once_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that has read the freezes answers though they are hidden now, and reads only new."""
    night = two_sums(third=WARDS)
    new_helper(night, "help-1", 3, tmp_path / "help-1.helper")
    visit = answered_by(night, 3, "help-1", "help-2", "help-3")[0]
    assert visit.answered == [3]
    fed = night.federation
    assert fed.run(3, now=fed.night(3) + AFTER).why is Why.COMMITTED
    record = json.loads((tmp_path / "help-1.helper" / "opened.json").read_text())
    assert [entry["round"] for entry in record["reserved"]] == [1, 2]
    night.memories["help-1"] = HelperMemory(tmp_path / "help-1.helper")  # another process
    night.confirmed(4)
    named(night, 4)
    without(night, Keys.freeze(1), Keys.freeze(2))
    read: list[int] = []
    honest = DropBoxReader.freeze

    def freeze(self: DropBoxReader, round_id: int) -> object:
        read.append(round_id)
        return honest(self, round_id)

    monkeypatch.setattr(DropBoxReader, "freeze", freeze)
    assert night.visit("help-1", now=fed.night(4) + AFTER).answered == [4]
    assert set(read) == {3, 4}


def test_a_plan_that_is_gone_makes_its_cohort_count() -> None:
    """The bucket hides the plan of a round with noise or with other blocks: nobody can say so."""
    night = two_sums(third=YARDS)
    new_helper(night, "help-1", 3)
    night.confirmed(3)
    named(night, 3)
    without(night, Keys.plan(1), Keys.plan(2))
    visit = night.visit("help-1", now=night.federation.night(3) + AFTER)
    assert f"{VICTIM} could be told apart" in visit.refused[3]


def test_the_roots_can_annul_a_reserve_of_what_never_was() -> None:
    """A thief of the coordinator's key reserves a freeze that nobody has: helpers would wait for
    ever, and the roots say that it was none.
    """
    night = SecureNight(members=EVERYONE, blocks=(EVERYONE,))
    fed = night.federation
    answered_by(night, 1)
    without(night, Keys.freeze(1), Keys.manifest(1))
    entry = fed.reader().ledger()[0]
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    (visit,) = answered_by(night, 2, "help-1")
    assert "registry annul 1" in visit.refused[2]
    with pytest.raises(QuorumMissed):
        fed.run(2, now=fed.night(2) + AFTER)
    fed.amend(annulled=(Annulment(sequence=1, digest=entry.digest),))
    assert fed.reader().ledger()[0].original is not None
    assert night.visit("help-1", now=fed.night(2) + AFTER).answered == [2]
