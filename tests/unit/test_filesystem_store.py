"""FilesystemStore beyond the conformance suite: links, crashes, shares that cannot do it."""

import errno
import os
from pathlib import Path

import pytest

from hyperfed.adapters.filesystem import FilesystemStore
from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, StoreUnsuitable, TransientError, TransportError


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        FilesystemStore(tmp_path / "nowhere")


def test_two_stores_on_one_folder_see_each_other(tmp_path: Path) -> None:
    assert FilesystemStore(tmp_path).put_if_absent("a/b", b"1")
    assert not FilesystemStore(tmp_path).put_if_absent("a/b", b"2")
    assert FilesystemStore(tmp_path).read("a/b", max_bytes=9) == b"1"


@pytest.mark.parametrize("key", ["link/secret", "link/new"])
def test_a_linked_folder_leads_nowhere(tmp_path: Path, key: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    (root / "link").symlink_to(outside)
    store = FilesystemStore(root)
    with pytest.raises(TransportError, match="symbolic link"):
        store.read(key, max_bytes=9)
    with pytest.raises(TransportError, match="symbolic link"):
        store.put_if_absent(key, b"x")
    assert [*store.list("")] == []
    assert [*store.list("link/")] == []
    assert [p.name for p in outside.iterdir()] == ["secret"]


def test_a_linked_file_is_not_read_nor_listed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    (root / "k").symlink_to(tmp_path / "secret")
    store = FilesystemStore(root)
    with pytest.raises(TransportError, match="symbolic link"):
        store.read("k", max_bytes=9)
    assert store.put_if_absent("k", b"x") is False
    assert [*store.list("")] == []
    assert (tmp_path / "secret").read_bytes() == b"s"


def test_a_pipe_does_not_hang_a_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ObjectNotFound):
        FilesystemStore(tmp_path).read("pipe", max_bytes=9)


def test_a_write_that_fails_midway_occupies_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilesystemStore(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TransportError, match="No space left"):
            store.put_if_absent("k", b"data")
    assert store.head("k") is None
    assert [*(tmp_path / ".incoming").iterdir()] == []
    assert store.put_if_absent("k", b"data") is True


def test_temporary_files_are_gone_and_objects_have_one_name(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("a", b"1")
    store.put_if_absent("a", b"2")
    assert [*(tmp_path / ".incoming").iterdir()] == []
    assert (tmp_path / "a").stat().st_nlink == 1


def test_an_object_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda d: (happened.append("file" if os.path.isfile(f"/proc/self/fd/{d}") else "folder"), fsync(d))[1])  # noqa: PTH113 - a descriptor
    monkeypatch.setattr(os, "link", lambda *a, **k: (happened.append("link"), link(*a, **k))[1])
    FilesystemStore(tmp_path).put_if_absent("k", b"x")
    assert happened[-3:] == ["file", "link", "folder"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_share_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(code, "not supported")

    monkeypatch.setattr(os, "link", no_link)
    store = FilesystemStore(tmp_path)
    with pytest.raises(StoreUnsuitable, match="hard links"):
        store.put_if_absent("k", b"x")
    assert store.head("k") is None


def test_a_link_whose_answer_was_lost_counts_as_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def lossy(*args: object, **kwargs: object) -> None:
        link(*args, **kwargs)  # type: ignore[arg-type]
        raise FileExistsError(errno.EEXIST, "File exists")  # NFS: the request was sent again

    monkeypatch.setattr(os, "link", lossy)
    assert FilesystemStore(tmp_path).put_if_absent("k", b"x") is True


@pytest.mark.parametrize(("code", "kind"), [(errno.ESTALE, TransientError), (errno.EACCES, AccessDenied), (errno.EMFILE, TransportError)])
def test_the_systems_errors_are_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[TransportError]) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("k", b"x")

    def broken(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", broken)
    for call in (lambda: store.read("k", max_bytes=1), lambda: store.put_if_absent("n", b"x"), lambda: store.list("")):
        with pytest.raises(TransportError) as caught:
            call()
        assert type(caught.value) is kind
        assert str(tmp_path) in str(caught.value)


def test_a_key_below_an_object_is_refused_in_our_words(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("a", b"x")
    with pytest.raises(TransportError, match="a file stands where a folder belongs"):
        store.put_if_absent("a/b", b"x")
    assert store.read("a", max_bytes=1) == b"x"
