"""Test any `Transport` for conformance (`TransportSuite`).

Use the suite with pytest, for a transport of your own too:

    class TestMyTransport(TransportSuite):
        def connect(self, name):
            return MyTransport(name)   # a party of one place, which is new for every test

1. Each test is one promise of `hyperfed.transport`, and uses only the parties ann, bob and eve.
   Nothing here needs pytest: the methods are plain functions that assert.
2. A party may connect again. It is then a restarted party, without a cursor.

What it does not do: test a bad network (put `hyperfed.testing.faults` under a `StoreTransport`), or
who may write where (that is up to the store's rights, or to the URLs).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from hyperfed.errors import ConfigError
from hyperfed.transport import Transport

__all__ = ["TransportSuite"]

_MANY = 12


class TransportSuite(ABC):
    """Tests a transport.

    A subclass gives `connect`.
    """

    @abstractmethod
    def connect(self, name: str) -> Transport:
        """Return the party called `name`, in a place that is empty at the beginning of each test.

        Raises ConfigError for a text that is no name.
        """

    def test_a_message_arrives_with_its_sender_and_nobody_else_gets_it(self) -> None:
        ann, bob, eve = self.connect("ann"), self.connect("bob"), self.connect("eve")
        ann.send("bob", b"hello")
        assert bob.receive(0) == ("ann", b"hello")
        assert [bob.receive(0), ann.receive(0), eve.receive(0)] == [None, None, None]

    def test_mail_waits_for_a_party_that_is_not_there_yet(self) -> None:
        self.connect("ann").send("bob", b"early")
        assert self.connect("bob").receive(0) == ("ann", b"early")

    def test_one_sender_s_messages_keep_their_order(self) -> None:
        ann, bob = self.connect("ann"), self.connect("bob")
        for i in range(_MANY):
            ann.send("bob", b"%d" % i)
        assert [bob.receive(0) for _ in range(_MANY)] == [("ann", b"%d" % i) for i in range(_MANY)]

    def test_sending_and_receiving_take_turns(self) -> None:
        ann, bob = self.connect("ann"), self.connect("bob")
        for i in range(3):
            ann.send("bob", b"ping %d" % i)
            assert bob.receive(0) == ("ann", b"ping %d" % i)
            bob.send("ann", b"pong %d" % i)
            assert ann.receive(0) == ("bob", b"pong %d" % i)

    def test_a_repeat_arrives_once_but_each_sender_s_counts(self) -> None:
        ann, eve, bob = self.connect("ann"), self.connect("eve"), self.connect("bob")
        ann.send("bob", b"same")
        ann.send("bob", b"same")
        eve.send("bob", b"same")
        ann.send("bob", b"other")
        received = [bob.receive(0) for _ in range(4)]
        assert sorted(r for r in received if r) == [
            ("ann", b"other"),
            ("ann", b"same"),
            ("eve", b"same"),
        ]
        assert received[3] is None

    def test_a_restarted_sender_loses_and_replaces_nothing(self) -> None:
        self.connect("ann").send("bob", b"before")
        self.connect("ann").send("bob", b"after")
        bob = self.connect("bob")
        assert [bob.receive(0), bob.receive(0)] == [("ann", b"before"), ("ann", b"after")]

    def test_every_byte_and_an_empty_message_arrive(self) -> None:
        ann, bob = self.connect("ann"), self.connect("bob")
        data = bytes(range(256)) * 100
        ann.send("bob", data)
        ann.send("bob", b"")
        assert [bob.receive(0), bob.receive(0)] == [("ann", data), ("ann", b"")]

    def test_a_name_that_is_no_segment_is_refused(self) -> None:
        ann = self.connect("ann")
        for name in ("", "a/b", "..", ".x", "ä", "a\x00"):
            assert _refused(lambda name=name: self.connect(name)), name  # type: ignore[misc]
            assert _refused(lambda name=name: ann.send(name, b"x")), name  # type: ignore[misc]

    def test_a_timeout_is_a_finite_number(self) -> None:
        ann = self.connect("ann")
        for timeout in (-1.0, float("nan"), float("inf")):
            assert _refused(lambda timeout=timeout: ann.receive(timeout)), timeout  # type: ignore[misc]
        assert ann.receive(0.01) is None


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ConfigError:
        return True
    return False
