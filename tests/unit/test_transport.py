"""Both transports keep the same promises; the store's also over a bad network."""

import threading
from collections.abc import Callable

import pytest

from hyperfed.errors import AccessDenied, ConfigError, TransientError
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore
from hyperfed.testing.transport_suite import TransportSuite
from hyperfed.transport import InMemoryTransport, StoreTransport, Transport


def fake_time() -> tuple[Callable[[], float], Callable[[float], None], list[float]]:
    slept: list[float] = []
    return (lambda: sum(slept)), slept.append, slept


class TestInMemory(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.hub = InMemoryTransport.hub()

    def connect(self, name: str) -> Transport:
        return self.hub.connect(name)


class TestStore(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.store, (self.clock, self.sleep, _) = MemoryStore(), fake_time()

    def connect(self, name: str) -> Transport:
        return StoreTransport(self.store, name, clock=self.clock, sleep=self.sleep)


def test_without_arguments_it_is_a_loopback() -> None:
    transport = InMemoryTransport()
    transport.send("anyone", b"x")
    assert transport.receive(0) == (transport.name, b"x")
    assert InMemoryTransport().receive(0) is None, "every loopback is its own"


def test_an_in_memory_receive_wakes_up_when_mail_comes() -> None:
    hub = InMemoryTransport.hub()
    ann, bob = hub.connect("ann"), hub.connect("bob")
    threading.Timer(0.05, ann.send, ("bob", b"late")).start()
    assert bob.receive(20) == ("ann", b"late")


def test_the_store_is_polled_until_the_timeout() -> None:
    clock, sleep, slept = fake_time()
    bob = StoreTransport(MemoryStore(), "bob", poll_s=2, clock=clock, sleep=sleep)
    assert bob.receive(5) is None
    assert slept == [2, 2, 1]


def test_a_restarted_receiver_goes_on_at_its_cursor() -> None:
    store = MemoryStore()
    ann, bob = StoreTransport(store, "ann"), StoreTransport(store, "bob")
    for i in range(3):
        ann.send("bob", b"%d" % i)
    bob.receive(0)
    again = StoreTransport(store, "bob", cursor=bob.cursor)
    assert again.receive(0) == ("ann", b"1")
    assert StoreTransport(store, "bob").receive(0) == ("ann", b"0"), (
        "without a cursor from the start"
    )


def test_a_restarted_sender_goes_on_after_its_last_number() -> None:
    store = MemoryStore()
    StoreTransport(store, "ann").send("bob", b"0")
    StoreTransport(store, "ann").send("bob", b"1")
    assert [info.key for info in store.list("mail/")] == [
        "mail/bob/ann/000000000000",
        "mail/bob/ann/000000000001",
    ]


def test_two_senders_in_one_name_lose_nothing() -> None:
    store = MemoryStore()
    one, two = StoreTransport(store, "ann"), StoreTransport(store, "ann")
    one.send("bob", b"a")
    two.send("bob", b"b")
    one.send("bob", b"c")
    bob = StoreTransport(store, "bob")
    assert [bob.receive(0) for _ in range(3)] == [("ann", b"a"), ("ann", b"b"), ("ann", b"c")]


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.DUPLICATE])
def test_sending_again_after_a_fault_leaves_one_message(fault: Fault) -> None:
    inner = MemoryStore()
    # the first operation is the listing
    ann = StoreTransport(FaultStore(inner, FaultPlan(at={2: fault})), "ann")
    try:
        ann.send("bob", b"x")
    except TransientError:
        ann.send("bob", b"x")
    ann.send("bob", b"y")
    assert len([*inner.list("mail/")]) == 2
    bob = StoreTransport(inner, "bob")
    assert [bob.receive(0), bob.receive(0), bob.receive(0)] == [("ann", b"x"), ("ann", b"y"), None]


def test_a_read_that_fails_loses_no_message() -> None:
    inner = MemoryStore()
    ann = StoreTransport(inner, "ann")
    ann.send("bob", b"x")
    ann.send("bob", b"y")
    bob = StoreTransport(FaultStore(inner, FaultPlan(at={2: Fault.LOST_REPLY})), "bob")
    with pytest.raises(TransientError):
        bob.receive(0)
    assert [bob.receive(0), bob.receive(0), bob.receive(0)] == [("ann", b"x"), ("ann", b"y"), None]


def test_mail_that_is_too_large_is_skipped_and_does_not_block() -> None:
    store = MemoryStore()
    StoreTransport(store, "eve").send("bob", b"x" * 100)
    StoreTransport(store, "ann").send("bob", b"fine")
    StoreTransport(store, "eve").send("bob", b"fine")
    bob = StoreTransport(store, "bob", max_message_bytes=50)
    assert {bob.receive(0), bob.receive(0)} == {("ann", b"fine"), ("eve", b"fine")}
    with pytest.raises(ConfigError, match="100 bytes"):
        bob.send("ann", b"x" * 100)


def test_a_stranger_s_object_in_the_folder_is_ignored() -> None:
    store = MemoryStore()
    for key in (
        "mail/bob/readme",
        "mail/bob/eve/notanumber00",
        "mail/bob/eve/deep/000000000000",
        "mail/bobby/eve/000000000000",
    ):
        store.put_if_absent(key, b"junk")
    assert StoreTransport(store, "bob").receive(0) is None


def test_a_refusal_comes_out_as_it_is() -> None:
    class Closed(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            raise AccessDenied("refused", subject=key)

    with pytest.raises(AccessDenied):
        StoreTransport(Closed(), "ann").send("bob", b"x")
