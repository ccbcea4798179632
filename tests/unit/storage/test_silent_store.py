"""A store that hangs gives a word: once a silence, with its name and how long it is waited for."""

import threading
from pathlib import Path

import pytest

from hyperfed.errors import TransportError
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.opening import open_store
from hyperfed.storage.retrying import RetryingStore, _Watch

pytestmark = pytest.mark.unit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_word_a_silence() -> None:
    clock, told = Clock(), []
    watch = _Watch(lambda: told.append(clock.now), after_s=10, clock=clock)
    watch._begin = lambda: None  # type: ignore[method-assign]  # the test looks itself
    for now in (0.0, 50.0):
        clock.now = now
        watch.look()
    assert told == [], "nobody waits"
    with watch.call():
        for seconds in (9.9, 10.0, 30.0):
            clock.now = 50 + seconds
            watch.look()
    assert told == [60.0]
    with watch.call() as again:
        clock.now = 89.0
        again()
        clock.now = 98.0
        watch.look()
        assert told == [60.0], "the wait began anew"
        clock.now = 99.0
        watch.look()
    assert told == [60.0, 99.0]
    clock.now = 500.0
    watch.look()
    assert told == [60.0, 99.0], "between two calls nobody waits"


class Unanswered(MemoryStore):
    """A store whose calls wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    @property
    def location(self) -> str:
        return "https://box.example"

    @property
    def longest_wait_s(self) -> float | None:
        return 100.0

    def read(self, key: str, *, max_bytes: int) -> bytes:
        assert self.go.wait(30)
        return super().read(key, max_bytes=max_bytes)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        assert self.go.wait(30)
        return super().put_if_absent(key, data)


@pytest.mark.parametrize("call", ["read", "read_many", "put_if_absent", "put_many"])
def test_every_kind_of_call_gives_the_word(call: str) -> None:
    inner, told = Unanswered(), []
    MemoryStore.put_if_absent(inner, "a", b"x")

    def tell(text: str) -> None:
        told.append(text)
        inner.go.set()

    store = RetryingStore(inner, attempts=3, base_s=1, cap_s=5, tell=tell, tell_after_s=0.05)
    match call:
        case "read":
            store.read("a", max_bytes=1)
        case "read_many":
            assert dict(store.read_many(["a"], max_bytes=1)) == {"a": b"x"}
        case "put_if_absent":
            store.put_if_absent("b", b"y")
        case _:
            assert list(store.put_many([("b", b"y")])) == [("b", True)]
    word = (
        "the object store at https://box.example has not answered for 0.05 s; waiting up to "
        "306 s; Ctrl-C stops"
    )
    assert told == [word], "three tries of 100 s, and pauses of 2 and 4 s"


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "retrying"]


def nobody_watches_any_more() -> bool:
    for thread in watching():
        thread.join(5)
    return not watching()


def test_where_nobody_is_told_nothing_watches(tmp_path: Path) -> None:
    assert nobody_watches_any_more()
    store = open_store(f"file://{tmp_path}")
    list(store.list(""))
    assert not watching()
    with pytest.raises(TransportError):
        store.read("a", max_bytes=1)


def test_one_thread_watches_all_stores_and_ends_when_nobody_waits() -> None:
    for _ in range(20):
        list(RetryingStore(MemoryStore(), tell=print, tell_after_s=0.02).list(""))
        assert len(watching()) <= 1
    assert nobody_watches_any_more()
