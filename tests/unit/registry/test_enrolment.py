"""Enrolments: proof of possession, nothing believed that was changed, nothing of another kind taken
for one (R-26).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import Header, PacketType, open_envelope, sign_envelope
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import (
    BoundsError,
    ConfigError,
    HyperfedError,
    RegistryError,
    SchemaError,
    SignatureError,
)
from hyperfed.registry.enrolment import Enrolment, read_enrolment, sign_enrolment
from hyperfed.testing.federation import SmallFederation, key_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = key_of("enrolment")
ENROLMENT = Enrolment(
    client_id="hospital-1", organisation="General Hospital", basket="hospitals", keys=KEYS.public
)


def _forged(
    *,
    signer: KeyPair = KEYS,
    type_: PacketType = PacketType.ENROLMENT,
    enrolment: Enrolment = ENROLMENT,
    **header: Any,
) -> bytes:
    body = PayloadCodec().encode(enrolment)
    fields: dict[str, Any] = {
        "federation": "",
        "round": 0,
        "sender": "hospital-1",
        "key_id": signer.key_id,
        "audience": "registry",
        "sequence": 0,
        "nonce": bytes(16),
        "created": NOW,
        "expires": NOW + timedelta(days=1),
    }
    return sign_envelope(type_, bind_body(Header(**(fields | header)), body), body, [signer])


def test_what_was_signed_is_what_is_read() -> None:
    data = sign_enrolment(ENROLMENT, KEYS, now=NOW)
    enrolment, fingerprint = read_enrolment(data, now=NOW)
    assert enrolment == ENROLMENT
    assert len(bytes.fromhex(fingerprint)) == 32
    assert read_enrolment(data)[1] == fingerprint
    assert read_enrolment(sign_enrolment(ENROLMENT, KEYS, now=NOW))[1] != fingerprint, (
        "each has its own"
    )
    assert read_enrolment(_forged(), now=NOW)[0] == ENROLMENT, (
        "the honest twin of what is refused below"
    )


def test_another_key_is_no_proof() -> None:
    with pytest.raises(RegistryError):
        sign_enrolment(ENROLMENT, key_of("mallory"), now=NOW)
    with pytest.raises(SignatureError):
        read_enrolment(_forged(signer=key_of("mallory")))


@pytest.mark.parametrize(
    ("forged", "kind"),
    [
        (_forged(type_=PacketType.MESSAGE), SignatureError),
        (_forged(sender="hospital-2"), SignatureError),
        (_forged(audience="coordinator"), SignatureError),
        (_forged(key_id=""), SignatureError),
        (b"", SchemaError),
        (b"\x00garbage", SchemaError),
        (_forged()[:-1], SchemaError),
        (_forged() + b"\x00", SchemaError),
    ],
)
def test_what_is_no_enrolment(forged: bytes, kind: type[HyperfedError]) -> None:
    with pytest.raises(kind):
        read_enrolment(forged)


def test_every_changed_byte_is_noticed() -> None:
    data = sign_enrolment(ENROLMENT, KEYS, now=NOW)
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
        with pytest.raises(HyperfedError):
            read_enrolment(changed)


def test_an_update_is_not_taken_for_one() -> None:
    federation = SmallFederation()
    federation.open(1)
    with pytest.raises(SignatureError, match="where an enrolment belongs"):
        read_enrolment(federation.envelope(federation.clients[0]))
    assert open_envelope(_forged()).type == "hyperfed/enrolment"


def test_it_expires() -> None:
    data = sign_enrolment(ENROLMENT, KEYS, now=NOW)
    last = timedelta(days=366) - timedelta(seconds=1)
    assert read_enrolment(data, now=NOW + last)[0] == ENROLMENT
    with pytest.raises(RegistryError, match="expired"):
        read_enrolment(data, now=NOW + timedelta(days=366))


def test_a_small_order_key_is_refused_before_its_signature_is_looked_at() -> None:
    small = PublicKeys(
        signing=bytes.fromhex("0100000000000000000000000000000000000000000000000000000000000000"),
        sealing=KEYS.public.sealing,
    )
    forged = _forged(enrolment=replace(ENROLMENT, keys=small))
    with pytest.raises(RegistryError, match="not a valid Ed25519 point"):
        read_enrolment(forged)


def test_the_longest_names_fit() -> None:
    replace(ENROLMENT, organisation="x" * 200, basket="x" * 64)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"client_id": "Hospital"}, ConfigError),
        ({"organisation": ""}, BoundsError),
        ({"organisation": "x" * 201}, BoundsError),
        ({"organisation": "a\nb"}, BoundsError),
        ({"basket": "\x1b[2J"}, BoundsError),
        ({"basket": "x" * 65}, BoundsError),
    ],
)
def test_names_have_bounds(changes: dict[str, str], kind: type[HyperfedError]) -> None:
    with pytest.raises(kind):
        replace(ENROLMENT, **changes)  # type: ignore[arg-type]
