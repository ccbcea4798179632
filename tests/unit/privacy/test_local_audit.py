"""The empirical privacy audit of local noise: what the coordinator, who sees each client's message
one by one, can tell from many of them about what the client held, as test_release has it for the
sum.
"""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from hyperfed.packets import PathPack, Update
from hyperfed.privacy.discrete_gaussian import RandomBytes, discrete_gaussian
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.rdp import rdp_epsilon
from hyperfed.privacy.release import noised_message
from hyperfed.privacy.slots import public_slots, slot_count
from hyperfed.tables.vocabulary import Vocabulary
from tests.unit.privacy.seen_epsilon import epsilon_seen

NAMES = Vocabulary.of("a", "b", "c")
LAGS = (0, 1)
DELTA = Decimal("0.01")
RUNS = 8_000
HELD = (0.6, 0.8)
"""What the client holds, or nothing: the two that epsilon is stated for (relation "zero-out")."""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _many_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler's own draws, taken in large batches, each used once."""
    stock: dict[int, np.ndarray] = {}

    def drawn(sigma: int, size: int, *, random_bytes: RandomBytes) -> np.ndarray:
        if len(stock.get(sigma, ())) < size:
            stock[sigma] = discrete_gaussian(sigma, 200_000)
        out, stock[sigma] = stock[sigma][:size], stock[sigma][size:]
        return out

    monkeypatch.setattr("hyperfed.privacy.release.discrete_gaussian", drawn)


def planned() -> PlannedRelease:
    return plan_release(
        epsilon=Decimal(1),
        delta=DELTA,
        clip_norm=1.0,
        slots=slot_count(len(NAMES), LAGS),
        place="local",
    )


def seen(night: PlannedRelease) -> float:
    """The epsilon that the best single number of a message proves, over many messages."""
    slots = public_slots(len(NAMES), LAGS)
    both = []
    for share in (1.0, 0.0):
        effects = [share * effect for effect in HELD]
        update = Update.from_paths(
            [PathPack(0, i + 1, 0, effect, 1.0, 1.0) for i, effect in enumerate(effects)],
            measured=[0, 1, 2],
        )
        assert update.edges is not None
        at = [int(np.flatnonzero(slots == key)[0]) for key in update.edges.keys]
        values = np.empty(RUNS)
        for run in range(RUNS):
            message = noised_message(update, night, vocabulary=NAMES, lags=LAGS)
            assert message.edges is not None
            values[run] = np.asarray(message.edges.effect)[at] @ np.array(HELD)
        both.append(values)
    return epsilon_seen(both[0], both[1], float(DELTA))


def test_many_messages_stay_within_epsilon() -> None:
    night = planned()
    assert 0.3 < seen(night) <= float(night.epsilon)


def test_half_the_noise_shows() -> None:
    """Charged as before: the defect that the audit is there for."""
    night = planned()
    half = replace(night, mechanism=replace(night.mechanism, sigma=night.mechanism.sigma // 2))
    assert seen(half) > float(night.epsilon)
    honest = rdp_epsilon(
        Fraction(half.mechanism.sensitivity**2, 2 * half.mechanism.sigma**2), DELTA
    )
    assert honest > 2 * night.epsilon
