"""Enrolment: how a client hands its public keys to the operator.

1. An enrolment is an envelope signed by the very key it carries: proof that its sender holds the secret half (R-26).
2. It proves nothing about who that is. Its fingerprint is compared out of band (telephone, paper) before the operator adds it.
3. The key lies in the body, so the body is parsed in order to verify; nothing of it is believed unless the signature then holds, and the
   points are checked first: a small-order key verifies what nobody signed (R-21).

What it does not do: change the registry (`registry`), decide from which round on the key speaks (the operator does).
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperfed.codec import PayloadCodec
from hyperfed.encryption import bind_body
from hyperfed.errors import BoundsError, RegistryError, SignatureError
from hyperfed.keys import KeyPair, PublicKeys
from hyperfed.rounds import check_client_id
from hyperfed.signing import Header, PacketType, open_envelope, sign_envelope, verify_envelope

__all__ = ["Enrolment", "read_enrolment", "sign_enrolment"]

_AUDIENCE = "registry"
_LIFETIME = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who wants to take part: client id, organisation, basket (domain group) and public keys."""

    client_id: str
    organisation: str
    basket: str
    keys: PublicKeys

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        for name, longest in (("organisation", 200), ("basket", 64)):
            text = getattr(self, name)
            if not text.strip() or len(text) > longest or not text.isprintable():
                raise BoundsError(f"{name} is a text of 1 to {longest} printable characters", subject=f"enrolment of {self.client_id}", rule="R-26")


def sign_enrolment(enrolment: Enrolment, keys: KeyPair, *, now: datetime) -> bytes:
    """The enrolment's envelope. Raises RegistryError where `keys` are not those it names."""
    if keys.public != enrolment.keys:
        raise RegistryError("an enrolment is signed with the key it carries", subject=enrolment.client_id, rule="R-26")
    body = PayloadCodec().encode(enrolment)
    header = Header(
        federation="",
        round=0,
        sender=enrolment.client_id,
        key_id=keys.key_id,
        audience=_AUDIENCE,
        sequence=0,
        nonce=secrets.token_bytes(16),
        created=now,
        expires=now + _LIFETIME,
    )
    return sign_envelope(PacketType.ENROLMENT, bind_body(header, body), body, [keys])


def read_enrolment(data: bytes, *, now: datetime | None = None, subject: str = "enrolment") -> tuple[Enrolment, str]:
    """(enrolment, fingerprint: 64 hexadecimal digits), its self-signature verified; with `now`, also that it has not expired.

    Raises SchemaError, BoundsError, SignatureError, RegistryError.
    """
    envelope = open_envelope(data, subject=subject)
    if envelope.type != PacketType.ENROLMENT:
        raise SignatureError(f"a {envelope.type!r:.60} where an enrolment belongs", subject=subject, rule="R-30", remedy="Make one with `hyperfed enroll`")
    enrolment = PayloadCodec().decode(envelope.body, Enrolment)
    enrolment.keys.check_points()
    own = {enrolment.keys.key_id: enrolment.keys.signing}
    signed = verify_envelope(envelope, expect=PacketType.ENROLMENT, key_of=own.get, subject=subject)
    header = signed.header
    if (header.sender, header.key_id, header.audience) != (enrolment.client_id, enrolment.keys.key_id, _AUDIENCE):
        raise SignatureError("header and body name different clients or keys", subject=subject, rule="R-26")
    if now is not None and header.expires <= now:
        raise RegistryError(f"expired at {header.expires.isoformat()}", subject=subject, rule="R-26", remedy="Ask the client for a new one")
    return enrolment, signed.digest.hex()
