"""Keep objects in a folder, or on a share that every party mounts (`FilesystemStore`).

1. An object appears whole or not at all. It is written to a file without a name (O_TMPFILE),
   synced, and given its name by a hard link of the open file, which fails where the name is taken
   (create-only). Nobody else can swap a file that has no name. Where the file system has no such
   files, a file under `.incoming/` with mode 0600 takes their place, and is linked by its
   descriptor too.
2. The file and the folders above it are synced before `put_if_absent` returns. A file system that
   syncs no folders (CIFS, FUSE) is taken as it is.
3. Every folder is opened relative to the one above it, without following symbolic links, so no key
   and no link leads out of the root, neither in reading nor in erasing.
4. Over NFS the answer to a link call can be lost and its repetition refused. The file's link count
   then shows that the link was ours.
5. A file system without hard links is refused (StoreUnsuitable), because no other call is
   create-only and atomic everywhere.
6. The root decides who may read and write, by its mode or its default ACL (`storage.permissions`),
   whatever the umask. So several users share a root of mode 2770, or 3770, where they cannot remove
   each other's objects.
7. A listing leaves out names that are no keys, links and special files, and costs as many open
   files for a thousand nested folders as for one.

What it does not do: decide which party may write what. Give each client's folder its own
permissions.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    HyperfedError,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.storage.local_files import NO_LINKS, sync_folder
from hyperfed.storage.permissions import Permissions, permissions_in
from hyperfed.storage.store import ObjectInfo, ObjectStore, check_key, check_prefix, is_key

__all__ = ["FilesystemStore"]

_INCOMING = ".incoming"  # no key starts with a dot
_NO_NAMELESS = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # a folder went, or a link took its place
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRY_AGAIN = {
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EAGAIN,
    errno.EINTR,
    errno.EBUSY,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
}


class FilesystemStore(ObjectStore):
    """Keeps objects under the folder `root`, which must exist, as an `ObjectStore`.

    Threads and machines can share it. A key and a longer key below it (`a` and `a/b`) cannot both
    exist. The constructor raises ConfigError where `root` is not a folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise ConfigError(
                "there is no such folder",
                subject=str(self.root),
                remedy="Create it, or mount the share that it stands for",
            )

    @property
    def location(self) -> str:
        return str(self.root)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        *folders, name = check_key(key).split("/")
        with self._errors(key), self._folder(folders, create=True) as folder:
            permissions = permissions_in(folder)
            with self._nameless(folder, permissions.new_object_mode) as file:
                _write(file, data)
                permissions.give_object(file)
                os.fsync(file)
                created = self._link(file, name, folder, key)
            if created:
                sync_folder(folder)
        return created

    @contextlib.contextmanager
    def _nameless(self, folder: int, mode: int) -> Iterator[int]:
        """Yield a descriptor of a new file that nobody else can write to or swap."""
        try:
            file = os.open(".", os.O_TMPFILE | os.O_WRONLY, mode, dir_fd=folder)
        except OSError as exc:
            if exc.errno not in _NO_NAMELESS:
                raise
        else:
            try:
                yield file
            finally:
                os.close(file)
            return
        temporary = secrets.token_hex(16)
        with self._folder([_INCOMING], create=True) as incoming:
            new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            file = os.open(temporary, new, mode, dir_fd=incoming)
            try:
                yield file
            finally:
                os.close(file)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=incoming)

    def _link(self, file: int, name: str, folder: int, key: str) -> bool:
        """Give an open file its name, and return whether it is ours."""
        names = os.fstat(file).st_nlink
        try:
            os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=folder, follow_symlinks=True)
        except FileExistsError:
            return os.fstat(file).st_nlink > names  # rule 4
        except OSError as exc:
            if exc.errno not in NO_LINKS:
                raise
            raise StoreUnsuitable(
                "the file system makes no hard links, so a create-only write is not possible",
                subject=self._subject(key),
                remedy="Use a share that has them, or S3",
            ) from exc
        return True

    def read(self, key: str, *, max_bytes: int) -> bytes:
        with self._errors(key), self._file(key) as file:
            size = os.fstat(file).st_size
            if size > max_bytes:
                raise ObjectTooLarge(
                    f"holds {size} bytes; at most {max_bytes} are read", subject=self._subject(key)
                )
            with os.fdopen(os.dup(file), "rb") as stream:
                data = stream.read(size + 1)
        if len(data) != size:
            raise TransientError(
                f"{len(data)} of {size} bytes came",
                subject=self._subject(key),
                remedy="Try again; objects never change, so check the share",
            )
        return data

    def read_range(
        self, key: str, *, max_bytes: int, offset: int, length: int
    ) -> tuple[int, int, bytes]:
        """Return (size, version, bytes) of a part of an object; the version is its time of writing.

        Raises as `read` does where the whole object holds more than `max_bytes`.
        """
        with self._errors(key), self._file(key) as file:
            status = os.fstat(file)
            if status.st_size > max_bytes:
                raise ObjectTooLarge(
                    f"holds {status.st_size} bytes; at most {max_bytes} are read",
                    subject=self._subject(key),
                )
            wanted = max(0, min(length, status.st_size - offset))
            data = os.pread(file, wanted, offset) if wanted else b""
        if len(data) != wanted:
            raise TransientError(
                f"{len(data)} of {wanted} bytes came",
                subject=self._subject(key),
                remedy="Try again; objects never change, so check the share",
            )
        return status.st_size, status.st_mtime_ns, data

    def head(self, key: str) -> ObjectInfo | None:
        try:
            with self._errors(key), self._file(key) as file:
                return ObjectInfo(key=key, size=os.fstat(file).st_size)
        except ObjectNotFound:
            return None

    def forget(self, key: str) -> None:
        """Erase `key` if it exists. Only `storage.erasing` calls this."""
        *folders, name = check_key(key).split("/")
        with self._errors(key):
            try:
                with self._folder(folders, create=False) as folder:
                    os.unlink(name, dir_fd=folder)
            except OSError as exc:
                if exc.errno not in (*_GONE, errno.EISDIR):
                    raise

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        above = prefix.split("/")[:-1]
        infos: list[ObjectInfo] = []
        with (
            self._errors(prefix),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._folder(above, create=False) as top,
        ):
            start = "".join(part + "/" for part in above)
            waiting = [""]
            while waiting:
                below = waiting.pop()
                waiting += self._look(top, below, start, prefix, infos)
        return iter(sorted(infos, key=lambda info: info.key))

    def _look(
        self, top: int, below: str, start: str, prefix: str, infos: MutableSequence[ObjectInfo]
    ) -> Sequence[str]:
        """Add the objects in the folder `below` of `top`, and return the folders in it.

        A folder that is gone by now, or has a link in its place, holds nothing.
        """
        folders = []
        try:
            with _descended(top, below.split("/")[:-1]) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    key = start + below + entry.name
                    if not is_key(key) or not (
                        key.startswith(prefix) or prefix.startswith(key + "/")
                    ):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(below + entry.name + "/")
                    elif entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            status = entry.stat(follow_symlinks=False)
                            written = datetime.fromtimestamp(status.st_mtime, UTC)
                            infos.append(ObjectInfo(key=key, size=status.st_size, modified=written))
        except OSError as exc:
            if not below or exc.errno not in _GONE:
                raise
        return folders

    @contextlib.contextmanager
    def _folder(self, parts: Sequence[str], *, create: bool) -> Iterator[int]:
        """Yield a descriptor of the folder `parts` below the root.

        Folders that are missing are made where `create` is true.
        """
        with contextlib.closing(_Folder(os.open(self.root, _FOLDER))) as at:
            for part in parts:
                at.enter(part, create=create)
            yield at.descriptor

    @contextlib.contextmanager
    def _file(self, key: str) -> Iterator[int]:
        *folders, name = check_key(key).split("/")
        try:
            with self._folder(folders, create=False) as folder:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            what = "" if exc.errno == errno.ENOENT else ": a symbolic link or a file is in its way"
            raise ObjectNotFound(
                f"there is no such object{what}", subject=self._subject(key)
            ) from exc
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ObjectNotFound(
                    "there is no such object; a folder or a special file has its name",
                    subject=self._subject(key),
                )
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Raise foreign errors as errors of `hyperfed.errors` (STYLE 25)."""
        try:
            yield
        except HyperfedError:
            raise
        except OSError as exc:
            subject, text = self._subject(key), exc.strerror or type(exc).__name__
            if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
                raise TransportError(
                    "a symbolic link or a file stands where a folder belongs",
                    subject=subject,
                    remedy="Links are not followed; look at the folders on the way",
                ) from exc
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise AccessDenied(
                    f"the system refuses it: {text}",
                    subject=subject,
                    remedy="Check the user this runs as, and its groups. A root that several users "
                    "share belongs to one group of theirs and has mode 2770, or names them in its "
                    "default ACL",
                ) from exc
            if exc.errno in _TRY_AGAIN:
                raise TransientError(
                    f"the file system failed: {text}",
                    subject=subject,
                    remedy="Check that the share is mounted and reachable",
                ) from exc
            raise TransportError(
                f"the file system failed: {text}",
                subject=subject,
                remedy="Check the share: free space, quota, whether it is mounted",
            ) from exc

    def _subject(self, key: str) -> str:
        return str(self.root / key)


class _Folder:
    """An open folder, from which one goes down and never up, nor through a link."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def enter(self, name: str, *, create: bool) -> None:
        """Go down to the folder `name`, which is made where it is missing and `create` is true."""
        permissions_to_give: Permissions | None = None
        if create:
            with contextlib.suppress(FileExistsError):
                permissions = permissions_in(self.descriptor)
                os.mkdir(name, permissions.folder_mode, dir_fd=self.descriptor)
                permissions_to_give = permissions
                sync_folder(self.descriptor)
        below = os.open(name, _FOLDER, dir_fd=self.descriptor)
        self.close()
        self.descriptor = below
        if permissions_to_give is not None:
            permissions_to_give.give_folder(below)

    def close(self) -> None:
        os.close(self.descriptor)


@contextlib.contextmanager
def _descended(top: int, parts: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of the folder `parts` below the open folder `top`."""
    with contextlib.closing(_Folder(os.open(".", _FOLDER, dir_fd=top))) as at:
        for part in parts:
            at.enter(part, create=False)
        yield at.descriptor


def _write(file: int, data: bytes | memoryview) -> None:
    unwritten = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while unwritten:
        unwritten = unwritten[os.write(file, unwritten) :]
