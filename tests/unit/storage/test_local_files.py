"""A file that must outlast a power cut: in which order it is written, synced and named, and what is
there where that fails.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from hyperfed.errors import ConfigError
from hyperfed.storage.local_files import alone_with, write_durably


def write(path: Path, content: str | bytes, *, must_be_new: bool = False) -> None:
    write_durably(
        path, content, error=ConfigError, remedy="Give it a place", must_be_new=must_be_new
    )


@pytest.mark.parametrize("must_be_new", [False, True])
def test_the_file_is_synced_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, must_be_new: bool
) -> None:
    """Without the folder's sync the name may be gone after a power cut, and with it a client's
    sequence.
    """
    happened: list[str] = []
    fsync, replace, link = os.fsync, Path.replace, os.link

    def synced(descriptor: int) -> None:
        happened.append(
            "sync "
            f"{'folder' if Path(f'/proc/self/fd/{descriptor}').resolve() == tmp_path else 'file'}"
        )
        fsync(descriptor)

    def named(*args: object) -> None:
        happened.append("name")
        (link if must_be_new else replace)(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", named) if must_be_new else monkeypatch.setattr(
        Path, "replace", named
    )
    write(tmp_path / "memory.json", "1", must_be_new=must_be_new)
    assert happened == ["sync file", "name", "sync folder"]
    assert [p.name for p in tmp_path.iterdir()] == ["memory.json"]


def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.json"
    write(path, "1")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            write(path, b"2")
    assert path.read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["memory.json"]
    write(path, b"2")
    assert path.read_text() == "2"


def test_what_must_be_new_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "links.hfl"
    write(path, "1", must_be_new=True)
    with pytest.raises(ConfigError, match="there is a file already"):
        write(path, "2", must_be_new=True)
    assert path.read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["links.hfl"]


# What other users put there, and what file systems lack


def test_a_lock_or_a_part_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".memory.json.lock").symlink_to(victim)
    with (
        pytest.raises(ConfigError, match="a symbolic link stands where its lock file belongs"),
        alone_with(tmp_path / "memory.json", error=ConfigError, remedy=""),
    ):
        pass
    (tmp_path / f".memory.json.{os.getpid()}.part").symlink_to(victim)
    write(tmp_path / "memory.json", "new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "memory.json").is_symlink()


def test_only_the_user_can_read_what_is_written_unless_it_is_for_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with alone_with(tmp_path / "memory.json", error=ConfigError, remedy=""):
            write(tmp_path / "memory.json", "1")
        write_durably(tmp_path / "t.enrolment", "1", error=ConfigError, remedy="", mode=0o666)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {".memory.json.lock": 0o600, "memory.json": 0o600, "t.enrolment": 0o666}


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    with (
        pytest.raises(ConfigError, match=r"keeps no locks.*on a disk of this machine"),
        alone_with(tmp_path / "memory.json", error=ConfigError, remedy=""),
    ):
        pass


def test_without_hard_links_a_new_file_is_still_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "t.enrolment"
    write(path, "1", must_be_new=True)
    with pytest.raises(ConfigError, match="there is a file already"):
        write(path, "2", must_be_new=True)
    assert path.read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["t.enrolment"]


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write(tmp_path / "memory.json", "1")
    assert (tmp_path / "memory.json").read_text() == "1"
