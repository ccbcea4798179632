"""What may be forgotten, the record of it, and that the audit neither misses it nor lets a record
cover more.
"""

from pathlib import Path

import pytest

from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import ConfigError
from hyperfed.operations.audit import audit
from hyperfed.operations.retention import Pruned, prunable, prune
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord
from hyperfed.storage.erasing import erase
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.rehearsal import RehearsalStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation, key_of

KEEP = 32


@pytest.fixture(scope="module")
def old() -> dict[str, bytes]:
    """A federation's objects after 35 nights; only some are played, the others were never
    opened.
    """
    federation = SmallFederation(clients=2)
    for night in (1, 2, 3, 35):
        federation.play(night)
        federation.store.put_if_absent(f"prefect/stages/rounds/{night:08d}/collect/c0de/1", b"x")
    return federation.objects()


def again(objects: dict[str, bytes]) -> SmallFederation:
    federation = SmallFederation(clients=2)
    for key, data in objects.items():
        federation.store.put_if_absent(key, data)
    return federation


def test_only_inbox_objects_and_stage_results_of_old_ended_rounds_go_and_the_audit_says_so(
    old: dict[str, bytes],
) -> None:
    federation = again(old)
    record = prune(
        federation.reader(),
        key_pair=federation.coordinator,
        now=federation.night(35),
        keep_rounds=KEEP,
    )
    assert record is not None
    assert record.keys == tuple(
        sorted(
            k for k in old if k.startswith(("inbox/0000000", "prefect/")) and "00000035" not in k
        )
    )
    assert len(record.keys) == 3 * 3
    left = federation.objects()
    assert set(old) - set(left) == set(record.keys)
    assert set(left) - set(old) == {"pruned/000001"}
    report = audit(federation.store, federation.fingerprint, federation.coordinator)
    assert report.ok, report.findings
    assert report.checked["records of pruning"] == 1
    assert any(
        "9 old objects" in remark and "after round 35" in remark for remark in report.remarks
    )
    assert (
        prune(
            federation.reader(),
            key_pair=federation.coordinator,
            now=federation.night(35),
            keep_rounds=KEEP,
        )
        is None
    )
    assert federation.play(36).counted == 2


def test_a_clock_that_is_off_is_said_before_the_record_is_signed(old: dict[str, bytes]) -> None:
    class ClockOff(MemoryStore):
        clock_skew_s = -3600.0

    federation = SmallFederation(clients=2, store=ClockOff())
    for key, data in old.items():
        federation.store.put_if_absent(key, data)
    with pytest.raises(ConfigError, match="3600 s behind the store's; 600 s are tolerated"):
        prune(
            federation.reader(),
            key_pair=federation.coordinator,
            now=federation.night(35),
            keep_rounds=KEEP,
        )
    assert federation.objects() == old


def test_old_gossip_goes_but_for_the_first_epoch(old: dict[str, bytes]) -> None:
    federation = again(old)
    for round_id in (1, 35):
        for epoch in (0, 1):
            federation.store.put_if_absent(Keys.gossip(round_id, epoch, "site-01"), b"x")
    record = prune(
        federation.reader(),
        key_pair=federation.coordinator,
        now=federation.night(35),
        keep_rounds=KEEP,
    )
    assert record is not None
    gone = [key for key in record.keys if key.startswith("gossip/")]
    assert gone == [Keys.gossip(1, 1, "site-01")]
    assert set(federation.objects("gossip/")) == {
        Keys.gossip(1, 0, "site-01"),
        Keys.gossip(35, 0, "site-01"),
        Keys.gossip(35, 1, "site-01"),
    }
    assert audit(federation.store, federation.fingerprint, federation.coordinator).ok


def test_an_open_round_keeps_its_inbox_however_old_it_is(old: dict[str, bytes]) -> None:
    federation = SmallFederation(clients=2)
    federation.open(1)
    federation.submit_all(round_id=1)
    for key, data in old.items():
        if not key.startswith(("inbox/00000001", "rounds/00000001")):
            federation.store.put_if_absent(key, data)
    reader = federation.reader()
    ledger = reader.ledger()
    reader.ledger = lambda: [c for c in ledger if c.entry.round != 1]  # type: ignore[method-assign]
    assert all("00000001" not in info.key for info in prunable(reader, keep_rounds=KEEP))


