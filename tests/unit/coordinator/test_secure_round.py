"""A night of secure sums from end to end: exact, and nothing of it without q helpers."""

import copy
import json
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from hyperfed.cli.operator.inspection import inspect_object
from hyperfed.client.masked import masked_operation
from hyperfed.client.night import submit_update
from hyperfed.coordinator.runner import Why
from hyperfed.errors import (
    AggregationError,
    BoundsError,
    PrivacyError,
    QuorumMissed,
    QuorumPending,
    RefusedError,
    RoundError,
    TransientError,
)
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.protocol.object_keys import Keys
from hyperfed.secure_aggregation.boxes import public_round_key
from hyperfed.secure_aggregation.fixed_point import to_fixed_point
from hyperfed.secure_aggregation.streams import Words
from hyperfed.statistics import Statistics
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.secure_night import (
    HELPERS,
    MEMBERS,
    POLICY,
    VOCABULARY,
    SecureNight,
    openings,
    update,
)

pytestmark = pytest.mark.unit


def run_to_the_manifest(night: SecureNight, round_id: int = 1) -> None:
    with pytest.raises(QuorumMissed, match="helpers have answered") as waiting:
        night.federation.run(round_id)
    assert waiting.value.rule == "R-166"


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_a_night_ends_with_the_model_that_all_rows_give(holes: float) -> None:
    """Also where cells are missing."""
    night = SecureNight()
    night.opens()
    for client in MEMBERS:
        night.submit(client, holes=holes)
    night.visits(now=night.federation.night(1))
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
        seen.federation.submit(client, update(seed, holes=holes))
    seen.federation.run(1)
    other = seen.federation.reader().result(1)
    assert other is not None
    assert isinstance(other.value, GlobalModel)
    assert len(model.edges)
    assert model.edges.keys.tolist() == other.value.edges.keys.tolist()
    np.testing.assert_allclose(model.edges.effect, other.value.edges.effect, atol=1e-6)


def ended(night: SecureNight, *, answering: tuple[str, ...] = HELPERS) -> Why | None:
    """Run a confirmed round to its end, with the answers of some helpers."""
    run_to_the_manifest(night)
    after = night.federation.night(1) + timedelta(minutes=5)
    night.visits(now=after, but=tuple(h for h in HELPERS if h not in answering))
    return night.federation.run(1, now=after).why


def model_of(night: SecureNight, round_id: int = 1) -> GlobalModel:
    result = night.federation.reader().result(round_id)
    assert result is not None
    assert isinstance(result.value, GlobalModel)
    return result.value


def test_q_helpers_open_a_sum_and_what_is_unchecked_is_listed() -> None:
    night = SecureNight()
    night.confirmed()
    assert ended(night, answering=HELPERS[:3]) is Why.COMMITTED
    model = model_of(night)
    assert model.opened_by == HELPERS[:3]
    assert "nobody sees" in model.warnings[0]
    assert "3 parts of the opening" in model.warnings[1]
    assert "how many of them agree is not known" in str(model.explain("heat", "load"))
    assert model.unchecked == tuple(combinations(HELPERS[:3], 2))


def test_one_helper_fewer_opens_nothing_and_the_round_ends_void() -> None:
    """Nothing is decided until `close_by`; then a tombstone stands, whoever answers later."""
    night = SecureNight()
    night.confirmed()
    with pytest.raises(QuorumMissed, match="2 of 4 helpers have answered"):
        ended(night, answering=HELPERS[:2])
    closed = night.federation.plan(1).close_by
    assert night.federation.run(1, now=closed).why is Why.VOID
    assert night.visits(now=closed + timedelta(minutes=1))[3].answered == []
    reasons = {night.federation.receipt(member).reason for member in MEMBERS}  # type: ignore[union-attr]
    assert len(reasons) == 1


def test_before_the_deadline_every_seeds_sum_is_to_be_checked() -> None:
    night = SecureNight()
    night.confirmed()
    run_to_the_manifest(night)
    after = night.federation.night(1) + timedelta(minutes=5)
    night.visits(now=after, but=("help-4",))
    with pytest.raises(QuorumPending, match="confirmed by fewer than 2 helpers"):
        night.federation.runner(1, now=after).open_sum(1, waited_s=0, delay_s=60, poll_s=30)


def test_a_client_that_is_missing_takes_its_block_along_and_no_other() -> None:
    other = tuple(f"yard-{n}" for n in range(3))
    night = SecureNight(members=(*MEMBERS, *other), blocks=(MEMBERS, other))
    night.opens()
    night.submit_all(but=("yard-1",))
    night.visits(now=night.federation.night(1))
    assert ended(night) is Why.COMMITTED
    assert model_of(night).clients == 4
    receipt = night.federation.receipt("yard-0")
    assert receipt is not None
    assert "not complete without yard-1" in str(receipt)


