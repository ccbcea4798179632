"""A relay's gate: each party its own rate and its own calls, and bytes over all of them."""

from contextlib import ExitStack
from itertools import pairwise

import pytest

from hyperfed.errors import ConfigError, TransientError
from hyperfed.relay.limits import Gate, RelayLimits


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def call(gate: Gate, party: str = "ann", *, rated: bool = True) -> bool:
    try:
        with gate.call(party, rated=rated):
            return True
    except TransientError:
        return False


def test_in_the_long_run_a_party_has_its_rate_and_after_a_pause_its_burst() -> None:
    clock = Clock()
    gate = Gate(RelayLimits(calls_per_s=2, burst=5), clock=clock)
    assert [call(gate) for _ in range(7)] == [True] * 5 + [False] * 2
    assert call(gate, "bob"), "another's calls are its own"
    assert all(call(gate, rated=False) for _ in range(20))
    passed = 0
    for _ in range(1000):
        clock.seconds += 0.1
        passed += call(gate)
    assert 199 <= passed <= 201
    clock.seconds += 1e6
    assert [call(gate) for _ in range(6)] == [True] * 5 + [False]


def test_whoever_waits_as_long_as_it_was_asked_is_let_through() -> None:
    clock = Clock()
    gate = Gate(RelayLimits(calls_per_s=0.25, burst=1), clock=clock)
    assert call(gate)
    with pytest.raises(TransientError) as raised, gate.call("ann", rated=True):
        pass
    assert raised.value.asked_s == 4
    clock.seconds += raised.value.asked_s
    assert call(gate)


def test_a_refused_call_counts_for_nothing() -> None:
    gate = Gate(RelayLimits(open_calls_per_party=2, burst=100))
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(gate.call("ann", rated=True))
        for _ in range(5):
            assert not call(gate)
        assert call(gate, "bob")
    assert call(gate)
    with pytest.raises(ValueError, match="within"), gate.call("ann", rated=True):
        raise ValueError("within")
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(gate.call("ann", rated=True))


def test_bytes_that_are_being_sent_are_bounded_over_all_parties() -> None:
    gate = Gate(RelayLimits(in_flight_bytes=100))
    with gate.sending(60):
        with (
            gate.sending(40),
            pytest.raises(TransientError, match="100 bytes"),
            gate.sending(1),
        ):
            pass
        with gate.sending(40):
            pass
    with gate.sending(1000):  # one object larger than all of it, alone
        pass
    with gate.sending(100):
        pass


def test_limits_are_positive() -> None:
    for name in RelayLimits.__slots__:
        with pytest.raises(ConfigError, match=name):
            RelayLimits(**{name: 0})
    fields = RelayLimits()
    assert all(a <= b for a, b in pairwise((fields.open_calls_per_party, fields.open_calls)))
