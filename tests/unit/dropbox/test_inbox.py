"""Reading an inbox: judged while it is read, and what was read is merged without reading its
content again.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import hyperfed.validator.validator as validator_module
from hyperfed.codec import PayloadCodec
from hyperfed.dropbox.inbox import read_arrivals
from hyperfed.errors import RoundError, TransientError, TransportError
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

pytestmark = pytest.mark.unit


class Watched(MemoryStore):
    """Notes what of `read_many` was taken so far."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        for key, data in super().read_many(keys, max_bytes=max_bytes):
            self.taken.append(key)
            yield key, data


def test_an_update_is_there_before_the_next_is_read() -> None:
    store = Watched()
    fed = SmallFederation(clients=4, store=store)
    fed.open(1)
    fed.submit_all()
    arrivals = read_arrivals(store, fed.runner(1).collect(1), limits=fed.limits)
    store.taken.clear()
    keys = [Keys.inbox(1, client, 0) for client in fed.clients]
    for i, arrival in enumerate(arrivals):
        assert arrival.key == keys[i]
        assert store.taken == keys[: i + 1]


def test_a_fault_of_the_store_ends_the_stage_and_is_no_clients_fault() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit_all()
    listed = fed.runner(1).collect(1)

    class Broken(MemoryStore):
        def read_many(
            self, keys: Iterable[str], *, max_bytes: int
        ) -> Iterator[tuple[str, bytes | TransportError]]:
            return ((key, TransientError("down", subject=key)) for key in keys)

    with pytest.raises(TransientError):
        list(read_arrivals(Broken(), listed, limits=fed.limits))


def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kinds that the validator decodes from now on."""
    kinds: list[Any] = []

    class Codec(PayloadCodec):
        def decode(self, data: Any, kind: Any, **options: Any) -> Any:
            kinds.append(kind)
            return super().decode(data, kind, **options)

    monkeypatch.setattr(validator_module, "PayloadCodec", Codec)
    return kinds


def test_what_was_judged_is_not_read_again_by_the_same_process_and_comes_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = []
    for same_process in (True, False):
        fed = SmallFederation(clients=4)
        fed.open(1)
        fed.submit_all()
        kinds = decodes(monkeypatch)
        runner = fed.runner(1)
        runner.freeze(1, runner.validate(runner.collect(1)))
        (runner if same_process else fed.runner(1)).conclude(1)
        results.append(fed.reader().result(1))
        assert kinds == [Update] * (4 if same_process else 8)
        monkeypatch.undo()
    assert results[0].value.edges == results[1].value.edges


def test_bytes_that_were_changed_in_accepted_reach_no_result() -> None:
    """Who judged and copied an update merges what it judged; everyone else reads the copy, and
    refuses it (R-66).
    """
    fed, twin = SmallFederation(clients=4), SmallFederation(clients=4)
    for each in (fed, twin):
        each.open(1)
        each.submit_all()
    twin.run(1)
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    (key, *_) = sorted(info.key for info in fed.store.list("rounds/00000001/accepted/"))
    data = fed.store.read(key, max_bytes=1 << 20)
    fed.store._objects[key] = damaged(data)  # type: ignore[attr-defined]
    before = fed.decided()
    with pytest.raises(RoundError, match="is not the pack that was frozen"):
        fed.runner(1).release(1)
    assert (
        {k for k in fed.decided() if k.endswith("result")}
        == {k for k in before if k.endswith("result")}
        == set()
    )
    runner.release(1)
    assert fed.reader().result(1).value.edges == twin.reader().result(1).value.edges  # type: ignore[union-attr]


def test_what_was_judged_under_another_registry_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The freeze says under which version a signature has to hold."""
    fed = SmallFederation(clients=4)
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.frozen._judged_under += 1
    kinds = decodes(monkeypatch)
    runner.conclude(1)
    assert kinds == [Update] * 4


def test_folders_of_clients_that_do_not_exist_do_not_fill_a_freeze() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit_all()
    for i in range(100):
        for slot in (0, 1):
            fed.store.put_if_absent(Keys.inbox(1, f"nobody-{i:04d}", slot), b"x")
    assert fed.run(1).counted == 3
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [refused.key for refused in frozen.value.refused] == [
        Keys.inbox(1, f"nobody-{i:04d}", 0) for i in range(64)
    ]
    assert {refused.rule for refused in frozen.value.refused} == {"R-30"}
