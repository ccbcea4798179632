"""Attacks on effects under masks with noise in shares, beside their twins: R-176, R-201, R-202."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.client import ClientMemory, masked
from hyperfed.coordinator import budget, private_round
from hyperfed.coordinator.runner import Why
from hyperfed.errors import AggregationError, RefusedError, TransientError
from hyperfed.hypergraph.difference import delta_table
from hyperfed.operations.audit import audit
from hyperfed.packets import Claims, EdgeDelta, Update
from hyperfed.privacy.accountant import rho_of
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.protocol.object_keys import Keys
from hyperfed.secure_aggregation.noised_effects import effects_vector
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from tests.attack.test_noised_secure_rounds import charging_for
from tests.attack.test_secure_rounds import elsewhere, named
from tests.effects_night import EffectsNight, drawn, effects_policy, effects_update, model_of

pytestmark = pytest.mark.attack

AFTER = timedelta(minutes=5)


def opened(night: EffectsNight) -> EffectsNight:
    """Let helpers confirm and answer, so that the sum can be opened."""
    fed = night.federation
    night.visits(now=fed.night(1))
    named(night)
    night.visits(now=fed.night(1) + AFTER)
    return night


def test_colluders_who_subtract_their_shares_leave_the_noise_that_is_charged() -> None:
    """What a coalition cannot take away has the charged variance, by a chi-square test.

    Eight clients are summed: one helps, one colludes, and one is the victim, whose own share is not
    counted either. The others' five shares are charged, and they are there.
    """
    plan, vocabulary = effects_policy(5), Vocabulary.of(*(f"v{i}" for i in range(30)))
    night = plan_release(
        epsilon=plan.privacy_epsilon,
        delta=plan.privacy_delta,
        clip_norm=1.0,
        slots=900,
        place="shares",
        noise_shares=5,
    )
    count, sigma = night.mechanism.numbers, night.mechanism.sigma
    vectors = [
        effects_vector(
            EdgeTable.empty(), night, vocabulary=vocabulary, lags=(1,), cohort=20, subject=str(i)
        )
        for i in range(8)
    ]
    total = np.sum(vectors, axis=0, dtype=np.uint64)
    left = (total - vectors[0] - vectors[1] - vectors[2]).view(np.int64)
    ratio = float(np.square(left / sigma).sum()) / count
    spread = 6 * math.sqrt(2 / count)
    charged = night.mechanism
    assert (charged.shares, count) == (5, 900)
    assert abs(ratio / charged.shares - 1) < spread < 0.3
    assert rho_of(charged) >= charged.sensitivity**2 / (2 * ratio * sigma**2) * (1 - spread)
    # the honest twin, whom nobody subtracts from: all eight shares are in what is published
    whole = float(np.square(total.view(np.int64) / sigma).sum()) / count
    assert abs(whole / 8 - 1) < spread


def test_one_client_moves_a_sum_by_no_more_than_is_charged() -> None:
    """Whatever a client that follows the protocol has found, the charge's sensitivity bounds it."""
    night = EffectsNight()
    sensitivity = night.release.mechanism.sensitivity
    for effects in ((1.0, 0.0), (1e30, -1e30), (0.7, 0.7), (1e-30, 0.0)):
        steps = night.steps_of(effects_update(*effects))
        assert int(np.dot(steps, steps)) <= sensitivity**2
    whole = night.steps_of(effects_update(1.0, 0.0))
    assert int(np.dot(whole, whole)) == sensitivity**2  # and it is not charged for more than that


def test_a_client_that_submits_again_gets_no_second_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    night, vectors = EffectsNight(), drawn(monkeypatch)
    fed = night.federation
    night.opens()
    fed.submit("ward-1", night.update_of("ward-1"))
    before, spent = fed.objects(), copy.deepcopy(fed.memories["ward-1"])
    for memory in (fed.memories["ward-1"], ClientMemory()):  # nor one that has lost its memory
        fed.memories["ward-1"] = memory
        with pytest.raises(RefusedError, match="has its masked message already") as refused:
            fed.submit("ward-1", night.update_of("ward-2"))
        assert refused.value.rule == "R-164"
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert not guard.accountant.mechanisms
    assert (len(vectors), fed.objects()) == (1, before)
    kept = spent.privacy_guard(fed.registry.budget).accountant.mechanisms
    assert kept == night.release.mechanisms


