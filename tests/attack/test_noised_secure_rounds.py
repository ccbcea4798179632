"""Attacks on noise in shares, each beside its honest twin: R-191 to R-195."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.client import ClientMemory, masked
from hyperfed.client_agent import statistics_update
from hyperfed.coordinator import budget
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import signed_part
from hyperfed.errors import (
    AccessDenied,
    PrivacyError,
    QuorumMissed,
    RefusedError,
    RoundError,
    TransientError,
)
from hyperfed.operations.audit import audit
from hyperfed.privacy.accountant import rho_of
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Tombstone
from hyperfed.secure_aggregation.noised_statistics import noised_vector
from hyperfed.statistics import Statistics
from hyperfed.storage.memory import MemoryStore
from tests.attack.test_secure_rounds import elsewhere, named, openings, replaced
from tests.damage import damaged
from tests.noised_night import BUDGET, WARDS, NoisedNight, policy, statistics
from tests.secure_night import signed_plan

pytestmark = pytest.mark.attack

AFTER = timedelta(minutes=5)


def charging_for(shares: int) -> Callable[..., PlannedRelease | None]:
    """Return the night of a coordinator that charges for other shares than were frozen."""
    honest = budget.night_of

    def night_of(*args: Any) -> PlannedRelease | None:
        night = honest(*args)
        if night is None:
            return None
        cheaper = replace(night.mechanism, shares=shares, epsilon=Decimal(1))
        return replace(night, mechanism=cheaper)

    return night_of


def test_a_coordinator_that_charges_for_shares_it_did_not_freeze_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says that 40 shares protect where 4 are left (R-194); helpers count for themselves."""
    night = NoisedNight()
    night.confirmed()
    honest = elsewhere(night)
    now = night.federation.night(1) + AFTER
    with monkeypatch.context() as patch:
        patch.setattr(budget, "night_of", charging_for(40))
        named(night)
    (reserve,) = night.federation.reader().ledger()
    assert reserve.entry.mechanisms[0].shares == 40
    visits = night.visits(now=now)
    assert not any(visit.answered for visit in visits)
    assert "charges something else than the noise of this freeze" in visits[0].refused[1]
    # and an honest coordinator finds the reserve alien: the round ends, and charges nothing
    assert night.federation.run(1, now=now).why is Why.VOID
    named(honest)
    honest.visits(now=now)
    assert honest.federation.run(1, now=now).why is Why.COMMITTED


def test_a_thief_that_freezes_too_few_shares_opens_nothing() -> None:
    """One ward less, and three shares are left of the four that the plan counts on (R-193)."""
    night = NoisedNight()
    night.confirmed()
    honest = elsewhere(night)
    named(night)
    named(honest)
    fed = night.federation
    frozen, manifest = fed.reader().freeze(1), openings(night).manifest()
    assert frozen is not None
    assert manifest is not None
    forged = replace(frozen.value, counted=frozen.value.counted[:5], packs=(), in_pack=())
    for key, kind, value in (
        (Keys.freeze(1), PacketType.FREEZE, forged),
        (Keys.manifest(1), PacketType.MANIFEST, None),
    ):
        stolen = fed.reader().freeze(1)
        assert stolen is not None
        other = value or replace(
            manifest.value, freeze=stolen.digest, messages=manifest.value.messages[:5]
        )
        write = sign_object(key, kind, other, key_pair=fed.coordinator, time=forged.time)
        replaced(night, key, write.data)
    now = fed.night(1) + AFTER
    visit = night.visit("help-1", now=now)
    assert not visit.answered
    assert "3 shares of noise are left" in visit.refused[1]
    assert honest.visit("help-2", now=now).answered == [1]


