"""The transports' conformance suite finds every fault that it looks for: each of its rules has a
transport that is fit but for one fault.
"""

from collections import defaultdict
from typing import Any

import pytest

from hyperfed.errors import ConfigError
from hyperfed.testing.transport_suite import TransportSuite
from hyperfed.transport import InMemoryHub, Transport

pytestmark = pytest.mark.unit


class Place:
    """Where parties meet, over the good transport; a fault changes what is sent or received."""

    def __init__(self) -> None:
        self.hub = InMemoryHub()
        self.connected: list[str] = []

    def connect(self, name: str) -> Transport:
        self.connected.append(name)
        return Party(self, name, self.hub.connect(name))

    def send(self, party: "Party", to: str, message: bytes) -> None:
        party.inner.send(to, message)

    def receive(self, party: "Party", timeout: float) -> tuple[str, bytes] | None:
        return party.inner.receive(timeout)


class Party(Transport):
    def __init__(self, place: Place, name: str, inner: Transport) -> None:
        self.place, self.name, self.inner = place, name, inner

    def send(self, to: str, message: bytes) -> None:
        self.place.send(self, to, message)

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        return self.place.receive(self, timeout)


class TellsTheReceiverAsSender(Place):
    def receive(self, party: Party, timeout: float) -> tuple[str, bytes] | None:
        found = super().receive(party, timeout)
        return None if found is None else (party.name, found[1])


class DropsMailForThoseWhoAreNotThere(Place):
    def send(self, party: Party, to: str, message: bytes) -> None:
        if to in self.connected:
            super().send(party, to, message)


class NewestFirst(Place):
    def __init__(self) -> None:
        super().__init__()
        self.waiting: defaultdict[str, list[tuple[str, bytes]]] = defaultdict(list)

    def receive(self, party: Party, timeout: float) -> tuple[str, bytes] | None:
        waiting = self.waiting[party.name]
        while (found := super().receive(party, timeout)) is not None:
            waiting.append(found)
        return waiting.pop() if waiting else None


class OneMessageAParty(Place):
    """Keeps one place for a party's mail, which the next message finds taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[tuple[str, str]] = set()

    def send(self, party: Party, to: str, message: bytes) -> None:
        if (party.name, to) not in self.taken:
            self.taken.add((party.name, to))
            super().send(party, to, message)


class DropsRepeatsOfOthers(Place):
    """Takes equal bytes of two senders for one message."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bytes] = set()

    def send(self, party: Party, to: str, message: bytes) -> None:
        if message not in self.seen:
            self.seen.add(message)
            super().send(party, to, message)


class BeginsAnewWithEachConnection(Place):
    """Numbers messages from one again after a restart, over those that were there."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: defaultdict[Party, int] = defaultdict(int)
        self.used: set[tuple[str, str, int]] = set()

    def send(self, party: Party, to: str, message: bytes) -> None:
        self.numbers[party] += 1
        place = (party.name, to, self.numbers[party])
        if place not in self.used:
            self.used.add(place)
            super().send(party, to, message)


class IsForText(Place):
    def send(self, party: Party, to: str, message: bytes) -> None:
        super().send(party, to, message.decode("utf-8", "replace").encode())


class TakesAnyName(Place):
    def connect(self, name: str) -> Transport:
        try:
            return super().connect(name)
        except ConfigError:
            return Party(self, name, self.hub.connect("other"))


class WaitsForEver(Place):
    """Takes what is no number of seconds for "as long as it takes", and here for none."""

    def receive(self, party: Party, timeout: float) -> tuple[str, bytes] | None:
        return super().receive(party, timeout if 0 <= timeout < 1 else 0)


FAULTS: dict[str, type[Place]] = {
    "a_message_arrives_with_its_sender_and_nobody_else_gets_it": TellsTheReceiverAsSender,
    "mail_waits_for_a_party_that_is_not_there_yet": DropsMailForThoseWhoAreNotThere,
    "one_sender_s_messages_keep_their_order": NewestFirst,
    "sending_and_receiving_take_turns": OneMessageAParty,
    "a_repeat_arrives_once_but_each_sender_s_counts": DropsRepeatsOfOthers,
    "a_restarted_sender_loses_and_replaces_nothing": BeginsAnewWithEachConnection,
    "every_byte_and_an_empty_message_arrive": IsForText,
    "a_name_that_is_no_segment_is_refused": TakesAnyName,
    "a_timeout_is_a_finite_number": WaitsForEver,
}


def trial_of(place: Place) -> Any:
    class Trial(TransportSuite):
        def connect(self, name: str) -> Transport:
            return place.connect(name)

    return Trial()


def test_every_rule_has_a_transport_that_breaks_it() -> None:
    rules = {name for name in vars(TransportSuite) if name.startswith("test_")}
    assert rules == {f"test_{rule}" for rule in FAULTS}


@pytest.mark.parametrize("rule", FAULTS)
def test_each_rule_finds_the_transport_that_breaks_it_and_passes_a_good_one(rule: str) -> None:
    getattr(trial_of(Place()), f"test_{rule}")()
    with pytest.raises(AssertionError):
        getattr(trial_of(FAULTS[rule]()), f"test_{rule}")()
