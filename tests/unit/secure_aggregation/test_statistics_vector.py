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
from tests.secure_night import NAMES, VOCABULARY, holed, rows

TRIANGLE = 21  # three variables at two lags


def statistics(seed: int, *, holes: float = 0.0, **options: Any) -> Statistics:
    table = holed(rows(seed), seed, holes)
    return statistics_of(table, names=NAMES, vocabulary=VOCABULARY, lags=(1,), **options)


def vector(one: Statistics, *, cohort: int = 4, counts: bool = True) -> Words:
    return vector_of(one, variables=3, cohort=cohort, counts=counts, subject="ward")


def summed(total: Words, clients: int, *, counts: bool = True) -> Sums:
    return sums_of(
        total, clients=clients, counts=counts, vocabulary=VOCABULARY, lags=(1,), form="values"
    )


@pytest.mark.parametrize("clients", [4, 5, 20, 100])
@pytest.mark.parametrize(("holes", "counts"), [(0.0, False), (0.0, True), (0.1, True)])
def test_a_sum_of_vectors_is_the_sum_of_the_rounded_statistics(
    clients: int, holes: float, counts: bool
) -> None:
    """Also where cells are missing: each pair is then of rows of its own."""
    some = [statistics(seed, holes=holes) for seed in range(clients)]
    assert all(len(one.counts) for one in some) is (holes > 0)
    vectors = [vector(one, cohort=clients, counts=counts) for one in some]
    total = np.sum(np.array(vectors), axis=0, dtype=np.uint64)
    sums = summed(total, clients, counts=counts).total
    rounded = sum(np.rint(one.matrix * SCALE) for one in some) / SCALE
    assert np.array_equal(sums.moments, rounded)
    seen = Sums.of({f"c{i}": one for i, one in enumerate(some)}, variables=3, lags=(1,)).total
    assert np.array_equal(sums.degrees, seen.degrees)
    assert np.array_equal(sums.squares, seen.squares)
    assert np.array_equal(sums.clients, seen.clients)


def test_what_a_vector_cannot_hold_is_named_before_anything_is_masked() -> None:
    apart = rows(1)
    apart[::2, 0] = np.nan
    apart[1::2, 1] = np.nan  # heat and load have no row in common, but at a lag
    apart = statistics_of(apart, names=NAMES, vocabulary=VOCABULARY, lags=(1,))
    for one, counts, why in (
        (statistics(1).without([2]), True, "1 variables are not measured"),
        (statistics(1, holes=0.1), False, "noised sums have no rows for each pair"),
        (apart, True, "no two rows in common"),
        (statistics(1, intervened=("heat",)), True, "an experiment set a variable"),
    ):
        with pytest.raises(RefusedError, match=why):
            vector(one, counts=counts)


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, 120.5, "rows"),
        (0, 7.0, "have at least 16"),
        (1, -1.0, "'heat' a variance of -"),
        (2, 1e4, "larger than its variances allow"),
        (1 + TRIANGLE, 119.5, "119.5 rows of a pair"),
        (2 + TRIANGLE, 3.0, "3.0 rows of a pair"),
        (2 + TRIANGLE, 121.0, "121.0 rows of a pair"),
    ],
)
def test_a_sum_that_no_rows_have_is_found(at: int, value: float, why: str) -> None:
    some = [statistics(seed) for seed in (0, 1)]
    moments = some[0].moments + some[1].moments
    numbers = np.concatenate([[120.0], moments, np.full(TRIANGLE, 120.0)])
    assert len(numbers) == vector_length(3, (1,), counts=True)
    assert summed(to_fixed_point(numbers, cohort=1), 2).total.degrees[0, 0] == 118
    numbers[at] = value
    with pytest.raises(AggregationError, match=why) as impossible:
        summed(to_fixed_point(numbers, cohort=1), 2)
    assert impossible.value.rule == "R-176"


@pytest.mark.parametrize("complete", [True, False])
def test_a_matrix_that_no_complete_rows_have_is_found(complete: bool) -> None:
    """Three columns cannot all be opposites. Pairs with rows of their own can."""
    numbers = np.zeros(1 + 2 * TRIANGLE)
    numbers[0] = 120.0
    matrix = np.eye(6) * 40.0
    matrix[:3, :3] = np.where(np.eye(3) > 0, 40.0, -30.0)
    numbers[1 : 1 + TRIANGLE] = matrix[np.triu_indices(6)]
    numbers[1 + TRIANGLE :] = 120.0
    if not complete:
        numbers[2 + TRIANGLE] = 119.0
        assert summed(to_fixed_point(numbers, cohort=1), 2).total.degrees[0, 1] == 117
        return
    with pytest.raises(AggregationError, match="not positive semidefinite"):
        summed(to_fixed_point(numbers, cohort=1), 2)


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
            counts=False,
            vocabulary=ranged,
            lags=(1,),
            form="values",
        )
