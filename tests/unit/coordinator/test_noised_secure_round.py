"""A night of secure sums with noise in shares: charged by the freeze, opened, published, audited."""
import pytest
from datetime import timedelta
from hyperfed.coordinator.runner import Why
from hyperfed.errors import QuorumMissed
from hyperfed.operations.audit import audit
from tests.noised_night import NoisedNight, WARDS, policy

AFTER = timedelta(minutes=5)

def test_x():
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    with pytest.raises(QuorumMissed, match="helpers have answered"):
        fed.run(1)
    v = night.visits(now=fed.night(1) + AFTER)
    print([x.refused for x in v])
    stage = fed.run(1, now=fed.night(1) + AFTER)
    print(stage)
    assert stage.why is Why.COMMITTED
    model = fed.reader().result(1).value
    print(model.statement)
    print(model.rows())
    print(fed.reader().ledger()[0].entry.mechanisms)
    for k in (None, fed.coordinator):
        rep = audit(fed.store, fed.fingerprint, k)
        print(rep.findings, rep.checked, rep.remarks)
