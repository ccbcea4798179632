"""A thief of the coordinator's key has written into the ledger, or a bucket has split it: the roots
annul what was written, and the federation goes on. What was charged stays charged, what was
released stays burnt (R-123, R-124).
"""

from dataclasses import replace
from pathlib import Path

import pytest

from hyperfed.client import ClientMemory, ClientSession
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.crypto.envelope import digest_of, open_envelope
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.errors import LedgerError, RegistryError, RoundError
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import sign_registry
from hyperfed.testing.federation import SmallFederation
from tests.attack.test_a_round_ahead_of_its_time import void_of
from tests.attack.test_alien_reserves import ALL_OF_IT, PRIVATE, reserve

VICTIM = "site-03"


def annul(fed: SmallFederation, *sequences: int) -> None:
    """Publish a registry version in which the roots annul entries of the drop-box's ledger."""
    items = []
    for sequence in sequences:
        opened = open_envelope(fed.objects()[Keys.ledger(sequence)])
        digest = digest_of(opened.type, opened.header_bytes)
        items.append(Annulment(sequence=sequence, digest=digest))
    fed.amend(annulled=tuple(items))


def test_a_void_of_a_far_round_is_annulled_and_the_federation_goes_on() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    void_of(fed, 50_000)
    with pytest.raises(RoundError) as caught:
        fed.open(3)
    assert caught.value.rule == "R-115"
    annul(fed, 5)
    assert fed.play(3).why is Why.COMMITTED
    sequences = [c.entry.sequence for c in fed.reader().ledger()]
    assert sequences == [1, 2, 3, 4, 5, 6, 7], "the chain goes on behind its actual tail"
    model = fed.session("site-01").pull(now=fed.night(3))
    assert model is not None
    assert model.value.round == 3
    found = audit(fed.store, fed.fingerprint, fed.coordinator, now=fed.night(3))
    assert found.ok, found.findings
    assert any("annulled entry 5" in remark and "round 50000" in remark for remark in found.remarks)


def test_an_annulled_reserve_ends_no_round_and_stays_charged() -> None:
    """What the plan asked for, by an honest hand or not: a value may have been seen."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    runner.reserve(2)
    annul(fed, 3)
    assert len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms) == 2
    assert fed.run(2).why is Why.COMMITTED
    assert len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms) == 3
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_an_annulled_alien_reserve_was_never_a_charge() -> None:
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    reserve(fed, 2, ALL_OF_IT)
    annul(fed, 3)
    fed.runner(2).open_round(2, policy=fed.policy, vocabulary=fed.vocabulary)
    assert len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms) == 1
    fed.submit_all(round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms) == 2


def test_a_round_whose_commit_is_annulled_stays_burnt() -> None:
    """Its result was released. Nobody builds on it, nobody runs it again, nobody believes it."""
    fed = SmallFederation(clients=4, policy=PRIVATE)
    fed.play(1)
    fed.play(2)
    before = fed.decided()
    annul(fed, 4)
    assert fed.run(2).why is Why.VOID
    assert fed.decided() == before
    assert len(accountant_of(fed.reader(), fed.reader().ledger()).mechanisms) == 2
    assert fed.play(3).why is Why.COMMITTED
    frozen = fed.reader().freeze(3)
    assert frozen is not None
    assert frozen.value.base_round == 1
    found = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert found.ok, found.findings


def test_only_the_roots_annul_and_never_take_it_back() -> None:
    fed = SmallFederation()
    fed.play(1)
    void_of(fed, 50_000)
    before = fed.registry_digest
    forged = replace(
        fed.registry,
        version=2,
        previous=before,
        annulled=(Annulment(sequence=3, digest=b"\1" * 32),),
    )
    data = sign_registry(forged, [fed.coordinator])
    fed.store.put_if_absent(Keys.registry(2), data)
    with pytest.raises(Exception, match=r"root|keys known"):
        _ = fed.reader().registry
    twin = SmallFederation()
    twin.play(1)
    annul(twin, 2)
    with pytest.raises(RegistryError) as caught:
        twin.amend(annulled=())
    assert caught.value.rule == "R-123"


def test_an_annulment_of_another_digest_annuls_nothing() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.amend(annulled=(Annulment(sequence=2, digest=b"\1" * 32),))
    assert fed.run(1).why is Why.COMMITTED
    assert fed.play(2).why is Why.COMMITTED
    assert audit(fed.store, fed.fingerprint).ok


# -- a fork ----------------------------------------------------------------------------------------


def forked(policy: PolicyPack) -> tuple[SmallFederation, SmallFederation]:
    """One federation at two drop-boxes, whose ledgers differ from round 2 on."""
    left = SmallFederation(clients=4, policy=policy)
    left.play(1)
    right = left.twin()
    left.play(2)
    right.play(2, but=[VICTIM])
    return left, right


def abandon(fed: SmallFederation, other: SmallFederation) -> None:
    """The roots name the other branch's entries from the fork on, whole, and its sequences."""
    entries = [c for c in other.reader().ledger() if c.entry.sequence > 2]
    state = other.reader().state(2)
    assert state is not None
    fed.amend(
        annulled=tuple(
            Annulment(
                sequence=c.entry.sequence,
                digest=c.digest,
                entry=other.objects()[Keys.ledger(c.entry.sequence)],
            )
            for c in entries
        ),
        least_sequences=tuple((c.client, c.highest_sequence) for c in state.value.clients),
    )


