"""The reader against what the coordinator's own key could sign: plans, ledger entries and receipts
that verify and are still not what their place promises (R-51, R-52, R-71, R-81).

Each forgery has its honest twin, made by the same code, and leaves all that was decided as it was.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import Header, PacketType, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import LedgerError, RoundError, SignatureError
from hyperfed.protocol.documents import COORDINATOR, sign_object
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
)
from hyperfed.protocol.ledger import reserve_id
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord
from hyperfed.testing.federation import SmallFederation, key_of

ONE = "site-01"
HOUR = timedelta(hours=1)


# -- a plan follows from its registry (R-52) -------------------------------------------------------


def plan_of_round_2(fed: SmallFederation, **lie: Any) -> None:
    """Round 2 as the coordinator's key opens it, with some fields not as the registry has them."""
    honest = {"round": 2, "opens": fed.opens(2), "deadline": fed.opens(3), "close_by": fed.opens(5)}
    plan = replace(fed.plan(1), **(honest | lie))
    key = Keys.plan(2)
    write = sign_object(key, PacketType.PLAN, plan, key_pair=fed.coordinator, time=plan.opens)
    fed.store.put_if_absent(key, write.data)


@pytest.mark.parametrize("what", ["registry digest", "opens early", "deadline moved"])
def test_a_plan_that_its_registry_does_not_give_is_refused_by_all(what: str) -> None:
    fed = SmallFederation()
    fed.play(1)
    lies: dict[str, dict[str, Any]] = {
        "registry digest": {"registry_digest": b"r" * 32},
        "opens early": {"opens": fed.opens(2) - HOUR},
        "deadline moved": {"deadline": fed.opens(3) + HOUR},
    }
    plan_of_round_2(fed, **lies[what])
    before, marks = fed.objects(), fed.memories[ONE].marks
    for act in (lambda: fed.submit(ONE, round_id=2), lambda: fed.run(2)):
        with pytest.raises(RoundError, match="does not follow from registry") as caught:
            act()
        assert (caught.value.rule, caught.value.subject) == ("R-52", Keys.plan(2))
    assert fed.objects() == before
    assert fed.memories[ONE].marks == marks


def test_the_same_plan_as_its_registry_gives_it_is_worked_by() -> None:
    fed = SmallFederation()
    fed.play(1)
    plan_of_round_2(fed)
    fed.submit_all(round_id=2)
    assert fed.run(2).why is Why.COMMITTED


# -- an entry of the ledger (R-71, R-81) -----------------------------------------------------------


def reserve_of_round_2(fed: SmallFederation, by: KeyPair, **header: Any) -> bytes:
    """The entry that follows round 1's commit, signed by `by`; `header` says what its body does
    not.
    """
    last, freeze = fed.reader().ledger()[-1], b"f" * 32
    entry = LedgerEntry(
        federation=fed.registry.federation,
        sequence=last.entry.sequence + 1,
        previous=last.digest,
        kind=EntryKind.RESERVE,
        round=2,
        id=reserve_id(fed.registry.federation, 2, freeze),
        freeze=freeze,
        merkle_head=b"m" * 32,
        time=fed.night(2),
    )
    body = PayloadCodec().encode(entry)
    said: dict[str, Any] = {
        "federation": entry.federation,
        "round": entry.round,
        "sender": COORDINATOR,
        "key_id": by.key_id,
        "audience": "all",
        "sequence": entry.sequence,
        "nonce": b"",
        "created": entry.time,
        "expires": entry.time + HOUR,
        "previous": entry.previous,
    }
    head = bind_body(Header(**(said | header)), body)
    return sign_envelope(PacketType.LEDGER, head, body, [by])


@pytest.fixture
def played() -> SmallFederation:
    """Round 1 is committed by a key that holds until then; a second key holds from round 2 on."""
    fed = SmallFederation()
    fed.play(1)
    ends = KeyRecord(keys=fed.coordinator.public, valid_until=1)
    begins = KeyRecord(keys=key_of("second").public, valid_from=2)
    fed.amend(coordinators=(ends, begins))
    return fed


def refuse_entry_3(fed: SmallFederation, data: bytes, kind: type[Exception], rule: str) -> None:
    """Nobody reads the ledger further than entry 2; nobody sends or writes anything."""
    fed.store.put_if_absent(Keys.ledger(3), data)
    before, marks = fed.objects(), fed.memories[ONE].marks
    reader = fed.reader()
    second = fed.runner(2, key_pair=key_of("second"))
    for act in (
        reader.ledger,
        lambda: fed.session(ONE).pull(now=fed.night(1)),
        lambda: second.run(1),
    ):
        with pytest.raises(kind) as caught:
            act()
        assert (caught.value.rule, caught.value.subject) == (rule, Keys.ledger(3))  # type: ignore[attr-defined]
    assert len(reader.verified_entries()) == 2
    assert fed.objects() == before
    assert fed.memories[ONE].marks == marks


def test_an_entry_by_a_key_that_does_not_hold_in_its_round_is_refused(
    played: SmallFederation,
) -> None:
    """The key is a coordinator's, and held in round 1: it may not speak for round 2."""
    data = reserve_of_round_2(played, played.coordinator)
    refuse_entry_3(played, data, SignatureError, "R-81")


@pytest.mark.parametrize(
    "lie",
    [{"federation": "other-fed"}, {"round": 1}, {"sequence": 2}, {"previous": b"p" * 32}],
    ids=str,
)
def test_an_entry_whose_header_speaks_of_another_is_refused(
    played: SmallFederation, lie: dict[str, Any]
) -> None:
    data = reserve_of_round_2(played, key_of("second"), **lie)
    refuse_entry_3(played, data, LedgerError, "R-71")


def test_the_same_entry_by_the_key_of_its_round_is_read(played: SmallFederation) -> None:
    data = reserve_of_round_2(played, key_of("second"))
    played.store.put_if_absent(Keys.ledger(3), data)
    assert [c.entry.round for c in played.reader().ledger()] == [1, 1, 2]


# -- a receipt (R-51) ------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", ["clients", "site-02", COORDINATOR, ""])
def test_a_receipt_that_is_addressed_to_another_is_refused(audience: str) -> None:
    """What it says is site-01's and true; its header is not for site-01."""
    fed = SmallFederation()
    fed.play(1)
    key, honest = Keys.receipt(1, ONE), fed.receipt(ONE)
    assert honest is not None

    def readdressed(to: str) -> bytes:
        return sign_object(
            key,
            PacketType.RECEIPT,
            honest,
            key_pair=fed.coordinator,
            time=fed.night(1),
            audience=to,
        ).data

    assert readdressed(ONE) == fed.objects()[key], "its honest twin"
    fed.store._objects[key] = readdressed(audience)  # type: ignore[attr-defined]
    before, marks = fed.objects(), fed.memories[ONE].marks
    with pytest.raises(RoundError, match="is a receipt for") as caught:
        fed.receipt(ONE)
    assert (caught.value.rule, caught.value.subject) == ("R-51", key)
    assert fed.objects() == before
    assert fed.memories[ONE].marks == marks