def test_a_client_in_no_block_reads_why_it_is_left_out() -> None:
    night = SecureNight(members=(*MEMBERS, "yard-1"))
    night.confirmed()
    assert ended(night) is Why.COMMITTED
    assert "stands in no block" in str(night.federation.receipt("yard-1"))


def test_a_helper_that_is_away_from_the_beginning_stops_nobody() -> None:
    night = SecureNight()
    fed = night.federation
    for helper in ("help-1", "help-3", "help-4"):
        night.visit(helper, now=fed.opens(1) + timedelta(minutes=1))
    fed.open(1, quorum=3)
    night.submit_all()
    assert night.visit("help-2", now=fed.opens(1) + timedelta(hours=2)).published[0] == 1
    late = night.visit("help-2", now=fed.night(1))
    assert set(late.unconfirmed.values()) == {
        "it has no box for this helper, whose key was not there yet"
    }
    night.visits(now=fed.night(1), but=("help-2",))
    assert ended(night, answering=("help-1", "help-3", "help-4")) is Why.COMMITTED


class Away(MemoryStore):
    """A store that gives no answer to what would publish a helper's key."""

    away = True

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if self.away and "/openings/keys/" in key:
            raise TransientError("no reply", subject=key)
        return super().put_if_absent(key, data)


def test_a_key_that_could_not_be_published_is_published_by_the_next_visit() -> None:
    store = Away()
    night = SecureNight(store=store)
    now = night.federation.opens(1)
    with pytest.raises(TransientError):
        night.visit("help-1", now=now)
    store.away = False
    assert night.visit("help-1", now=now).published == [1, 2, 3]
    assert night.visit("help-1", now=now).published == []
    secret = night.memories["help-1"].key(1)
    assert secret is not None
    night.federation.open(1, quorum=3)
    assert openings(night).helper_key("help-1") == public_round_key(secret)


def test_without_the_keys_of_q_helpers_a_client_sends_nothing() -> None:
    night = SecureNight()
    fed = night.federation
    for helper in HELPERS[:2]:
        night.visit(helper, now=fed.opens(1) + timedelta(minutes=1))
    fed.open(1, quorum=3)
    before = fed.objects()
    with pytest.raises(RefusedError, match="help-3, help-4: have published no key") as refused:
        night.submit("ward-1")
    assert refused.value.rule == "R-169"
    assert fed.objects() == before


def test_a_second_message_is_refused_and_nothing_is_sent() -> None:
    night = SecureNight()
    night.opens()
    night.submit("ward-1")
    before = night.federation.objects()
    with pytest.raises(RefusedError, match="has its masked message already"):
        night.submit("ward-1", seed=9)
    assert night.federation.objects() == before


def test_a_client_that_died_between_its_two_writes_sends_the_same_bytes_again() -> None:
    night = SecureNight()
    night.opens()
    fed = night.federation
    plan = fed.session("ward-1").plan(1)
    kept = copy.deepcopy(fed.memories["ward-1"])
    sent = night.submit("ward-1")
    boxes = fed.objects(f"rounds/{1:08d}/openings/boxes/")
    store = MemoryStore()
    for key, data in fed.objects().items():
        if not key.startswith("inbox/"):
            store.put_if_absent(key, data)
    assert kept.message.of(masked_operation(plan.value)) is None
    kept.message.keep(fed.memories["ward-1"].message.of(masked_operation(plan.value)))  # type: ignore[arg-type]
    fed.store, fed.memories["ward-1"] = store, kept
    kept.message._kept = replace(kept.message._kept, arrived=False)  # type: ignore[type-var]
    again = night.submit("ward-1", seed=9)
    assert again.digest == sent.digest
    assert kept.marks.sequence == 0, "nothing is signed anew"
    assert fed.objects(f"rounds/{1:08d}/openings/boxes/") == boxes


def test_keys_are_erased_once_the_round_has_ended() -> None:
    night = SecureNight()
    night.confirmed()
    assert ended(night) is Why.COMMITTED
    assert 1 in night.memories["help-1"].rounds()
    visit = night.visit("help-1", now=night.federation.night(1) + timedelta(hours=1))
    assert visit.erased == [1]
    assert 1 not in night.memories["help-1"].rounds()


