"""FilesystemStore beyond the conformance suite: links, crashes, shares that cannot do it."""

import errno
import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.storage.erasing import erase
from hyperfed.storage.filesystem import FilesystemStore


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


def test_a_write_that_fails_midway_occupies_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TransportError, match="No space left"):
            store.put_if_absent("k", b"data")
    assert store.head("k") is None
    assert [*tmp_path.iterdir()] == []
    assert store.put_if_absent("k", b"data") is True


def test_temporary_files_are_gone_and_objects_have_one_name(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("a", b"1")
    store.put_if_absent("a", b"2")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").stat().st_nlink == 1


def test_an_object_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(
        os,
        "fsync",
        lambda d: (
            happened.append("file" if os.path.isfile(f"/proc/self/fd/{d}") else "folder"),  # noqa: PTH113 - a descriptor
            fsync(d),
        )[1],
    )
    monkeypatch.setattr(os, "link", lambda *a, **k: (happened.append("link"), link(*a, **k))[1])
    FilesystemStore(tmp_path).put_if_absent("k", b"x")
    assert happened[-3:] == ["file", "link", "folder"]


def test_every_folder_made_on_the_way_is_synced_into_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that was synced lasts only as long as the names of the folders that it lies in."""
    root = tmp_path.resolve()
    happened: list[tuple[str, str]] = []
    fsync, mkdir = os.fsync, os.mkdir

    def path_of(descriptor: int) -> Path:
        return Path(f"/proc/self/fd/{descriptor}").resolve()

    def synced(descriptor: int) -> None:
        happened.append(("sync", str(path_of(descriptor))))
        fsync(descriptor)

    def made(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        happened.append(("made", str(path_of(dir_fd) / name)))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "mkdir", made)
    store = FilesystemStore(root)
    store.put_if_absent("a/b/k", b"x")
    for folder in (root / "a", root / "a" / "b"):
        at = happened.index(("made", str(folder)))
        assert happened[at + 1] == ("sync", str(folder.parent))
    assert happened[-1] == ("sync", str(root / "a" / "b"))
    happened.clear()
    store.put_if_absent("a/b/l", b"x")
    assert [what for what, _ in happened] == ["sync", "sync"], (
        "the file and its folder: nothing was made"
    )


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_share_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(code, "not supported")

    monkeypatch.setattr(os, "link", no_link)
    store = FilesystemStore(tmp_path)
    with pytest.raises(StoreUnsuitable, match="hard links"):
        store.put_if_absent("k", b"x")
    assert store.head("k") is None


@pytest.mark.parametrize("nameless", [True, False])
def test_a_link_whose_answer_was_lost_counts_as_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        without_nameless_files(monkeypatch)
    link = os.link

    def lossy(*args: object, **kwargs: object) -> None:
        link(*args, **kwargs)  # type: ignore[arg-type]
        raise FileExistsError(errno.EEXIST, "File exists")  # NFS: the request was sent again

    monkeypatch.setattr(os, "link", lossy)
    assert FilesystemStore(tmp_path).put_if_absent("k", b"x") is True


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ESTALE, TransientError), (errno.EACCES, AccessDenied), (errno.EMFILE, TransportError)],
)
def test_the_systems_errors_are_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[TransportError]
) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("k", b"x")

    def broken(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", broken)
    for call in (
        lambda: store.read("k", max_bytes=1),
        lambda: store.put_if_absent("n", b"x"),
        lambda: store.list(""),
    ):
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


# What file systems lack, and what other users of a share do


def without_nameless_files(
    monkeypatch: pytest.MonkeyPatch, *, says: int = errno.EOPNOTSUPP
) -> None:
    """NFS, CIFS and FUSE know no O_TMPFILE."""
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(says, os.strerror(says))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("says", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_without_nameless_files_a_named_one_takes_their_place_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    without_nameless_files(monkeypatch, says=says)
    store = FilesystemStore(tmp_path)
    assert store.put_if_absent("a/b", b"1") is True
    assert store.put_if_absent("a/b", b"2") is False
    assert store.read("a/b", max_bytes=9) == b"1"
    assert [*(tmp_path / ".incoming").iterdir()] == []
    assert (tmp_path / "a" / "b").stat().st_nlink == 1


def test_a_temporary_file_that_was_swapped_is_not_what_gets_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may write to the root can replace a name in .incoming, but not the open file."""
    without_nameless_files(monkeypatch)
    link = os.link

    def swapped(*args: object, **kwargs: object) -> None:
        for file in (tmp_path / ".incoming").iterdir():
            assert file.stat().st_mode & 0o037 == 0, "nobody else can write into it"
            file.rename(tmp_path / ".incoming" / "away")
            file.write_bytes(b"theirs")
        link(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", swapped)
    (tmp_path / ".incoming").mkdir()
    store = FilesystemStore(tmp_path)
    assert store.put_if_absent("k", b"ours") is True
    assert store.read("k", max_bytes=9) == b"ours"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_syncs_no_folders_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    store = FilesystemStore(tmp_path)
    assert store.put_if_absent("a/b", b"x") is True
    assert store.read("a/b", max_bytes=1) == b"x"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_root_s_group_decides_what_the_group_may_do_and_nobody_else_may_anything(
    tmp_path: Path, umask: int
) -> None:
    for name, mode, folder, file in (
        ("shared", 0o3770, 0o3770, 0o640),
        ("one-user", 0o700, 0o700, 0o600),
        ("read-only-group", 0o755, 0o750, 0o640),
    ):
        root = tmp_path / name
        root.mkdir()
        root.chmod(mode)
        before = os.umask(umask)
        try:
            assert FilesystemStore(root).put_if_absent("inbox/1/ann/0", b"x")
        finally:
            os.umask(before)
        for made in ("inbox", "inbox/1", "inbox/1/ann"):
            assert stat.S_IMODE((root / made).stat().st_mode) == folder, (name, made)
        assert stat.S_IMODE((root / "inbox/1/ann/0").stat().st_mode) == file, name


def test_a_mount_that_decides_permissions_itself_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    assert FilesystemStore(tmp_path).put_if_absent("a/b", b"x") is True


def test_a_thousand_nested_folders_cost_a_listing_nothing(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("inbox/1/ann/0", b"x")
    folder = os.open(tmp_path / "inbox" / "1", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(
        int(open_file.name) for open_file in Path("/proc/self/fd").iterdir()
    )  # other tests may have left some open
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 80, hard))
    try:
        assert [info.key for info in store.list("")] == ["inbox/1/ann/0"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        subprocess.run(["rm", "-rf", str(tmp_path / "inbox")], check=True)  # too deep for pathlib


def test_names_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    store.put_if_absent("inbox/1/ann/0", b"x")
    for name in (b"\xff\xfe", "Größe".encode(), b"a b", b"-x", b"x" * 200):
        (tmp_path / "inbox" / "1" / os.fsdecode(name)).write_bytes(b"x")
        (tmp_path / "inbox" / os.fsdecode(name)).mkdir()
        (tmp_path / "inbox" / os.fsdecode(name) / "k").write_bytes(b"x")
    assert [info.key for info in store.list("")] == ["inbox/1/ann/0"]


def test_a_folder_that_goes_while_a_listing_runs_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client renames its own folder, or puts a link in its place, when the others' are read."""
    store = FilesystemStore(tmp_path)
    for name in ("ann", "bob", "eve"):
        store.put_if_absent(f"inbox/1/{name}/0", b"x")
    scandir = os.scandir

    def racing(descriptor: int) -> object:
        (tmp_path / "inbox" / "1" / "eve").rename(tmp_path / "away") if not (
            tmp_path / "away"
        ).exists() and Path(f"/proc/self/fd/{descriptor}").resolve().name != "1" else None
        return scandir(descriptor)

    monkeypatch.setattr(os, "scandir", racing)
    listed = [info.key for info in store.list("inbox/1/")]
    assert {"inbox/1/ann/0", "inbox/1/bob/0"} <= set(listed)


def test_erasing_follows_no_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "coordinator.key").write_text("the key")
    store = FilesystemStore(root)
    store.put_if_absent("inbox/1/eve/coordinator.key", b"bait")
    (root / "inbox/1/eve").rename(root / "inbox/1/away")
    (root / "inbox/1/eve").symlink_to(outside)
    erase(store, "inbox/1/eve/coordinator.key")
    with pytest.raises(ObjectNotFound, match="symbolic link"):
        store.read("inbox/1/eve/coordinator.key", max_bytes=9)
    assert (outside / "coordinator.key").read_text() == "the key"
    erase(store, "inbox/1/away/coordinator.key")
    erase(store, "inbox/1/away/coordinator.key")
    erase(store, "inbox/2/nobody/0")
    assert [*store.list("")] == []
