"""Shards of an inbox judge apart what one batch judges together, and a client's messages are let go
before the next client's.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.coordinator.admission_stage import combined, shards_of
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.inbox import Judged
from hyperfed.errors import RoundError, TransientError
from hyperfed.merge.spool import Spool
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import read_pack
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.validator import PacketValidator

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def busy() -> SmallFederation:
    """Nine clients; a correction, an equivocation, a forgery, and eighty objects of nobody's."""
    federation = SmallFederation(clients=9)
    federation.open()
    federation.submit_all()
    federation.submit("site-02", federation.update("site-02", effect=0.7))
    federation.put(federation.envelope("site-05", sequence=1), "site-05", slot=1)
    federation.put(
        federation.envelope("site-03", key_pair=federation.keys["site-04"], sequence=9),
        "site-03",
        slot=1,
    )
    for i in range(80):
        federation.store.put_if_absent(f"inbox/00000001/Nobody-{i:02d}/0", b"?")
    return federation


def unpacked(judged: Judged) -> Judged:
    """The same without the packs, which each shard fills by itself."""
    return replace(judged, admitted=tuple(replace(item, pack=b"") for item in judged.admitted))


@pytest.mark.parametrize("count", [1, 2, 3, 9, 50])
def test_shards_together_say_what_the_whole_batch_says(busy: SmallFederation, count: int) -> None:
    runner = busy.runner()
    arrivals = runner.collect(1)
    whole = runner.validate(arrivals)
    shards = shards_of(arrivals, count)
    assert min(count, 5) <= len(shards) <= count
    assert sorted(key for shard in shards for key in shard.keys) == sorted(arrivals.keys)
    parts = [busy.runner().validate(shard) for shard in shards]
    packs = busy.objects("rounds/00000001/accepted/")
    assert all(
        item.digest in read_pack(packs[Keys.accepted(1, item.pack)], subject="")
        for part in parts
        for item in part.admitted
    ), "each writes its own"
    assert unpacked(combined(parts)) == unpacked(whole)
    assert combined(parts[::-1]) == combined(parts)
    assert (
        len(whole.admitted),
        sum(r.rule == "R-92" for r in whole.refused),
        sum(not r.client for r in whole.refused),
    ) == (8, 2, 64)


def test_a_clients_objects_lie_in_one_shard_and_shards_are_of_about_one_size(
    busy: SmallFederation,
) -> None:
    shards = shards_of(busy.runner().collect(1), 3)
    clients = [{key.split("/")[2] for key, _ in shard.keys} for shard in shards]
    assert not clients[0] & clients[1]
    assert not clients[1] & clients[2]
    sizes = [sum(size for _, size in shard.keys) for shard in shards]
    assert max(sizes) < 2 * min(sizes)


def test_shards_judged_under_different_base_states_are_not_put_together(
    busy: SmallFederation,
) -> None:
    judged = busy.judge()
    with pytest.raises(TransientError, match="different registries"):
        combined([judged, replace(judged, base_state=b"1" * 32)])


@pytest.mark.parametrize("how", ["forged", "gone"])
def test_a_base_state_that_the_ledger_does_not_name_ends_the_stage(how: str) -> None:
    """R-67. The coordinator's key signed another state of round 1, which forgets whom it
    counted.
    """
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    state, key, objects = fed.reader().state(1), Keys.state(1), fed.store._objects  # type: ignore[attr-defined]
    assert state is not None
    kept = objects.pop(key)
    if how == "forged":
        forgetful = replace(
            state.value,
            clients=tuple(replace(c, highest_sequence=0, windows=()) for c in state.value.clients),
        )
        objects[key] = sign_object(
            key, PacketType.STATE, forgetful, key_pair=fed.coordinator, time=fed.night(1)
        ).data
    before = fed.objects()
    with pytest.raises(
        RoundError, match="is missing" if how == "gone" else "not the state that the ledger names"
    ) as caught:
        fed.run(2)
    assert (caught.value.rule, caught.value.subject) == ("R-67", key)
    assert fed.objects() == before
    objects[key] = kept
    assert fed.run(2).counted == 3


