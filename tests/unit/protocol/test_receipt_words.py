"""What a receipt says of a weight: the numbers, and what a client with these numbers can do."""

import pytest

from hyperfed.packets import PolicyPack
from hyperfed.protocol.receipt_objects import Weighing
from hyperfed.protocol.receipt_words import words_of

POLICY = PolicyPack()


def weighing(weight: float, agreement: float | None, trust: float = 0.5) -> Weighing:
    return Weighing(weight=weight, agreement=agreement, trust=trust)


@pytest.mark.parametrize(
    ("weighed", "reason", "remedy"),
    [
        (
            weighing(1.0, 0.93),
            "counted with weight 1.00; its agreement with the others is 0.93",
            "",
        ),
        (weighing(1.0, None), "counted with weight 1.00", ""),
        (weighing(0.4, 0.3), "counted with weight 0.40", "More rows make your estimates steadier"),
        (weighing(0.0, 0.02), "others is 0.02", "Your votes did not count this time"),
        (weighing(0.0, None), "counted with weight 0.00", "Your votes did not count this time"),
        (weighing(0.0, -0.6), "others is -0.60", "the other sign: check units"),
        (weighing(0.5, -0.6), "others is -0.60", "the other sign: check units"),
        (weighing(0.995, 0.9), "others is 0.90", ""),
        (weighing(0.5, -0.05), "others is -0.05", "More rows make your estimates steadier"),
        (weighing(0.005, 0.2), "weight 0.01", "More rows make your estimates steadier"),
    ],
)
def test_words_follow_from_numbers(weighed: Weighing, reason: str, remedy: str) -> None:
    said, helps = words_of(weighed, POLICY)
    assert reason in said
    assert helps.startswith(remedy) or remedy in helps
    assert bool(helps) == bool(remedy)


def test_low_trust_is_told_before_it_leaves_a_client_out() -> None:
    _, remedy = words_of(weighing(1.0, 0.9, trust=0.14), POLICY)
    assert remedy.startswith("Your trust is 0.14: below 0.15, after 3 rounds, a client is left out")
    assert words_of(weighing(1.0, 0.9, trust=0.15), POLICY)[1] == ""


def test_a_weight_that_is_trust_says_so() -> None:
    by_trust = PolicyPack(weigh_by="reputation")
    assert "your trust so far" in words_of(weighing(0.2, 0.9, trust=0.2), by_trust)[1]


@pytest.mark.parametrize(
    "policy", [POLICY, PolicyPack(weigh_by="reputation")], ids=["rule", "trust"]
)
def test_words_fit_into_a_padded_receipt(policy: PolicyPack) -> None:
    """A receipt without words takes about 700 bytes of 1,536 where ten thousand clients count."""
    for weight in (0.0, 0.5, 1.0):
        for agreement in (None, -1.0, 0.0, 1.0):
            for trust in (0.0, 1.0):
                words = words_of(weighing(weight, agreement, trust), policy)
                assert sum(map(len, words)) < 450
