"""A night of secure sums with central noise: summed under masks, opened to few, noised once."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from hyperfed.coordinator import noised_release, private_sums
from hyperfed.coordinator.private_sums import private_sums_model
from hyperfed.coordinator.runner import Why
from hyperfed.errors import PrivacyError, QuorumMissed
from hyperfed.operations.audit import audit
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.moments import plan_moments
from hyperfed.privacy.noise_source import SeededNoise
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.records import KeyRecord
from hyperfed.testing.federation import key_of
from tests.central_night import BUDGET, CentralNight, policy
from tests.noised_night import WARDS, statistics
from tests.unit.coordinator.test_noised_secure_round import ended, model_of

pytestmark = pytest.mark.unit

AFTER = timedelta(minutes=5)
AUDITOR = key_of("auditor of central nights")


def test_a_night_with_central_noise_is_charged_once_opened_to_few_and_audited() -> None:
    night = CentralNight(epsilon=400)
    fed = night.federation
    fed.amend(auditors=(KeyRecord(keys=AUDITOR.public),))
    assert ended(night) is Why.COMMITTED
    model, planned = model_of(night), plan_moments(fed.policy, 3)
    reserve = fed.reader().ledger()[0].entry
    assert reserve.mechanisms == planned.mechanisms
    assert (reserve.mechanisms[0].place, reserve.mechanisms[0].shares) == ("central", 0)
    noise = fed.reader().noise(1)
    assert noise is not None
    assert (reserve.noise, reserve.final) == (noise.digest, True)
    said = model.privacy
    assert said is not None
    assert (said.clients, said.noise_std) == (6, planned.noise_std)
    assert "who see the sum before its noise, but no client's numbers" in model.statement
    assert "every update" not in model.statement
    found = {(r["source"], r["target"]) for r in model.rows() if r["source"] != r["target"]}
    assert found >= {("heat", "load"), ("load", "wear")}
    exact = sum(statistics(seed, fed.policy).moments for seed in range(6))
    assert model.moments is not None
    assert 0.4 < ((model.moments.moments - exact) / said.noise_std).std() < 1.8
    assert model.opened_by == night.helpers
    for key in (None, fed.keys["ward-1"], fed.coordinator, AUDITOR):
        opens = key in (fed.coordinator, AUDITOR)
        report = audit(fed.store, fed.fingerprint, key)
        assert report.findings == ()
        assert report.checked["noised sums"] == report.checked["openings"] == 1
        assert report.checked.get("noise compared", 0) == opens
        assert report.checked.get("helpers' answers", 0) == opens
        sealed = [text for text in report.remarks if "were not compared or added up" in text]
        assert len(sealed) == (not opens)


def test_the_result_is_that_of_the_same_round_without_masks() -> None:
    """Same rows, freeze and seed: the sum of masked numbers gets the very same noise (R-208)."""
    night = CentralNight()
    seeds = list[SeededNoise]()

    class Remembered(SeededNoise):
        def __init__(self, seed: bytes, freeze: bytes) -> None:
            super().__init__(seed, freeze)
            seeds.append(SeededNoise(seed, freeze))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noised_release, "SeededNoise", Remembered)
        assert ended(night) is Why.COMMITTED
    fed, model = night.federation, model_of(night)
    planned = plan_moments(fed.policy, 3)
    about = {
        "federation": model.federation,
        "round_id": 1,
        "time": model.time,
        "freeze": model.freeze,
        "clients": 6,
        "policy": replace(fed.policy, aggregation="seen"),
        "vocabulary": model.vocabulary,
    }
    seen = private_sums_model(
        {ward: statistics(seed, fed.policy) for seed, ward in enumerate(WARDS)},
        planned,
        about=about,
        after=PrivacyAccountant(epsilon=BUDGET.epsilon, delta=BUDGET.delta).charged(
            planned.mechanisms
        ),
        noise=seeds[-1],
    )
    assert model.moments == seen.moments
    assert model.moments is not None
    assert model.rows() == seen.rows()


def test_clients_pay_nothing_and_blocks_are_complete() -> None:
    night = CentralNight()
    fed = night.federation
    assert ended(night, but=("ward-6",)) is Why.COMMITTED
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [one.client for one in frozen.value.counted] == list(WARDS[:3])
    assert {one.rule for one in frozen.value.refused} == {"R-174"}
    for ward in WARDS:
        guard = fed.memories[ward].privacy_guard(fed.registry.budget)
        assert guard.accountant.mechanisms == ()
    # what the coordinator sees exactly counts among the classes of later nights
    marks = night.memories["help-1"].marks.opened
    assert [(one.cohorts["statistics"], one.noised) for one in marks] == [(WARDS[:3], False)]


def test_a_round_that_helpers_do_not_open_is_void_and_stays_charged() -> None:
    night = CentralNight()
    fed = night.federation
    night.confirmed()
    for now in (fed.night(1), fed.night(1) + AFTER):
        with pytest.raises(QuorumMissed, match="0 of 4 helpers have answered"):
            fed.run(1, now=now)
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    reserve, void = (c.entry for c in fed.reader().ledger())
    assert reserve.final
    assert (void.kind, void.id) == (EntryKind.VOID, b"")
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_a_repeat_and_another_coordinator_show_the_very_same_value() -> None:
    night = CentralNight()
    fed = night.federation
    night.confirmed()
    for _ in range(2):  # a retry draws no second seed, and names the same manifest
        with pytest.raises(QuorumMissed, match="helpers have answered"):
            fed.run(1)
    now = fed.night(1) + AFTER
    night.visits(now=now)
    sealed = fed.objects()
    assert not any(visit.answered for visit in night.visits(now=now))
    assert fed.objects() == sealed  # a helper need not open its answer to see that it lies there
    twin = night.at_another(sealed)
    assert fed.run(1, now=now).why is twin.federation.run(1, now=now).why is Why.COMMITTED
    assert fed.objects()[Keys.result(1)] == twin.federation.objects()[Keys.result(1)]


def test_a_sum_is_looked_at_with_its_noise_only() -> None:
    """Whether a round ends must not tell more of the exact sum than was charged (R-209)."""
    night = CentralNight()
    fed = night.federation
    night.confirmed()
    with pytest.raises(QuorumMissed):
        fed.run(1)
    now = fed.night(1) + AFTER
    night.visits(now=now)
    looked = list[tuple[int, ...]]()
    true = private_sums.noised_sum_of

    def watched(total: np.ndarray, *args: object, **more: object) -> object:
        looked.append(tuple(total.view(np.int64).tolist()))
        return true(total, *args, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_sums, "noised_sum_of", watched)
        assert fed.run(1, now=now).why is Why.COMMITTED
    planned = plan_moments(fed.policy, 3)
    exact = sum(statistics(seed, fed.policy).moments for seed in range(6))
    steps = np.rint(exact / (planned.clip_norm / planned.bound)).astype(np.int64)
    (seen,) = looked
    assert seen[0] == sum(statistics(seed, fed.policy).n for seed in range(6))
    assert 0.4 < ((np.array(seen[1:]) - steps) / planned.mechanism.sigma).std() < 1.8


@pytest.mark.parametrize("change", [{"payload": "edges", "statistics": None}, {"noise_shares": 4}])
def test_what_does_not_go_with_central_noise_under_masks(change: dict[str, object]) -> None:
    """Of effects the coordinator would see the few who report an edge (R-200)."""
    changes = {name: value for name, value in change.items() if value is not None}
    with pytest.raises(PrivacyError) as refused:
        replace(policy(), **changes)  # type: ignore[arg-type]
    assert refused.value.rule == ("R-200" if "payload" in change else "R-190")
