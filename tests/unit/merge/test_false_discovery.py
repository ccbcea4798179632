"""q-values are those of Benjamini and Hochberg, against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from hyperfed.merge.false_discovery import q_values

pytestmark = pytest.mark.unit


def test_q_values_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    tested = np.concatenate(
        [rng.uniform(size=60), rng.uniform(size=20) ** 6, [0.0, 0.0, 0.25, 0.25]]
    )
    np.testing.assert_allclose(
        q_values(tested, tested), multipletests(tested, method="fdr_bh")[1], rtol=1e-12
    )


def test_the_family_is_all_that_was_tested_not_what_was_kept() -> None:
    tested = np.linspace(0.001, 1.0, 1000)
    kept = tested[:3]
    assert (q_values(kept, tested) > 0.9).all()
    assert (q_values(kept, kept) < 0.01).all()


def test_what_is_not_tested_has_a_q_of_one() -> None:
    assert q_values(np.array([1.0, 0.01]), np.array([0.01])).tolist() == [1.0, 0.01]
    assert q_values(np.array([1.0]), np.zeros(0)).tolist() == [1.0]
    assert not len(q_values(np.zeros(0), np.array([0.5])))
