"""grpc:// addresses: who asks, what is refused before any call, and what a missing extra says."""

import builtins
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hyperfed.client.opening import Opening
from hyperfed.client.settings import load_settings
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import ConfigError
from hyperfed.storage.grpc_access import access_of_key, read_access
from hyperfed.storage.grpc_store import GRPCStore
from hyperfed.storage.opening import open_store
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import key_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)
KEY = key_of("a client")
ACCESS = access_of_key(KEY, now=NOW)


def inner(store: ObjectStore) -> GRPCStore:
    assert isinstance(store, RetryingStore)
    assert isinstance(store.inner, GRPCStore)
    return store.inner


def signed_by(certificate: bytes) -> str:
    """The issuer of an access, whose signature is verified."""
    read = x509.load_pem_x509_certificate(certificate)
    public = ed25519.Ed25519PublicKey.from_public_bytes(KEY.public.signing)
    public.verify(read.signature, read.tbs_certificate_bytes)
    assert isinstance(read.public_key(), ec.EllipticCurvePublicKey)
    return str(read.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def test_the_partys_key_signs_its_access() -> None:
    assert signed_by(ACCESS.certificate) == KEY.key_id
    read = x509.load_pem_x509_certificate(ACCESS.certificate)
    assert read.not_valid_after_utc.year == 9999
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ACCESS.private_key.decode() not in repr(ACCESS)
    short = x509.load_pem_x509_certificate(access_of_key(KEY, now=NOW, days=3).certificate)
    assert (short.not_valid_after_utc - NOW).days == 3
    again = access_of_key(KEY, now=NOW)
    assert again.private_key != ACCESS.private_key, "a new key each time"


def test_an_access_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "site.relay.pem"
    ACCESS.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_access(path) == ACCESS
    with pytest.raises(ConfigError, match="never overwritten"):
        access_of_key(KEY, now=NOW).save(path)
    assert read_access(path) == ACCESS
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others can read"):
        read_access(path)
    for text in ("", ACCESS.certificate.decode(), ACCESS.private_key.decode(), "{}"):
        wrong = tmp_path / "wrong.pem"
        wrong.unlink(missing_ok=True)
        wrong.touch(mode=0o600)
        wrong.write_text(text)
        with pytest.raises(ConfigError, match=r"holds no private key.*relay access"):
            read_access(wrong)


@pytest.mark.parametrize(
    ("url", "options", "match"),
    [
        ("grpc://relay", {}, "not the address of a relay"),
        ("grpc://relay:0", {}, "not the address of a relay"),
        ("grpc://relay:70000", {}, "not the address of a relay"),
        ("grpc://:8443", {}, "not the address of a relay"),
        ("grpc://relay:8443/prefix", {}, "a host and a port, and nothing else"),
        ("grpc://me:secret@relay:8443", {}, "a host and a port, and nothing else"),
        ("grpc://relay:8443", {"endpoint": "https://s3"}, "belong to an S3 store"),
        ("grpc://relay:8443", {"access": None}, r"nothing says who asks.*relay access"),
        ("grpc://relay:8443", {"ca_file": Path("/nowhere.pem")}, "cannot be read"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(
    url: str, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigError, match=match) as raised:
        open_store(url, **{"access": ACCESS, **options})
    assert "secret" not in str(raised.value)


def test_addresses_of_every_form_are_taken() -> None:
    for address in ("relay.example.org:8443", "127.0.0.1:1", "[::1]:8443"):
        store = open_store(f"grpc://{address}/", access=ACCESS)
        assert inner(store).location == f"grpc://{address}"


def opening(folder: Path, more: str) -> Opening:
    (folder / "hyperfed.toml").write_text(
        f'[store]\nurl = "grpc://relay:8443"\n{more}\n[federation]\nfingerprint = "{"0" * 64}"\n'
    )
    return Opening(load_settings(folder / "hyperfed.toml"), now=lambda: NOW)


def test_a_partys_own_key_is_what_a_relay_is_shown(tmp_path: Path) -> None:
    KEY.save(tmp_path / "own.key")
    for who in ("client", "coordinator"):
        text = f'[{who}]\nkey = "own.key"' + ('\nid = "site-01"' if who == "client" else "")
        store = inner(opening(tmp_path, text).store)
        assert signed_by(store._access.certificate) == KEY.key_id
    both = '[client]\nkey = "own.key"\n[coordinator]\nkey = "own.key"'
    with pytest.raises(ConfigError, match=r"a client's and a coordinator's are.*relay access"):
        _ = opening(tmp_path, both).store
    with pytest.raises(ConfigError, match="none is configured"):
        _ = opening(tmp_path, "").store
    ACCESS.save(tmp_path / "own.relay.pem")
    named = 'access_key_file = "own.relay.pem"\n' + both
    assert inner(opening(tmp_path, named).store)._access == ACCESS


def test_a_locked_key_is_asked_for_and_a_file_of_access_asks_for_nothing(tmp_path: Path) -> None:
    locked = {"format": "hyperfed-key/1", "public": KEY.public.to_json(), "kdf": "", "box": ""}
    (tmp_path / "own.key").touch(mode=0o600)
    (tmp_path / "own.key").write_text(json.dumps(locked))
    with pytest.raises(ConfigError, match="has a passphrase"):
        _ = opening(tmp_path, '[client]\nkey = "own.key"').store
    ACCESS.save(tmp_path / "own.relay.pem")
    text = 'access_key_file = "own.relay.pem"\n[client]\nkey = "own.key"'
    assert inner(opening(tmp_path, text).store)._access == ACCESS


@pytest.mark.parametrize("missing", ["grpc", "cryptography"])
def test_without_the_extra_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (
        lambda: open_store("grpc://relay:8443", access=ACCESS),
        lambda: access_of_key(KeyPair.generate(), now=NOW),
    ):
        with pytest.raises(ConfigError, match="pip install grpcio cryptography"):
            call()


def test_what_grpc_logs_itself_is_off_unless_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    GRPCStore("relay:1", access=ACCESS)
    assert os.environ["GRPC_VERBOSITY"] == "NONE"
    monkeypatch.setenv("GRPC_VERBOSITY", "DEBUG")
    GRPCStore("relay:1", access=ACCESS)
    assert os.environ["GRPC_VERBOSITY"] == "DEBUG"