def test_a_client_with_unequal_seeds_costs_the_others_a_share_and_no_more() -> None:
    """Two helpers cannot open its boxes. It is left out, and the charge is for who is left."""
    night = NoisedNight(shares=3)
    fed = night.federation
    night.opens()
    night.submit_all()
    part = openings(night).mask_boxes("ward-6")
    assert part is not None
    boxes = tuple(damaged(box) for box in part.value.boxes[:2]) + part.value.boxes[2:]
    lying = replace(part.value, boxes=boxes)
    data = signed_part(
        lying, PacketType.BOXES, sender="ward-6", key_pair=fed.keys["ward-6"], now=fed.opens(1)
    )
    replaced(night, Keys.boxes(1, "ward-6"), data)
    night.visits(now=fed.night(1))
    named(night)
    now = fed.night(1) + AFTER
    night.visits(now=now)
    assert fed.run(1, now=now).why is Why.COMMITTED
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    assert charge.shares == 3
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert [one.rule for one in frozen.value.refused] == ["R-171"]
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_a_careless_freeze_of_too_few_shares_ends_uncharged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever froze it, every coordinator sees what it leaves before it reserves (R-118, R-193)."""
    night = NoisedNight()
    fed = night.federation
    night.opens()
    night.submit_all(but=("ward-6",))
    night.visits(now=fed.night(1))
    honest = elsewhere(night)
    with monkeypatch.context() as patch:
        patch.setattr("hyperfed.coordinator.round_objects.why_not_opened", lambda *_: "")
        assert fed.run(1).why is Why.VOID
    result = fed.reader().result(1)
    assert result is not None
    assert isinstance(result.value, Tombstone)
    assert result.value.rule == "R-118"
    assert [c.entry.kind for c in fed.reader().ledger()] == [EntryKind.VOID]
    assert not fed.objects(Keys.manifest(1))
    with pytest.raises(QuorumMissed, match="fewer than 4 shares of noise"):
        honest.federation.run(1)
    assert honest.federation.reader().freeze(1) is None


def test_an_audit_finds_a_charge_that_the_freeze_does_not_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The coordinator and all helpers collude, and the ledger says 40 shares (R-64)."""
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    now = fed.night(1) + AFTER
    with monkeypatch.context() as patch:
        for where in ("coordinator.budget", "client.reserve_checks"):
            patch.setattr(f"hyperfed.{where}.night_of", charging_for(40))
        patch.setattr(
            "hyperfed.coordinator.private_round.release_of",
            lambda *_, **__: charging_for(40)(fed.reader(), fed.plan(1), None),
        )
        patch.setattr("hyperfed.dropbox.charges.is_alien", lambda *_: False)
        named(night)
        night.visits(now=now)
        assert fed.run(1, now=now).why is Why.COMMITTED
    findings = audit(fed.store, fed.fingerprint, None).findings
    assert "R-64" in {finding.rule for finding in findings}
    assert any("does not reserve what the plan spends" in str(one) for one in findings)


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[npt.NDArray[np.uint64]]:
    """Return a list that gets every vector that a client noises."""
    vectors = list[npt.NDArray[np.uint64]]()

    def kept(*args: Any, **more: Any) -> npt.NDArray[np.uint64]:
        vectors.append(noised_vector(*args, **more))
        return vectors[-1]

    monkeypatch.setattr(masked, "noised_vector", kept)
    return vectors


def test_a_client_that_submits_again_gets_no_second_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    night, vectors = NoisedNight(), drawn(monkeypatch)
    fed = night.federation
    night.opens()
    update = night.update_of("ward-1")
    fed.submit("ward-1", update)
    before, spent = fed.objects(), copy.deepcopy(fed.memories["ward-1"])
    with pytest.raises(RefusedError, match="has its masked message already") as refused:
        fed.submit("ward-1", update)
    assert refused.value.rule == "R-164"
    # nor does one that has lost its memory: the slot is taken, and nothing is drawn or charged
    fed.memories["ward-1"] = ClientMemory()
    with pytest.raises(RefusedError, match="has its masked message already"):
        fed.submit("ward-1", update)
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert not guard.accountant.mechanisms
    assert (len(vectors), fed.objects()) == (1, before)
    kept = spent.privacy_guard(fed.registry.budget).accountant.mechanisms
    assert kept == plan_moments(fed.policy, 3).mechanisms


def test_a_bucket_that_hides_a_share_gets_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the client an empty inbox once the next round's message is the one that is kept."""
    night, vectors = NoisedNight(), drawn(monkeypatch)
    fed = night.federation
    night.opens()
    night.opens(2)
    update, late = night.update_of("ward-1"), fed.opens(2) + timedelta(hours=2)
    for round_id in (1, 2):
        fed.submit("ward-1", update, round_id=round_id)
    seen = elsewhere(night, without="ward-1").federation
    before = seen.objects()
    with pytest.raises(RefusedError, match="has its masked message already"):
        seen.submit("ward-1", update, round_id=1, now=late)
    guard = seen.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert (len(vectors), len(guard.accountant.mechanisms)) == (2, 2)
    assert seen.objects() == before
    # a ward that has sent nothing yet takes part in the earlier round as long as it is open
    seen.submit("ward-2", update, round_id=1, now=late)
    theirs = seen.memories["ward-2"].privacy_guard(fed.registry.budget)
    assert (len(vectors), len(theirs.accountant.mechanisms)) == (3, 1)


