"""A small part, with fixed seeds, of what docs/statistics.md shows."""

import numpy as np
import pytest

from hyperfed.simulator.statistics import coverage, error_rates, sparse_coefficients

pytestmark = pytest.mark.unit


@pytest.mark.slow
def test_intervals_of_all_measured_pairs_hold_what_they_say() -> None:
    found = coverage(np.random.default_rng(1), replicates=40, effects=(0.05, 0.2, 0.4))
    inside = np.concatenate([one.inside for one in found.values()])
    assert inside.mean() > 0.88
    assert 0.007 < np.mean(np.concatenate([one.tau2 for one in found.values()])) < 0.013
    weak = found[0.05]
    assert abs(np.mean(weak.error)) < 0.02
    kept = np.array(weak.kept)
    assert np.mean(np.array(weak.error)[kept]) > np.mean(weak.error)  # what selection does


@pytest.mark.slow
def test_noise_passes_the_error_rate_seldom_and_edges_of_many_small_clients_always() -> None:
    rng = np.random.default_rng(2)
    noise = error_rates(np.zeros((6, 6)), rng, clients=5, rows=40, replicates=25)
    assert noise["vote"].false_edges > 0.5
    assert noise["fdr"].any_false <= 0.12
    found = error_rates(
        sparse_coefficients(rng, 6), rng, clients=30, rows=40, replicates=4, tau2=0.0025
    )
    assert found["fdr"].power >= 0.98
    assert found["fdr"].power >= found["vote"].power


def test_a_few_federations_have_the_intervals_and_the_rates_that_the_page_shows() -> None:
    """The small part that every run plays; the others are slow."""
    rng = np.random.default_rng(4)
    found = coverage(rng, replicates=8, effects=(0.05, 0.2, 0.4))
    assert np.concatenate([one.inside for one in found.values()]).mean() >= 0.85
    assert 0.005 < np.mean(np.concatenate([one.tau2 for one in found.values()])) < 0.016
    noise = error_rates(np.zeros((6, 6)), rng, clients=5, rows=40, replicates=8)
    assert noise["fdr"].any_false <= 0.25 < noise["vote"].any_false
