"""Whoever holds a client's key for one night signs the highest sequence there is (R-129). The key
is used up; the client's name is not, and neither revocation nor a rotation is in vain.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from hyperfed.client import ClientMemory
from hyperfed.errors import RegistryError
from hyperfed.operations.audit import audit
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Refused
from hyperfed.protocol.receipt_objects import Fate
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.conftest import VICTIM

LAST = (1 << 53) - 1


def fates(fed: SmallFederation, round_id: int) -> dict[str, Any]:
    receipts = {client: fed.receipt(client, round_id) for client in fed.clients}
    return {client: None if r is None else r.fate for client, r in receipts.items()}


def burnt(overlap: int = 0) -> SmallFederation:
    """Round 1 counts the thief's update; from round 2 on the client has another key."""
    fed = SmallFederation(clients=3, auditors=1)
    fed.open(1)
    fed.submit_all(but=[VICTIM])
    fed.put(fed.envelope(VICTIM, sequence=LAST), VICTIM)
    assert fed.run(1).counted == 3
    fed.rotate(VICTIM, key_of("new"), from_round=2, overlap=overlap)
    return fed


@pytest.mark.parametrize("memory", ["kept", "lost"])
@pytest.mark.parametrize("overlap", [0, 1])
def test_a_new_key_counts_from_its_first_night_on(memory: str, overlap: int) -> None:
    fed = burnt(overlap)
    if memory == "lost":
        fed.memories[VICTIM] = ClientMemory()
    for round_id in (2, 3):
        assert fed.play(round_id).counted == 3
        assert fates(fed, round_id)[VICTIM] is Fate.COUNTED
    report = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert report.findings == ()
    state = fed.reader().state(3)
    assert state is not None
    known = state.value.of(VICTIM)
    assert known is not None
    assert dict(known.sequences).keys() == {
        record.keys.key_id for record in fed.registry.client(VICTIM).keys
    }


def test_the_old_keys_update_is_superseded_by_the_new_ones_in_the_overlap() -> None:
    """The thief signs again, as long as both keys speak: the later key's update counts."""
    fed = burnt(overlap=2)
    fed.open(2)
    old = key_of("small-fed/" + VICTIM)
    fed.submit_all(round_id=2)
    data = fed.envelope(VICTIM, round_id=2, key_pair=old, sequence=LAST)
    fed.put(data, VICTIM, round_id=2, slot=1)
    assert fed.run(2).counted == 3
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    counted = frozen.value.of(VICTIM)
    assert counted is not None
    assert counted.key == Keys.inbox(2, VICTIM, 0)
    # the same numbers under another key are no replay, and the old key has none left
    assert [r.rule for r in frozen.value.refused] == ["R-89"]


def test_of_two_keys_that_speak_the_later_one_counts_whatever_the_sequences_say() -> None:
    fed = SmallFederation(clients=3, auditors=1)
    fed.play(1)
    fed.rotate(VICTIM, key_of("new"), from_round=2, overlap=2)
    fed.open(2)
    fed.submit_all(round_id=2)
    old = key_of("small-fed/" + VICTIM)
    fed.put(
        fed.envelope(VICTIM, round_id=2, key_pair=old, sequence=LAST), VICTIM, round_id=2, slot=1
    )
    assert fed.run(2).counted == 3
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    counted = frozen.value.of(VICTIM)
    assert counted is not None
    assert (counted.key, counted.sequence) == (Keys.inbox(2, VICTIM, 0), 2)
    assert frozen.value.signed_by == (0, 0, 1)
    assert [r.rule for r in frozen.value.refused] == ["R-93"]
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_a_client_whose_key_is_used_up_is_told_so_and_sends_nothing() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit_all(but=[VICTIM])
    fed.put(fed.envelope(VICTIM, sequence=LAST), VICTIM)
    fed.run(1)
    fed.open(2)
    with pytest.raises(RegistryError, match="none is left above it") as caught:
        fed.submit(VICTIM, round_id=2)
    assert "somebody has this key" in caught.value.remedy
    assert not fed.objects(Keys.inbox(2, VICTIM))


def test_a_replay_under_a_key_that_counted_is_refused_as_ever(
    fed: SmallFederation, refuse: Callable[..., Refused]
) -> None:
    fed.submit(VICTIM)
    fed.run(1)
    fed.rotate(VICTIM, key_of("new"), from_round=2, overlap=2)
    fed.open(2, quorum=3)
    fed.submit_all(round_id=2, but=[VICTIM])
    old = key_of("small-fed/" + VICTIM)
    data = fed.envelope(VICTIM, round_id=2, key_pair=old, sequence=1)
    refuse(fed, fed.put(data, VICTIM, round_id=2), "R-89", round_id=2)


def test_a_coordinator_cannot_say_another_key_to_count_a_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The freeze names the place of the key; the audit has the envelope's own."""
    fed = burnt(overlap=2)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    judged = runner.validate(runner.collect(2))
    lied = tuple(replace(a, key_place=0) for a in judged.admitted)
    runner.freeze(2, replace(judged, admitted=lied))
    assert runner.conclude(2).why is Why.COMMITTED
    rules = {f.rule for f in audit(fed.store, fed.fingerprint).findings}
    assert "R-129" in rules


def test_a_restored_client_counts_the_next_night() -> None:
    """Its machine is a week behind: before it sends, it goes on above the newest receipt."""
    fed = SmallFederation(clients=4)
    fed.play(1)
    backup = deepcopy(fed.memories["site-04"])
    for round_id in range(2, 6):
        fed.play(round_id)
    fed.memories["site-04"] = backup
    for round_id in (6, 7):
        assert fed.play(round_id).counted == 4
        assert fates(fed, round_id)["site-04"] is Fate.COUNTED
    assert fed.memories["site-04"].marks.sequence == 5 + 1024 + 2