def test_another_plan_of_a_round_gets_no_second_draw_and_no_cheaper_charge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thief of the coordinator's key shows clients two plans of one round."""
    night, vectors = NoisedNight(shares=3), drawn(monkeypatch)
    fed, update = night.federation, night.update_of("ward-1")
    night.opens()
    asked = plan_moments(fed.policy, 3).mechanisms
    fed.submit("ward-1", update)
    # ward-2 was killed between its charge and its message
    guards = [fed.memories[ward].privacy_guard(BUDGET) for ward in ("ward-1", "ward-2")]
    guards[1].charge(asked, operation="small-fed/round/1")
    seen = elsewhere(night, without="inbox")
    replaced(seen, Keys.plan(1), signed_plan(night, policy=policy(4)))
    before, fitting = seen.federation.objects(), statistics_update(statistics(0, policy(4)))
    for ward, why in (("ward-1", "has its masked message"), ("ward-2", "was recorded with")):
        with pytest.raises((RefusedError, PrivacyError), match=why):
            seen.federation.submit(ward, fitting)
        guard = seen.federation.memories[ward].privacy_guard(BUDGET)
        assert guard.accountant.mechanisms == asked
    assert (len(vectors), seen.federation.objects()) == (1, before)
    fed.submit("ward-2", update)
    assert (len(vectors), guards[1].accountant.mechanisms) == (2, asked)


