"""Thirty rounds of each world that once silenced or expelled an honest client, with fixed seeds."""

import numpy as np
import pytest

from hyperfed.simulator.standing_worlds import StandingWorld, standing_worlds
from hyperfed.simulator.statistics import standing

pytestmark = pytest.mark.unit

SMALL = standing_worlds(np.random.default_rng(21), variables=4, rows=100, bootstraps=4)
WHOLE = standing_worlds(np.random.default_rng(22))


def _nobody_honest_is_expelled(world: StandingWorld, seed: int) -> None:
    found = standing(
        world.night, np.random.default_rng(seed), liars=world.liars, baskets=world.baskets
    )
    assert not found.expelled - set(world.liars)
    assert found.trust.keys() >= {"site-0", "site-1"}
    if world.name == "a third lies":
        assert found.expelled == set(world.liars)
        honest = [found.trust[client] for client in found.trust if client not in world.liars]
        assert min(honest) > 0.5
    if "a client with" in world.name or "50 times" in world.name:
        assert found.weight["odd"] > 0.1
    if "baskets" in world.name:
        assert found.weight["odd"] > 0.5
    if world.name == "a client that finds nothing":
        assert (found.weight["odd"], found.trust["odd"]) == (1.0, pytest.approx(0.2))


@pytest.mark.parametrize("world", SMALL, ids=lambda world: world.name)
def test_in_thirty_rounds_no_honest_client_is_expelled(world: StandingWorld) -> None:
    _nobody_honest_is_expelled(world, 31)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [32, 33])
@pytest.mark.parametrize("world", WHOLE, ids=lambda world: world.name)
def test_nor_with_six_variables_and_twice_the_rows(world: StandingWorld, seed: int) -> None:
    _nobody_honest_is_expelled(world, seed)