def test_a_repeat_after_a_lost_reply_sends_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    night, vectors = EffectsNight(), drawn(monkeypatch)
    fed = night.federation
    night.opens()

    def lost(*_: Any, **__: Any) -> str:
        raise TransientError("no reply", subject="store")

    with monkeypatch.context() as patch:
        patch.setattr("hyperfed.client.session.send_masked", lost)
        with pytest.raises(TransientError):
            fed.submit("ward-1", night.update_of("ward-1"))
    kept = fed.memories["ward-1"].message.of("small-fed/round/1/masked")
    assert kept is not None
    fed.submit("ward-1", night.update_of("ward-2"))  # whatever it has found now
    assert fed.objects()[Keys.inbox(1, "ward-1", 0)] == kept.data
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert len(vectors) == len(guard.accountant.mechanisms) == 1


def test_a_coordinator_that_charges_for_shares_it_did_not_freeze_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Helpers count the shares of effects for themselves (R-194)."""
    night = EffectsNight()
    night.confirmed()
    honest = elsewhere(night)
    now = night.federation.night(1) + AFTER
    with monkeypatch.context() as patch:
        patch.setattr(budget, "night_of", charging_for(40))
        named(night)
    visits = night.visits(now=now)
    assert not any(visit.answered for visit in visits)
    assert "charges something else than the noise of this freeze" in visits[0].refused[1]
    named(honest)
    honest.visits(now=now)
    assert honest.federation.run(1, now=now).why is Why.COMMITTED


def lying(
    night: EffectsNight, liar: str, monkeypatch: pytest.MonkeyPatch, numbers: npt.NDArray[np.int64]
) -> None:
    """Let a client submit numbers of its own under its masks."""
    with monkeypatch.context() as patch:
        patch.setattr(masked, "effects_vector", lambda *_, **__: numbers.view(np.uint64))
        night.federation.submit(liar, night.update_of(liar))


@pytest.mark.parametrize("inside", [True, False])
def test_a_masked_liar_sets_the_mean_within_a_clip_and_voids_the_round_beyond(
    inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-176 finds a mean that is longer than a clip and its noise. It cannot find a shorter one.

    The liar wants wear -> heat to have an effect that nobody found: of seven tenths of a clip in
    the mean, which passes, and of one and a half clips, which ends the round without a result.
    """
    night = EffectsNight()
    fed, planned = night.federation, night.release
    night.opens()
    wish = np.zeros(9, dtype=np.int64)
    wish[6] = int(planned.bound * 6 * (0.7 if inside else 1.5))
    lying(night, "ward-6", monkeypatch, wish)
    night.submit_all(but=("ward-6",))
    opened(night)
    now = fed.night(1) + AFTER
    if not inside:
        with pytest.raises(AggregationError, match="clips and their noise") as refused:
            fed.run(1, now=now)
        assert refused.value.rule == "R-176"
        assert fed.reader().result(1) is None
        assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
        return
    assert fed.run(1, now=now).why is Why.COMMITTED
    model = model_of(night)
    shown = {(row["source"], row["target"]): row["effect"] for row in model.edges.rows()}
    assert shown[2, 0] == pytest.approx(0.7, abs=0.1)
    assert any("One client can set the sum" in said for said in model.warnings)
    # its honest twin finds no such edge
    twin = EffectsNight()
    twin.opens()
    twin.submit_all()
    assert opened(twin).federation.run(1, now=now).why is Why.COMMITTED
    honest = {(r["source"], r["target"]): r["effect"] for r in model_of(twin).edges.rows()}
    assert abs(honest.get((2, 0), 0.0)) < 0.1


