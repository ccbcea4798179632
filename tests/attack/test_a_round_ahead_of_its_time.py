"""Who tries to end rounds that have not begun, by which no earlier one could end any more (R-115 to
R-117): a far round number, a far clock, a thief of the coordinator's key, a late close_by.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hyperfed.coordinator.timing import instant_of
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import ConfigError, RoundError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.machine import Why
from hyperfed.protocol.merkle import head
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Tombstone
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

FAR = 50_000
VICTIM = "site-03"


@pytest.fixture
def played() -> SmallFederation:
    """Two committed rounds."""
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    return fed


def void_of(fed: SmallFederation, round_id: int) -> None:
    """Sign a tombstone and a void of a round, as a thief of the coordinator's key can."""
    time = fed.registry.windows.deadline(round_id)
    tombstone = Tombstone(
        federation="small-fed", round=round_id, rule="R-62", reason="a lie", time=time
    )
    write = sign_object(
        Keys.result(round_id), PacketType.TOMBSTONE, tombstone, key_pair=fed.coordinator, time=time
    )
    fed.store.put_if_absent(write.key, write.data)
    ledger = fed.reader().ledger()
    entry = LedgerEntry(
        federation="small-fed",
        sequence=len(ledger) + 1,
        previous=ledger[-1].digest,
        kind=EntryKind.VOID,
        round=round_id,
        id=b"",
        result=b"\1" * 32,
        merkle_head=head([]),
        time=time,
    )
    write = sign_object(
        Keys.ledger(entry.sequence),
        PacketType.LEDGER,
        entry,
        key_pair=fed.coordinator,
        time=time,
        audience="all",
        sequence=entry.sequence,
        previous=entry.previous,
    )
    fed.store.put_if_absent(write.key, write.data)


@pytest.mark.parametrize("round_id", [4, FAR])
def test_a_round_number_ahead_of_the_clock_is_neither_opened_nor_run(
    played: SmallFederation, round_id: int
) -> None:
    before = played.objects()
    runner = played.runner(3, now=played.opens(3))
    for attempt in (
        lambda: runner.open_round(round_id, policy=played.policy, vocabulary=played.vocabulary),
        lambda: runner.run(round_id),
        lambda: runner.collect(round_id),
        lambda: runner.conclude(round_id),
    ):
        with pytest.raises(RoundError) as caught:
            attempt()
        assert caught.value.rule == "R-115"
    assert played.objects() == before


def test_a_far_clock_that_nothing_bears_out_opens_and_ends_nothing(
    played: SmallFederation,
) -> None:
    """The clock and the number agree with each other, and with nothing in the drop-box."""
    before = played.objects()
    now = played.registry.windows.deadline(FAR + 3)
    runner = played.runner(1, now=now)
    for round_id in (3, FAR):
        with pytest.raises(ConfigError) as caught:
            runner.open_round(round_id, policy=played.policy, vocabulary=played.vocabulary)
        assert caught.value.rule == "R-117"
    assert played.objects() == before
    played.open(3)
    opened = played.objects()
    with pytest.raises(ConfigError) as caught:
        played.runner(1, now=now).run(3)
    assert caught.value.rule == "R-117"
    assert played.objects() == opened
    played.submit_all(round_id=3)
    assert played.run(3).why is Why.COMMITTED


def test_the_honest_twin_that_paused_goes_on_once_the_roots_say_so(
    played: SmallFederation,
) -> None:
    after = 200
    with pytest.raises(ConfigError, match="roots publish"):
        played.open(after)
    played.amend(issued=played.opens(after) - timedelta(days=1))
    assert played.play(after).why is Why.COMMITTED


def test_a_void_of_a_far_round_by_a_thief_is_believed_by_nobody(played: SmallFederation) -> None:
    void_of(played, FAR)
    before = played.objects()
    now = played.night(3)
    found = audit(played.store, played.fingerprint, played.coordinator, now=now)
    assert [(f.key, f.rule) for f in found.findings][:1] == [(Keys.ledger(5), "R-115")]
    for attempt in (
        lambda: played.session("site-01").pull(now=now),
        lambda: played.open(3),
        lambda: played.run(3),
    ):
        with pytest.raises(RoundError) as caught:
            attempt()
        assert caught.value.rule == "R-115"
        assert "roots" in caught.value.remedy
    assert played.objects() == before


def test_the_honest_twins_void_of_a_round_that_is_over_is_believed(
    played: SmallFederation,
) -> None:
    played.open(3)
    played.submit("site-01", round_id=3)
    assert played.run(3, now=played.night(4)).why is Why.VOID
    assert audit(played.store, played.fingerprint, now=played.night(4)).ok
    assert played.session("site-01").pull(now=played.night(4)) is not None


