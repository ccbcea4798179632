"""What a coordinator's key can forge of a round that has not ended: each check of the audit alone,
where others would hold too. The honest twin is the same drop-box before it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.crypto.envelope import PacketType, digest_of, open_envelope
from hyperfed.dropbox.reader import Stored
from hyperfed.links.bundle import Links, seal_links
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import COORDINATOR, sign_object
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.heads import Head
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan, Tombstone
from hyperfed.testing.federation import SmallFederation

OPENED, FROZEN, RELEASED = "opened", "frozen", "released"


def _played(stage: str) -> SmallFederation:
    """One committed round; the second registry version; and round 2 up to a stage."""
    fed = SmallFederation(auditors=1)
    fed.play(1, but=["site-03"])
    fed.amend()
    fed.open(2, max_staleness=0)
    fed.submit_all(round_id=2)
    if stage == OPENED:
        return fed
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    if stage == RELEASED:
        runner.reserve(2)
        runner.release(2)
        runner.conclude(2)
        for key in (Keys.ledger(4), *(Keys.receipt(2, client) for client in fed.clients)):
            fed.store._objects.pop(key)  # type: ignore[attr-defined]
    return fed


class _Stages(dict[str, SmallFederation]):
    """Plays a round up to a stage when it is first asked for."""

    def __missing__(self, stage: str) -> SmallFederation:
        self[stage] = _played(stage)
        return self[stage]


STAGES = _Stages()


@pytest.fixture
def played() -> dict[str, SmallFederation]:
    return STAGES


def forge(fed: SmallFederation, key: str, type_: PacketType, value: object) -> None:
    """Put an object in place of another, signed by the coordinator's key."""
    audience = COORDINATOR if type_ in (PacketType.FREEZE, PacketType.STATE) else "clients"
    written = sign_object(
        key, type_, value, key_pair=fed.coordinator, time=fed.night(2), audience=audience
    )
    fed.store._objects.pop(key, None)  # type: ignore[attr-defined]
    fed.store.put_if_absent(key, written.data)


def report(fed: SmallFederation, **given: Any) -> AuditReport:
    before = fed.objects()
    found = audit(fed.store, fed.fingerprint, fed.auditors[0], **given)
    assert fed.objects() == before
    return found


def first(fed: SmallFederation) -> tuple[str, str, str]:
    finding = report(fed).findings[0]
    return finding.key, finding.rule, finding.problem


@pytest.mark.parametrize("stage", [OPENED, FROZEN, RELEASED])
def test_the_honest_twin_passes_and_has_not_ended(
    played: dict[str, SmallFederation], stage: str
) -> None:
    found = report(played[stage].twin())
    assert found.ok, found.findings
    assert found.remarks == ("round 2 has not ended",)


# -- freezes ---------------------------------------------------------------------------------------


def first_counted(freeze: Freeze, **changes: Any) -> dict[str, Any]:
    one, *others = freeze.counted
    return {"counted": tuple(sorted((replace(one, **changes), *others), key=lambda c: c.client))}


Lie = Callable[[SmallFederation, Freeze], dict[str, Any]]


def with_freeze(stage: SmallFederation) -> tuple[SmallFederation, Stored[Freeze]]:
    """A twin of a federation, and the freeze of its round 2."""
    fed = stage.twin()
    honest = fed.reader().freeze(2)
    assert honest is not None
    return fed, honest


