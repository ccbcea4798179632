"""Writing packs: how they are filled, that they are let go, and that none counts that is not there
(R-66).
"""

import hashlib
import threading
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.config import Limits
from hyperfed.dropbox.pack_writer import PackWriter, check_copied
from hyperfed.errors import RoundError, TransientError
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import Pack, make_pack, read_pack
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

SMALL = Limits(pack_bytes=2000)  # two of the small federation's updates


class Wide(MemoryStore):
    """A store that takes four requests at once."""

    at_once = 4  # type: ignore[assignment]


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("store_type", [MemoryStore, Wide])
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=40), pack_bytes=st.integers(1, 500))
def test_packs_are_filled_in_order_and_are_as_few_as_their_bytes_allow(
    sizes: list[int], pack_bytes: int, store_type: type[MemoryStore]
) -> None:
    updates = [(name(i), bytes([i]) * size) for i, size in enumerate(sizes)]
    limits = Limits(pack_bytes=pack_bytes, max_update_bytes=400)
    store = store_type()
    with PackWriter(store, 1, limits=limits) as writer:
        for digest, envelope in updates:
            writer.add(digest, envelope)
        pack_of = writer.finish()
    written = {info.key: store.read(info.key, max_bytes=1 << 20) for info in store.list("")}
    assert [*pack_of] == [digest for digest, _ in updates]
    packs = [written[Keys.accepted(1, digest)] for digest in dict.fromkeys(pack_of.values())]
    assert len(packs) == len(written)
    found = [
        (digest, bytes(data))
        for one in packs
        for digest, data in read_pack(one, subject="pack").items()
    ]
    assert found == updates
    whole = sum(size + 40 for size in sizes)
    assert len(packs) <= whole // pack_bytes + 1
    assert all(len(one) <= limits.max_pack_bytes for one in packs)
    assert {Keys.accepted(1, hashlib.sha256(one).digest()) for one in packs} == written.keys()


def test_a_packs_updates_are_let_go_once_it_is_written() -> None:
    class Envelope(bytearray):
        """One that can be watched."""

    envelopes = [Envelope(600) for _ in range(5)]
    seen = [ref(envelope) for envelope in envelopes]
    with PackWriter(MemoryStore(), 1, limits=Limits(pack_bytes=1000)) as writer:
        while envelopes:
            writer.add(name(len(envelopes)), memoryview(envelopes.pop(0)))
        assert [one() is None for one in seen] == [True, True, True, True, False]
        writer.finish()
    assert seen[4]() is None


def test_a_pack_that_is_there_must_be_that_very_one() -> None:
    store, one, two = (
        MemoryStore(),
        make_pack([(name(1), b"mine")]),
        make_pack([(name(2), b"mine too")]),
    )
    store.put_if_absent(Keys.accepted(1, one.digest), one.data)
    check_copied(store, 1, one, False, limits=SMALL)
    # the write of the other failed for the moment
    check_copied(store, 1, two, TransientError("is down"), limits=SMALL)
    assert store.read(Keys.accepted(1, two.digest), max_bytes=999) == two.data
    other = Pack(digest=one.digest, data=b"other", holds=())
    with pytest.raises(RoundError, match="holds something else") as caught:
        check_copied(store, 1, other, False, limits=SMALL)
    assert caught.value.rule == "R-66"


def test_a_pack_that_could_not_be_written_ends_the_stage_and_is_not_taken_for_copied() -> None:
    """Nothing counts before it lies in `accepted/`: neither in the freeze nor in what this process
    remembers.
    """

    class Full(MemoryStore):
        left = 1

        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            if "/accepted/" in key:
                self.left -= 1
                if self.left < 0:
                    raise TransientError("the disk is full", subject=key)
            return super().put_if_absent(key, data)

    fed = SmallFederation(clients=5, store=Full(), limits=SMALL)
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    with pytest.raises(TransientError):
        runner.validate(runner.collect(1))
    assert len(fed.accepted(1)) == 2, "two of five"
    assert not runner.frozen._known
    assert fed.decided() == {}


def test_a_write_that_failed_for_now_is_tried_again_in_the_callers_thread() -> None:
    """Where Ctrl-C ends it: the patience of a store may last for minutes."""
    tried: dict[str, list[bool]] = {}  # key -> whether each try was the caller's

    def mine() -> bool:
        return threading.current_thread() is threading.main_thread()

    class Moody(Wide):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            tried.setdefault(key, []).append(mine())
            if len(tried[key]) < 3:
                raise TransientError("is down", subject=key)
            return super().put_if_absent(key, data)

    pauses: list[bool] = []
    store = RetryingStore(Moody(), sleep=lambda _: pauses.append(mine()))
    with PackWriter(store, 1, limits=Limits(pack_bytes=1)) as writer:
        for number in range(6):
            writer.add(name(number), b"update")
        pack_of = writer.finish()
    assert {Keys.accepted(1, digest) for digest in pack_of.values()} == tried.keys()
    assert [*tried.values()] == [[False, True, True]] * 6
    assert pauses == [True] * 6
