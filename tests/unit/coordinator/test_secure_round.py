"""A night of secure sums from end to end: exact, and nothing of it without q helpers."""

from datetime import timedelta

import numpy as np
import pytest

from hyperfed.coordinator.runner import Why
from hyperfed.errors import QuorumMissed
from hyperfed.hypergraph.global_model import GlobalModel
from tests.unit.coordinator.secure_night import (
    HELPERS,
    MEMBERS,
    SecureNight,
    update,
)

pytestmark = pytest.mark.unit


def run_to_the_manifest(night: SecureNight, round_id: int = 1) -> None:
    with pytest.raises(QuorumMissed, match="helpers have answered") as waiting:
        night.federation.run(round_id)
    assert waiting.value.rule == "R-166"


def test_a_night_ends_with_the_model_that_all_rows_give() -> None:
    night = SecureNight()
    night.confirmed()
    run_to_the_manifest(night)
    after = night.federation.night(1) + timedelta(minutes=5)
    assert [visit.answered for visit in night.visits(now=after)] == [[1]] * 4
    stage = night.federation.run(1, now=after + timedelta(minutes=5))
    assert stage.why is Why.COMMITTED
    result = night.federation.reader().result(1)
    assert result is not None
    model = result.value
    assert isinstance(model, GlobalModel)
    assert model.opened_by == HELPERS
    assert model.unchecked == ()
    seen = SecureNight()
    seen.federation.open(1, aggregation="seen", quorum=3)
    for seed, client in enumerate(MEMBERS):
        seen.federation.submit(client, update(seed))
    seen.federation.run(1)
    other = seen.federation.reader().result(1)
    assert other is not None
    assert isinstance(other.value, GlobalModel)
    assert len(model.edges)
    assert model.edges.keys.tolist() == other.value.edges.keys.tolist()
    np.testing.assert_allclose(model.edges.effect, other.value.edges.effect, atol=1e-6)
