"""Who tries to spend the budget, or to stop rounds, by a reserve or a claim that follows from
nothing (R-119, R-120, R-121), and the honest twins of both.
"""

from dataclasses import replace
from decimal import Decimal

import pytest

from hyperfed.crypto.envelope import PacketType, digest_of, open_envelope
from hyperfed.crypto.proofs import proof_of
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import LedgerError, RegistryError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import EntryKind, LedgerEntry, Mechanism
from hyperfed.protocol.ledger import reserve_id
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation, key_of

PRIVATE = PolicyPack(
    strategy="mean",
    privacy="central",
    privacy_epsilon=Decimal(1),
    privacy_delta=Decimal("0.00001"),
    clip_norm=1.2,
    trust_min=0,
    max_lag=1,
)
ALL_OF_IT = (Mechanism(kind="basic", epsilon=Decimal(10), delta=Decimal("0.00009")),)
VICTIM = "site-03"


def reserve(
    fed: SmallFederation,
    round_id: int,
    mechanisms: tuple[Mechanism, ...],
    freeze: bytes = b"",
    noise: bytes = b"",
    final: bool | None = None,
) -> None:
    """Append a reserve, as a thief of the coordinator's key can."""
    ledger, freeze = fed.reader().ledger(), freeze or b"\7" * 32
    entry = LedgerEntry(
        federation="small-fed",
        sequence=len(ledger) + 1,
        previous=ledger[-1].digest,
        kind=EntryKind.RESERVE,
        round=round_id,
        id=reserve_id("small-fed", round_id, freeze),
        freeze=freeze,
        merkle_head=merkle.head([]),
        mechanisms=mechanisms,
        time=fed.night(round_id),
        final=bool(mechanisms) if final is None else final,
        noise=noise,
    )
    write = sign_object(
        Keys.ledger(entry.sequence),
        PacketType.LEDGER,
        entry,
        key_pair=fed.coordinator,
        time=entry.time,
        audience="all",
        sequence=entry.sequence,
        previous=entry.previous,
    )
    assert fed.store.put_if_absent(write.key, write.data)


def kinds(fed: SmallFederation) -> list[tuple[str, int]]:
    return [(c.entry.kind.value, c.entry.round) for c in fed.reader().ledger()]


@pytest.mark.parametrize("private", [True, False])
def test_an_alien_reserve_ends_in_a_void_and_spends_nothing(private: bool) -> None:
    """A minute with the coordinator's key, and all of the budget reserved for nobody's freeze."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    reserve(fed, 2, ALL_OF_IT)
    if not private:
        fed.policy = PolicyPack()
    fed.runner(2).open_round(2, policy=fed.policy, vocabulary=fed.vocabulary)
    assert fed.run(2, now=fed.night(3)).why is Why.VOID
    assert fed.play(4).why is Why.COMMITTED
    assert kinds(fed)[2:] == [("reserve", 2), ("void", 2), ("reserve", 4), ("commit", 4)]
    accountant = accountant_of(fed.reader(), fed.reader().ledger())
    assert len(accountant.mechanisms) == (2 if private else 1)
    found = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert ("ledger/000000000003", "R-119") in [(f.key, f.rule) for f in found.findings]


def test_an_alien_reserve_of_a_round_that_nobody_opens_ends_in_a_void() -> None:
    fed = SmallFederation()
    fed.play(1)
    reserve(fed, 2, ())
    assert fed.play(3).why is Why.COMMITTED
    assert kinds(fed)[2:] == [("reserve", 2), ("void", 2), ("reserve", 3), ("commit", 3)]


def test_a_reserve_that_overtakes_an_open_round_ends_both() -> None:
    """Round 2 may not be reserved after round 3: it is void, and its updates are late."""
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    reserve(fed, 3, ())
    fed.open(3)
    assert fed.run(3, now=fed.night(4)).why is Why.VOID
    assert fed.play(5).why is Why.COMMITTED
    assert ("void", 2) in kinds(fed)


def test_a_reserve_of_the_rounds_own_freeze_that_asks_for_more_ends_in_a_void() -> None:
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    reserve(fed, 2, ALL_OF_IT, frozen.digest)
    assert fed.run(2).why is Why.VOID
    assert fed.play(3).why is Why.COMMITTED


def test_a_result_that_the_thief_left_under_its_reserve_is_nobodys() -> None:
    """Nobody can commit it, so the round is void, and the federation goes on."""
    fed = SmallFederation()
    fed.play(1)
    twin = fed.twin()
    twin.play(2)
    reserve(fed, 2, ())
    fed.open(2)
    for key in ("rounds/00000002/freeze", "rounds/00000002/result"):
        fed.store.put_if_absent(key, twin.objects()[key])
    assert fed.run(2).why is Why.VOID
    assert fed.play(3).why is Why.COMMITTED
    model = fed.session("site-01").pull(now=fed.night(3))
    assert model is not None
    assert model.value.round == 3


def test_the_honest_twins_reserve_is_finished_by_another_coordinator() -> None:
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    runner.reserve(2)
    assert fed.run(2).why is Why.COMMITTED
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_a_bucket_that_hides_a_plan_does_not_refill_the_budget() -> None:
    """A reserve that asks for what its plan says stays charged, though its freeze is another's."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    runner.reserve(2)
    assert isinstance(fed.store, MemoryStore)
    fed.store.forget("rounds/00000002/freeze")
    for key in fed.objects("rounds/00000002/"):
        fed.store.forget(key)
    fed.open(2)
    assert fed.run(2, now=fed.night(3)).why is Why.VOID
    accountant = accountant_of(fed.reader(), fed.reader().ledger())
    assert len(accountant.mechanisms) == 2


