"""Averages that are kept, whoever is late or missing."""

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.errors import ConfigError, PrivacyError, RefusedError
from hyperfed.gossip import GossipState, Share
from tests.unit.gossip.noised import LENGTH, plan_of, vector

CLIENTS = 20
Floats = npt.NDArray[np.float64]


def _states(
    rng: np.random.Generator, *, material: float = 0.0
) -> tuple[dict[str, GossipState], Floats]:
    plan = plan_of(CLIENTS, degree=4)
    messages = rng.normal(0, 1, (CLIENTS, LENGTH))
    states = {
        client: GossipState(plan, client, vector(messages[i]), material=material)
        for i, client in enumerate(plan.clients)
    }
    return states, messages


def _mass(states: dict[str, GossipState], under_way: list[Share]) -> tuple[float, Floats]:
    """All weights, and all vectors times their weight, wherever they are."""
    weight = sum(state.weight for state in states.values()) + sum(s.weight for s in under_way)
    values = sum((state.average * state.weight for state in states.values()), np.zeros(LENGTH))
    return weight, values + sum((share.values for share in under_way), np.zeros(LENGTH))


def test_no_epoch_changes_the_sum_even_where_shares_are_late() -> None:
    states, messages = _states(np.random.default_rng(1))
    waiting: list[tuple[str, Share]] = []
    for epoch in range(10):
        pushed: list[tuple[str, Share]] = []
        for client, state in states.items():
            if client == f"c{epoch:03d}":
                continue  # away: nothing is read or sent
            for peer, share in [(p, s) for p, s in waiting if p == client]:
                assert state.add(share)
                waiting.remove((peer, share))
            pushed.extend(state.push().items())
        waiting.extend(pushed)
        weight, values = _mass(states, [share for _, share in waiting])
        assert weight == pytest.approx(CLIENTS)
        np.testing.assert_allclose(values, messages.sum(axis=0), atol=1e-9)


def test_clients_that_act_one_after_another_lose_nothing_either() -> None:
    """They pile weight up, and stay below what is believed."""
    states, messages = _states(np.random.default_rng(8))
    for _ in range(10):
        for state in states.values():
            for peer, share in state.push().items():
                states[peer].add(share)
    weight, _ = _mass(states, [])
    assert weight == pytest.approx(CLIENTS)
    for state in states.values():
        np.testing.assert_allclose(state.average, messages.mean(axis=0), atol=0.05)


def test_everyone_agrees_on_the_average() -> None:
    states, messages = _states(np.random.default_rng(2))
    for _ in range(10):
        pushed = [item for state in states.values() for item in state.push().items()]
        for peer, share in pushed:
            states[peer].add(share)
    for state in states.values():
        np.testing.assert_allclose(state.average, messages.mean(axis=0), atol=2e-3)


def test_a_client_that_never_comes_back_leaves_an_average_of_the_rest() -> None:
    states, messages = _states(np.random.default_rng(3))
    gone = next(iter(states))
    for _ in range(10):
        pushed = [item for c, state in states.items() if c != gone for item in state.push().items()]
        for peer, share in pushed:
            if peer != gone:
                states[peer].add(share)
    averages = np.array([state.average for c, state in states.items() if c != gone])
    assert np.ptp(averages, axis=0).max() < 0.05
    others = np.array([m for c, m in zip(states, messages, strict=True) if c != gone])
    assert (averages >= others.min(axis=0)).all()
    assert (averages <= others.max(axis=0)).all()


def test_a_share_is_added_once() -> None:
    states, _ = _states(np.random.default_rng(4))
    peer, share = next(iter(states["c000"].push().items()))
    assert states[peer].add(share)
    before = states[peer].average
    assert not states[peer].add(share)
    np.testing.assert_array_equal(states[peer].average, before)
    assert states[peer].heard == 1


def test_a_refused_share_changes_nothing() -> None:
    states, _ = _states(np.random.default_rng(5))
    state = next(iter(states.values()))
    before = state.average
    bad = Share(round=9, epoch=0, sender="c001", weight=0.2, values=np.zeros(LENGTH))
    with pytest.raises(RefusedError):
        state.add(bad)
    np.testing.assert_array_equal(state.average, before)
    assert state.heard == 0


def test_what_has_not_moved_is_not_pushed_again_and_nothing_is_lost() -> None:
    states, messages = _states(np.random.default_rng(6), material=0.5)
    sent = []
    for _ in range(6):
        pushed = [item for state in states.values() for item in state.push().items()]
        sent.append(len(pushed))
        for peer, share in pushed:
            states[peer].add(share)
    assert sent[0] == CLIENTS * 4
    assert sum(sent[1:]) < 5 * CLIENTS * 4
    weight, values = _mass(states, [])
    assert weight == pytest.approx(CLIENTS)
    np.testing.assert_allclose(values, messages.sum(axis=0), atol=1e-9)


def test_only_a_noised_vector_begins_and_epochs_end() -> None:
    plan = plan_of(CLIENTS, epochs=1)
    with pytest.raises(PrivacyError, match="begins with a ndarray; only a NoisedVector"):
        GossipState(plan, "c001", np.zeros(LENGTH))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is not of the plan's 20 clients"):
        GossipState(plan, "ghost", vector(0.0))
    state = GossipState(plan, "c001", vector(0.0))
    state.push()
    with pytest.raises(ConfigError, match="the round's 1 epochs are over"):
        state.push()
