"""Single numbers that trust as a whole misses: rows, variances, and one planted pair."""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.statistics import Statistics, Sums
from hyperfed.statistics.holding import FEW, MOST, held
from hyperfed.statistics.record import triangle
from hyperfed.statistics.trust import statistics_trust
from tests.unit.statistics.test_trust import client

pytestmark = pytest.mark.unit


def trusting(night: dict[str, Statistics]) -> dict[str, float]:
    return dict.fromkeys(night, 1.0)


def planted(one: Statistics, r: float) -> Statistics:
    """A client's statistics with a strong pair 0, 7 that its data do not have."""
    matrix = one.matrix.copy()
    matrix[0, 7] = matrix[7, 0] = r * np.sqrt(matrix[0, 0] * matrix[7, 7])
    # what else is needed so that some rows could have them
    for other in range(1, 7):
        matrix[7, other] = matrix[other, 7] = (
            matrix[0, other] * r * np.sqrt(matrix[7, 7] / matrix[0, 0])
        )
    return replace(one, moments=triangle(matrix))


def test_rows_and_variances_that_nobody_can_check_do_not_outweigh_the_others() -> None:
    night = {f"site-{i}": client(i) for i in range(5)}
    night["site-big"] = replace(client(9), n=10**9)
    night["site-loud"] = client(8, scale=1e5)
    kept, factor = held(night, trusting(night), variables=8)
    assert factor["site-big"] * 10**9 == MOST * 150
    assert factor["site-0"] == 1.0
    assert kept["site-0"] is night["site-0"]
    usual = np.median([np.diag(night[f"site-{i}"].matrix) / 150 for i in range(5)], axis=0)
    assert (np.diag(kept["site-loud"].matrix) / 150 < 1.5 * MOST * usual).all()
    r = [
        one["site-loud"].matrix / np.sqrt(np.outer(*[np.diag(one["site-loud"].matrix)] * 2))
        for one in (night, kept)
    ]
    np.testing.assert_allclose(*r, atol=1e-12)
    assert held(night, trusting(night), variables=8, n_cap=100)[1]["site-0"] == 100 / 150


def test_one_client_plants_no_edge() -> None:
    night = {f"site-{i}": client(i) for i in range(9)}
    honest = Sums.of(night, variables=8, lags=(0,)).total.correlation[0, 7]
    lie = planted(client(20), 0.9)
    night["site-liar"] = replace(lie, n=10**6, moments=lie.moments * (10**6 / 150))
    weight = statistics_trust([night[c] for c in sorted(night)], variables=8).weight
    trust = dict(zip(sorted(night), weight.tolist(), strict=True))
    kept, factor = held(night, trusting(night), variables=8)
    liar = kept["site-liar"].matrix
    assert liar[0, 7] / np.sqrt(liar[0, 0] * liar[7, 7]) < 0.4
    with_liar = Sums.of(kept, variables=8, lags=(0,), weights=factor).total.correlation[0, 7]
    assert abs(with_liar - honest) < 0.05
    unheld = Sums.of(night, variables=8, lags=(0,)).total.correlation[0, 7]
    assert abs(unheld - honest) > 0.05
    assert min(trust[f"site-{i}"] for i in range(9)) > 0.5


def test_an_honest_night_loses_next_to_nothing() -> None:
    night = {f"site-{i}": client(i) for i in range(20)}
    kept, factor = held(night, trusting(night), variables=8)
    changed = sum(int((kept[c].matrix != night[c].matrix).sum()) for c in night)
    assert changed <= 0.005 * 20 * 64
    assert set(factor.values()) == {1.0}


def test_few_clients_are_not_compared_and_liars_set_no_median() -> None:
    few = {f"site-{i}": client(i) for i in range(FEW - 2)} | {"site-x": planted(client(9), 0.9)}
    assert all(held(few, trusting(few), variables=8)[0][c] is few[c] for c in few)
    many = {f"site-{i}": client(i) for i in range(6)}
    many |= {f"liar-{i}": planted(client(30 + i), 0.9) for i in range(7)}
    trust = {c: float(c.startswith("site")) for c in many}
    kept, _ = held(many, trust, variables=8)
    same = {c: kept[c].matrix[0, 7] == many[c].matrix[0, 7] for c in many}
    assert all(same[c] for c in many if c.startswith("site"))
    assert not any(same[c] for c in many if c.startswith("liar"))
