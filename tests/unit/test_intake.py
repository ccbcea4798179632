"""Shards of an inbox judge apart what one batch judges together, and a client's messages are let go before the next client's."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.adapters.memory import MemoryStore
from hyperfed.config import Limits
from hyperfed.coordinator import intake
from hyperfed.coordinator.inbox import Arrivals, Judged
from hyperfed.coordinator.intake import combined, shards_of
from hyperfed.errors import TransientError
from hyperfed.protocol.packs import read_pack
from hyperfed.rounds import Keys
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator import PacketValidator

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def busy() -> SmallFederation:
    """Nine clients; a correction, an equivocation, a forgery, and eighty objects of nobody's."""
    federation = SmallFederation(clients=9)
    federation.open()
    federation.submit_all()
    federation.submit("site-02", federation.update("site-02", effect=0.7))
    federation.put(federation.envelope("site-05", sequence=1), "site-05", slot=1)
    federation.put(federation.envelope("site-03", keys=federation.keys["site-04"], sequence=9), "site-03", slot=1)
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
    assert all(item.digest in read_pack(packs[Keys.accepted(1, item.pack)], subject="") for part in parts for item in part.admitted), "each writes its own"
    assert unpacked(combined(parts)) == unpacked(whole)
    assert combined(parts[::-1]) == combined(parts)
    assert (len(whole.admitted), sum(r.rule == "R-92" for r in whole.refused), sum(not r.client for r in whole.refused)) == (8, 2, 64)


def test_a_clients_objects_lie_in_one_shard_and_shards_are_of_about_one_size(busy: SmallFederation) -> None:
    shards = shards_of(busy.runner().collect(1), 3)
    clients = [{key.split("/")[2] for key, _ in shard.keys} for shard in shards]
    assert not clients[0] & clients[1]
    assert not clients[1] & clients[2]
    sizes = [sum(size for _, size in shard.keys) for shard in shards]
    assert max(sizes) < 2 * min(sizes)


def test_shards_judged_under_different_base_states_are_not_put_together(busy: SmallFederation) -> None:
    judged = busy.judge()
    with pytest.raises(TransientError, match="different registries"):
        combined([judged, replace(judged, base_state=b"1" * 32)])


def test_a_pack_is_copied_before_the_one_after_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage holds does not grow with the number of messages: each goes out with its pack, which is made while the next one fills."""
    happened: list[str] = []

    class Watched(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            happened.append("copied" if "/accepted/" in key else "")
            return super().put_if_absent(key, data)

    federation = SmallFederation(clients=5, store=Watched(), limits=Limits(pack_bytes=2000))  # two messages of some 1,200 bytes
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
    assert happened == ["judged"] * 5 + ["copied", "judged", "copied", "copied"]


def test_a_sequence_on_two_rounds_updates_is_found_though_they_lie_far_apart() -> None:
    """R-92 compares all of a client's objects: one made for an earlier round, which sorts before everyone else's, waits for the others."""
    federation = SmallFederation(clients=3)
    federation.open(1)
    federation.open(2)
    for client in ("site-01", "site-02"):
        for made_for in (1, 2):
            sequence = 5 if client == "site-01" else made_for
            federation.put(federation.envelope(client, round_id=made_for, sequence=sequence), client, round_id=made_for)
    runner = federation.runner(2)
    arrivals = replace(runner.collect(2), keys=tuple((info.key, info.size) for info in federation.store.list("inbox/")), decided=False)
    judged = runner.validate(arrivals)
    assert [(r.client, r.made_for, r.rule) for r in judged.refused] == [("site-01", 1, "R-92"), ("site-01", 2, "R-92")]
    assert [(a.client, a.made_for) for a in judged.admitted] == [("site-02", 1), ("site-02", 2)]
    assert all(a.data is None and a.update is None for a in judged.admitted)


def test_a_client_is_heavy_by_several_objects_or_by_a_very_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heavy ones are judged where they are read, and start no process."""
    most = intake.HEAVY_BYTES
    sizes = {"a-1": [most + 1], "b-1": [most // 2 + 1, most // 2], "c-1": [4 * most], "d-1": [4 * most + 1], "e-1": [most // 2, most // 2]}
    keys = tuple((Keys.inbox(1, client, slot), size) for client, own in sizes.items() for slot, size in enumerate(own))
    arrivals = Arrivals(round=1, quorum=1, present=(), missing=(), keys=(*keys, ("inbox/what", 9 * most)), closed=False, decided=False)
    assert intake._heavy(arrivals) == {"b-1", "d-1"}
    asked: list[list[int]] = []
    monkeypatch.setattr(intake, "worth", lambda sizes: asked.append(list(sizes)) or 0)
    monkeypatch.delenv("HYPERFED_JUDGES", raising=False)
    SmallFederation().runner().intake._others(arrivals, {"b-1", "d-1"})
    assert asked == [[most + 1, 4 * most, most // 2, most // 2, 9 * most]]


def test_the_spool_knows_how_many_variables_there_are() -> None:
    federation = SmallFederation(clients=2)
    federation.open()
    federation.submit_all()
    runner = federation.runner()
    runner.validate(runner.collect(1))
    spool = runner.frozen.spool
    assert spool is not None
    assert (spool.variables, spool.expected) == (len(federation.vocabulary), 2)
