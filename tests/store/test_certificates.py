"""Stores whose certificate comes from an authority of the user's own: `ca_file` is what makes them
trusted, for keys and for links alike, and what lets their clock be read.
"""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hyperfed.errors import TransientError, TransportError
from hyperfed.links.presigned_store import HTTPLimits, PresignedStore
from hyperfed.storage.s3 import S3Store
from hyperfed.storage.store import ObjectStore
from tests.store.opened_links import OneLink
from tests.store.scripted_server import KEY, ONE_TRY, ScriptedServer


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, private


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[ScriptedServer, Path]]:
    """A server that speaks TLS, with the certificates that vouch for it."""
    pem, private = certificate(tmp_path, "hospital")
    server = ScriptedServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    server.answers = [(200, {}, b"data")]
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, pem
    server.server.shutdown()
    thread.join()
    server.server.server_close()


def by_key(url: str, **options: Any) -> ObjectStore:
    return S3Store("bucket", endpoint_url=url, credentials=KEY, limits=ONE_TRY, **options)


def by_link(url: str, **options: Any) -> ObjectStore:
    limits = HTTPLimits(connect_timeout_s=1, read_timeout_s=1)
    return PresignedStore(OneLink(f"{url}/bucket/a/k?X-Amz-Signature=x"), limits=limits, **options)


@pytest.mark.parametrize("open_store", [by_key, by_link])
def test_an_authority_of_one_s_own_is_trusted_where_it_is_named_and_nowhere_else(
    secure: tuple[ScriptedServer, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_store: Any,
) -> None:
    server, pem = secure
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    named = open_store(server.url, ca_file=pem)
    assert named.read("a/k", max_bytes=9) == b"data"
    assert abs(named.clock_skew_s) < 60, "the clock is read from the same answers"
    stranger, _ = certificate(tmp_path, "stranger")
    for options in ({}, {"ca_file": stranger}):
        unnamed = open_store(server.url, **options)
        with pytest.raises(TransportError, match="cannot be spoken to safely") as caught:
            unnamed.read("a/k", max_bytes=9)
        assert not isinstance(caught.value, TransientError), "another try would not help"
        assert "ca_file" in caught.value.remedy
        assert unnamed.clock_skew_s is None
    assert len(server.requests) == 1, "what is not trusted is told nothing"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    assert open_store(server.url).read("a/k", max_bytes=9) == b"data"
