"""Replay: a client that takes part in two federations with one key; what it signed for one is
dropped into the other.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hyperfed.errors import RoundError
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


def test_an_update_of_another_federation_is_refused(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    other = SmallFederation(name="other-fed")
    record = replace(other.registry.client(VICTIM), keys=(KeyRecord(keys=fed.keys[VICTIM].public),))
    other.amend(
        clients=tuple(record if c.client_id == VICTIM else c for c in other.registry.clients)
    )
    other.keys[VICTIM] = fed.keys[VICTIM]
    other.open(1)
    sent = other.submit(VICTIM)
    assert [a.client for a in other.judge(1).admitted] == [VICTIM], (
        "the honest twin, where it belongs"
    )
    key = fed.put(other.store.read(sent.key, max_bytes=1 << 20), VICTIM)
    assert "other-fed" in refuse(fed, key, "R-83").reason  # type: ignore[attr-defined]


def test_a_plan_of_another_federation_opens_no_round(fed: SmallFederation) -> None:
    """The same coordinator runs both: its plan for one, copied to the other's drop-box, is refused
    before a client sends anything.
    """
    other = SmallFederation(name="other-fed")
    other.coordinator = fed.coordinator
    other.amend(coordinators=(KeyRecord(keys=fed.coordinator.public),))
    other.open(2)
    fed.store.put_if_absent(Keys.plan(2), other.store.read(Keys.plan(2), max_bytes=1 << 20))
    before = fed.objects()
    with pytest.raises(RoundError) as caught:
        fed.submit(VICTIM, round_id=2)
    assert caught.value.rule == "R-51"
    assert fed.objects() == before


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    fed.submit(VICTIM)
    commit(fed)
