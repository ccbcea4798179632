"""Make a relay's own certificate, for federations without an authority for certificates.

The certificate is its own authority: whoever has compared it, or got it from the operator's hands,
names the file as [store] ca_file. It holds host names and addresses, and ends after some years.

What it does not do: make clients' certificates (`storage.grpc_access`).
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from hyperfed.errors import ConfigError
from hyperfed.storage.grpc_access import need_extra

__all__ = ["make_certificate"]


def make_certificate(
    hosts: Sequence[str], *, certificate: Path, private_key: Path, now: datetime, days: int
) -> str:
    """Write a new certificate for `hosts` and its private key, and return its fingerprint.

    The fingerprint is the SHA-256 of the certificate in hexadecimal digits. Raises ConfigError
    where a file exists or cannot be written, or a host is no name and no address.
    """
    need_extra()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            if not host.isascii() or not host.strip(".") or any(c in host for c in " :/*@"):
                raise ConfigError(
                    "is no host name and no address",
                    subject=repr(host)[:80],
                    remedy="Give the name by which clients reach the relay, without a port",
                ) from None
            names.append(x509.DNSName(host))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _create(private_key, secret, 0o600)
    try:
        _create(certificate, signed.public_bytes(serialization.Encoding.PEM), 0o644)
    except ConfigError:
        with suppress(OSError):
            private_key.unlink()  # a key without its certificate would stand in the way
        raise
    return signed.fingerprint(hashes.SHA256()).hex()


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fsync(fd)
    except FileExistsError as exc:
        raise ConfigError(
            "there is a file already, and it is not overwritten",
            subject=str(path),
            remedy="Choose another path, or move the old one away",
        ) from exc
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(path)) from exc