def test_a_plan_that_counts_on_more_shares_than_can_be_gets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thief signs noise_shares = 40: each share would be thin, and its charge small (R-190)."""
    night, vectors = NoisedNight(), drawn(monkeypatch)
    fed, update = night.federation, night.update_of("ward-1")
    night.opens()
    lying = elsewhere(night)
    replaced(lying, Keys.plan(1), signed_plan(night, policy=policy(40)))
    before = lying.federation.objects()
    with pytest.raises(RoundError, match="the plan counts on 40") as refused:
        lying.federation.submit("ward-1", update)
    assert refused.value.rule == "R-190"
    guard = lying.federation.memories["ward-1"].privacy_guard(BUDGET)
    assert (vectors, guard.accountant.mechanisms) == ([], ())
    assert lying.federation.objects() == before
    fed.submit("ward-1", update)
    assert len(vectors) == 1


@pytest.mark.parametrize("theirs", [("ward-7",), ("ward-6", "ward-7")], ids=["one", "two"])
def test_a_ward_that_turns_out_to_be_a_helpers_leaves_no_share(theirs: tuple[str, ...]) -> None:
    """The roots learn whose it is after it has sent, and the freeze goes by that (R-205).

    Without one ward 4 shares are left, and charged. Without two it is 3, too few for the plan.
    """
    night = NoisedNight(members=(*WARDS, "ward-7"))
    night.confirmed()
    honest, fed = elsewhere(night), night.federation
    named(honest)
    (charge,) = honest.federation.reader().ledger()[0].entry.mechanisms
    assert charge.shares == 5
    fed.amend(
        clients=tuple(
            replace(one, organisation="help-1 ltd") if one.client_id in theirs else one
            for one in fed.registry.clients
        )
    )
    if len(theirs) == 2:
        with pytest.raises(QuorumMissed, match="fewer than 4 shares of noise"):
            fed.run(1)
        assert fed.reader().freeze(1) is None
        return
    now = fed.night(1) + AFTER
    named(night)
    night.visits(now=now)
    assert fed.run(1, now=now).why is Why.COMMITTED
    (charge,) = fed.reader().ledger()[0].entry.mechanisms
    assert charge.shares == 4
    guard = fed.memories["ward-1"].privacy_guard(BUDGET)
    assert rho_of(guard.accountant.mechanisms[0]) >= rho_of(charge)
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_a_repeat_after_a_lost_reply_sends_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    night, vectors = NoisedNight(), drawn(monkeypatch)
    fed = night.federation
    night.opens()
    update = night.update_of("ward-1")

    def lost(*_: Any, **__: Any) -> str:
        raise TransientError("no reply", subject="store")

    with monkeypatch.context() as patch:
        patch.setattr("hyperfed.client.session.send_masked", lost)
        with pytest.raises(TransientError):
            fed.submit("ward-1", update)
    memory = fed.memories["ward-1"]
    kept = memory.message.of("small-fed/round/1/masked")
    assert kept is not None
    fed.submit("ward-1", night.update_of("ward-2"))  # whatever data it has now
    assert fed.objects()[Keys.inbox(1, "ward-1", 0)] == kept.data
    assert len(vectors) == 1
    guard = memory.privacy_guard(fed.registry.budget)
    assert len(guard.accountant.mechanisms) == 1


def test_a_retry_and_another_coordinator_show_the_one_sum_that_was_opened() -> None:
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    named(night)
    named(night)  # a retry names the same manifest
    now = fed.night(1) + AFTER
    night.visits(now=now)
    twin = elsewhere(night)
    assert fed.run(1, now=now).why is twin.federation.run(1, now=now).why is Why.COMMITTED
    ours, theirs = (view.federation.reader().result(1) for view in (night, twin))
    assert ours is not None
    assert theirs is not None
    assert ours.signed.body == theirs.signed.body


def test_an_audit_finds_a_sum_that_nobody_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator moves the noised sum and finds the model in it (R-195)."""
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    named(night)
    now = fed.night(1) + AFTER
    night.visits(now=now)
    honest = elsewhere(night)
    from hyperfed.coordinator import private_sums

    true = private_sums.noised_sum_of

    def moved(total: npt.NDArray[np.uint64], *args: Any, **more: Any) -> Statistics:
        return true(total + np.uint64(1), *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(private_sums, "noised_sum_of", moved)
        fed.run(1, now=now)
    findings = audit(fed.store, fed.fingerprint, fed.coordinator).findings
    assert [finding.rule for finding in findings] == ["R-189"]
    twin = honest.federation
    twin.run(1, now=now)
    assert audit(twin.store, twin.fingerprint, twin.coordinator).findings == ()


def _zeros(variables: int) -> Statistics:
    """Statistics of clipped rows whose moments are all 0, as far as what is summed goes."""
    return Statistics(
        variables=np.arange(variables, dtype=np.uint32),
        lags=(1,),
        n=10_000,
        moments=np.zeros(moment_count(variables, (1,))),
        form="clipped",
    )


def test_colluders_who_subtract_their_shares_leave_the_noise_that_is_charged() -> None:
    """What a coalition cannot take away has the charged variance, by a chi-square test.

    Eight clients are summed: one helps, one colludes, and one is the victim, whose own share is not
    counted either. The others' five shares are charged, and they are there.
    """
    variables, plan = 30, policy(5)
    night = plan_moments(plan, variables, shares=5)
    count, sigma = night.mechanism.numbers, night.mechanism.sigma
    vectors = [
        noised_vector(_zeros(variables), night, cohort=20, subject=f"client {i}") for i in range(8)
    ]
    opened = np.sum(vectors, axis=0, dtype=np.uint64)
    left = (opened - vectors[0] - vectors[1] - vectors[2]).view(np.int64)
    assert left[0] == 5 * 10_000  # rows have no noise
    ratio = float(np.square(left[1:] / sigma).sum()) / count
    spread = 6 * math.sqrt(2 / count)
    charged = night.mechanism
    assert abs(ratio / charged.shares - 1) < spread < 0.2
    assert rho_of(charged) >= charged.sensitivity**2 / (2 * ratio * sigma**2) * (1 - spread)
    # the honest twin, whom nobody subtracts from: all eight shares are in what is published
    whole = float(np.square(opened.view(np.int64)[1:] / sigma).sum()) / count
    assert abs(whole / 8 - 1) < spread


def test_a_coordinator_cannot_open_before_q_helpers_have() -> None:
    night = NoisedNight()
    night.confirmed()
    named(night)
    now = night.federation.night(1) + AFTER
    night.visits(now=now, but=("help-3", "help-4"))
    with pytest.raises(QuorumMissed, match="2 of 4 helpers have answered"):
        night.federation.run(1, now=now)
    night.visit("help-3", now=now)
    late = night.federation.plan(1).close_by - AFTER
    assert night.federation.run(1, now=late).why is Why.COMMITTED
    assert set(WARDS) == {c.client for c in night.federation.reader().freeze(1).value.counted}  # type: ignore[union-attr]


class WithoutFreezes(MemoryStore):
    """A store as a client sees it, which may not read freezes."""

    def read(self, key: str, *, max_bytes: int) -> bytes:
        if key.endswith("/freeze"):
            raise AccessDenied("may not be read by a client", subject=key)
        return super().read(key, max_bytes=max_bytes)


@pytest.mark.parametrize("hidden", [True, False])
def test_who_hides_a_freeze_refills_no_budget(hidden: bool) -> None:
    """Its reserve says how many shares were charged; and a client that lost its record counts it,
    though it may not read freezes (R-112, R-191).
    """
    night = NoisedNight()
    fed = night.federation
    night.confirmed()
    named(night)
    fed.run(1, now=fed.plan(1).close_by)
    night.opens(2)
    seen = elsewhere(night, without=Keys.freeze(1) if hidden else "").federation
    ledger = seen.reader().ledger()
    asked = plan_moments(fed.policy, 3).mechanisms
    assert budget.accountant_of(seen.reader(), ledger).mechanisms == asked
    store = WithoutFreezes()
    for key, data in fed.objects().items():
        store.put_if_absent(key, data)
    fed.store = store
    fed.memories["ward-1"] = ClientMemory()
    fed.submit("ward-1", night.update_of("ward-1"), round_id=2)
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert guard.accountant.mechanisms == asked * 2
