"""A client's effects as a vector with a share of noise, and what an opened sum of them may be."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.errors import AggregationError, BoundsError, PrivacyError
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.secure_aggregation.noised_effects import effects_sum_of, effects_vector, longest_sum
from hyperfed.tables.tables import EdgeTable
from tests.effects_night import EffectsNight, effects_policy, effects_update
from tests.secure_night import VOCABULARY

pytestmark = pytest.mark.unit


def night_of(slots: int = 9, shares: int = 4) -> PlannedRelease:
    policy = effects_policy(shares)
    return plan_release(
        epsilon=policy.privacy_epsilon,
        delta=policy.privacy_delta,
        clip_norm=1.0,
        slots=slots,
        place="shares",
        noise_shares=shares,
    )


NIGHT = night_of()


def vector(edges: EdgeTable | None = None, **changes: Any) -> np.ndarray:
    given: dict[str, Any] = {
        "vocabulary": VOCABULARY,
        "lags": (1,),
        "cohort": 6,
        "subject": "ward-1",
    } | changes
    table = effects_update(0.5, 0.6).edges if edges is None else edges
    assert table is not None
    return effects_vector(table, given.pop("night", NIGHT), **given)


def test_a_message_is_the_clipped_effects_in_steps_and_a_share_of_noise() -> None:
    rng = np.random.default_rng
    once, again = (vector(random_bytes=rng(1).bytes) for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.array_equal(vector(), vector())
    for effects in ((0.3, 0.4), (3.0, 4.0), (3e20, -4e20)):
        edges = effects_update(*effects).edges
        noised = vector(edges, random_bytes=rng(2).bytes).view(np.int64)
        nothing = vector(edges.take(np.zeros(2, bool)), random_bytes=rng(2).bytes)  # type: ignore[union-attr]
        steps = noised - nothing.view(np.int64)
        norm = min(1.0, math.hypot(*effects))
        assert np.linalg.norm(steps) <= NIGHT.bound
        assert np.linalg.norm(steps) == pytest.approx(norm * NIGHT.bound, abs=2)
        assert set(np.flatnonzero(steps)) == {1, 5}  # heat -> load, load -> wear


@pytest.mark.parametrize(
    "wrong",
    [
        {"night": replace(NIGHT, mechanism=replace(NIGHT.mechanism, numbers=8))},
        {"night": night_of(18)},
        {"lags": (1, 2)},
        {
            "night": plan_release(
                epsilon=effects_policy().privacy_epsilon,
                delta=effects_policy().privacy_delta,
                clip_norm=1.0,
                slots=9,
                place="local",
            )
        },
    ],
)
def test_what_is_no_message_of_the_night_is_not_noised(wrong: dict[str, Any]) -> None:
    drawn = list[int]()

    def count(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    with pytest.raises(PrivacyError):
        vector(random_bytes=count, **wrong)
    assert not drawn


def test_a_cohort_whose_noise_could_wrap_is_refused() -> None:
    with pytest.raises(BoundsError, match="bears finite numbers below"):
        vector(cohort=1 << 43)


def sum_of(total: np.ndarray, clients: int = 6, night: PlannedRelease = NIGHT) -> np.ndarray:
    return effects_sum_of(total.astype(np.int64).view(np.uint64), night, clients=clients)


def test_a_sum_is_refused_just_beyond_what_clips_and_noise_can_be() -> None:
    """One number alone, and all of them together; both just inside pass (R-176)."""
    one = int(longest_sum(NIGHT, clients=6, numbers=1))
    for value, fine in ((one, True), (-one, True), (one + 1, False), (-one - 1, False)):
        total = np.zeros(9, dtype=np.int64)
        total[4] = value
        if fine:
            assert np.array_equal(sum_of(total), total)
            continue
        with pytest.raises(AggregationError, match="6 clips and their noise can have") as refused:
            sum_of(total)
        assert refused.value.rule == "R-176"
    each = longest_sum(NIGHT, clients=6, numbers=9) / 3
    assert each < one
    assert len(sum_of(np.full(9, math.floor(each)))) == 9
    with pytest.raises(AggregationError, match="is longer than 6 clips"):
        sum_of(np.full(9, math.ceil(each)))


@pytest.mark.parametrize("total", [np.zeros(8), np.zeros(10), np.full(9, -(2**63))])
def test_a_sum_of_another_length_or_of_wrapped_numbers_is_refused(total: np.ndarray) -> None:
    with pytest.raises(AggregationError) as refused:
        sum_of(total)
    assert refused.value.rule == "R-176"


@pytest.mark.parametrize("clients", [1, 2, 20])
def test_honest_noise_is_never_refused(clients: int) -> None:
    """The largest clips in one direction, and the noise of all: many draws, none refused."""
    rng = np.random.default_rng(clients)
    clip = np.zeros(9)
    clip[0] = NIGHT.bound
    lengths = []
    for _ in range(200):
        noise = rng.normal(size=(clients, 9)) * NIGHT.mechanism.sigma
        total = np.rint(clients * clip + noise.sum(axis=0))
        lengths.append(np.linalg.norm(sum_of(total, clients=clients)))
    most = longest_sum(NIGHT, clients=clients, numbers=9)
    assert max(lengths) < most
    assert most - clients * NIGHT.bound < 15 * math.sqrt(clients) * NIGHT.mechanism.sigma


def test_numbers_are_as_many_as_there_are_possible_edges() -> None:
    from hyperfed.secure_aggregation.statistics_vector import numbers_of

    fed = EffectsNight().federation
    for lags, numbers in (((1,), 9), ((0, 1), 15), ((0,), 6)):
        twin = EffectsNight(changes={"lags": lags})
        twin.opens()
        assert numbers_of(twin.federation.plan(1)) == numbers
    assert fed.policy.lags == (1,)
