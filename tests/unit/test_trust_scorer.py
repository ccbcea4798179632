"""The figures that the trust scorer promises, and that it forgets, refuses and restores."""

import numpy as np
import pytest

from hyperfed.errors import AggregationError
from hyperfed.trust_scorer import PRIOR, TrustScorer, TrustState

pytestmark = pytest.mark.unit

GOOD = {"outlier": 0.0, "consistency": 0.875, "accuracy": 1.0}  # q = 0.95
ATTACK = {"outlier": True, "consistency": -0.9, "accuracy": 0.0}  # q = 0


def _after(scorer: TrustScorer, nights: int, **night: float) -> float:
    for _ in range(nights):
        scorer.observe("bank", **night)
    return scorer.get_trust("bank")


def test_the_promised_figures() -> None:
    scorer = TrustScorer()
    assert scorer.get_trust("bank") == PRIOR == 0.2
    assert _after(scorer, 6, **GOOD) < 0.7
    assert 0.7 < _after(scorer, 1, **GOOD) < 0.72
    assert _after(scorer, 200, **GOOD) == pytest.approx(0.81, abs=0.005)
    assert _after(scorer, 5, **ATTACK) == pytest.approx(0.47, abs=0.01)
    assert _after(scorer, 5, **GOOD) < 0.6  # slower up than down


def test_one_night_is_the_formula() -> None:
    scorer = TrustScorer()
    scorer.observe("bank", outlier=0.25, consistency=0.5, accuracy=0.75)
    q = 0.4 * 0.75 + 0.4 * 0.5 + 0.2 * 0.75
    state = scorer.state()
    assert state.alpha[0] == pytest.approx(q)
    assert state.beta[0] == pytest.approx(3 * (1 - q))
    assert (
        state.trust[0]
        == scorer.get_trust("bank")
        == pytest.approx((q + 0.4) / (q + 3 * (1 - q) + 2))
    )
    scorer.observe("bank", outlier=0.25, consistency=0.5, accuracy=0.75)
    assert scorer.state().alpha[0] == pytest.approx(q * (1 + 2 ** (-1 / 14)))


def test_a_negative_cosine_is_worth_nothing_rather_than_less() -> None:
    scorer = TrustScorer()
    assert scorer.observe("a", consistency=-1.0) == scorer.observe("b", consistency=0.0)


def test_absence_moves_trust_toward_the_prior_from_both_sides() -> None:
    scorer = TrustScorer()
    high = _after(scorer, 50, **GOOD)
    for _ in range(14):
        scorer.observe("bank", available=False)
        scorer.observe("thief", **ATTACK)
    assert PRIOR < scorer.get_trust("bank") < high
    low = scorer.get_trust("thief")
    scorer.observe("thief", available=False)
    assert low < scorer.get_trust("thief") < PRIOR
    assert scorer.state().absences.tolist() == [14, 1]
    assert scorer.state().nights.tolist() == [50, 14]


def test_single_metrics_as_in_the_reference() -> None:
    scorer = TrustScorer()
    scorer.update(client_id="hospital_1", metric="outlier_count", value=0)
    good = scorer.get_trust("hospital_1")
    assert good > PRIOR
    scorer.update(client_id="hospital_1", metric="outlier_count", value=3)
    assert scorer.get_trust("hospital_1") < good
    before = scorer.get_trust("hospital_1")
    scorer.update(client_id="hospital_1", metric="availability", value=1)
    assert scorer.get_trust("hospital_1") == before


def test_three_single_metrics_come_to_one_night() -> None:
    whole, single = TrustScorer(), TrustScorer()
    for _ in range(30):
        whole.observe("bank", outlier=0.0, consistency=0.5, accuracy=0.8)
        for metric, value in (("outlier_count", 0), ("consistency", 0.5), ("accuracy", 0.8)):
            single.update(client_id="bank", metric=metric, value=value)
    assert single.get_trust("bank") == pytest.approx(whole.get_trust("bank"), rel=0.02)


def test_state_goes_round_and_goes_on_the_same() -> None:
    scorer = TrustScorer()
    for client in ("zeta", "alpha", "mid"):
        scorer.observe(client, consistency=0.3)
    scorer.observe("mid", available=False)
    state = scorer.state()
    assert state.client == ("alpha", "mid", "zeta")
    again = TrustScorer.from_state(state)
    assert again.state() == state
    assert again.observe("mid", **GOOD) == scorer.observe("mid", **GOOD)
    assert again.state() != state
    assert len(TrustScorer().state()) == 0


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("charm", 1),
        ("accuracy", 1.1),
        ("accuracy", -0.1),
        ("consistency", float("nan")),
        ("consistency", -1.5),
        ("outlier_count", -1),
        ("availability", 2),
    ],
)
def test_unknown_metrics_and_values_are_refused_and_nothing_moves(
    metric: str, value: float
) -> None:
    scorer = TrustScorer()
    with pytest.raises(AggregationError, match=metric):
        scorer.update(client_id="bank", metric=metric, value=value)
    assert len(scorer.state()) == 0


def test_a_bad_night_or_state_is_refused_and_nothing_moves() -> None:
    scorer = TrustScorer()
    with pytest.raises(AggregationError, match="accuracy"):
        scorer.observe("bank", accuracy=float("inf"))
    assert len(scorer.state()) == 0
    row = {"alpha": [1.0], "beta": [1.0], "nights": [1], "absences": [0]}
    with pytest.raises(AggregationError, match="ascend"):
        TrustState(
            client=("b", "a"), **{name: np.array(values * 2) for name, values in row.items()}
        )
    for name, value in (("alpha", -1.0), ("beta", float("nan")), ("nights", 0.5)):
        with pytest.raises(AggregationError, match=name):
            TrustState(client=("a",), **(row | {name: [value]}))