# -- claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        {"ledger_sequence": 7, "ledger_digest": b"\1" * 32},
        {"ledger_sequence": 1, "ledger_digest": b"\1" * 32},
        {"ledger_sequence": 7, "ledger_digest": b"\1" * 32, "ledger_proof": b"\2" * 300},
        {"registry_version": 9, "registry_digest": b"\1" * 32},
        {"registry_version": 1, "registry_digest": b"\1" * 32, "registry_proof": b"no proof"},
    ],
    ids=str,
)
def test_one_client_with_an_invented_claim_is_refused_and_stops_nothing(
    claim: dict[str, object],
) -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=[VICTIM])
    key = fed.put(fed.envelope(VICTIM, round_id=2, **claim), VICTIM, round_id=2)
    stage = fed.run(2)
    assert (stage.why, stage.counted) == (Why.COMMITTED, 2)
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    assert [(r.key, r.rule) for r in frozen.value.refused] == [(key, "R-120")]
    receipt = fed.receipt(VICTIM, 2)
    assert receipt is not None
    assert receipt.rule == "R-120"


def test_a_claim_with_a_signature_of_another_key_proves_nothing() -> None:
    fed = SmallFederation()
    fed.play(1)
    other = SmallFederation()
    other.coordinator = key_of("a thief's own key")
    entry = fed.reader().ledger()[0].entry
    forged = replace(entry, sequence=9)
    write = sign_object(
        Keys.ledger(9),
        PacketType.LEDGER,
        forged,
        key_pair=other.coordinator,
        time=entry.time,
        audience="all",
        sequence=9,
    )
    opened = open_envelope(write.data)
    fed.open(2)
    fed.submit_all(round_id=2, but=[VICTIM])
    digest = digest_of(opened.type, opened.header_bytes)
    claim = {"ledger_sequence": 9, "ledger_digest": digest, "ledger_proof": proof_of(write.data)}
    fed.put(fed.envelope(VICTIM, round_id=2, **claim), VICTIM, round_id=2)
    assert fed.run(2).counted == 2


def test_the_honest_twin_that_proves_what_it_saw_stops_the_round() -> None:
    """The bucket has forgotten a night, and its entries: one honest client is enough."""
    fed = SmallFederation(clients=4)
    fed.play(1)
    old = fed.twin()
    fed.play(2)
    fed.open(3)
    fed.submit("site-01", round_id=3)
    old.runner(3, now=old.opens(3)).open_round(3, policy=old.policy, vocabulary=old.vocabulary)
    key = Keys.inbox(3, "site-01", 0)
    old.submit_all(round_id=3, but=["site-01"])
    plan = Keys.plan(3)
    assert fed.objects()[plan] != old.objects()[plan], "the honest plan names the newest commit"
    old.store.put_if_absent(key, fed.objects()[key])
    before = old.decided()
    with pytest.raises(LedgerError) as caught:
        old.run(3)
    assert caught.value.rule == "R-73"
    assert old.decided() == before


def test_a_client_that_proves_a_newer_registry_stops_the_round() -> None:
    """The bucket hides the version that revoked somebody; the roots have signed it."""
    fed = SmallFederation(clients=4)
    fed.open(1)
    old = fed.twin()
    fed.revoke(VICTIM, from_round=1)
    fed.submit("site-01")
    old.submit_all(but=["site-01"])
    old.store.put_if_absent(Keys.inbox(1, "site-01", 0), fed.objects()[Keys.inbox(1, "site-01", 0)])
    before = old.decided()
    with pytest.raises(RegistryError) as caught:
        old.run(1)
    assert caught.value.rule == "R-121"
    assert old.decided() == before
    fed.submit_all(but=["site-01", VICTIM])
    assert fed.run(1).counted == 3


def test_an_update_of_an_earlier_version_says_nothing_of_the_registry_and_counts() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=[VICTIM])
    seen = fed.reader().ledger()[-1]
    fed.put(
        fed.envelope(VICTIM, round_id=2, ledger_sequence=2, ledger_digest=seen.digest),
        VICTIM,
        round_id=2,
    )
    assert fed.run(2).counted == 3
