"""`FilesystemStore`: a folder, or a share that everyone mounts, as object store.

1. An object appears whole or not at all: it is written to a temporary file, synced, and given its name by a hard link, which fails where the
   name is taken (create-only). A crash leaves a temporary file under `.incoming/`, never part of an object.
2. The file and the folders on its way are synced before `put_if_absent` returns.
3. Every folder is opened without following symbolic links, relative to the one above it: no key and no link leads out of the root.
4. Over NFS the answer to a link can be lost and its repetition refused: the temporary file's link count then tells that it was ours.
5. A file system without hard links is refused (StoreUnsuitable): no other call is create-only and atomic everywhere.

What it does not do: decide who may write what. Give each client's folder its own permissions.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path

from hyperfed.errors import AccessDenied, ConfigError, HyperfedError, ObjectNotFound, ObjectTooLarge, StoreUnsuitable, TransientError, TransportError
from hyperfed.store import ObjectInfo, ObjectStore, check_key, check_prefix

__all__ = ["FilesystemStore"]

_INCOMING = ".incoming"  # no key starts with a dot
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}
_TRY_AGAIN = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN}


class FilesystemStore(ObjectStore):
    """An `ObjectStore` under the folder `root`, which must exist. Safe to share between threads and machines.

    A key and a longer key below it (`a` and `a/b`) cannot both exist. Raises ConfigError where `root` is no folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise ConfigError("there is no such folder", subject=str(self.root), remedy="Create it, or mount the share that it stands for")

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        *folders, name = check_key(key).split("/")
        with self._errors(key), self._folder([_INCOMING], create=True) as incoming, self._folder(folders, create=True) as folder:
            temporary = secrets.token_hex(16)
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640, dir_fd=incoming)
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                created = self._link(temporary, incoming, name, folder, key)
                if created:
                    os.fsync(folder)
            finally:
                os.unlink(temporary, dir_fd=incoming)
        return created

    def _link(self, temporary: str, incoming: int, name: str, folder: int, key: str) -> bool:
        try:
            os.link(temporary, name, src_dir_fd=incoming, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            return os.stat(temporary, dir_fd=incoming).st_nlink > 1  # rule 4
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
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
                raise ObjectTooLarge(f"holds {size} bytes; at most {max_bytes} are read", subject=self._subject(key))
            with os.fdopen(os.dup(file), "rb") as stream:
                data = stream.read(size + 1)
        if len(data) != size:
            raise TransientError(f"{len(data)} of {size} bytes came", subject=self._subject(key), remedy="Try again; objects never change, so check the share")
        return data

    def head(self, key: str) -> ObjectInfo | None:
        try:
            with self._errors(key), self._file(key) as file:
                return ObjectInfo(key=key, size=os.fstat(file).st_size)
        except ObjectNotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        folders = prefix.split("/")[:-1]
        found: list[ObjectInfo] = []
        with self._errors(prefix):
            try:
                with self._folder(folders, create=False) as folder:
                    self._walk(folder, "".join(part + "/" for part in folders), prefix, found)
            except (FileNotFoundError, NotADirectoryError):
                pass
        return iter(sorted(found, key=lambda info: info.key))

    def _walk(self, folder: int, path: str, prefix: str, found: MutableSequence[ObjectInfo]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                key = path + entry.name
                if entry.name.startswith(".") or not (key.startswith(prefix) or prefix.startswith(key + "/")):
                    continue
                if entry.is_file(follow_symlinks=False):
                    found.append(ObjectInfo(key=key, size=entry.stat(follow_symlinks=False).st_size))
                elif entry.is_dir(follow_symlinks=False):
                    with _opened(entry.name, folder) as below:
                        self._walk(below, key + "/", prefix, found)

    @contextlib.contextmanager
    def _folder(self, parts: Sequence[str], *, create: bool) -> Iterator[int]:
        """A descriptor of the folder `parts` below the root; missing ones are made where `create`."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(_opened(str(self.root), None))
            for part in parts:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o750, dir_fd=folder)
                        os.fsync(folder)
                folder = stack.enter_context(_opened(part, folder))
            yield folder

    @contextlib.contextmanager
    def _file(self, key: str) -> Iterator[int]:
        *folders, name = check_key(key).split("/")
        try:
            with self._folder(folders, create=False) as folder:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError as exc:
            raise ObjectNotFound("there is no such object", subject=self._subject(key)) from exc
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ObjectNotFound("there is no such object; a folder or a special file has its name", subject=self._subject(key))
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Foreign errors as ours (STYLE 17)."""
        try:
            yield
        except HyperfedError:
            raise
        except OSError as exc:
            subject, text = self._subject(key), exc.strerror or type(exc).__name__
            if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
                raise TransportError(
                    "a symbolic link or a file stands where a folder belongs", subject=subject, remedy="Links are not followed; look at the folders on the way"
                ) from exc
            if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise AccessDenied(
                    f"the system refuses it: {text}", subject=subject, remedy="Check the permissions of the share and the user this runs as"
                ) from exc
            if exc.errno in _TRY_AGAIN:
                raise TransientError(f"the file system failed: {text}", subject=subject, remedy="Check that the share is mounted and reachable") from exc
            raise TransportError(
                f"the file system failed: {text}", subject=subject, remedy="Check the share: free space, quota, whether it is mounted"
            ) from exc

    def _subject(self, key: str) -> str:
        return str(self.root / key)


@contextlib.contextmanager
def _opened(name: str, above: int | None) -> Iterator[int]:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        yield folder
    finally:
        os.close(folder)
