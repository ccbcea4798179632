"""The bucket swaps an update after it was verified: in the inbox, or in its pack in `accepted/`
(R-66). The merge works on verified bytes only.
"""

from datetime import timedelta

import pytest

from hyperfed.errors import HyperfedError
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import make_pack, read_pack
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation


@pytest.fixture
def frozen() -> tuple[SmallFederation, bytes]:
    """Three verified updates, frozen; and the digest of the third."""
    fed = SmallFederation()
    fed.open(1)
    sent = fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    return fed, sent[2].digest


def swap(fed: SmallFederation, key: str, data: bytes) -> None:
    """What whoever runs the bucket can do, and create-only writes cannot."""
    assert isinstance(fed.store, MemoryStore)
    fed.store._objects[key] = data


@pytest.mark.parametrize("days", [0, 9], ids=["in time", "past close_by"])
def test_a_swapped_copy_stops_the_round_and_names_the_object(
    frozen: tuple[SmallFederation, bytes], days: int
) -> None:
    """Whoever runs the bucket delays a round by it and ends none, however late it is."""
    fed, digest = frozen
    now = fed.night(1) + timedelta(days=days)
    key = fed.accepted(1)[digest]
    honest, before = fed.objects()[key], fed.decided()
    other = fed.envelope("site-03", update=fed.update("site-03", effect=9.0), sequence=2)
    swap(
        fed,
        key,
        make_pack([*(read_pack(honest, subject=key) | {digest: memoryview(other)}).items()]).data,
    )
    with pytest.raises(HyperfedError) as caught:
        fed.runner(1, now=now).release(1)
    assert key in str(caught.value)
    assert caught.value.rule == "R-66"
    assert Keys.result(1) not in fed.objects()
    assert {k: v for k, v in fed.decided().items() if k in before} == before
    swap(fed, key, honest)
    assert fed.runner(1, now=now).conclude(1).why is Why.COMMITTED, (
        "with the true object back the same round goes on"
    )


def test_a_swapped_inbox_changes_nothing_any_more(frozen: tuple[SmallFederation, bytes]) -> None:
    fed, _ = frozen
    twin = SmallFederation()
    twin.open(1)
    twin.submit_all()
    twin.run(1)
    swap(
        fed,
        Keys.inbox(1, "site-03", 0),
        fed.envelope("site-03", update=fed.update("site-03", effect=9.0), sequence=2),
    )
    assert fed.runner(1).conclude(1).why is Why.COMMITTED
    ours, theirs = fed.reader().result(1), twin.reader().result(1)
    assert ours is not None
    assert theirs is not None
    assert ours.value.edges == theirs.value.edges  # type: ignore[union-attr]


def test_the_honest_twin_is_committed(frozen: tuple[SmallFederation, bytes]) -> None:
    fed, _ = frozen
    assert fed.runner(1).conclude(1).why is Why.COMMITTED
