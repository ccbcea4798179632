"""`hyperfed relay`: the files that it makes, and what it refuses before it serves."""

import json
import shlex
import ssl
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from cryptography import x509

from hyperfed.cli.app import app
from hyperfed.cli.invocation import Invocation
from hyperfed.client.opening import Opening
from hyperfed.client.settings import load_settings
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import read_access
from hyperfed.testing.federation import SmallFederation

PAGE = (Path(__file__).parents[3] / "docs" / "relay.md").read_text(encoding="utf-8")
ACCESS_FILE = "coordinator.relay.pem"


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


# -- docs/relay.md ---------------------------------------------------------------------------------


def commands_of_page() -> list[str]:
    return [line.strip() for line in PAGE.splitlines() if line.startswith("    hyperfed ")]


@pytest.mark.parametrize("line", commands_of_page())
def test_the_pages_commands_are_taken(line: str) -> None:
    """Each is parsed as it stands; tests/fault/test_relay_killed.py and those above run them."""
    command: click.Command = app
    context, words = click.Context(app), shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        context = click.Context(found, parent=context, info_name=name, obj=Invocation())
        command = found
    assert command.parse_args(context, words) == []


def test_the_pages_settings_and_its_snippet_are_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = SmallFederation(clients=("ann", "bob"))
    certificate(tmp_path, "relay.example.org")
    for name, pair in (("hospital-1", fed.keys["ann"]), ("ann", fed.keys["ann"])):
        pair.save(tmp_path / f"{name}.key")
    run("relay", "access", "--key", tmp_path / "ann.key", "--out", tmp_path / ACCESS_FILE)
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in PAGE.split("\n\n") if block.startswith("    [store]")]
    assert len(blocks) == 2
    for block in blocks:
        Path("hyperfed.toml").write_text(textwrap.dedent(block))
        opened = Opening(load_settings(tmp_path / "hyperfed.toml")).store
        assert opened.location == "grpc://relay.example.org:8443"
    snippet = PAGE.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(snippet.replace("ann.send", "sent = ann.name, ann.send #"), names)  # noqa: S102
    assert names["sent"][0] == "ann"