def test_an_abandoned_branchs_charges_carry_over_and_its_holders_go_on(tmp_path: Path) -> None:
    left, right = forked(PRIVATE)
    copy = LedgerCopy(tmp_path / "copy.bin")

    def runner(fed: SmallFederation, round_id: int) -> RoundRunner:
        return RoundRunner(
            fed.store,
            key_pair=fed.coordinator,
            now=fed.night(round_id),
            fingerprint=fed.fingerprint,
            copy=copy,
        )

    runner(right, 2).reader.ledger()  # this machine has read the right branch
    memory = ClientMemory(tmp_path / "client.json")

    def session(fed: SmallFederation) -> ClientSession:
        return ClientSession(
            fed.store,
            client_id="site-01",
            key_pair=fed.keys["site-01"],
            fingerprint=fed.fingerprint,
            memory=memory,
        )

    session(right).check_ledger()
    with pytest.raises(LedgerError) as caught:
        runner(left, 2).reader.ledger()
    assert caught.value.rule == "R-113"
    with pytest.raises((LedgerError, RoundError)):
        session(left).check_ledger()
    abandon(left, right)
    assert [c.digest for c in runner(left, 2).reader.ledger()] == [
        c.digest for c in left.reader().ledger()
    ]
    assert len(accountant_of(left.reader(), left.reader().ledger()).mechanisms) == 3
    session(left).check_ledger()
    left.open(3)
    left.memories["site-01"] = memory
    # this update was made by a client that had seen the abandoned head only
    head = right.reader().ledger()[-1]
    sequence = 9
    left.put(
        left.envelope(
            VICTIM,
            round_id=3,
            sequence=sequence,
            ledger_sequence=head.entry.sequence,
            ledger_digest=head.digest,
        ),
        VICTIM,
        round_id=3,
    )
    left.submit_all(round_id=3, but=[VICTIM])
    stage = left.run(3)
    assert (stage.why, stage.counted) == (Why.COMMITTED, 4)
    found = audit(left.store, left.fingerprint, left.coordinator)
    assert found.ok, found.findings
    assert any("abandoned the branch" in remark for remark in found.remarks)


@pytest.mark.slow
def test_a_round_that_the_abandoned_branch_released_is_charged_again_where_it_is_run() -> None:
    """Two values of one round were seen, and two are charged. Who pulled the other one goes on."""
    left, right = forked(PRIVATE)
    right.play(3)
    session = right.session("site-01")
    assert session.pull(now=right.night(3)) is not None
    branch = [c for c in right.reader().ledger() if c.entry.sequence > 2]
    envelopes = right.objects("ledger/")
    left.amend(
        annulled=tuple(
            Annulment(sequence=n, digest=c.digest, entry=envelopes[Keys.ledger(n)])
            for n, c in enumerate(branch, 3)
        )
    )
    left.memories["site-01"] = right.memories["site-01"]
    assert left.play(3).counted == 4
    assert len(accountant_of(left.reader(), left.reader().ledger()).mechanisms) == 5
    model = left.session("site-01").pull(now=left.night(3))
    assert model is not None
    assert model.value.round == 3
    assert audit(left.store, left.fingerprint, left.coordinator).ok


def test_what_an_abandoned_branch_has_counted_does_not_count_again() -> None:
    left, right = forked(PolicyPack())
    left.amend(least_sequences=(("site-01", 40),))
    left.open(3)
    key = left.put(left.envelope("site-01", round_id=3, sequence=40), "site-01", round_id=3)
    left.submit_all(round_id=3, but=["site-01"])
    assert left.run(3).counted == 3
    frozen = left.reader().freeze(3)
    assert frozen is not None
    assert [(r.key, r.rule) for r in frozen.value.refused] == [(key, "R-89")]
    assert right.run(2).why is Why.COMMITTED


@pytest.mark.parametrize("by_key", [False, True])
def test_a_client_that_was_restored_goes_on_above_what_an_abandoned_branch_counted(
    by_key: bool,
) -> None:
    """No receipt of this branch says how high the other one had counted."""
    left, _ = forked(PolicyPack())
    name = left.keys["site-01"].key_id if by_key else "site-01"
    left.amend(least_sequences=((name, 40),))
    left.memories["site-01"] = ClientMemory()
    left.open(3)
    assert left.submit("site-01", round_id=3).sequence > 40
    left.submit_all(round_id=3, but=["site-01"])
    assert left.run(3).counted == 4
    other = left.submit("site-02", round_id=3).sequence
    assert other < 40, "and nobody else's numbers move"


def test_an_annulment_that_holds_another_entry_than_it_names_is_refused() -> None:
    left, right = forked(PRIVATE)
    entry = right.objects()[Keys.ledger(3)]
    left.amend(annulled=(Annulment(sequence=9, digest=b"\1" * 32, entry=entry),))
    with pytest.raises(LedgerError) as caught:
        accountant_of(left.reader(), left.reader().ledger())
    assert caught.value.rule == "R-124"