def test_what_stands_beside_masked_effects_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client attests a loss beside its masks, which would describe it alone (R-170, R-201)."""
    night = EffectsNight()
    fed = night.federation
    night.opens()
    with monkeypatch.context() as patch:
        patch.setattr(masked, "_attested", lambda *_: Claims(loss=3.0))
        fed.submit("ward-6", night.update_of("ward-6"))
    night.submit_all(but=("ward-6",))
    judged = fed.judge(1)
    assert [(one.client, one.rule) for one in judged.refused] == [("ward-6", "R-170")]
    assert "3" not in judged.refused[0].reason.replace("R-", "")
    assert [one.client for one in judged.admitted] == list(night.members[:5])


def test_a_message_that_attests_no_bound_is_not_counted_where_records_are_protected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = replace(EffectsNight().federation.registry.budget, unit="record")
    night = EffectsNight(budget=records, epsilon=20, changes={"record_bound": 0.05})
    fed = night.federation
    night.opens()
    with monkeypatch.context() as patch:
        patch.setattr(masked, "_attested", lambda *_: Claims())
        fed.submit("ward-6", night.update_of("ward-6"))
    night.submit_all(but=("ward-6",))
    judged = fed.judge(1)
    assert [(one.client, one.rule) for one in judged.refused] == [("ward-6", "R-91")]
    assert len(judged.admitted) == 5


HONEST_STATEMENT: Callable[..., Any] = private_round.statement_of


def _halved(policy: Any, night: Any, more: dict[str, Any]) -> Any:
    said = HONEST_STATEMENT(policy, night, **more)
    return replace(said, noise_std=said.noise_std / 2)


@pytest.mark.parametrize("lie", ["sum", "noise"])
def test_an_audit_finds_a_result_that_nobody_opened(
    lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator moves the opened sum, or states less noise than is in it (R-189, R-202)."""
    night = EffectsNight()
    night.opens()
    night.submit_all()
    opened(night)
    fed, honest = night.federation, elsewhere(night).federation
    now = fed.night(1) + AFTER
    true = private_round.effects_sum_of

    def moved(
        total: npt.NDArray[np.uint64], planned: PlannedRelease, **more: Any
    ) -> npt.NDArray[np.int64]:
        steps = true(total, planned, **more).copy()
        steps[1] += 6 * planned.bound // 100
        return steps

    with monkeypatch.context() as patch:
        if lie == "sum":
            patch.setattr(private_round, "effects_sum_of", moved)
        else:
            patch.setattr(
                private_round, "statement_of", lambda policy, night, **m: _halved(policy, night, m)
            )
        assert fed.run(1, now=now).why is Why.COMMITTED
    keyless = audit(fed.store, fed.fingerprint, None).findings
    assert [one.rule for one in keyless] == ([] if lie == "sum" else ["R-202"])
    findings = audit(fed.store, fed.fingerprint, fed.coordinator).findings
    assert "R-189" in [one.rule for one in findings]
    assert honest.run(1, now=now).why is Why.COMMITTED
    for key in (None, honest.coordinator):
        assert audit(honest.store, honest.fingerprint, key).findings == ()


def test_a_masked_message_of_another_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    night = EffectsNight()
    fed = night.federation
    night.opens()
    lying(night, "ward-6", monkeypatch, np.zeros(8, dtype=np.int64))
    night.submit_all(but=("ward-6",))
    assert [(one.client, one.rule) for one in fed.judge(1).refused] == [("ward-6", "R-170")]


def test_an_update_of_changes_alone_is_no_sum() -> None:
    """Changes against an earlier table have no dense vector (R-160)."""
    night = EffectsNight()
    fed = night.federation
    night.opens()
    before = fed.objects()
    delta = EdgeDelta(
        source_id=0, target_id=1, weight_delta=0.1, lag=1, ci_delta=(0, 0), hits_delta=0
    )
    changes = Update(
        measured=np.arange(3, dtype=np.uint32),
        deltas=delta_table(delta),
        base=bytes(32),
        lags=(1,),
    )
    with pytest.raises(RefusedError, match="no whole table of edges"):
        fed.submit("ward-1", changes)
    assert fed.objects() == before
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert not guard.accountant.mechanisms
