"""Sign and read enrolments, by which a client hands its public keys to the operator.

1. An enrolment is an envelope signed by the very key it carries. This proves that its sender holds
   the secret half (R-26).
2. It proves nothing about who the sender is. The operator compares its fingerprint out of band
   (telephone, paper) before adding it.
3. The key lies in the body, so the body is parsed in order to verify. Nothing in it is believed
   unless the signature then holds. The points are checked first, because a small-order key verifies
   what nobody signed (R-21).

What it does not do: change the registry (`registry`), or decide from which round on the key is
valid (the operator does).
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import BoundsError, RegistryError, SignatureError
from hyperfed.registry.windows import check_client_id

__all__ = ["Enrolment", "read_enrolment", "sign_enrolment"]

_AUDIENCE = "registry"
_LIFETIME = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """States that a client wishes to take part.

    Raises ConfigError or BoundsError where a field does not fit.
    """

    client_id: str
    """Client id, of the form that `check_client_id` accepts."""
    organisation: str
    """Name of the organisation, 1 to 200 printable characters."""
    basket: str
    """Basket (domain group) of the client, 1 to 64 printable characters."""
    keys: PublicKeys
    """Public keys of the client."""

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        for name, longest in (("organisation", 200), ("basket", 64)):
            text = getattr(self, name)
            if not text.strip() or len(text) > longest or not text.isprintable():
                raise BoundsError(
                    f"{name} is a text of 1 to {longest} printable characters",
                    subject=f"enrolment of {self.client_id}",
                    rule="R-26",
                )


def sign_enrolment(enrolment: Enrolment, key_pair: KeyPair, *, now: datetime) -> bytes:
    """Return the enrolment's envelope, signed with `key_pair`.

    Raises RegistryError where `key_pair` is not the one that the enrolment names.
    """
    if key_pair.public != enrolment.keys:
        raise RegistryError(
            "an enrolment is signed with the key it carries",
            subject=enrolment.client_id,
            rule="R-26",
        )
    body = PayloadCodec().encode(enrolment)
    header = Header(
        federation="",
        round=0,
        sender=enrolment.client_id,
        key_id=key_pair.key_id,
        audience=_AUDIENCE,
        sequence=0,
        nonce=secrets.token_bytes(16),
        created=now,
        expires=now + _LIFETIME,
    )
    return sign_envelope(PacketType.ENROLMENT, bind_body(header, body), body, [key_pair])


def read_enrolment(
    data: bytes, *, now: datetime | None = None, subject: str = "enrolment"
) -> tuple[Enrolment, str]:
    """Return (enrolment, fingerprint) once the enrolment's own signature holds.

    The fingerprint has 64 hexadecimal digits. With `now`, an enrolment that has expired is refused.

    Raises SchemaError, BoundsError, SignatureError or RegistryError.
    """
    envelope = open_envelope(data, subject=subject)
    if envelope.type != PacketType.ENROLMENT:
        raise SignatureError(
            f"a {envelope.type!r:.60} where an enrolment belongs",
            subject=subject,
            rule="R-30",
            remedy="Make one with `hyperfed enroll`",
        )
    enrolment = PayloadCodec().decode(envelope.body, Enrolment)
    enrolment.keys.check_points()
    enrolled_keys = {enrolment.keys.key_id: enrolment.keys.signing}
    signed = verify_envelope(
        envelope, expect=PacketType.ENROLMENT, key_of=enrolled_keys.get, subject=subject
    )
    header = signed.header
    if (header.sender, header.key_id, header.audience) != (
        enrolment.client_id,
        enrolment.keys.key_id,
        _AUDIENCE,
    ):
        raise SignatureError(
            "header and body name different clients or keys", subject=subject, rule="R-26"
        )
    if now is not None and header.expires <= now:
        raise RegistryError(
            f"expired at {header.expires.isoformat()}",
            subject=subject,
            rule="R-26",
            remedy="Ask the client for a new one",
        )
    return enrolment, signed.digest.hex()