def test_an_audit_adds_messages_and_openings_up_to_the_result() -> None:
    """R-178: also with the answer of a helper that came after the release."""
    night = SecureNight()
    night.confirmed()
    assert ended(night, answering=HELPERS[:3]) is Why.COMMITTED
    night.visit("help-4", now=night.federation.night(1) + timedelta(minutes=9))
    fed = night.federation
    assert Keys.opening(1, "help-4") in fed.objects()
    assert 1 not in night.memories["help-4"].rounds()
    report = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert not report.findings
    assert report.checked["openings"] == 1
    assert report.checked["results recomputed"] == 1
    assert any("3 seeds' sums were checked by fewer than 2" in one for one in report.remarks)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"strategy": "consensus"}, "strategy = 'mean'"),
        ({"max_staleness": 1}, "max_staleness = 0"),
        ({"trust_min": 0.1}, "trust_min = 0"),
        ({"n_cap": 100}, "n_cap = 0"),
        ({"organisation_cap": 1.0}, "organisation_cap = 0"),
        ({"basket_minimum": 2}, "basket_minimum = 0"),
        ({"statistics": SumsPolicy()}, "statistics.short_bias = 'kept'"),
        ({"show_clients": True}, "show_clients = false"),
        ({"payload": "both"}, "payload = 'statistics'"),
    ],
)
def test_what_takes_single_messages_is_refused_with_secure_sums(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(BoundsError, match=why) as refused:
        replace(POLICY, **changes)
    assert "nobody sees a single message" in refused.value.problem
    assert refused.value.rule == "R-177"


def test_a_sum_that_no_rows_have_is_never_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client sets it, and nobody sees which; the round ends void at its `close_by` (R-176)."""
    night = SecureNight()
    night.opens()
    night.submit_all(but=("ward-1",))

    def lies(statistics: Statistics, **_: Any) -> Words:
        behind = np.full(len(statistics.moments), float(statistics.n))
        numbers = np.concatenate([[float(statistics.n)], -1e3 * statistics.moments, behind])
        return to_fixed_point(numbers, cohort=8)

    monkeypatch.setattr("hyperfed.client.masked.vector_of", lies)
    night.submit("ward-1")
    night.visits(now=night.federation.night(1))
    run_to_the_manifest(night)
    after = night.federation.night(1) + timedelta(minutes=5)
    night.visits(now=after)
    with pytest.raises(AggregationError, match="a variance of -") as impossible:
        night.federation.run(1, now=after)
    assert impossible.value.rule == "R-176"
    assert night.federation.reader().result(1) is None
    assert night.federation.run(1, now=night.federation.plan(1).close_by).why is Why.VOID


@pytest.mark.parametrize(
    ("privacy", "aggregation"),
    [("local", "secure-sum"), ("shares", "seen")],
)
def test_noise_has_a_place_that_goes_with_who_sees_messages(privacy: str, aggregation: str) -> None:
    with pytest.raises(PrivacyError, match="added up under masks") as refused:
        PolicyPack(
            payload="statistics",
            lags=(1,),
            privacy=privacy,
            noise_shares=4 if privacy == "shares" else 0,
            strategy="mean",
            trust_min=0.0,
            aggregation=aggregation,
            max_staleness=0,
            organisation_cap=0.0,
            statistics=SumsPolicy(row_norm=3.0),
        )
    assert refused.value.rule == "R-190"


def test_a_registry_without_helpers_opens_no_such_round() -> None:
    fed = SmallFederation(policy=POLICY, vocabulary=VOCABULARY)
    before = fed.objects()
    with pytest.raises(RoundError, match="names no helpers") as refused:
        fed.open(1)
    assert refused.value.rule == "R-168"
    assert fed.objects() == before


def test_every_part_of_an_opening_can_be_inspected() -> None:
    night = SecureNight()
    night.confirmed()
    assert ended(night) is Why.COMMITTED
    parts = night.federation.objects("rounds/00000001/openings/")
    assert len(parts) == 4 + 4 + 4 + 1 + 4  # keys, boxes, confirmations, manifest, answers
    for key, data in parts.items():
        reader = night.federation.reader()
        view = inspect_object(data, key=key, reader=reader, keys_for=lambda: None)
        assert view.verified, view.why
        assert view.content is not None
        json.dumps(view.document())
    moved = next(key for key in parts if key.endswith("sums/help-1"))
    store = MemoryStore()
    for key, data in night.federation.objects().items():
        store.put_if_absent(key, parts[moved.replace("help-1", "help-2")] if key == moved else data)
    night.federation.store = store
    data = store.read(moved, max_bytes=1 << 20)
    reader = night.federation.reader()
    assert not inspect_object(data, key=moved, reader=reader, keys_for=lambda: None).verified


def test_a_result_of_a_federation_below_is_no_sum_and_nothing_is_sent() -> None:
    night, region = SecureNight(), SmallFederation(name="region")
    night.opens()
    fed = night.federation
    before = fed.objects()
    with pytest.raises(RefusedError, match="a result holds no moments") as refused:
        submit_update(
            fed.session("ward-1"),
            None,
            below=region.session("site-01"),
            now=fed.opens(1) + timedelta(hours=1),
        )
    assert refused.value.rule == "R-160"
    assert fed.objects() == before
