"""Two rounds of forty clients, whose receipts lie in pages."""

from datetime import timedelta

import pytest

from hyperfed.testing.federation import SmallFederation
from tests.unit.protocol.paged_rounds import CLIENTS, LIMITS, ONE


@pytest.fixture(scope="module")
def played() -> SmallFederation:
    """Two rounds: in the first all but ONE are counted; the second is void."""
    fed = SmallFederation(clients=CLIENTS, auditors=1, limits=LIMITS)
    fed.play(1, but=[ONE])
    fed.open(2)
    fed.runner(2, now=fed.night(2) + timedelta(days=2)).run(2)
    return fed


@pytest.fixture
def fed(played: SmallFederation) -> SmallFederation:
    return played.twin()
