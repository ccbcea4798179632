"""MemoryStore beyond the conformance suite."""

from hyperfed.storage.memory import MemoryStore


def test_two_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    assert one.put_if_absent("k", b"1")
    assert other.head("k") is None
    assert other.put_if_absent("k", b"2")


def test_objects_created_during_a_listing_do_not_disturb_it() -> None:
    store = MemoryStore()
    for i in range(3):
        store.put_if_absent(f"k{i}", b"")
    seen = []
    for info in store.list("k"):
        store.put_if_absent(f"{info.key}-later", b"")
        seen.append(info.key)
    assert seen == ["k0", "k1", "k2"]
