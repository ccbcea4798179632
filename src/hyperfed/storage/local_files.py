"""Write small files that must survive a power cut and that several processes share.

Such files are a client's memory, its guard, its kept message and its links, and the files that
commands write.

1. `alone_with` lets one process at a time work on a file, by a lock file beside it.
2. `cache_folder` names the folder for files that can be made again.
3. `write_durably` replaces a file at once or not at all, and returns once it is on disk. Where it
   fails, the old content stays.
4. Nothing here follows a link that somebody else put there, and only the user can read what is
   written, unless the caller says otherwise.
5. A file system may refuse to sync a folder or to make a hard link. There is a way round both. One
   that refuses locks cannot keep such files, and the error says so.

What it does not do: know what is in the file, or what to do about a failure. The caller names the
error and the remedy.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperfed.errors import HyperfedError

__all__ = [
    "NO_LINKS",
    "alone_with",
    "cache_folder",
    "state_folder",
    "sync_folder",
    "write_durably",
]

NO_LINKS = frozenset(
    (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)
)
"""What a file system without hard links answers."""
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LOCKS = (errno.ENOLCK, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def cache_folder() -> Path | None:
    """Return the folder for this user's files that can be made again.

    It is $HYPERFED_CACHE, or `hyperfed` in $XDG_CACHE_HOME or in ~/.cache; None where the user has
    no home folder. The folder may not exist yet.
    """
    user_folder, base = (
        Path(os.environ.get("HYPERFED_CACHE", "")),
        Path(os.environ.get("XDG_CACHE_HOME", "")),
    )
    if user_folder.is_absolute():
        return user_folder
    with suppress(RuntimeError):
        return (base if base.is_absolute() else Path.home() / ".cache") / "hyperfed"
    return None


def state_folder() -> Path | None:
    """Return the folder for what this user's processes have to remember.

    It is $HYPERFED_STATE, or `hyperfed` in $XDG_STATE_HOME or in ~/.local/state; None where the
    user has no home folder. The folder may not exist yet.
    """
    user_folder, base = (
        Path(os.environ.get("HYPERFED_STATE", "")),
        Path(os.environ.get("XDG_STATE_HOME", "")),
    )
    if user_folder.is_absolute():
        return user_folder
    with suppress(RuntimeError):
        return (base if base.is_absolute() else Path.home() / ".local" / "state") / "hyperfed"
    return None


@contextmanager
def alone_with(path: Path, *, error: type[HyperfedError], remedy: str) -> Iterator[None]:
    """Hold the lock of `path` while the context lasts.

    The folder of `path` is made where it is missing. Raises `error` where the lock file cannot be
    opened.
    """
    lock = path.parent / f".{path.name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise error(
                "a symbolic link stands where its lock file belongs, and is not followed",
                subject=str(path),
                remedy=f"Find out who made {lock}, and remove it",
            ) from exc
        raise error(f"cannot be locked: {exc.strerror}", subject=str(path), remedy=remedy) from exc
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode) or info.st_uid not in (os.geteuid(), 0):
            raise error(
                "its lock file is somebody else's",
                subject=str(lock),
                remedy="Find out who made it, and remove it",
            )
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as exc:
            if exc.errno not in _NO_LOCKS:
                raise
            raise error(
                f"its file system keeps no locks: {exc.strerror}",
                subject=str(path),
                remedy="Keep this file on a disk of this machine",
            ) from exc
        yield
    finally:
        os.close(file)


def sync_folder(descriptor: int) -> None:
    """Sync an open folder, where its file system does that."""
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_SYNC:
            raise


def write_durably(
    path: Path,
    content: str | bytes,
    *,
    error: type[HyperfedError],
    remedy: str,
    must_be_new: bool = False,
    mode: int = 0o600,
) -> None:
    """Replace `path` with `content`, and sync the file and its folder.

    With `must_be_new` the file is only created. `mode` holds the permissions that a new file gets,
    less the umask. Raises `error` where the file cannot be written, or exists although it must be
    new.
    """
    part = path.parent / f".{path.name}.{secrets.token_hex(8)}.part"
    data = content.encode() if isinstance(content, str) else content
    try:
        _write_new(part, data, mode)
        if not must_be_new:
            part.replace(path)
        else:
            try:
                os.link(part, path)
            except OSError as exc:
                if exc.errno not in NO_LINKS:
                    raise
                _write_new(path, data, mode)
            part.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_folder(directory)
        finally:
            os.close(directory)
    except FileExistsError as exc:
        part.unlink(missing_ok=True)
        problem, way = (
            "there is a file already, and it is not overwritten",
            "Choose another path, or move it away",
        )
        raise error(problem, subject=str(path), remedy=way) from exc
    except OSError as exc:
        with suppress(OSError):  # the failure may be that the folder is missing
            part.unlink(missing_ok=True)
        raise error(f"cannot be written: {exc.strerror}", subject=str(path), remedy=remedy) from exc


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Create a file and sync it; where that fails, no file is left."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(file)
    except OSError:
        path.unlink(missing_ok=True)
        raise
