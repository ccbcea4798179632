"""Show a relay which key of the registry is the caller's own.

1. The party's signing key signs an X.509 certificate over a new P-256 key, whose issuer is the key
   id. TLS proves possession of that P-256 key, and the signature in the certificate leads to the
   registry (R-155). gRPC's TLS knows no Ed25519 in handshakes, so the registry's key cannot be the
   certificate's own.
2. The certificate is for TLS clients only. A signature over a certificate is not valid for a
   packet, whose signed bytes begin differently (DSSE).
3. Certificate and P-256 key can be kept in a file, for machines that do not hold the party's own
   key. It does not expire unless that is asked for: the registry ends it.

What it does not do: say who may do what. The relay asks its registry.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from hyperfed.errors import ConfigError
from hyperfed.storage.private_files import read_private

__all__ = ["RelayAccess", "Signer", "access_of_key", "need_extra", "read_access"]

_MAX_FILE_BYTES = 1 << 16
_FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280: no well-defined end
_BACK = timedelta(days=1)  # a relay whose clock is behind takes it too
_SIGNATURE_BYTES = 64
_MARKS = ("-----BEGIN PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----")


class Signer(Protocol):
    """Signs with a key pair, as far as a certificate needs it."""

    @property
    def key_id(self) -> str:
        """Return the id by which the registry names the pair."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `message`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAccess:
    """Holds a certificate and its private key, both in PEM form."""

    private_key: bytes = field(repr=False)
    """The P-256 key, unencrypted."""
    certificate: bytes
    """The certificate that the party's signing key has signed."""

    def save(self, path: Path) -> None:
        """Create `path` with mode 0600. Raises ConfigError where it exists or cannot be written."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(self.private_key + self.certificate)
                os.fsync(fd)
        except FileExistsError as exc:
            raise ConfigError(
                "there is a file already, and a key is never overwritten",
                subject=str(path),
                rule="R-20",
                remedy="Choose another path, or move the old one away",
            ) from exc
        except OSError as exc:
            raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(path)) from exc


def access_of_key(signer: Signer, *, now: datetime, days: int | None = None) -> RelayAccess:
    """Return a new access, valid for `days`; None: for as long as the registry names the key."""
    need_extra()
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.x509 import oid

    key = ec.generate_private_key(ec.SECP256R1())
    # The builder signs with keys of its own library alone: the signature of a throw-away key stands
    # at the end, where the party's takes its place.
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("hyperfed access"))
        .issuer_name(_name(signer.key_id))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(_FOREVER if days is None else now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
    )
    unsigned = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    encoded = unsigned.public_bytes(serialization.Encoding.DER)
    signed = encoded[:-_SIGNATURE_BYTES] + signer.sign(unsigned.tbs_certificate_bytes)
    return RelayAccess(
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate=x509.load_der_x509_certificate(signed).public_bytes(serialization.Encoding.PEM),
    )


def read_access(path: Path) -> RelayAccess:
    """Return the access in a file that `save` wrote.

    Raises ConfigError where it cannot be read, others can read it, or it is no such file.
    """
    remedy = "Make one with `hyperfed relay access --key FILE --out FILE`"
    text = read_private(path, what="relay access", max_bytes=_MAX_FILE_BYTES, remedy=remedy)
    at = text.find(_MARKS[1])
    if not text.startswith(_MARKS[0]) or at < 0:
        raise ConfigError(
            "holds no private key followed by its certificate", subject=str(path), remedy=remedy
        )
    return RelayAccess(private_key=text[:at].encode(), certificate=text[at:].encode())


def need_extra() -> None:
    """Raise ConfigError where the extra `grpc` is not installed."""
    try:
        import cryptography  # noqa: F401
        import grpc  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            f"what relays need cannot be imported: {exc}",
            subject="grpc",
            remedy="pip install grpcio cryptography",
        ) from exc


def _name(text: str) -> Any:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
