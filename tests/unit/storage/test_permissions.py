"""Permissions on a share with ACLs: those that its administrator gave hold, and nobody gets more.

ACLs are written as the system keeps them, so that no command is needed.
"""

import errno
import os
import stat
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.permissions import permissions_in

pytestmark = pytest.mark.unit

USER, NAMED, GROUP, NAMED_GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF
ANN, BOB, STRANGER = 52_001, 52_002, 52_003
FEDERATION = 53_000
Entry = tuple[int, int, int]


def set_acl(path: Path, kind: str, *entries: Entry) -> None:
    """Set an ACL of (tag, permissions, user or group). Skip where the file system has none."""
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", data)
    except OSError as exc:
        if exc.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
            pytest.skip("this file system has no ACLs")
        raise


def acl_of(path: Path, kind: str = "access") -> dict[tuple[int, int], int]:
    """Return the permissions of an ACL by tag and user; empty where there is none."""
    try:
        data = os.getxattr(path, f"system.posix_acl_{kind}")[4:]
    except OSError:
        return {}
    return {(tag, who): allowed for tag, allowed, who in struct.iter_unpack("<HHI", data)}


def entries(ann: int, bob: int, *, group: int, mask: int, other: int = 0) -> tuple[Entry, ...]:
    return (
        (USER, 7, NOBODY),
        (NAMED, ann, ANN),
        (NAMED, bob, BOB),
        (GROUP, group, NOBODY),
        (MASK, mask, NOBODY),
        (OTHER, other, NOBODY),
    )


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def put_with_umask(root: Path, mask: int) -> None:
    with umask(mask):
        assert FilesystemStore(root).put_if_absent("inbox/1/ann/0", b"x")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    folder.chmod(0o2770)
    return folder


@pytest.mark.parametrize("creating", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mask", [7, 5])
def test_a_default_acl_decides_whatever_the_umask_and_is_not_widened(
    root: Path, creating: int, mask: int
) -> None:
    set_acl(root, "access", *entries(7, 5, group=0, mask=7))
    set_acl(root, "default", *entries(7, 5, group=0, mask=mask, other=5))
    put_with_umask(root, creating)
    for name in ("inbox", "inbox/1", "inbox/1/ann"):
        made = acl_of(root / name)
        assert made[NAMED, ANN] == 7
        assert made[NAMED, BOB] == 5
        assert made[GROUP, NOBODY] == 0, "the group was given nothing"
        assert made[MASK, NOBODY] == mask, "neither narrowed by the umask nor widened"
        assert made[OTHER, NOBODY] == 0, "others get nothing, whatever the default says"
        assert acl_of(root / name, "default") == acl_of(root, "default")
        assert stat.S_IMODE((root / name).stat().st_mode) & 0o7000 == 0o2000
    made = acl_of(root / "inbox/1/ann/0")
    assert (made[NAMED, ANN], made[MASK, NOBODY]) == (7, 4), "read, and no more"
    assert made[OTHER, NOBODY] == 0


def test_a_mask_is_not_taken_for_what_the_group_may_do(root: Path) -> None:
    """Without a default ACL only modes are given on; the root's shows its mask as the group's."""
    set_acl(root, "access", *entries(7, 7, group=0, mask=7))
    assert stat.S_IMODE(root.stat().st_mode) & 0o070 == 0o070
    put_with_umask(root, 0)
    assert stat.S_IMODE((root / "inbox").stat().st_mode) == 0o2700
    assert stat.S_IMODE((root / "inbox/1/ann/0").stat().st_mode) == 0o600


@pytest.mark.parametrize(("group", "mask", "given"), [(7, 7, 0o070), (7, 5, 0o050), (5, 7, 0o050)])
def test_the_mask_limits_the_group(root: Path, group: int, mask: int, given: int) -> None:
    set_acl(root, "access", *entries(7, 7, group=group, mask=mask))
    folder = os.open(root, os.O_RDONLY)
    try:
        assert permissions_in(folder).group == given
    finally:
        os.close(folder)


def as_user(uid: int, group: int, do: Callable[[], object]) -> bool:
    """Return whether another user, in `group`, can do something, in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child needs not
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setresgid(group, group, group)
            os.setresuid(uid, uid, uid)
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that every user can pass through, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as several users")
@pytest.mark.parametrize("by", ["group", "acl"])
def test_users_of_their_own_share_a_root_and_a_stranger_gets_nothing(
    passable: Path, by: str
) -> None:
    root = passable / "share"
    root.mkdir()
    if by == "group":
        os.chown(root, -1, FEDERATION)
        root.chmod(0o3770)
    else:
        for kind in ("access", "default"):
            set_acl(root, kind, *entries(7, 7, group=0, mask=7))
    groups = dict.fromkeys((ANN, BOB), FEDERATION) | {STRANGER: 54_000}

    def put(user: int, key: str) -> bool:
        store = FilesystemStore(root)
        return as_user(user, groups[user], lambda: store.put_if_absent(key, b"x"))

    def read(user: int, key: str) -> bool:
        store = FilesystemStore(root)
        return as_user(user, groups[user], lambda: store.read(key, max_bytes=9))

    with umask(0o077):
        assert put(ANN, "inbox/1/ann/0")
        assert put(BOB, "inbox/1/bob/0"), "in a folder that another user made"
    assert read(BOB, "inbox/1/ann/0")
    assert read(ANN, "inbox/1/bob/0")
    whole = root / "inbox/1/ann/0"
    assert not as_user(BOB, groups[BOB], lambda: whole.write_bytes(b"changed"))
    assert not put(STRANGER, "inbox/1/stranger/0")
    assert not read(STRANGER, "inbox/1/ann/0")
    assert whole.read_bytes() == b"x"
    assert sorted(p.name for p in (root / "inbox/1").iterdir()) == ["ann", "bob"]
