"""`hyperfed relay`: the files that it makes, and what it refuses before it serves."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from hyperfed.cli.app import app
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import read_access
from hyperfed.testing.federation import SmallFederation


def run(*args: str | Path, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*(str(a) for a in args), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def certificate(folder: Path, *hosts: str, code: int = 0) -> Any:
    named = [part for host in hosts for part in ("--host", host)]
    out = ("--out", folder / "relay.pem", "--key-out", folder / "relay.key")
    return run("relay", "certificate", *named, *out, code=code)


def test_a_certificate_names_its_hosts_and_its_key_is_its_owners(tmp_path: Path) -> None:
    said = certificate(tmp_path, "relay.example.org", "192.0.2.7")
    read = x509.load_pem_x509_certificate((tmp_path / "relay.pem").read_bytes())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["relay.example.org"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert (tmp_path / "relay.key").stat().st_mode & 0o777 == 0o600
    assert len(said["sha256"]) == 64
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "relay.pem", tmp_path / "relay.key")
    before = (tmp_path / "relay.key").read_bytes()
    certificate(tmp_path, "relay.example.org", code=2)
    assert (tmp_path / "relay.key").read_bytes() == before
    (tmp_path / "relay.key").unlink()
    certificate(tmp_path, "relay.example.org", code=2)
    assert not (tmp_path / "relay.key").exists(), "a key without its certificate is of no use"


def test_a_host_with_a_port_is_no_host(tmp_path: Path) -> None:
    said = certificate(tmp_path, "relay.example.org:8443", code=2)
    assert "no host name" in said["error"]["problem"]
    assert not any(tmp_path.iterdir())


def test_an_access_is_made_from_the_configured_key(tmp_path: Path) -> None:
    fed = SmallFederation()
    fed.keys["site-01"].save(tmp_path / "site-01.key")
    out = tmp_path / "site-01.relay.pem"
    said = run("relay", "access", "--key", tmp_path / "site-01.key", "--out", out)
    assert said["key_id"] == fed.keys["site-01"].key_id
    read = x509.load_pem_x509_certificate(read_access(out).certificate)
    assert said["key_id"] in read.issuer.rfc4514_string()
    (tmp_path / "hyperfed.toml").write_text('[client]\nid = "site-01"\nkey = "site-01.key"\n')
    config = ("--config", tmp_path / "hyperfed.toml")
    assert run("relay", "access", *config, "--out", tmp_path / "b.pem", "--days", "3")["days"] == 3
    run("relay", "access", *config, "--out", out, code=2)


def test_a_relay_without_a_key_of_anybody_says_which_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HYPERFED_CONFIG", raising=False)
    said = run("relay", "access", "--out", tmp_path / "x.pem", code=2)
    assert "Give --key FILE" in said["error"]["remedy"]


def serve(folder: Path, *more: str | Path, code: int) -> Any:
    files = ("--certificate", folder / "relay.pem", "--key", folder / "relay.key")
    return run("relay", "serve", "--folder", folder / "box", *files, *more, code=code)


def test_what_cannot_be_served_is_refused_with_a_remedy(tmp_path: Path) -> None:
    certificate(tmp_path, "127.0.0.1")
    at = ("--address", "127.0.0.1:0")
    assert "no such folder" in serve(tmp_path, *at, code=2)["error"]["problem"]
    (tmp_path / "box").mkdir()
    assert "no registry" in serve(tmp_path, *at, code=1)["error"]["problem"]
    fed = SmallFederation(store=FilesystemStore(tmp_path / "box"))
    wrong = serve(tmp_path, *at, "--fingerprint", "0" * 64, code=1)
    assert "root fingerprint" in wrong["error"]["problem"]
    right = ("--fingerprint", fed.fingerprint)
    said = serve(tmp_path, "--address", "8443", *right, code=2)
    assert "host:port" in said["error"]["remedy"]
    (tmp_path / "relay.key").chmod(0o666)
    said = serve(tmp_path, *at, *right, code=2)
    assert "others can read" in said["error"]["problem"]
