"""A coordinator that counts what no honest one counts: an update below the policy, for another
vocabulary, in the clear, or from the future. Its clients' signatures are all right, and so are the
digests; the audit judges what counts again (R-154). And the honest twins, whom nothing blames.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.operations.audit import AuditReport, audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.test_alien_reserves import PRIVATE

CHOOSY = PolicyPack(g_min=0.3, lags=(1,), max_lag=1, max_staleness=1)
LIAR = "site-04"
_RULES = ("check_header", "check_against_policy")


def audited(fed: SmallFederation, keys: Any) -> AuditReport:
    return audit(fed.store, fed.fingerprint, keys)


def counting_all(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch, put: Callable[[SmallFederation], object]
) -> None:
    """Run round 1 by a coordinator that does not hold the liar to some of the rules."""
    fed.open(1)
    fed.submit_all(but=[LIAR])
    put(fed)
    with monkeypatch.context() as blind:
        for rule in _RULES:
            blind.setattr(f"hyperfed.validator.validator.{rule}", lambda *_args, **_by: None)
        assert fed.run(1).counted == len(fed.clients)


def weak(fed: SmallFederation) -> None:
    """Rows that the policy says are not shared: each below g_min."""
    fed.put(fed.envelope(LIAR, update=fed.update(LIAR, effect=0.05)), LIAR)


def other_lag(fed: SmallFederation) -> None:
    update = fed.update(LIAR)
    edges = replace(update.edges, lag=update.edges.lag + 1)
    fed.put(fed.envelope(LIAR, update=replace(update, edges=edges)), LIAR)


def other_vocabulary(fed: SmallFederation) -> None:
    fed.put(fed.envelope(LIAR, vocabulary=b"\1" * 32), LIAR)


def in_the_clear(fed: SmallFederation) -> None:
    fed.put(fed.envelope(LIAR, sealed=False), LIAR)


def from_the_future(fed: SmallFederation) -> None:
    created = fed.night(1) + timedelta(days=1)
    fed.put(fed.envelope(LIAR, created=created, expires=created + timedelta(days=7)), LIAR)


def never_valid(fed: SmallFederation) -> None:
    created = fed.opens(1) + timedelta(hours=1)
    fed.put(fed.envelope(LIAR, created=created, expires=created), LIAR)


@pytest.mark.parametrize(
    ("put", "rule", "without_key"),
    [
        (weak, "R-91", False),
        (other_lag, "R-90", False),
        (other_vocabulary, "R-86", True),
        (in_the_clear, "R-88", True),
        (from_the_future, "R-85", True),
        (never_valid, "R-85", True),
    ],
)
def test_what_must_not_count_is_found_among_what_counts(
    monkeypatch: pytest.MonkeyPatch,
    put: Callable[[SmallFederation], object],
    rule: str,
    without_key: bool,
) -> None:
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    counting_all(fed, monkeypatch, put)
    for keys in (fed.auditors[0], fed.coordinator):
        report = audited(fed, keys)
        assert [f.rule for f in report.findings] == ["R-154"]
        assert f"{LIAR}'s update, which rounds/00000001/freeze counts though it breaks {rule}" in (
            report.findings[0].problem
        )
    blind = audited(fed, None)
    assert [f.rule for f in blind.findings] == (["R-154"] if without_key else [])


def test_the_honest_twin_counts_nothing_that_is_found() -> None:
    """Three rounds with a correction, a late update and changes against the last table."""
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    fed.open(1)
    fed.submit_all(but=[LIAR])
    fed.submit("site-01", fed.update("site-01", effect=0.6))
    assert fed.run(1).why is Why.COMMITTED
    fed.open(2)
    fed.submit(LIAR, round_id=1, now=fed.night(1) + timedelta(hours=2))
    fed.submit_all(round_id=2, but=[LIAR])
    assert fed.run(2).counted == 4
    assert fed.play(3).counted == 4
    for keys, judged in ((None, 11), (fed.auditors[0], 11), (fed.coordinator, 11)):
        report = audited(fed, keys)
        assert report.findings == ()
        assert report.checked["updates judged again"] == judged


def test_the_honest_twin_of_a_private_round() -> None:
    fed = SmallFederation(clients=4, auditors=1, policy=PRIVATE)
    assert fed.play(1).counted == 4
    assert audited(fed, fed.coordinator).findings == ()


def test_what_expires_between_judging_and_freezing_blames_nobody() -> None:
    """The flow's stages share one instant; a run that was tried again has a later one."""
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    fed.open(1)
    fed.submit_all(but=[LIAR])
    fed.put(fed.envelope(LIAR, expires=fed.night(1) + timedelta(hours=1)), LIAR)
    judged = fed.judge(1)
    later = fed.runner(1, now=fed.night(1) + timedelta(hours=6))
    later.freeze(1, judged)
    assert later.conclude(1).counted == 4
    assert audited(fed, fed.coordinator).findings == ()


def test_a_client_that_seals_nonsense_to_the_auditor_frames_nobody() -> None:
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    fed.open(1)
    fed.submit_all(but=[LIAR])
    registry = fed.registry
    fed.registry = replace(registry, auditors=())
    data = fed.envelope(LIAR)
    fed.registry = registry
    fed.put(data, LIAR)
    assert fed.run(1).counted == 4
    assert [f.rule for f in audited(fed, fed.coordinator).findings] == []
    assert "R-154" not in [f.rule for f in audited(fed, fed.auditors[0]).findings]


def test_a_key_that_came_later_opens_nothing_and_blames_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It judges headers as anybody does."""
    fed = SmallFederation(clients=4, policy=CHOOSY)
    new = key_of("a new coordinator")
    honest = fed.twin()
    assert honest.play(1).counted == 4
    counting_all(fed, monkeypatch, other_vocabulary)
    for world, rules in ((honest, []), (fed, ["R-154"])):
        world.amend(coordinators=(*world.registry.coordinators, KeyRecord(keys=new.public)))
        report = audited(world, new)
        assert [f.rule for f in report.findings] == rules
        assert any("was sealed to other keys" in remark for remark in report.remarks)


def test_where_the_base_state_is_gone_nothing_is_judged_by_another() -> None:
    fed = SmallFederation(clients=4, auditors=1, policy=CHOOSY)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=[LIAR])
    fed.put(fed.envelope(LIAR, round_id=2, sequence=0), LIAR, round_id=2)
    assert fed.run(2).counted == 3
    assert audited(fed, fed.coordinator).findings == ()
    fed.store._objects.pop(Keys.state(1))  # type: ignore[attr-defined]
    rules = {f.rule for f in audited(fed, fed.coordinator).findings}
    assert rules <= {"R-67", "R-66"}, "the missing state is a finding, and no client or coordinator"