@pytest.mark.parametrize(
    ("lie", "rule", "problem"),
    [
        (lambda fed, f: {"plan": b"p" * 32}, "R-63", "is of another plan or registry"),
        (lambda fed, f: {"registry_digest": b"r" * 32}, "R-63", "is of another plan or registry"),
        (
            lambda fed, f: {
                "registry_version": 1,
                "registry_digest": fed.reader().registry_version(1)[1],
            },
            "R-63",
            "goes back to an older registry",
        ),
        (lambda fed, f: {"merkle_head": b"m" * 32}, "R-70", "its Merkle head is not that"),
        (
            lambda fed, f: {"counted": f.counted[:1], "in_pack": f.in_pack[:1]},
            "R-62",
            "is below quorum",
        ),
        (
            lambda fed, f: {"claim_sequence": 9, "claim_digest": b"l" * 32},
            "R-73",
            "",
        ),
        (lambda fed, f: {"formula": 1}, "R-66", "was committed under"),
        (lambda fed, f: first_counted(f, client="site-00"), "R-96", "who was not invited"),
        (lambda fed, f: {"excluded": ("site-01",)}, "R-95", "counts site-01 and excludes it"),
        (
            lambda fed, f: {
                "counted": f.counted[:2],
                "in_pack": f.in_pack[:2],
                "excluded": ("site-03",),
            },
            "R-95",
            "excludes others than the base state gives: site-03",
        ),
        (lambda fed, f: first_counted(f, made_for=1), "R-84", "counts site-01 too late"),
        (lambda fed, f: first_counted(f, sequence=1), "R-89", "site-01's sequence falls"),
    ],
)
def test_a_freeze_that_no_honest_coordinator_writes_is_found(
    played: dict[str, SmallFederation], lie: Lie, rule: str, problem: str
) -> None:
    fed, honest = with_freeze(played[FROZEN])
    forged = replace(honest.value, **lie(fed, honest.value))
    if forged.merkle_head == honest.value.merkle_head:
        forged = replace(forged, merkle_head=merkle.head(forged.leaves))
    forge(fed, Keys.freeze(2), PacketType.FREEZE, forged)
    key, broken, said = first(fed)
    assert (key, broken) == (Keys.freeze(2), rule)
    assert problem in said


@pytest.mark.parametrize("changes", [{"sequence": 77}, {"digest": b"d" * 32}])
def test_a_freeze_that_counts_another_update_than_its_pack_holds_is_found(
    played: dict[str, SmallFederation], changes: dict[str, Any]
) -> None:
    fed, honest = with_freeze(played[FROZEN])
    forged = replace(honest.value, **first_counted(honest.value, **changes))
    forge(
        fed,
        Keys.freeze(2),
        PacketType.FREEZE,
        replace(forged, merkle_head=merkle.head(forged.leaves)),
    )
    key, rule, problem = first(fed)
    assert key == Keys.accepted(2, honest.value.packs[0])
    if "sequence" in changes:
        assert (rule, problem) == (
            "R-82",
            "is site-01's for round 2, signed by site-01",
        )
    else:
        assert rule == "R-66"


@pytest.mark.parametrize("lie", [{"base_round": 0, "base_state": b""}, {"base_state": b"s" * 32}])
def test_a_reserved_freeze_on_another_base_is_found(
    played: dict[str, SmallFederation], lie: dict[str, Any]
) -> None:
    fed, honest = with_freeze(played[RELEASED])
    forge(fed, Keys.freeze(2), PacketType.FREEZE, replace(honest.value, **lie))
    found = {(f.key, f.rule): f.problem for f in report(fed).findings}
    assert (Keys.freeze(2), "R-69") in found
    assert "not on 1" in found[Keys.freeze(2), "R-69"]
    assert found[Keys.ledger(3), "R-119"] == "is of another freeze than round 2 has"


# -- plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        (lambda p: {"newest_commit": b"c" * 32}, "names a newest commit"),
        (lambda p: {"newest_commit_round": 0}, "names a newest commit"),
        (lambda p: {"newest_commit": b""}, "names a newest commit"),
        (lambda p: {"newest_commit": b"", "newest_commit_round": 0}, ""),
    ],
)
def test_a_plan_that_names_a_commit_the_ledger_does_not_hold_so_is_found(
    played: dict[str, SmallFederation], lie: Callable[[Plan], dict[str, Any]], problem: str
) -> None:
    fed = played[OPENED].twin()
    forge(fed, Keys.plan(2), PacketType.PLAN, replace(fed.plan(2), **lie(fed.plan(2))))
    if not problem:  # a plan need not name one
        assert report(fed).ok
        return
    key, rule, said = first(fed)
    assert (key, rule) == (Keys.plan(2), "R-126")
    assert problem in said


