"""Keys and access keys as editors and orchestrators leave them."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyperfed.errors import ConfigError
from hyperfed.storage.private_files import from_home, read_private


def read(path: Path) -> str:
    return read_private(path, what="key", max_bytes=100, remedy="Make one")


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o644])
def test_a_mode_that_others_could_read_is_taken_where_they_cannot_come(
    open_folder: Path, mode: int
) -> None:
    closed = open_folder / "mine"
    closed.mkdir(mode=0o700)
    (closed / "deeper").mkdir(mode=0o755)
    key = closed / "deeper" / "k.key"
    key.write_text("secret")
    key.chmod(mode)
    assert read(key) == "secret"
    closed.chmod(0o711)
    with pytest.raises(ConfigError, match="others can read this key") as caught:
        read(key)
    assert caught.value.rule == "R-20"
    assert "read-only into the container" in caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o444, 0o440])
def test_a_secret_mounted_read_only_into_a_container_is_taken(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """As Docker and Kubernetes mount them: a link into a folder that others can enter."""
    (open_folder / "data").mkdir()
    (open_folder / "data" / "k.key").write_text("secret")
    (open_folder / "data" / "k.key").chmod(mode)
    key = open_folder / "k.key"
    key.symlink_to("data/k.key")
    monkeypatch.delenv("container", raising=False)
    monkeypatch.setattr("hyperfed.storage.private_files._CONTAINER_MARKS", ())
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(ConfigError, match="others can read"):
        read(key)  # a read-only mount of a machine that others log in to
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert read(key) == "secret"
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_flag=0))
    with pytest.raises(ConfigError, match="others can read"):
        read(key)


def test_what_others_may_write_is_never_taken(tmp_path: Path) -> None:
    key = tmp_path / "k.key"
    key.write_text("secret")
    for mode in (0o620, 0o602, 0o666):
        key.chmod(mode)
        with pytest.raises(ConfigError, match=f"mode {mode:o}"):
            read(key)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    key = tmp_path / "k.key"
    key.write_bytes(b"\xef\xbb\xbfsecret")
    key.chmod(0o600)
    assert read(key) == "secret"


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such key file\. Make one"):
        read(tmp_path / "gone")
    with pytest.raises(ConfigError, match="is no file but a folder"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no file but a device"):
        read(tmp_path / "pipe")
    key = tmp_path / "k.key"
    for content, says in ((b"x" * 101, "is larger"), (b"\xff\xfes\0", "is not text in UTF-8")):
        key.write_bytes(content)
        key.chmod(0o600)
        with pytest.raises(ConfigError, match=says):
            read(key)


def test_a_home_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert from_home("~/k.key", subject="key") == Path("/home/ann/k.key")

    def nobody(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(ConfigError, match=r"this user has none.*Set HOME") as caught:
        from_home("~/k.key", subject="hyperfed.toml: [client] key")
    assert caught.value.subject == "hyperfed.toml: [client] key"
