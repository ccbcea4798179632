"""Which rounds may have their edges outside of the coordinator's stores."""

import pytest

from hyperfed.coordinator.elsewhere import may_lie_elsewhere
from hyperfed.packets import PolicyPack

pytestmark = pytest.mark.unit


def test_private_rounds_and_baskets_have_whole_tables_in_one_process() -> None:
    assert may_lie_elsewhere(PolicyPack())
    assert not may_lie_elsewhere(PolicyPack(basket_minimum=3))
    assert not may_lie_elsewhere(
        PolicyPack(privacy="central", strategy="mean", clip_norm=1.0, trust_min=0.0)
    )
