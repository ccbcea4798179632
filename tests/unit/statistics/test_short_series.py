"""Own means bias short series, and the bias is removed: by simulation, and by hand."""

import numpy as np
import pytest

from hyperfed.engines.summed import SummedVar
from hyperfed.statistics import Sums, statistics_of
from hyperfed.statistics.short_series import without_short_bias
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

NAMES = Vocabulary.of("a", "b")
FIRST, SECOND = np.array([[0.4, 0.0], [0.3, 0.2]]), np.array([[0.0, 0.25], [0.0, 0.0]])
LAGS = {1: FIRST, 3: SECOND}


def series(rng: np.random.Generator, rows: int, lags: tuple[int, ...]) -> np.ndarray:
    noise = rng.normal(size=(rows + 40, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    y = np.zeros_like(noise)
    for t in range(3, len(y)):
        y[t] = noise[t] + sum(LAGS[lag] @ y[t - lag] for lag in lags)
    return y[40:] + 5 * rng.normal(size=2)


def sums(lags: tuple[int, ...], clients: int, rows: int, seed: int = 0) -> Sums:
    rng = np.random.default_rng(seed)
    return Sums.of(
        {
            f"site-{i:03d}": statistics_of(
                series(rng, rows + i % 3, lags), names=NAMES.names, vocabulary=NAMES, lags=lags
            )
            for i in range(clients)
        },
        variables=2,
        lags=lags,
    )


def effects(added: Sums, short_bias: str) -> np.ndarray:
    found = SummedVar(added, NAMES, short_bias=short_bias).discover()
    out = np.zeros((len(added.lags), 2, 2))
    for s, t, lag, effect in zip(found.source, found.target, found.lag, found.effect, strict=True):
        out[added.lags.index(int(lag)), NAMES.index(str(t)), NAMES.index(str(s))] = effect
    return out


@pytest.mark.parametrize("lags", [(1,), (1, 3)])
def test_what_own_means_take_away_is_given_back(lags: tuple[int, ...]) -> None:
    added = sums(lags, clients=800, rows=20)
    truth = np.stack([LAGS[lag] for lag in lags])
    kept, removed = (effects(added, how) - truth for how in ("kept", "removed"))
    # a variable's effect on itself: about (1 + .4) / 19 too low, and then within noise of .01
    assert kept[0, 0, 0] < -0.05
    assert np.abs(removed).max() < 0.03
    assert np.abs(removed).mean() < 0.4 * np.abs(kept).mean()


def test_long_series_and_those_that_do_not_die_out_stay_as_they_are() -> None:
    long = sums((1,), clients=2, rows=5000)
    assert effects(long, "removed") == pytest.approx(effects(long, "kept"), abs=1e-3)
    total = sums((1,), clients=20, rows=30).total
    walk = total.covariance.copy()
    walk[:2, 2:] = walk[2:, :2] = 1.5 * walk[2:, 2:]
    assert without_short_bias(walk, total) is walk


def test_unlike_rows_are_left_as_they_are() -> None:
    rng = np.random.default_rng(1)
    data = series(rng, 30, (1,))
    data[5, 0] = np.nan
    one = statistics_of(data, names=NAMES.names, vocabulary=NAMES, lags=(1,))
    total = Sums.of({"site": one}, variables=2, lags=(1,)).total
    covariance = total.covariance
    assert without_short_bias(covariance, total) is covariance


def test_the_sum_remembers_how_many_rows_its_clients_have() -> None:
    added = sums((1,), clients=5, rows=20)
    assert dict(added.total.lengths) == {19: 2.0, 20: 2.0, 21: 1.0}
    assert dict(added.pairs.lengths) == dict(added.total.lengths)
