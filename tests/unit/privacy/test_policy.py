"""Policies that cannot keep a privacy promise are refused when they are made: before a plan, before
anything is spent.
"""

from decimal import Decimal

import pytest

from hyperfed.errors import BoundsError, PrivacyError
from hyperfed.packets import PolicyPack

pytestmark = pytest.mark.unit

SOUND = {"strategy": "mean", "trust_min": 0}


@pytest.mark.parametrize("privacy", ["central", "local"])
@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ({"strategy": "consensus"}, "mean"),
        ({"strategy": "union"}, "mean"),
        ({"trust_min": 0.15}, "trust_min=0"),
        ({"n_cap": 100}, "n_cap=0"),
        ({"basket_minimum": 2, "group_weights": "trust"}, "group_weights='size'"),
    ],
)
def test_a_rule_without_a_sensitivity_carries_no_label(
    privacy: str, rule: dict, remedy: str
) -> None:
    with pytest.raises(PrivacyError, match=remedy):
        PolicyPack(privacy=privacy, **(SOUND | rule))
    assert PolicyPack(privacy=privacy, **SOUND).privacy == privacy


@pytest.mark.parametrize(
    "bad",
    [
        {"privacy_epsilon": 0},
        {"privacy_epsilon": float("nan")},
        {"privacy_epsilon": -1},
        {"privacy_epsilon": True},
        {"privacy_delta": 0},
        {"privacy_delta": 0.6},
        {"privacy_delta": float("inf")},
        {"clip_norm": 0.0},
        {"clip_norm": float("nan")},
        {"record_bound": -1.0},
        {"discovery": "guessed"},
        {"edges_per_client": 0},
    ],
)
def test_numbers_that_are_none_are_refused(bad: dict) -> None:
    with pytest.raises(BoundsError):
        PolicyPack(privacy="central", **(SOUND | bad))


@pytest.mark.parametrize("privacy", ["central", "local"])
def test_a_noised_round_has_no_q_values_to_cut_by(privacy: str) -> None:
    with pytest.raises(PrivacyError, match="a noised mean has no q-value") as caught:
        PolicyPack(privacy=privacy, cut="fdr", **SOUND)
    assert 'cut = "vote"' in caught.value.remedy
    assert PolicyPack(cut="fdr").cut == "fdr"
    assert PolicyPack(privacy=privacy, cut="vote", **SOUND).privacy == privacy


def test_numbers_are_kept_as_they_are_written() -> None:
    assert PolicyPack(privacy_epsilon=0.1, privacy_delta=1e-6).privacy_epsilon == Decimal("0.1")
