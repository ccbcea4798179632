"""The local S3 server: where it listens, how it starts, stops and comes back."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

import hyperfed.testing.seaweedfs as module
from hyperfed.errors import ConfigError, TransientError, TransportError
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.s3 import S3Limits
from hyperfed.testing.seaweedfs import SeaweedFS

pytestmark = pytest.mark.seaweedfs


def listening_addresses(pid: int) -> set[str]:
    """The IPv4 and IPv6 addresses (hexadecimal) on which the process listens."""
    sockets = {
        str(entry.readlink())
        for entry in Path(f"/proc/{pid}/fd").iterdir()
        if entry.exists() or entry.is_symlink()
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                found.add(columns[1].split(":")[0])
    return found


def test_it_listens_on_the_loopback_address_only(seaweedfs: SeaweedFS) -> None:
    assert listening_addresses(seaweedfs.pid) == {"0100007F"}
    assert seaweedfs.endpoint_url.startswith("http://127.0.0.1:")


def test_its_keys_are_readable_by_their_owner_only(seaweedfs: SeaweedFS) -> None:
    assert stat.S_IMODE((seaweedfs.data_dir / "identities.json").stat().st_mode) == 0o600
    assert seaweedfs.credentials().secret_key not in repr(seaweedfs.credentials())
    assert (
        seaweedfs.credentials().secret_key not in Path(f"/proc/{seaweedfs.pid}/cmdline").read_text()
    )


def test_starting_twice_is_starting_once(seaweedfs: SeaweedFS) -> None:
    before = seaweedfs.pid
    assert seaweedfs.start().pid == before


def test_data_and_keys_survive_a_restart_and_no_process_is_left(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path / "data")
    server.stop()
    with server:
        store, pid, key, address = (
            server.store("kept"),
            server.pid,
            server.credentials(),
            server.endpoint_url,
        )
        for i in range(40):
            assert store.put_if_absent(f"rounds/{i:08d}", b"%d" % i * 1000)
    assert not Path(f"/proc/{pid}").exists(), "ended and waited for"
    assert not server.running
    server.stop()
    with pytest.raises(ConfigError, match="does not run"):
        server.store("kept")
    with pytest.raises(TransientError):
        store.read("rounds/00000000", max_bytes=9)
    with SeaweedFS(tmp_path / "data") as again:
        assert (again.credentials(), again.endpoint_url) == (key, address)
        # just started, it may ask for a moment
        store = RetryingStore(again.store("kept"))
        assert len([*store.list("")]) == 40
        assert store.read("rounds/00000039", max_bytes=9999) == b"39" * 1000
        assert store.put_if_absent("rounds/00000000", b"other") is False
        assert store.put_if_absent("rounds/00000040", b"new") is True
    assert key.secret_key not in (tmp_path / "data" / "weed.log").read_text()


def test_it_ends_with_the_process_that_started_it() -> None:
    code = (
        "from hyperfed.testing.seaweedfs import SeaweedFS; s = SeaweedFS().start(); "
        "print(s.pid, s.data_dir)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert not Path(f"/proc/{done.stdout.split()[0]}").exists()


def test_a_missing_binary_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(module.importlib.metadata, "files", lambda _: [])
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="pip install"):
        SeaweedFS(tmp_path / "data").start()
    assert not (tmp_path / "data").exists()


def test_a_server_that_ends_at_once_is_reported_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    false = tmp_path / "weed"
    false.write_text("#!/bin/sh\necho cannot do it\nexit 3\n")
    false.chmod(0o755)
    monkeypatch.setattr(module, "_find_binary", lambda: false)
    server = SeaweedFS(tmp_path / "data")
    with pytest.raises(TransportError, match="cannot do it"):
        server.start()
    assert not server.running


def test_a_server_that_never_answers_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deaf = tmp_path / "weed"
    deaf.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(module, "_find_binary", lambda: deaf)
    server = SeaweedFS(tmp_path / "data", start_timeout_s=0.5)
    with pytest.raises(TransportError, match="does not answer after"):
        server.start()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_names_that_clash_or_are_unknown_are_refused(seaweedfs: SeaweedFS) -> None:
    with pytest.raises(ConfigError):
        SeaweedFS(identities={"admin": ["Read"]})
    with pytest.raises(ConfigError, match="reader"):
        seaweedfs.credentials("nobody")


def test_a_bucket_is_made_on_demand_and_kept(seaweedfs: SeaweedFS) -> None:
    first = seaweedfs.store("on-demand", limits=S3Limits(threads=2))
    assert first.bucket_exists()
    assert first.put_if_absent("k", b"x")
    assert seaweedfs.store("on-demand").read("k", max_bytes=1) == b"x"
    assert first.ensure_bucket() is False
