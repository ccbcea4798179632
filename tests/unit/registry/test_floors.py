"""The floors of every plan: what lies at them is not below them (R-125)."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.errors import BoundsError
from hyperfed.packets import PolicyPack
from hyperfed.registry.floors import Floors, below_floors

pytestmark = pytest.mark.unit

POLICY = PolicyPack(vote_min=0.3, trust_min=0.2, trust_nights=5, organisation_cap=2.0)
FDR = PolicyPack(cut="fdr", fdr_max=0.1)
NOISED = PolicyPack(privacy="central", strategy="mean", trust_min=0.0)


@pytest.mark.parametrize(
    ("policy", "at", "beyond", "said"),
    [
        (POLICY, {}, {"privacy": "central"}, 'privacy is "none", and at least "central"'),
        (NOISED, {"privacy": "central"}, {"privacy": "local"}, 'and at least "local"'),
        (replace(POLICY, sealed=False), {"sealed": False}, {"sealed": True}, "not sealed"),
        (POLICY, {"sealed": True}, {"trust_min_least": 0.21}, "lies between 0.21 and 1"),
        (POLICY, {"trust_min_least": 0.2}, {"trust_min_most": 0.19}, "lies between 0 and 0.19"),
        (POLICY, {"trust_min_most": 0.2}, {"trust_nights": 6}, "trust_nights is 5, and at least 6"),
        (POLICY, {"trust_nights": 5}, {"organisation_cap": 1.9}, "a cap of at most 1.9"),
        (
            POLICY,
            {"organisation_cap": 2.0},
            {"vote_min": 0.31, "fdr_max": 0.5},
            "vote_min is 0.3, and at least 0.31",
        ),
        (
            FDR,
            {"vote_min": 0.9, "fdr_max": 0.1},
            {"vote_min": 0.1, "fdr_max": 0.09},
            "fdr_max is 0.1, and at most 0.09",
        ),
        (
            replace(POLICY, organisation_cap=0.0),
            {"vote_min": 0.3, "fdr_max": 0.001},
            {"organisation_cap": 3.0},
            "organisation_cap is 0",
        ),
        (
            PolicyPack(strategy="union"),
            {},
            {"vote_min": 0.1, "fdr_max": 0.5},
            "strategy 'union' keeps edges whatever their vote",
        ),
    ],
)
def test_what_lies_at_a_floor_is_not_below_it(
    policy: PolicyPack, at: dict[str, Any], beyond: dict[str, Any], said: str
) -> None:
    assert below_floors(policy, Floors(**at)) == []
    below = below_floors(policy, Floors(**beyond))
    assert len(below) == 1
    assert said in below[0]


def test_a_noised_round_is_bound_by_noise_and_seal_alone() -> None:
    high = Floors(vote_min=0.9, fdr_max=0.01, trust_min_least=0.9, trust_nights=9)
    assert below_floors(NOISED, high) == []
    assert len(below_floors(NOISED, replace(high, privacy="local", sealed=True))) == 1
    assert len(below_floors(POLICY, high)) == 3


def test_single_clients_are_shown_where_one_client_may_stand_behind_a_value() -> None:
    shown = PolicyPack(show_clients=True)
    for floors in (None, Floors()):
        assert below_floors(shown, floors, minimum_support=1) == []
        (said,) = below_floors(shown, floors, minimum_support=2)
        assert "2 clients are to stand behind" in said
        assert below_floors(PolicyPack(), floors, minimum_support=2) == []
    assert below_floors(PolicyPack(sealed=False), None) == []


def test_floors_do_not_contradict_each_other() -> None:
    Floors(trust_min_least=0.5, trust_min_most=0.5)
    for fields in (
        {"privacy": "some"},
        {"sealed": 1},
        {"trust_min_least": 0.5, "trust_min_most": 0.49},
        {"vote_min": 0.1},
        {"fdr_max": 0.9},
    ):
        with pytest.raises(BoundsError):
            Floors(**fields)  # type: ignore[arg-type]
