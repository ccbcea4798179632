"""What processes of one merge leave for each other: nobody else can read it, nothing that was
changed or moved is taken, and it goes with its round.
"""

from fnmatch import fnmatchcase

import numpy as np
import pytest

from hyperfed.codec import pack
from hyperfed.codec.arrays import pack_arrays, unpack_arrays
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.scratch import Scratch
from hyperfed.errors import RoundError, SchemaError
from hyperfed.operations.access import Role, access_of
from hyperfed.operations.audit import audit
from hyperfed.operations.retention import prunable, prune
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation, key_of

COORDINATOR = key_of("coordinator")
SECRET = np.array([0.123456789, 5.5])


def scratch(
    store: MemoryStore,
    *,
    key_pair: KeyPair = COORDINATOR,
    round_id: int = 1,
    freeze: bytes = b"\x01" * 32,
    code: str = "c0de",
) -> Scratch:
    return Scratch(store, key_pair=key_pair, round_id=round_id, freeze=freeze, code=code)


def test_what_one_process_leaves_another_with_the_same_key_and_code_reads() -> None:
    store = MemoryStore()
    left = {
        "effect": SECRET,
        "rows": np.arange(6, dtype=np.int64).reshape(2, 3),
        "none": np.zeros(0, np.uint64),
    }
    assert scratch(store).put("blocks/0001", left)
    found = scratch(store).get("blocks/0001")
    assert found.keys() == left.keys()
    assert all(
        np.array_equal(found[name], left[name]) and found[name].dtype == left[name].dtype
        for name in left
    )
    assert scratch(store).names() == {"blocks/0001"}
    assert scratch(store).find("blocks/0002") is None
    with pytest.raises(RoundError, match=r"blocks/0002.*gone.*R-43"):
        scratch(store).get("blocks/0002")


def test_what_is_there_counts_and_is_not_written_again() -> None:
    store = MemoryStore()
    assert scratch(store).put("cuts", {"cuts": np.array([1])})
    assert not scratch(store).put("cuts", {"cuts": np.array([2])})
    assert scratch(store).get("cuts")["cuts"].tolist() == [1]


def test_the_bucket_sees_no_value_and_equal_contents_do_not_look_equal() -> None:
    store = MemoryStore()
    for name in ("a", "b"):
        scratch(store).put(name, {"effect": SECRET})
    seen = [store.read(info.key, max_bytes=1 << 20) for info in store.list("")]
    assert not any(SECRET.tobytes() in data or b"effect" in data for data in seen)
    assert seen[0] != seen[1]
    address = scratch(store).address(b"weights")
    assert (
        address
        == scratch(MemoryStore()).address(b"weights")
        != scratch(store, key_pair=key_of("another")).address(b"weights")
    )
    assert address != scratch(store).address(b"weighty")


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_flipped_bit_is_refused_and_the_object_named(at: int) -> None:
    store = MemoryStore()
    scratch(store).put("blocks/0001", {"effect": SECRET})
    (info,) = store.list("")
    data = bytearray(store._objects[info.key])
    data[at] ^= 1
    store._objects[info.key] = bytes(data)
    with pytest.raises(RoundError, match=r"scratch/.*blocks/0001: does not open") as caught:
        scratch(store).get("blocks/0001")
    assert caught.value.subject == info.key
    with pytest.raises(RoundError, match="does not open"):
        scratch(store).find("blocks/0001")


def test_objects_that_change_places_or_come_from_another_night_are_refused() -> None:
    store = MemoryStore()
    mine, other = scratch(store), scratch(store, freeze=b"\x02" * 32)
    for each in (mine, other):
        each.put("a", {"x": np.arange(2)})
        each.put("b", {"x": np.arange(3)})
    kept = dict(store._objects)
    for source, target in (
        (mine.folder + "a", mine.folder + "b"),
        (other.folder + "a", mine.folder + "a"),
    ):
        store._objects = dict(kept) | {target: kept[source]}
        with pytest.raises(RoundError, match="does not open") as caught:
            mine.get(target.removeprefix(mine.folder))
        assert caught.value.subject == target


@pytest.mark.parametrize(
    "other",
    [
        {"key_pair": key_of("a new coordinator")},
        {"code": "fixed"},
        {"freeze": b"\x03" * 32},
        {"round_id": 2},
    ],
)
def test_another_key_code_freeze_or_round_has_a_folder_of_its_own(other: dict[str, object]) -> None:
    store = MemoryStore()
    scratch(store).put("a", {"x": np.arange(2)})
    assert scratch(store, **other).find("a") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "plain",
    [
        5,
        [["a", "<f8", [2], b"\x00" * 15]],
        [["a", "|O", [1], b"\x00" * 8]],
        [["a", "<f8", [-1], b""]],
        [["a", "<f8", [1.0], b"\x00" * 8]],
        [["b", "<i8", [0], b""], ["a", "<i8", [0], b""]],
        [["a", "<i8", [0]]],
    ],
)
def test_bytes_that_are_no_arrays_are_refused(plain: object) -> None:
    with pytest.raises(SchemaError):
        unpack_arrays(pack(plain))


def test_only_numbers_are_kept() -> None:
    with pytest.raises(SchemaError, match="cannot be kept"):
        pack_arrays({"x": np.array(["text"])})
    with pytest.raises(SchemaError, match="cannot be kept"):
        pack_arrays({"x": np.array([object()])})


def test_scratch_goes_with_its_round_and_not_before_and_the_audit_tells_it() -> None:
    federation = SmallFederation(clients=2)
    federation.play(1)
    federation.open(2)
    for round_id in (1, 2):
        scratch(federation.store, key_pair=federation.coordinator, round_id=round_id).put(
            "blocks/0001", {"x": np.arange(2)}
        )  # type: ignore[arg-type]
    report = audit(federation.store, federation.fingerprint, federation.coordinator)
    assert report.ok, report.findings
    assert sum("1 sealed scratch objects" in remark for remark in report.remarks) == 2
    before = federation.objects()
    assert [info.key.split("/")[1] for info in prunable(federation.reader())] == ["00000001"]
    record = prune(federation.reader(), key_pair=federation.coordinator, now=federation.night(1))
    assert record is not None
    assert (
        set(before) - set(federation.objects())
        == set(record.keys)
        == {k for k in before if k.startswith(Keys.scratch(1))}
    )
    assert audit(federation.store, federation.fingerprint, federation.coordinator).ok


def test_no_client_may_read_or_write_scratch_and_housekeeping_may_erase_it() -> None:
    folder = scratch(MemoryStore()).folder
    client, keeper = access_of(Role.CLIENT, client="site-01"), access_of(Role.HOUSEKEEPING)
    for name in (
        "layout",
        "clients/0001",
        "blocks/00001/0001",
        f"steps/{'0' * 32}/ask",
        f"steps/{'0' * 32}/0001",
    ):
        assert not any(
            fnmatchcase(folder + name, pattern) for pattern in (*client.reads, *client.creates)
        )
        assert any(fnmatchcase(folder + name, pattern) for pattern in keeper.erases)
