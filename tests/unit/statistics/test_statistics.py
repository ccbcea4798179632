"""Statistics of one client: what travels, and which numbers no client can send."""

import numpy as np
import pytest

from hyperfed.errors import BoundsError, EngineError
from hyperfed.statistics import Scaling, Statistics, statistics_of
from hyperfed.statistics.record import triangle
from hyperfed.tables.vocabulary import Variable, Vocabulary

pytestmark = pytest.mark.unit

NAMES = ("a", "b", "c")
VOCABULARY = Vocabulary.of(*NAMES)


def rows_of(seed: int = 0, n: int = 60, width: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + 5.0


def made(data: np.ndarray, **options: object) -> Statistics:
    return statistics_of(data, names=NAMES, vocabulary=VOCABULARY, **options)


def test_moments_are_those_of_the_centred_rows_at_each_lag() -> None:
    data = rows_of()
    one = made(data, lags=(1, 3))
    rows = np.hstack([data[3:], data[2:-1], data[:-3]])
    rows = rows - rows.mean(axis=0)
    np.testing.assert_allclose(one.matrix, rows.T @ rows, rtol=1e-12, atol=1e-9)
    assert (one.n, one.width, len(one.counts)) == (57, 9, 0)


@pytest.mark.parametrize(("d", "lags", "kilobytes"), [(20, (0,), 1.7), (50, (1, 2), 90.6)])
def test_the_triangle_is_as_small_as_said(d: int, lags: tuple[int, ...], kilobytes: float) -> None:
    names = [f"v{i}" for i in range(d)]
    data = np.random.default_rng(1).normal(size=(400, d))
    one = statistics_of(data, names=names, vocabulary=Vocabulary.of(*names), lags=lags)
    assert one.moments.nbytes / 1000 == pytest.approx(kilobytes, abs=0.05)


def test_scale_and_centre_come_from_the_vocabulary() -> None:
    wide = Vocabulary((Variable("a", low=0.0, high=10.0), Variable("b"), Variable("c")))
    scaling = Scaling.of(wide)
    assert scaling.centre.tolist() == [5.0, 0.0, 0.0]
    assert scaling.scale.tolist() == [5.0, 1.0, 1.0]
    data = rows_of()
    scaled = statistics_of(data, names=NAMES, vocabulary=wide).matrix
    plain = made(data).matrix
    assert scaled[0, 0] == pytest.approx(plain[0, 0] / 25)
    assert scaled[0, 1] == pytest.approx(plain[0, 1] / 5)


def test_the_order_of_columns_is_the_vocabularys() -> None:
    data = rows_of()
    turned = statistics_of(data[:, ::-1], names=NAMES[::-1], vocabulary=VOCABULARY)
    np.testing.assert_allclose(turned.moments, made(data).moments)


def test_missing_cells_cost_their_pairs_and_no_others() -> None:
    data = rows_of()
    data[:7, 0] = np.nan
    data[3, 2] = np.nan
    one = made(data)
    both = data[7:, :2] - data[7:, :2].mean(axis=0)
    assert one.matrix[0, 1] == pytest.approx(both[:, 0] @ both[:, 1], rel=1e-9)
    assert one.rows[0, 1] == 53
    assert one.rows[1, 2] == 59
    assert one.rows[0, 2] == 53
    alone = data[:, 1] - data[:, 1].mean()
    assert one.matrix[1, 1] == pytest.approx(alone @ alone, rel=1e-12)


def test_ranks_do_not_care_for_monotone_changes() -> None:
    data = rows_of()
    curved = np.column_stack([np.exp(data[:, 0] / 3), data[:, 1] ** 3, data[:, 2]])
    np.testing.assert_allclose(
        made(data, form="ranks").moments, made(curved, form="ranks").moments, atol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[:4], "too few"),
        (lambda d: np.where(np.arange(3) == 1, 4.0, d), "'b' is constant"),
        (lambda d: np.where(np.arange(3) == 1, np.inf, d), "infinite"),
    ],
)
def test_data_that_cannot_be_used_are_refused_by_name(change: object, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        made(change(rows_of()))  # type: ignore[operator]


def test_few_rows_are_refused_as_the_policy_says() -> None:
    with pytest.raises(EngineError, match="60 rows"):
        made(rows_of(), rows_min=61)


def test_nobody_sends_what_no_rows_have() -> None:
    good = made(rows_of())
    fields = {"variables": good.variables, "lags": good.lags, "n": good.n}
    matrix = good.matrix.copy()
    matrix[0, 1] = matrix[1, 0] = 1.01 * np.sqrt(matrix[0, 0] * matrix[1, 1])
    for moments, said in (
        (triangle(matrix), "positive semidefinite"),
        (good.moments[:-1], "5 moments"),
        (np.where(np.arange(6) == 2, np.nan, good.moments), "finite"),
        (np.where(np.arange(6) == 0, 0.0, good.moments), "does not vary"),
    ):
        with pytest.raises(BoundsError, match=said):
            Statistics(**fields, moments=moments)
    for counts in ([61] * 6, [60, 59, 60, 58, 60, 60], [60, 1, 60, 60, 60, 60]):
        with pytest.raises(BoundsError, match="counts do not fit 60 rows"):
            Statistics(**fields, moments=good.moments, counts=np.array(counts, np.uint64))
    with pytest.raises(BoundsError, match="positive semidefinite"):
        Statistics(**fields, moments=triangle(matrix), counts=np.full(6, 60, np.uint64))
    assert Statistics(**fields, moments=good.moments) == good
