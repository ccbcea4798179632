"""Round 5 of a small federation, in which nobody has been counted."""

import pytest

from hyperfed.testing.federation import SmallFederation
from tests.unit.validator.broken_packets import LIMITS


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    """Round 5 is open, none has been counted."""
    federation = SmallFederation(limits=LIMITS)
    federation.open(5, n_proposals=5, g_min=0.05, max_lag=3, max_staleness=2)
    return federation