def test_a_plan_that_goes_back_to_an_older_registry_is_found(
    played: dict[str, SmallFederation],
) -> None:
    fed = played[FROZEN].twin()
    plan = replace(
        fed.plan(2),
        round=3,
        registry_version=1,
        registry_digest=fed.reader().registry_version(1)[1],
        opens=fed.opens(3),
        deadline=fed.plan(2).deadline + timedelta(days=1),
        close_by=fed.plan(2).close_by + timedelta(days=1),
    )
    forge(fed, Keys.plan(3), PacketType.PLAN, plan)
    key, rule, said = first(fed)
    assert (key, rule) == (Keys.plan(3), "R-126")
    assert "the rounds before it knew version 2" in said


# -- results and states ----------------------------------------------------------------------------


def test_a_result_for_which_nothing_was_reserved_is_found(
    played: dict[str, SmallFederation],
) -> None:
    fed = played[RELEASED].twin()
    fed.store._objects.pop(Keys.ledger(3))  # type: ignore[attr-defined]
    assert first(fed) == (Keys.result(2), "R-64", "can be read, and nothing was reserved for it")


def test_a_result_of_another_freeze_is_found(played: dict[str, SmallFederation]) -> None:
    fed = played[RELEASED].twin()
    result = fed.reader().result(2)
    assert result is not None
    forge(fed, Keys.result(2), PacketType.RESULT, replace(result.value, freeze=b"f" * 32))
    assert first(fed) == (Keys.result(2), "R-66", "is not of the round's freeze")


@pytest.mark.parametrize("what", ["freeze", "result"])
def test_a_state_of_another_freeze_or_result_is_found(
    played: dict[str, SmallFederation], what: str
) -> None:
    fed = played[RELEASED].twin()
    state = fed.reader().state(2)
    assert state is not None
    forge(fed, Keys.state(2), PacketType.STATE, replace(state.value, **{what: b"x" * 32}))
    assert first(fed) == (Keys.state(2), "R-67", "is of another freeze or result")


def test_a_committed_state_that_the_ledger_does_not_name_is_found(
    played: dict[str, SmallFederation],
) -> None:
    fed = played[OPENED].twin()
    state = fed.reader().state(1)
    assert state is not None
    flattered = (replace(state.value.clients[0], alpha=9.0), *state.value.clients[1:])
    forge(fed, Keys.state(1), PacketType.STATE, replace(state.value, clients=flattered))
    assert first(fed) == (Keys.state(1), "R-67", "is not the one the ledger names")


def test_a_tombstone_in_place_of_a_committed_result_is_found(
    played: dict[str, SmallFederation],
) -> None:
    fed = played[OPENED].twin()
    tombstone = Tombstone(
        federation=fed.registry.federation,
        round=1,
        rule="R-65",
        reason="no budget",
        time=fed.night(1),
    )
    forge(fed, Keys.result(1), PacketType.TOMBSTONE, tombstone)
    assert first(fed) == (Keys.result(1), "R-61", "is not the one the ledger names")
    fed.store._objects.pop(Keys.result(1))  # type: ignore[attr-defined]
    assert first(fed) == (Keys.result(1), "R-61", "is missing")


def recommit(fed: SmallFederation, result: Any, **changes: Any) -> None:
    """End round 1 by another entry, which names another result: nothing else has changed."""
    commit = fed.reader().ledger()[1].entry
    forge(fed, Keys.result(1), *result)
    envelope = open_envelope(fed.objects()[Keys.result(1)])
    named = digest_of(envelope.type, envelope.header_bytes)
    entry = replace(commit, result=named, **changes)
    data = sign_object(
        Keys.ledger(2),
        PacketType.LEDGER,
        entry,
        key_pair=fed.coordinator,
        time=entry.time,
        audience="all",
        sequence=2,
        previous=entry.previous,
    ).data
    fed.store._objects[Keys.ledger(2)] = data  # type: ignore[attr-defined]
    for key in [key for key in fed.objects() if key.startswith(("rounds/00000002", "inbox/"))]:
        fed.store._objects.pop(key)  # type: ignore[attr-defined]