def test_fewer_rounds_than_the_protocol_looks_back_are_refused(old: dict[str, bytes]) -> None:
    federation = again(old)
    with pytest.raises(ConfigError, match="at least 32"):
        prune(
            federation.reader(),
            key_pair=federation.coordinator,
            now=federation.night(35),
            keep_rounds=31,
        )
    assert federation.objects() == old


def test_a_record_that_names_what_is_kept_for_ever_or_that_nobody_signed_is_a_finding(
    old: dict[str, bytes],
) -> None:
    federation = again(old)
    record = Pruned(
        federation="small-fed",
        round=35,
        keys=("rounds/00000001/freeze",),
        sizes=(9,),
        time=federation.night(35),
    )
    write = sign_object(
        "pruned/000001",
        PacketType.PRUNED,
        record,
        key_pair=federation.coordinator,
        time=record.time,
    )
    federation.store.put_if_absent(write.key, write.data)
    record = Pruned(
        federation="small-fed",
        round=35,
        keys=("inbox/00000001/site-01/0",),
        sizes=(9,),
        time=federation.night(35),
    )
    write = sign_object(
        "pruned/000002", PacketType.PRUNED, record, key_pair=key_of("a stranger"), time=record.time
    )
    federation.store.put_if_absent(write.key, write.data)
    report = audit(federation.store, federation.fingerprint)
    assert [f.key for f in report.findings] == ["pruned/000001", "pruned/000002"]
    assert "kept for ever" in report.findings[0].problem


@pytest.mark.parametrize("kind", ["memory", "filesystem"])
def test_erasing_takes_one_object_also_where_calls_are_repeated_and_twice(
    kind: str, tmp_path: Path
) -> None:
    inner: ObjectStore = MemoryStore() if kind == "memory" else FilesystemStore(tmp_path)
    store = RetryingStore(inner)
    for name in ("a/1", "a/2"):
        store.put_if_absent(name, b"x")
    erase(store, "a/1")
    erase(store, "a/1")
    assert [info.key for info in store.list("")] == ["a/2"]
    with pytest.raises(ConfigError, match="cannot be erased"):
        erase(RehearsalStore(inner), "a/2")


def test_a_rehearsal_reads_what_is_below_and_writes_nothing_there() -> None:
    below = MemoryStore()
    below.put_if_absent("a/1", b"below")
    store = RehearsalStore(below)
    assert (
        store.put_if_absent("a/1", b"other"),
        store.put_if_absent("a/2", b"above"),
        store.put_if_absent("a/2", b"again"),
    ) == (False, True, False)
    assert (store.read("a/1", max_bytes=9), store.read("a/2", max_bytes=9)) == (b"below", b"above")
    assert [info.key for info in store.list("a/")] == ["a/1", "a/2"]
    assert [info.key for info in below.list("")] == ["a/1"]
    assert store.head("a/3") is None


def test_rounds_that_were_sealed_to_an_earlier_key_are_a_remark_to_a_later_one_and_no_finding() -> (
    None
):
    federation = SmallFederation(clients=2)
    federation.play(1)
    later = key_of("small-fed/coordinator-2")
    federation.amend(
        coordinators=(*federation.registry.coordinators, KeyRecord(keys=later.public, valid_from=2))
    )
    federation.coordinator = later
    federation.play(2)
    report = audit(federation.store, federation.fingerprint, later)
    assert report.ok, report.findings
    assert [remark for remark in report.remarks if "sealed to other keys" in remark] == [
        f"round 1 was sealed to other keys than {later.key_id}: its result and state were not "
        "computed again"
    ]
    assert report.checked["results recomputed"] == 1
    own = audit(federation.store, federation.fingerprint, key_of("small-fed/coordinator"))
    assert own.ok, own.findings
    assert own.checked["results recomputed"] == 2
