"""What an audit finds of a round of secure sums whose opening does not follow from its freeze, and
of models without the moments that their plan asks for (R-165, R-172, R-178, R-188).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import HelperRefusal
from hyperfed.dropbox.openings import signed_part
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from tests.attack.test_alien_reserves import PRIVATE
from tests.secure_night import HELPERS, SecureNight, later, named, openings, replaced
from tests.unit.coordinator.test_private_sums_round import CENTRAL, federation, update


def audited(night: SecureNight, *, opened: bool = True) -> AuditReport:
    fed = night.federation
    return audit(fed.store, fed.fingerprint, fed.coordinator if opened else None)


@cache
def _ended() -> SecureNight:
    night = SecureNight()
    night.confirmed()
    named(night)
    night.visits(now=later(night))
    assert night.federation.run(1, now=later(night)).why is Why.COMMITTED
    return night


def ended() -> SecureNight:
    return _ended().at_another(_ended().federation.objects())


def test_an_honest_opening_says_nothing() -> None:
    for opened in (True, False):
        found = audited(ended(), opened=opened)
        assert found.findings == ()
        assert (found.checked["openings"], found.checked["helpers' answers"]) == (1, 1)
        assert len(found.remarks) == (0 if opened else 1)


def _another_manifest(night: SecureNight) -> None:
    stored = openings(night).manifest()
    assert stored is not None
    (client, _), *others = stored.value.messages
    forged = replace(stored.value, messages=((client, b"m" * 32), *others))
    fed = night.federation
    signed = sign_object(
        Keys.manifest(1), PacketType.MANIFEST, forged, key_pair=fed.coordinator, time=later(night)
    )
    replaced(night, Keys.manifest(1), signed.data)


def _no_manifest(night: SecureNight) -> None:
    night.federation.store._objects.pop(Keys.manifest(1))  # type: ignore[attr-defined]


def _no_boxes(night: SecureNight) -> None:
    night.federation.store._objects.pop(Keys.boxes(1, "ward-1"))  # type: ignore[attr-defined]


def _no_confirmation(night: SecureNight) -> None:
    fed = night.federation
    key = next(k for k in fed.objects() if "/openings/" in k and "confirm" in k)
    fed.store._objects.pop(key)  # type: ignore[attr-defined]


def _another_answer(night: SecureNight) -> None:
    parts = openings(night)
    key = Keys.opening(1, HELPERS[0])
    stored = parts.part_at(key)
    assert stored is not None
    sums = stored.value.sums.copy()
    sums[0] ^= np.uint64(1)  # an old numpy would add a float, and often change nothing
    data = signed_part(
        replace(stored.value, sums=sums),
        PacketType.OPENING,
        sender=HELPERS[0],
        key_pair=night.federation.keys[HELPERS[0]],
        now=later(night),
    )
    replaced(night, key, data)


@pytest.mark.parametrize(
    ("lie", "rule", "said"),
    [
        (_no_manifest, "R-165", "is missing, and the round has a result"),
        (_no_boxes, "R-66", "is gone, or names another update than was frozen"),
        (_another_manifest, "R-165", "does not follow from the round's freeze"),
        (_no_confirmation, "R-172", "did not confirm"),
        (_another_answer, "", HELPERS[0]),
    ],
)
def test_an_opening_that_does_not_follow_is_found_without_a_key(
    lie: Callable[[SecureNight], None], rule: str, said: str
) -> None:
    night = ended()
    lie(night)
    (finding,) = audited(night, opened=False).findings
    assert finding.rule == rule
    assert said in finding.problem


@pytest.mark.parametrize("moments", [True, False])
def test_a_private_model_has_moments_where_its_plan_asks_for_them(
    monkeypatch: pytest.MonkeyPatch, moments: bool
) -> None:
    """R-188. The result is published as it stands; the audit alone compares it with the plan."""
    honest = FederationCoordinator.aggregate

    def without(self: FederationCoordinator) -> GlobalModel:
        return replace(honest(self), moments=None)

    if not moments:
        monkeypatch.setattr(FederationCoordinator, "aggregate", without)
    fed = federation(CENTRAL)
    fed.open(1)
    for i, client in enumerate(fed.clients):
        fed.submit(client, update(i, CENTRAL, 200))
    assert fed.run(1).why is Why.COMMITTED
    found = audit(fed.store, fed.fingerprint, None).findings
    assert [(f.rule, f.problem) for f in found] == (
        [] if moments else [("R-188", "has no noised sum")]
    )


def test_refusals_and_rebuttals_that_count_as_none_are_remarks() -> None:
    night = ended()
    fed = night.federation
    manifest = openings(night).manifest()
    assert manifest is not None
    refusal = HelperRefusal(
        federation=manifest.value.federation,
        round=1,
        helper="help-2",
        manifest=manifest.value.manifest.digest,
        reason="the boxes differ",
    )
    data = signed_part(
        refusal,
        PacketType.HELPER_REFUSAL,
        sender="help-2",
        key_pair=fed.keys["help-2"],
        now=later(night),
    )
    fed.store.put_if_absent(Keys.helper_refusal(1, "help-2"), data)
    fed.store.put_if_absent(Keys.rebuttal(1, "ward-1"), b"no packet")
    found = audited(night)
    assert found.findings == ()
    assert any("help-2 refused to open it: the boxes differ" in one for one in found.remarks)
    assert any("ward-1's rebuttal counts as none" in one for one in found.remarks)


def test_a_private_model_of_edges_has_no_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-188. The moments of another round are published with it."""
    honest = FederationCoordinator.aggregate
    sums = federation(CENTRAL)
    sums.open(1)
    for i, client in enumerate(sums.clients):
        sums.submit(client, update(i, CENTRAL, 200))
    sums.run(1)
    other = sums.reader().result(1)
    assert other is not None
    assert isinstance(other.value, GlobalModel)
    moments = other.value.moments
    assert moments is not None
    monkeypatch.setattr(
        FederationCoordinator, "aggregate", lambda self: replace(honest(self), moments=moments)
    )
    fed = SmallFederation(policy=PRIVATE)
    fed.play(1)
    (finding,) = audit(fed.store, fed.fingerprint, None).findings
    assert (finding.rule, finding.problem) == (
        "R-188",
        "has moments that its plan does not ask for",
    )
