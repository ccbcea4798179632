"""A federation whose store makes URLs."""

import pytest

from hyperfed.testing.federation import SmallFederation
from tests.unit.links.signing_store import SigningStore


@pytest.fixture
def fed() -> SmallFederation:
    return SmallFederation(store=SigningStore())
