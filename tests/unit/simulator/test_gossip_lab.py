"""Gossip measured against its theory, and under liars."""

import numpy as np
import pytest

from hyperfed.simulator.gossip_lab import GossipWorld, gossip_errors, honest_errors
from tests.unit.gossip.noised import plan_of


@pytest.mark.parametrize("clients", [10, 48, 100])
def test_the_rate_is_the_theorys(clients: int) -> None:
    errors = gossip_errors(GossipWorld(clients=clients, epochs=10))
    rate = float((errors[8] / errors[2]) ** (1 / 6))
    assert rate == pytest.approx(plan_of(clients).contraction(), abs=0.08)
    assert int(np.argmax(errors < 1e-2)) in range(5, 9)


def test_a_tenth_of_the_visits_missing_costs_epochs_not_the_average() -> None:
    errors = gossip_errors(GossipWorld(clients=48, epochs=14, away=0.1))
    assert errors[-1] < 0.01


def test_noise_stays_and_is_averaged() -> None:
    """48 messages with noise of the spread's size leave about 1 / sqrt(48) of it."""
    errors = gossip_errors(GossipWorld(clients=48, noise=1.0))
    assert 0.05 < errors[-1] < 0.3
    assert errors[-1] == pytest.approx(errors[-3], abs=0.01)


@pytest.mark.parametrize("away", [0.0, 0.1, 0.5])
def test_all_clients_at_once_are_the_states_one_by_one(away: float) -> None:
    """The figures of docs/gossip.md are what `GossipState` does; at 0.5 its bounds cut as well."""
    world = GossipWorld(clients=24, epochs=9, away=away, noise=1.0, seed=3)
    assert np.allclose(honest_errors(world), gossip_errors(world), rtol=1e-9)


def test_liars_move_the_average_and_more_of_them_move_it_further() -> None:
    """What the page says: gossip has no defence but the bounds."""
    few, many = (
        gossip_errors(GossipWorld(clients=48, epochs=6, liars=share))[-1] for share in (0.1, 0.3)
    )
    assert 0.3 < few < many < 3.0