def test_what_the_ledger_commits_can_be_read_and_what_it_voids_cannot(
    played: dict[str, SmallFederation],
) -> None:
    fed = played[OPENED].twin()
    model = fed.reader().result(1)
    assert model is not None
    tombstone = Tombstone(
        federation=fed.registry.federation,
        round=1,
        rule="R-65",
        reason="no budget",
        time=fed.night(1),
    )
    recommit(fed, (PacketType.TOMBSTONE, tombstone))
    found = {(f.key, f.problem) for f in report(fed).findings}
    assert (Keys.result(1), "is a tombstone, and the ledger commits it") in found
    fed = played[OPENED].twin()
    reserve = fed.reader().ledger()[0].entry
    recommit(fed, (PacketType.RESULT, model.value), kind=EntryKind.VOID, id=reserve.id, state=b"")
    found = {(f.key, f.problem) for f in report(fed).findings}
    assert (Keys.result(1), "can be read, and the ledger voids it") in found


def test_a_committed_freeze_that_was_replaced_is_found(played: dict[str, SmallFederation]) -> None:
    fed = played[OPENED].twin()
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    other = replace(frozen.value, time=frozen.value.time + timedelta(seconds=1))
    forge(fed, Keys.freeze(1), PacketType.FREEZE, other)
    found = {(f.key, f.rule, f.problem) for f in report(fed).findings}
    assert (Keys.freeze(1), "R-63", "is not the freeze that the ledger names") in found


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", ["coordinator", "site-01"])
def test_links_are_of_their_client_and_signed_by_the_coordinator(
    played: dict[str, SmallFederation], signer: str
) -> None:
    fed = played[OPENED].twin()
    key_pair = fed.coordinator if signer == "coordinator" else fed.keys[signer]
    links = Links(
        federation=fed.registry.federation,
        client="site-01",
        round=2,
        since=1,
        origin="https://box.example",
        issued=fed.opens(2),
        expires=fed.opens(3),
        puts=(),
        gets=(),
    )
    write = seal_links(links, recipients=[fed.keys["site-01"].public], key_pair=key_pair)
    fed.store.put_if_absent(write.key, write.data)
    if signer == "coordinator":
        found = report(fed)
        assert (found.ok, found.checked["links"]) == (True, 1)
        fed.store.put_if_absent(Keys.links(2, "site-02"), write.data)
        assert first(fed)[0] == Keys.links(2, "site-02")
        return
    key, rule, _ = first(fed)
    assert (key, rule) == (Keys.links(2, "site-01"), "R-32")


# -- heads and rounds ------------------------------------------------------------------------------


def test_another_partys_head_is_compared(played: dict[str, SmallFederation]) -> None:
    fed = played[OPENED].twin()
    ledger = fed.reader().ledger()
    same = Head(sequence=2, digest=ledger[1].digest.hex())
    assert report(fed, other=same).checked["compared heads"] == 1
    ahead = report(fed, other=Head(sequence=9, digest="ab" * 32))
    assert ahead.ok
    assert "the ledger ends before entry 9" in ahead.remarks[0]
    other = report(fed, other=Head(sequence=2, digest="ab" * 32))
    assert [f.key for f in other.findings] == [Keys.ledger(2)]


def test_a_round_that_never_ended_was_skipped_by_the_next() -> None:
    """A plan that shows again when a later round has ended."""
    fed = SmallFederation(auditors=1)
    fed.play(1)
    plan = fed.open(2)
    data = fed.store._objects.pop(plan.key)  # type: ignore[attr-defined]
    fed.play(3)
    fed.store.put_if_absent(plan.key, data)
    found = report(fed)
    assert found.ok, found.findings
    assert found.remarks == ("round 2 was skipped",)


def test_what_has_expired_is_said() -> None:
    fed = SmallFederation(auditors=1)
    fed.amend(expires=fed.opens(2))
    assert report(fed, now=fed.opens(2) - timedelta(seconds=1)).remarks == ()
    assert report(fed).remarks == (), "without a clock nothing has expired"
    (remark,) = report(fed, now=fed.opens(2)).remarks
    assert remark.startswith("registry version 2 expired at 2026-01-02T00:00:00+00:00")
