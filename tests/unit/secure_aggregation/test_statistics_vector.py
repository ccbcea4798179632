"""Statistics as vectors: their sum is exact, and one that no rows have is found (R-170, R-176)."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.errors import AggregationError, RefusedError
from hyperfed.secure_aggregation.fixed_point import SCALE, to_fixed_point
from hyperfed.secure_aggregation.statistics_vector import sums_of, vector_length, vector_of
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics import Statistics, Sums, statistics_of
from tests.secure_night import NAMES, VOCABULARY, rows


def statistics(seed: int, **options: Any) -> Statistics:
    return statistics_of(rows(seed), names=NAMES, vocabulary=VOCABULARY, lags=(1,), **options)


def summed(total: Words, clients: int) -> Sums:
    return sums_of(total, clients=clients, vocabulary=VOCABULARY, lags=(1,), form="values")


@pytest.mark.parametrize("clients", [4, 5, 20, 100])
def test_a_sum_of_vectors_is_the_sum_of_the_rounded_statistics(clients: int) -> None:
    some = [statistics(seed) for seed in range(clients)]
    vectors = [vector_of(one, variables=3, cohort=clients, subject="ward") for one in some]
    total = np.sum(np.array(vectors), axis=0, dtype=np.uint64)
    sums = summed(total, clients).total
    rounded = sum(np.rint(one.matrix * SCALE) for one in some) / SCALE
    assert np.array_equal(sums.moments, rounded)
    seen = Sums.of({f"c{i}": one for i, one in enumerate(some)}, variables=3, lags=(1,)).total
    assert np.array_equal(sums.degrees, seen.degrees)
    assert np.array_equal(sums.squares, seen.squares)
    assert np.array_equal(sums.clients, seen.clients)


def test_what_a_vector_cannot_hold_is_named_before_anything_is_masked() -> None:
    table = rows(1)
    table[3, 1] = np.nan
    holes = statistics_of(table, names=NAMES, vocabulary=VOCABULARY, lags=(1,))
    set_here = statistics(1, intervened=("heat",))
    for one, why in (
        (statistics(1).without([2]), "1 variables are not measured"),
        (holes, "cells are missing"),
        (set_here, "an experiment set a variable"),
    ):
        with pytest.raises(RefusedError, match=why):
            vector_of(one, variables=3, cohort=4, subject="ward")


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, 120.5, "rows"),
        (0, 7.0, "have at least 16"),
        (1, -1.0, "'heat' a variance of -"),
        (2, 1e4, "not positive semidefinite"),
    ],
)
def test_a_sum_that_no_rows_have_is_found(at: int, value: float, why: str) -> None:
    some = [statistics(seed) for seed in (0, 1)]
    numbers = np.concatenate([[120.0], some[0].moments + some[1].moments])
    assert len(numbers) == vector_length(3, (1,))
    assert summed(to_fixed_point(numbers, cohort=1), 2).total.degrees[0, 0] == 118
    numbers[at] = value
    with pytest.raises(AggregationError, match=why) as impossible:
        summed(to_fixed_point(numbers, cohort=1), 2)
    assert impossible.value.rule == "R-176"


def test_a_variance_beyond_the_plausible_range_is_found() -> None:
    ranged = replace(
        VOCABULARY,
        variables=tuple(replace(one, low=-100.0, high=100.0) for one in VOCABULARY.variables),
    )
    one = statistics_of(rows(1), names=NAMES, vocabulary=ranged, lags=(1,))
    numbers = np.concatenate([[float(one.n)], one.moments])
    numbers[1] = 1.5 * one.n
    with pytest.raises(AggregationError, match="'heat' a variance of"):
        sums_of(
            to_fixed_point(numbers, cohort=1),
            clients=1,
            vocabulary=ranged,
            lags=(1,),
            form="values",
        )