def test_a_pack_is_copied_as_soon_as_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage holds does not grow with the number of messages: each goes out with its pack. A
    store that takes one request at a time is written to between two messages.
    """
    happened: list[str] = []

    class Watched(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            happened.append("copied" if "/accepted/" in key else "")
            return super().put_if_absent(key, data)

    # two messages of some 1,200 bytes
    federation = SmallFederation(clients=5, store=Watched(), limits=Limits(pack_bytes=2600))
    federation.open()
    federation.submit_all()
    federation.submit("site-02", federation.update("site-02", effect=0.7))
    authentic = PacketValidator._authentic

    def judged(self: PacketValidator, *args: Any, **options: Any) -> Any:
        happened.append("judged")
        return authentic(self, *args, **options)

    monkeypatch.setattr(PacketValidator, "_authentic", judged)
    happened.clear()
    federation.judge()
    # site-02 has two messages, of which the second counts
    assert happened == ["judged"] * 3 + ["copied"] + ["judged"] * 2 + ["copied", "judged", "copied"]


class Wide(MemoryStore):
    """A store that takes four requests at once, and can be told to fail or to be slow."""

    at_once = 4  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.most_at_once = 0, 0
        self.gate = threading.Event()
        self.fails: BaseException | None = None
        self.lock = threading.Lock()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if "/accepted/" not in key:
            return super().put_if_absent(key, data)
        with self.lock:
            self.writing += 1
            self.most_at_once = max(self.most_at_once, self.writing)
        self.gate.wait(30)
        with self.lock:
            self.writing -= 1
        if self.fails is not None:
            raise self.fails
        return super().put_if_absent(key, data)


def _wide() -> tuple[Wide, SmallFederation]:
    """Twelve clients, each of whose updates fills a pack."""
    store = Wide()
    federation = SmallFederation(clients=12, store=store, limits=Limits(pack_bytes=1))
    federation.open()
    federation.submit_all()
    return store, federation


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hyperfed-")]


def test_packs_wait_for_the_store_and_judging_for_the_packs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queues are bounded: where the store writes nothing, the loop stops a few messages on, and
    it goes on where the store does.
    """
    store, federation = _wide()
    runner = federation.runner()
    arrivals = runner.collect(1)
    judged: list[int] = []
    authentic, changed = PacketValidator._authentic, threading.Condition()

    def noted(self: PacketValidator, *args: Any, **options: Any) -> Any:
        with changed:
            judged.append(store.writing)
            changed.notify()
        return authentic(self, *args, **options)

    monkeypatch.setattr(PacketValidator, "_authentic", noted)
    with ThreadPoolExecutor(1) as pool:
        stage = pool.submit(runner.validate, arrivals)
        with changed:
            # four packs are written, and one is full
            assert changed.wait_for(lambda: len(judged) == 5, 30)
            assert not changed.wait_for(lambda: len(judged) > 5, 0.2)
        store.gate.set()
        assert len(stage.result().admitted) == 12
    assert store.most_at_once <= 4
    assert _threads() == []


@pytest.mark.parametrize(
    ("fails", "raised"),
    [(TransientError("is down", subject="the store"), TransientError), (None, KeyboardInterrupt)],
)
def test_however_a_stage_ends_no_thread_of_it_is_left(
    fails: BaseException | None, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails while packs are written, or the user presses Ctrl-C while one is judged.
    Nothing was decided, nothing is remembered, and the same round can be judged again.
    """
    store, federation = _wide()
    store.gate.set()
    store.fails = fails
    runner = federation.runner()
    arrivals = runner.collect(1)
    # the spool has a thread too
    spool = Spool.__init__

    def tiny(self: Spool, **given: Any) -> None:
        spool(self, **given | {"block_bytes": 1, "memory_bytes": 0})

    monkeypatch.setattr(Spool, "__init__", tiny)
    authentic, seen = PacketValidator._authentic, list[int]()

    def pressed(self: PacketValidator, *args: Any, **options: Any) -> Any:
        seen.append(1)
        if fails is None and len(seen) == 8:
            assert {name.split("_")[0] for name in _threads()} == {
                f"hyperfed-{name}" for name in ("packs", "spool", "store")
            }
            raise KeyboardInterrupt
        return authentic(self, *args, **options)

    monkeypatch.setattr(PacketValidator, "_authentic", pressed)
    before = federation.decided()
    with pytest.raises(raised):
        runner.validate(arrivals)
    assert _threads() == []
    assert federation.decided() == before
    assert not runner.frozen._known
    store.fails = None
    monkeypatch.undo()
    assert len(runner.validate(arrivals).admitted) == 12
    assert runner.freeze(1, runner.validate(arrivals)).counted == 12


def test_a_sequence_on_two_rounds_updates_is_found_though_they_lie_far_apart() -> None:
    """R-92 compares all of a client's objects: one made for an earlier round, which sorts before
    everyone else's, waits for the others.
    """
    federation = SmallFederation(clients=3)
    federation.open(1, quorum=3)
    federation.open(2)
    for client in ("site-01", "site-02"):
        for made_for in (1, 2):
            sequence = 5 if client == "site-01" else made_for
            federation.put(
                federation.envelope(client, round_id=made_for, sequence=sequence),
                client,
                round_id=made_for,
            )
    runner = federation.runner(2)
    arrivals = replace(
        runner.collect(2),
        keys=tuple((info.key, info.size) for info in federation.store.list("inbox/")),
        decided=False,
    )
    judged = runner.validate(arrivals)
    assert [(r.client, r.made_for, r.rule) for r in judged.refused] == [
        ("site-01", 1, "R-92"),
        ("site-01", 2, "R-92"),
    ]
    assert [(a.client, a.made_for) for a in judged.admitted] == [("site-02", 1), ("site-02", 2)]
    assert all(a.data is None and a.update is None for a in judged.admitted)


def test_the_spool_knows_how_many_variables_there_are() -> None:
    federation = SmallFederation(clients=2)
    federation.open()
    federation.submit_all()
    runner = federation.runner()
    runner.validate(runner.collect(1))
    assert runner.frozen._streaming is not None
    spool = runner.frozen._streaming.spool
    assert (spool.variables, spool.expected) == (len(federation.vocabulary), 2)