def test_a_plan_of_a_round_to_come_is_believed_by_nobody(played: SmallFederation) -> None:
    played.runner(9, now=played.opens(9)).open_round(
        9, policy=played.policy, vocabulary=played.vocabulary
    )
    session = played.session(VICTIM)
    with pytest.raises(RoundError, match="has not begun"):
        session.submit(
            played.update(VICTIM), now=played.opens(3), plan=session.plan_at(played.opens(3), 9)
        )
    found = audit(played.store, played.fingerprint, now=played.opens(3))
    assert [(f.key, f.rule) for f in found.findings] == [(Keys.plan(9), "R-115")]
    assert audit(played.store, played.fingerprint, now=played.opens(9)).ok


def test_a_close_by_beyond_what_the_roots_allow_is_refused_by_all(
    played: SmallFederation,
) -> None:
    late = played.registry.windows.deadline(3 + 8)
    unbounded = played.twin()
    plan = unbounded.runner(3, now=unbounded.opens(3)).open_round(
        3, policy=unbounded.policy, vocabulary=unbounded.vocabulary, close_by=late
    )
    assert plan.value.close_by == late, "a registry that sets no bound has today's meaning"
    played.amend(close_windows=7)
    with pytest.raises(RoundError) as caught:
        played.runner(3, now=played.opens(3)).open_round(
            3, policy=played.policy, vocabulary=played.vocabulary, close_by=late
        )
    assert caught.value.rule == "R-116"
    assert played.reader().plan(3) is None
    # a thief of the key signs it all the same
    evil = replace(
        plan.value, registry_version=2, registry_digest=played.registry_digest, close_by=late
    )
    write = sign_object(
        Keys.plan(3), PacketType.PLAN, evil, key_pair=played.coordinator, time=evil.opens
    )
    played.store.put_if_absent(write.key, write.data)
    for reader in (played.reader().plan, played.session(VICTIM).plan):
        with pytest.raises(RoundError) as caught:
            reader(3)
        assert caught.value.rule == "R-116"
    assert [f.rule for f in audit(played.store, played.fingerprint).findings] == ["R-116"]


def test_the_honest_twin_stays_open_as_long_as_the_roots_allow(played: SmallFederation) -> None:
    played.amend(close_windows=7)
    close_by = played.registry.windows.deadline(3 + 7)
    played.runner(3, now=played.opens(3)).open_round(
        3, policy=played.policy, vocabulary=played.vocabulary, close_by=close_by
    )
    played.submit_all(round_id=3)
    assert played.run(3, now=played.night(8)).why is Why.COMMITTED
    assert audit(played.store, played.fingerprint, now=played.night(8)).ok


def test_a_clock_that_is_behind_stops_the_round_and_one_clients_clock_does_not() -> None:
    """Most clients are right, or one of them lies: by how many it is known."""
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    early = fed.opens(1) + timedelta(minutes=20)
    with pytest.raises(RoundError) as caught:
        fed.run(1, now=early)
    assert caught.value.rule == "R-117"
    assert "3 of 3 clients" in caught.value.problem
    assert fed.decided() == {}
    twin = SmallFederation()
    twin.open(1)
    twin.submit_all(but=[VICTIM])
    ahead = twin.night(1) + timedelta(days=400)
    twin.put(twin.envelope(VICTIM, created=ahead, expires=ahead + timedelta(days=1)), VICTIM)
    assert twin.run(1).counted == 2


def test_a_clock_of_their_own_is_for_rehearsals() -> None:
    actual, told = datetime(2026, 5, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)
    assert instant_of(None, actual, dry_run=False, environment={}) == actual
    assert instant_of(told, actual, dry_run=True, environment={}) == told
    assert instant_of(told, actual, dry_run=False, environment={"HYPERFED_REHEARSAL": "1"}) == told
    with pytest.raises(ConfigError) as caught:
        instant_of(told, actual, dry_run=False, environment={"HYPERFED_REHEARSAL": "0"})
    assert caught.value.rule == "R-117"


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1"])
def test_what_is_no_rounds_number_is_refused(played: SmallFederation, number: object) -> None:
    before = played.objects()
    runner = played.runner(3)
    for attempt in (
        lambda: runner.open_round(number, policy=played.policy, vocabulary=played.vocabulary),  # type: ignore[arg-type]
        lambda: runner.run(number),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match="no round's number"):
            attempt()
    assert played.objects() == before


def test_an_instant_without_a_time_zone_is_refused(played: SmallFederation) -> None:
    naive = datetime(2026, 1, 3, 1)  # noqa: DTZ001  which is the point
    before = played.objects()
    for attempt in (
        lambda: played.runner(3, now=naive),
        lambda: played.session(VICTIM).pull(now=naive),
        lambda: audit(played.store, played.fingerprint, now=naive),
        lambda: played.runner(3).open_round(
            3, policy=played.policy, vocabulary=played.vocabulary, close_by=naive
        ),
    ):
        with pytest.raises(ConfigError, match="time zone"):
            attempt()
    assert played.objects() == before


def test_a_plan_without_variables_is_not_signed(played: SmallFederation) -> None:
    before = played.objects()
    runner = played.runner(3)
    with pytest.raises(ConfigError, match="no variables"):
        runner.open_round(3, policy=PolicyPack(), vocabulary=Vocabulary(()))
    assert played.objects() == before
