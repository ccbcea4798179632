"""`effect_trust` on the lines of a matrix is `effect_trust` on sorted rows, bit for bit, whatever is missing from the matrix."""

import numpy as np
import pytest

from hyperfed.merge.order import effect_trust

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("clients", "keys", "share"), [(40, 30, 0.9), (40, 30, 0.4), (7, 50, 0.8), (5, 1, 1.0), (1, 4, 1.0)])
def test_lines_say_what_rows_say(clients: int, keys: int, share: float) -> None:
    rng = np.random.default_rng(clients)
    there = rng.random((clients, keys)) < share
    there[0] = True  # every key has a row
    client, segment = np.nonzero(there)
    effect = np.round(rng.normal(0, 1, len(client)), 1) * 10.0 ** rng.integers(-3, 3, len(client))  # ties, and some far off
    effect[::17] = 1e300
    effect[3:5] = 0.0
    by_rows = effect_trust(segment, keys, effect)
    assert np.array_equal(effect_trust(segment, keys, effect, client=client, clients=clients), by_rows)
    if clients >= 5:
        assert by_rows.min() == 0.0


def test_one_far_effect_loses_its_weight_and_the_others_keep_theirs() -> None:
    client = np.arange(9)
    effect = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0, 50.0])
    trust = effect_trust(np.zeros(9, np.intp), 1, effect, client=client, clients=9)
    assert trust[8] == 0.0
    assert trust[:8].min() > 0.3
