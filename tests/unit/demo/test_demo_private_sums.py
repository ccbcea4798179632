"""The demonstration's private sums: what protects a year, and what is found through the noise."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from flows.demo.night import _clipped
from flows.demo.us_states import RANGES, demo_policy, noises_sums, terms_policy
from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.demo import VARIABLES, series, states
from hyperfed.demo.figures import summed_votes, without_noise
from hyperfed.errors import ConfigError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.moments import plan_moments
from hyperfed.registry.registry import Budget
from hyperfed.statistics import statistics_of
from hyperfed.tables.vocabulary import Variable, Vocabulary

pytestmark = pytest.mark.unit

VOCABULARY = Vocabulary(
    variables=tuple(Variable(name=name, low=low, high=high) for name, (low, high) in RANGES.items())
)


def policy_of(privacy: str) -> PolicyPack:
    return terms_policy(demo_policy(privacy, 3, payload="statistics"))


def test_ranges_are_round_numbers_that_hold_nearly_all_years() -> None:
    assert tuple(RANGES) == VARIABLES
    rows = np.concatenate([series(state) for state in states()])
    low, high = np.array(list(RANGES.values())).T
    inside = ((rows >= low) & (rows <= high)).mean(axis=0)
    assert (inside > 0.95).all()
    assert (low == np.round(low, 2)).all()
    assert (high == np.round(high, 2)).all()


def test_three_private_nights_fit_the_budget_and_find_some_of_what_exact_sums_find() -> None:
    policy = policy_of("central")
    night = plan_moments(policy, len(VARIABLES))
    assert (
        PrivacyAccountant.of_ledger([], Budget(unit="record")).nights_left([night.mechanism]) >= 3
    )
    private = FederationCoordinator(
        policy=policy, vocabulary=VOCABULARY, budget=Budget(epsilon=Decimal(10), unit="record")
    )
    exact = {}
    for state in states():
        rows = series(state)
        private.handle_update(state, statistics_update(_clipped(rows, policy, VOCABULARY)))
        moments = statistics_of(rows, names=VARIABLES, vocabulary=VOCABULARY, lags=policy.lags)
        exact[state] = statistics_update(moments)
    model = private.aggregate()
    assert model.privacy is not None
    assert model.privacy.unit == "record"
    votes = summed_votes(exact, without_noise(policy), VOCABULARY, bounded=False)
    strong = {edge: vote for edge, vote in votes.items() if abs(vote) >= policy.vote_min}
    found = {(row["source"], row["target"], row["lag"]): row["vote"] for row in model.rows()}
    agreeing = [edge for edge, vote in found.items() if strong.get(edge, 0.0) * vote > 0]
    assert len(agreeing) >= 2


def test_votes_are_refused_beside_noised_sums_and_nothing_else() -> None:
    with pytest.raises(ConfigError, match="votes beside noised sums") as raised:
        demo_policy("local", 3, payload="both")
    assert "--payload" in str(raised.value.remedy)
    assert noises_sums(demo_policy("local", 3, payload="statistics"))
    for privacy, payload in (("none", "statistics"), ("none", "both"), ("central", "edges")):
        assert not noises_sums(demo_policy(privacy, 3, payload=payload))
    exact = policy_of("none")
    assert without_noise(exact) is exact
    assert replace(without_noise(policy_of("central")), strategy="consensus").privacy == "none"
