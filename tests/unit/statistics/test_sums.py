"""Sums of statistics: equal to all centred rows in any split, whoever is added when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfed.errors import AggregationError
from hyperfed.statistics import Statistics, Sums, leave_one_out, statistics_of
from hyperfed.statistics.clients import client_effects
from hyperfed.statistics.sweeping import regressions, repaired
from hyperfed.tables.vocabulary import Vocabulary

pytestmark = pytest.mark.unit

NAMES = ("a", "b", "c", "d")
VOCABULARY = Vocabulary.of(*NAMES)


def table(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, 4)) + rng.normal(size=4) * 10
    data[:, 1] += 0.7 * data[:, 0]
    data[:, 3] += 0.5 * data[:, 1] - 0.4 * data[:, 2]
    return data


def stats(data: np.ndarray, names: tuple[str, ...] = NAMES, **options: object) -> Statistics:
    return statistics_of(data, names=names, vocabulary=VOCABULARY, **options)


def summed(parts: dict[str, Statistics], **options: object) -> Sums:
    return Sums.of(parts, variables=4, lags=(0,), **options)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(9, 40), min_size=1, max_size=6))
def test_any_split_sums_to_the_centred_rows_stacked(sizes: list[int]) -> None:
    data = [table(i, n) for i, n in enumerate(sizes)]
    total = summed({f"c{i}": stats(one) for i, one in enumerate(data)}).total
    rows = np.vstack([one - one.mean(axis=0) for one in data])
    np.testing.assert_allclose(total.moments, rows.T @ rows, rtol=1e-9, atol=1e-9)
    assert (total.degrees == sum(sizes) - len(sizes)).all()
    assert total.effective[0, 1] == pytest.approx(sum(sizes) - len(sizes), rel=1e-15)
    assert (total.clients == len(sizes)).all()


def test_one_client_in_is_that_client_out() -> None:
    one = stats(table(0, 50))
    assert np.array_equal(summed({"c": one}).total.moments, one.matrix)


def test_the_order_of_arrival_changes_no_bit() -> None:
    parts = {f"c{i}": stats(table(i, 30)) for i in range(7)}
    turned = dict(reversed(parts.items()))
    assert np.array_equal(summed(parts).total.moments, summed(turned).total.moments)


def test_a_client_of_weight_0_changes_nothing_however_large() -> None:
    parts = {f"c{i}": stats(table(i, 30)) for i in range(3)}
    liar = stats(table(9, 30) * 1e140)
    weights = dict.fromkeys(parts, 1.0)
    with_liar = summed(parts | {"a": liar}, weights=weights | {"a": 0.0}).total
    assert np.array_equal(with_liar.moments, summed(parts).total.moments)
    (_, others), *_ = leave_one_out(parts | {"a": liar}, variables=4, lags=(0,))
    np.testing.assert_allclose(others.total.moments, summed(parts).total.moments, rtol=1e-14)


def test_weights_have_kishs_degrees() -> None:
    parts = {"a": stats(table(0, 31)), "b": stats(table(1, 11))}
    total = summed(parts, weights={"a": 1.0, "b": 0.5}).total
    np.testing.assert_allclose(total.moments, parts["a"].matrix + parts["b"].matrix / 2, rtol=1e-12)
    assert total.effective[0, 0] == pytest.approx(35.0**2 / (30 + 0.25 * 10))


def test_an_edges_evidence_comes_from_who_measured_both_ends() -> None:
    data = table(0, 40)
    parts = {"a": stats(data), "b": stats(table(1, 20)[:, :2], NAMES[:2])}
    total = summed(parts).total
    assert total.clients[0, 1] == 2
    assert total.clients[0, 2] == 1
    assert total.degrees[0, 2] == 39
    assert total.moments[2, 3] == parts["a"].matrix[2, 3]
    only = summed({"b": parts["b"]}).total
    assert only.correlation[2, 3] == only.degrees[2, 2] == 0


def test_rows_of_an_experiment_are_kept_apart() -> None:
    watched, done = stats(table(0, 40)), stats(table(1, 40), intervened=("b",))
    sums = summed({"w": watched, "x": done})
    assert np.array_equal(sums.into(1).moments, watched.matrix)
    both = watched.matrix + done.matrix
    np.testing.assert_allclose(sums.into(3).moments, both, rtol=1e-15)
    pairs = sums.pairs
    assert pairs.moments[0, 1] == watched.matrix[0, 1]
    assert pairs.moments[0, 3] == pytest.approx(both[0, 3], rel=1e-15)
    assert sums.intervened == (1,)


def test_leaving_one_out_gives_the_others() -> None:
    parts = {f"c{i}": stats(table(i, 20 + i)) for i in range(5)}
    seen = []
    for client, others in leave_one_out(parts, variables=4, lags=(0,)):
        rest = {c: one for c, one in parts.items() if c != client}
        np.testing.assert_allclose(others.total.moments, summed(rest).total.moments, rtol=1e-13)
        seen.append(client)
    assert seen == sorted(parts)


@pytest.mark.parametrize("options", [{"lags": (0, 1)}, {"form": "ranks"}])
def test_what_does_not_add_is_refused_and_nothing_is_added(options: dict[str, object]) -> None:
    sums = summed({"a": stats(table(0, 30))})
    before = sums.total.moments.copy()
    with pytest.raises(AggregationError, match="are added"):
        sums.add(stats(table(1, 30), **options), client="b")
    assert np.array_equal(sums.total.moments, before)


def test_sweeps_are_least_squares() -> None:
    data = table(3, 50)
    covariance = np.cov(data.T)
    fit = regressions(covariance, [0, 2], [1, 3])
    x = np.column_stack([np.ones(50), data[:, [0, 2]]])
    beta, squares, *_ = np.linalg.lstsq(x, data[:, [1, 3]], rcond=None)
    np.testing.assert_allclose(fit.coefficient, beta[1:], rtol=1e-9)
    error = np.sqrt(np.diag(np.linalg.inv(x.T @ x))[1:, None] * (squares / 47)[None])
    np.testing.assert_allclose(fit.errors(np.array(49.0)), error, rtol=1e-9)


def test_a_regressor_that_follows_from_others_has_no_effect() -> None:
    data = table(3, 50)
    covariance = np.cov(np.column_stack([data, data[:, 0] + data[:, 2]]).T)
    fit = regressions(covariance, [0, 2, 4], [3])
    assert fit.used.tolist() == [True, True, False]
    assert fit.coefficient[2, 0] == 0
    np.testing.assert_allclose(
        fit.coefficient[:2], regressions(covariance, [0, 2], [3]).coefficient
    )


def test_what_is_no_correlation_matrix_is_repaired_and_said() -> None:
    broken = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1.0]])
    sound, changed = repaired(broken)
    assert changed
    assert np.linalg.eigvalsh(sound)[0] > 0
    assert np.allclose(np.diag(sound), 1)
    assert repaired(np.eye(3))[1] is False


def test_each_clients_own_effects_are_its_own_regressions() -> None:
    data = [table(0, 60), table(1, 25), table(2, 30)[:, [0, 1, 3]]]
    names = [NAMES, NAMES, ("a", "b", "d")]
    parts = [stats(one, name) for one, name in zip(data, names, strict=True)]
    parts.append(stats(table(3, 40), intervened=("d",)))
    found = client_effects(
        parts,
        variables=4,
        source=np.array([0, 1, 2]),
        target=np.array([1, 3, 3]),
        lag=np.zeros(3, np.int64),
    )
    x = np.column_stack([np.ones(25), data[1][:, 1:3]])
    beta = np.linalg.lstsq(x, data[1][:, 3], rcond=None)[0]
    np.testing.assert_allclose(found.effect[1, 1:], beta[1:], rtol=1e-9)
    assert found.degrees[1].tolist() == [23, 22, 22]
    x = np.column_stack([np.ones(30), data[2][:, 1]])
    beta = np.linalg.lstsq(x, data[2][:, 2], rcond=None)[0]
    assert found.effect[2, 1] == pytest.approx(beta[1])
    assert np.isnan(found.effect[2, 2])
    assert np.isnan(found.effect[3, 1:]).all()
    assert np.isfinite(found.effect[3, 0])
