"""Freeze: the bucket goes on serving an old night until it has expired (R-50). Mix and match: one
round's object at another's key (R-51, R-61).
"""

from datetime import timedelta

import pytest

from hyperfed.errors import HyperfedError
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation


@pytest.fixture
def fed() -> SmallFederation:
    federation = SmallFederation()
    federation.play(1)
    federation.play(2)
    return federation


def move(fed: SmallFederation, source: str, target: str) -> None:
    assert isinstance(fed.store, MemoryStore)
    fed.store._objects[target] = fed.store._objects[source]


def test_a_withheld_future_shows_when_the_broadcast_expires(fed: SmallFederation) -> None:
    late = fed.night(2) + timedelta(days=31)
    with pytest.raises(HyperfedError, match="expired") as caught:
        fed.session("site-01").pull(now=late)
    assert caught.value.rule == "R-50"


@pytest.mark.parametrize("name", ["plan", "freeze", "result", "state"])
def test_one_rounds_object_in_anothers_place(fed: SmallFederation, name: str) -> None:
    move(fed, f"rounds/00000001/{name}", f"rounds/00000002/{name}")
    with pytest.raises(HyperfedError) as caught:
        getattr(fed.reader(), name)(2)
    assert caught.value.rule == "R-51"


def test_a_result_of_the_night_before_is_not_pulled(fed: SmallFederation) -> None:
    move(fed, Keys.result(1), Keys.result(2))
    with pytest.raises(HyperfedError) as caught:
        fed.session("site-01").pull(now=fed.night(2))
    assert caught.value.rule == "R-51"
    assert fed.memories["site-01"].marks.broadcast_round == 0


def test_anothers_receipt_is_not_mine(fed: SmallFederation) -> None:
    move(fed, Keys.receipt(2, "site-02"), Keys.receipt(2, "site-01"))
    with pytest.raises(HyperfedError) as caught:
        fed.receipt("site-01", 2)
    assert caught.value.rule == "R-51"


def test_the_honest_twin_sees_the_second_night(fed: SmallFederation) -> None:
    found = fed.session("site-01").pull(now=fed.night(2))
    assert found is not None
    assert found.value.round == 2
