"""Replay: an honest update is copied into another slot of its own folder. It counts once."""

from collections.abc import Callable

from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.validator import PacketValidator
from tests.attack.conftest import VICTIM


def copy_of(fed: SmallFederation, key: str) -> bytes:
    return fed.store.read(key, max_bytes=1 << 20)


def test_a_copy_in_another_slot_does_not_count_twice(
    fed: SmallFederation, refuse: Callable[..., object], commit: Callable[..., None]
) -> None:
    key = fed.put(copy_of(fed, "inbox/00000001/site-01/0"), "site-01", slot=1)
    refuse(fed, key, "R-89")
    fed.submit(VICTIM)
    commit(fed)
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [c.client for c in frozen.value.counted] == list(fed.clients)


def test_the_same_bytes_validated_twice_are_a_replay(fed: SmallFederation) -> None:
    validator = PacketValidator(fed.registry)
    data = copy_of(fed, "inbox/00000001/site-01/0")
    assert validator.validate(data) == (True, None)
    valid, error = validator.validate(data)
    assert not valid
    assert error is not None
    assert "R-89" in error


def test_the_honest_twin_corrects_itself(fed: SmallFederation, commit: Callable[..., None]) -> None:
    """A new update in the next slot, with the next sequence, supersedes the first."""
    assert fed.submit("site-01").key == "inbox/00000001/site-01/1"
    fed.submit(VICTIM)
    commit(fed)
    receipt = fed.receipt("site-01")
    assert receipt is not None
    assert receipt.sequence == 2
