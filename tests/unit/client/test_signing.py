"""The envelope that a client signs: what its header states, and how large it may be."""

from datetime import timedelta

import pytest

from hyperfed.client.signing import signed_update
from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.envelope import PacketType, Signed, open_envelope, verify_envelope
from hyperfed.crypto.sealing import NOT_SEALED, open_body
from hyperfed.errors import RefusedError
from hyperfed.packets import Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.testing.federation import SmallFederation

WHO = "site-01"


@pytest.fixture
def fed() -> SmallFederation:
    fed = SmallFederation()
    fed.play(1)
    return fed


def sign(
    fed: SmallFederation, *, sealed: bool = True, limits: Limits = DEFAULT_LIMITS
) -> tuple[bytes, int, str]:
    """What the client would send for round 2, which it signs an hour after its opening."""
    plan = fed.open(2, sealed=sealed).value
    session = fed.session(WHO)
    return signed_update(
        fed.update(WHO),
        plan,
        client_id=WHO,
        key_pair=fed.keys[WHO],
        reader=session.reader,
        memory=session.memory,
        ledger=session.check_ledger(),
        limits=limits,
        now=fed.opens(2) + timedelta(hours=1),
    )


def verified(fed: SmallFederation, data: bytes) -> Signed:
    return verify_envelope(
        open_envelope(data),
        expect=PacketType.UPDATE,
        key_of=lambda _: fed.keys[WHO].public.signing,
    )


def test_the_header_states_what_the_client_has_seen(fed: SmallFederation) -> None:
    marks = fed.memories[WHO].marks
    previous, sequence = marks.previous, marks.sequence
    assert previous
    data, taken, digest = sign(fed)
    signed, plan, ledger = verified(fed, data), fed.plan(2), fed.reader().ledger()
    header = signed.header
    assert (header.sender, header.round, header.key_id) == (WHO, 2, fed.keys[WHO].key_id)
    assert header.sequence == taken == fed.memories[WHO].marks.sequence == sequence + 1
    assert signed.digest.hex() == digest
    assert header.previous.hex() == previous
    assert (header.ledger_sequence, header.ledger_digest) == (len(ledger), ledger[-1].digest)
    assert header.registry_version == fed.registry.version
    assert header.policy == policy_digest(plan.policy)
    assert header.vocabulary == plan.vocabulary.digest
    assert header.created == fed.opens(2) + timedelta(hours=1)


@pytest.mark.parametrize("sealed", [True, False])
def test_the_body_is_sealed_where_the_policy_says_so(fed: SmallFederation, sealed: bool) -> None:
    signed = verified(fed, sign(fed, sealed=sealed)[0])
    assert (signed.header.encryption != NOT_SEALED) is sealed
    body = open_body(signed, fed.coordinator if sealed else None, subject="update")
    assert PayloadCodec().decode(body, Update) == fed.update(WHO)


def test_an_update_that_nobody_would_read_is_refused_and_its_sequence_used_up(
    fed: SmallFederation,
) -> None:
    size, before = len(sign(fed)[0]), fed.memories[WHO].marks.sequence
    with pytest.raises(RefusedError, match=f"at most {size - 100} are read") as caught:
        sign(fed, limits=Limits(max_update_bytes=size - 100))
    assert (caught.value.rule, caught.value.subject) == ("R-80", f"update of {WHO} for round 2")
    assert fed.memories[WHO].marks.sequence == before + 1
    data, sequence, _ = sign(fed, limits=Limits(max_update_bytes=size))
    assert (verified(fed, data).header.sequence, sequence) == (before + 2, before + 2)


def test_a_ledger_that_was_read_elsewhere_is_stated(fed: SmallFederation) -> None:
    """The reader that signs has verified no entries itself."""
    plan, ledger, session = fed.open(2).value, fed.reader().ledger(), fed.session(WHO)
    data, *_ = signed_update(
        fed.update(WHO),
        plan,
        client_id=WHO,
        key_pair=fed.keys[WHO],
        reader=session.reader,
        memory=session.memory,
        ledger=ledger,
        limits=DEFAULT_LIMITS,
        now=fed.opens(2),
    )
    header = verified(fed, data).header
    assert (header.ledger_sequence, header.ledger_digest) == (len(ledger), ledger[-1].digest)
