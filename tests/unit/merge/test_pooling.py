"""Pooling: coverage and the variance between clients, tests, outliers, and who can decide what."""

import numpy as np
import pytest

from hyperfed.merge.pooling import Pooled, effect_trust, pool_effects

pytestmark = pytest.mark.unit
Z95 = 1.959963984540054


def _pooled(
    effect: np.ndarray, v: np.ndarray, *, weigh_outliers: bool = True, **more: object
) -> Pooled:
    """Pool float64[clients, keys]."""
    clients, keys = effect.shape
    return pool_effects(
        np.tile(np.arange(keys), clients),
        keys,
        effect=effect.ravel(),
        vote=np.ones(effect.size),
        weight=np.ones(effect.size),
        width=(2 * Z95 * np.sqrt(v)).ravel(),
        weigh_outliers=weigh_outliers,
        **more,  # type: ignore[arg-type]
    )


def _honest(seed: int, clients: int, keys: int, tau2: float, rows: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    v = np.full((clients, keys), 1.0 / rows)
    return 0.2 + rng.normal(size=v.shape) * np.sqrt(tau2 + v), v


@pytest.mark.parametrize(("clients", "rows"), [(5, 300), (10, 300), (48, 100)])
def test_intervals_hold_what_they_say_and_outlier_weights_do_not_shrink_tau2(
    clients: int, rows: int
) -> None:
    effect, v = _honest(1, clients, 4000, 0.01, rows)
    pooled = _pooled(effect, v)
    assert 0.93 <= np.mean(np.abs(pooled.effect - 0.2) <= pooled.half) <= 0.97
    if clients >= 10:  # of fewer the mean of what is never below 0 is larger
        assert 0.0095 <= pooled.tau2.mean() <= 0.012


@pytest.mark.parametrize("clients", [2, 3, 4, 5, 10, 30])
@pytest.mark.parametrize(("rows", "share"), [(300, 0.75), (100, 0.5)])
def test_the_spread_between_clients_is_as_often_too_large_as_too_small(
    clients: int, rows: int, share: float
) -> None:
    effect, v = _honest(5, clients, 4000, 0.01, rows)
    pooled = _pooled(effect, v)
    assert 0.45 <= np.mean(pooled.tau2 > 0.01) <= 0.53
    assert 0.45 <= np.mean(pooled.i2 > share) <= 0.53
    # I squared says the same as tau squared
    typical = 1.0 / rows
    np.testing.assert_allclose(pooled.i2, pooled.tau2 / (pooled.tau2 + typical), atol=0.02)


def test_a_narrow_interval_counts_where_its_effect_bears_it_out() -> None:
    """Three clients of eleven say that they are sure of an effect three deviations away, or of
    that of the others.
    """
    others = 0.5 + 0.02 * np.array([-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5])

    def told(at: float, *, variance: float, judged: bool = True) -> Pooled:
        v = np.full((11, 1), 4e-4)
        v[8:] = variance
        return _pooled(np.append(others, [at] * 3)[:, None], v, weigh_outliers=judged)

    assert told(0.58, variance=1e-8).effect[0] == told(0.58, variance=4e-4).effect[0]
    assert told(0.5, variance=1e-8).std_error[0] < 0.5 * told(0.5, variance=4e-4).std_error[0]
    # a rule that bears no liars believes them
    believed = told(0.58, variance=1e-8, judged=False).effect[0]
    assert believed > told(0.58, variance=4e-4, judged=False).effect[0] + 0.003


@pytest.mark.parametrize("tau2", [0.0, 0.01])
def test_clients_of_unequal_size_lose_nothing_by_what_a_narrow_interval_must_bear_out(
    tau2: float,
) -> None:
    rng = np.random.default_rng(6)
    v = 1.0 / (300.0 * np.exp(rng.uniform(-np.log(5), np.log(5), (10, 4000))))
    effect = 0.2 + rng.normal(size=v.shape) * np.sqrt(tau2 + v)
    judged, plain = _pooled(effect, v), _pooled(effect, v, weigh_outliers=False)
    assert 0.93 <= np.mean(np.abs(judged.effect - 0.2) <= judged.half) <= (0.97 if tau2 else 1.0)
    error, least = (np.sqrt(np.mean((one.effect - 0.2) ** 2)) for one in (judged, plain))
    assert error < 1.03 * least
    assert judged.tau2.mean() > 0.97 * plain.tau2.mean()


def test_without_differences_between_clients_an_interval_is_not_too_short() -> None:
    effect, v = _honest(2, 10, 4000, 0.0, 300)
    pooled = _pooled(effect, v)
    assert np.mean(np.abs(pooled.effect - 0.2) <= pooled.half) >= 0.95


def test_p_values_of_noise_are_at_most_uniform_and_those_of_an_effect_are_small() -> None:
    effect, v = _honest(3, 12, 4000, 0.005, 100)
    noise = _pooled(effect - 0.2, v).p_values()
    for level in (0.001, 0.01, 0.05, 0.2):
        assert np.mean(noise <= level) <= level + 3 * np.sqrt(level / 4000)
    assert np.mean(_pooled(effect + 0.3, v).p_values() < 1e-4) > 0.99


def test_who_sends_nothing_counts_as_an_estimate_of_zero() -> None:
    """Of ten clients four sent the row that they found strong: their mean is not everybody's."""
    effect, v = _honest(4, 4, 50, 0.0, 300)
    alone = _pooled(effect + 0.5, v)
    asked = _pooled(effect + 0.5, v, voters=np.full(50, 10.0))
    half = _pooled(effect + 0.5, v, voters=np.full(50, 8.0))
    assert (alone.p_values() < 0.01).all()
    assert not asked.tested.any()  # less than half of the weight
    assert (asked.p_values() == 1.0).all()
    assert half.tested.all()
    assert (half.p_values() > alone.p_values()).all()


def test_one_client_is_no_test_and_two_are_hardly_one() -> None:
    one = _pooled(np.array([[0.5]]), np.array([[1e-4]]))
    assert not one.tested[0]
    assert (one.low[0], one.high[0]) == (0.0, 0.5)
    assert one.half[0] == pytest.approx(Z95 * 0.01)
    two = _pooled(np.array([[0.5], [0.5]]), np.full((2, 1), 1e-4))
    assert two.half[0] == pytest.approx(12.706204736432095 * two.std_error[0])
    assert two.predicted[0] == 0.0


def test_an_outlier_loses_its_weight_and_what_honest_clients_differ_by_does_not() -> None:
    effect = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0, 50.0])
    trust = effect_trust(np.zeros(9, np.intp), 1, effect)
    assert trust[8] == 0.0
    assert trust[:8].tolist() == [1.0] * 8
    # a wide interval allows a large deviation, and weighs next to nothing
    width = np.array([0.1] * 8 + [400.0])
    assert effect_trust(np.zeros(9, np.intp), 1, effect, width)[8] == 1.0
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(9, 3000))
    kept = effect_trust(np.tile(np.arange(3000), 9), 3000, honest.ravel())
    assert kept.mean() > 0.95
    assert effect_trust(np.zeros(4, np.intp), 1, effect[[0, 1, 2, 8]]).min() == 1.0  # too few


def test_leaving_one_out_needs_no_subtraction() -> None:
    """One effect of 1e16 among three: the means without it are those of the others to the digit."""
    effect = np.array([[1.0], [2.0], [1e16]])
    pooled = _pooled(effect, np.full((3, 1), 0.01), weigh_outliers=False)
    assert pooled.low[0] == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_who_has_no_weight_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effect, v = _honest(seed, 9, 40, 0.02, 50)
    segment = np.tile(np.arange(40), 9)
    weight = np.repeat(np.where(np.arange(9) % 3 == 1, 0.0, 1.0), 40)
    columns = {"effect": effect.ravel(), "vote": np.ones(360), "weight": weight}
    width = (2 * Z95 * np.sqrt(v)).ravel() * rng.uniform(0.5, 2.0, 360)
    whole = pool_effects(segment, 40, **columns, width=width, weigh_outliers=True)
    some = weight > 0
    fewer = pool_effects(
        segment[some],
        40,
        **{name: column[some] for name, column in columns.items()},
        width=width[some],
        weigh_outliers=True,
    )
    for name in ("effect", "std_error", "half", "predicted", "low", "high", "tau2", "i2", "worth"):
        assert np.array_equal(getattr(whole, name), getattr(fewer, name)), name
