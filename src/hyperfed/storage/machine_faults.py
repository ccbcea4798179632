"""Turn what a machine or a path of the user's did into our errors, which say what to do.

1. A disk or a quota that is full, no memory, no more threads or open files, and a file that the
   system will not give are nobody's bug. Each becomes a `MachineError` or a `ConfigError`.
2. The system's own words and the path stay in the message. An error that has no path names the
   folder for temporary files, which is where this program writes without saying so.
3. Libraries that are loaded under such a limit say so in their own ways: the system's loader by an
   ImportError, OpenBLAS by an interrupt that it sends to its own process.

What it does not do: hide the cause. --debug shows the traceback, as for our own mistakes.
"""

import errno
import tempfile
import threading
import traceback

from hyperfed.errors import ConfigError, HyperfedError, MachineError

__all__ = ["as_ours", "behind_interrupt"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PATHS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST)
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_LIMITS = (errno.EMFILE, errno.ENFILE)
_MEMORY = (errno.ENOMEM, errno.EAGAIN)
_NOT_MAPPED = ("failed to map segment", "cannot allocate memory")


def as_ours(error: BaseException, *, where: str = "") -> BaseException:
    """Return our error for a fault of the machine, or the error itself where it is none.

    `where` names the file where the system does not.
    """
    match error:
        case HyperfedError():
            return error
        case MemoryError():
            return _of_memory()
        case ImportError() if any(words in str(error).lower() for words in _NOT_MAPPED):
            return _of_memory()
        case RuntimeError() if "can't start new thread" in str(error):
            return _of_threads()
        case OSError() if error.errno is not None:
            return _of_system(error, where)
    return error


def behind_interrupt(error: BaseException) -> MachineError | None:
    """Return the fault of the machine behind an interrupt; None for a person's Ctrl-C.

    OpenBLAS interrupts the process that loads it where it gets no thread. So an interrupt in the
    midst of loading numpy is such a fault where no other thread can be started either.
    """
    chain: BaseException | None = error
    while chain is not None:
        frames = traceback.extract_tb(chain.__traceback__)
        if any("/numpy/" in frame.filename for frame in frames):
            try:
                threading.Thread(target=int).start()
            except RuntimeError:
                return _of_threads()
        chain = chain.__cause__ or chain.__context__
    return None


def _of_memory() -> MachineError:
    return MachineError(
        "there is not enough memory",
        subject="this process",
        remedy="Give it more (ulimit -v, the container's limit), close other programs, or take "
        "fewer variables, lags or bootstraps",
    )


def _of_threads() -> MachineError:
    return MachineError(
        "the system starts no more threads or processes",
        subject="this user",
        remedy="Raise the limit (ulimit -u, TasksMax= of a unit, pids of a container)",
    )


def _of_system(error: OSError, where: str) -> BaseException:
    """Return the error for one of the system's; where it is none of its usual ones, itself."""
    path = error.filename if isinstance(error.filename, str) else where
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        folder = tempfile.gettempdir()
        return MachineError(
            f"there is no room left: {reason}",
            subject=path or f"a file, perhaps in {folder}",
            remedy="Free some, or set TMPDIR to a folder on a disk with room; a stdout that is a "
            "file needs room too",
        )
    if error.errno in _LIMITS:
        return MachineError(
            f"too many files are open: {reason}",
            subject=path or "this process",
            remedy="Raise the limit (ulimit -n, LimitNOFILE= of a unit)",
        )
    if error.errno in _MEMORY:
        return _of_threads() if error.errno == errno.EAGAIN else as_ours(MemoryError())
    if error.errno in _RIGHTS:
        return MachineError(
            f"the system refuses it: {reason}",
            subject=path or "a file",
            remedy="Check who owns the path, its permissions, and the user this runs as",
        )
    if error.errno in _PATHS and path:
        return ConfigError(
            f"cannot be used: {reason}",
            subject=path,
            remedy="Check the path: whether it exists, and is a file or a folder as it should",
        )
    if error.errno == errno.EIO:
        return MachineError(
            f"a disk or a terminal failed: {reason}",
            subject=path or "a file",
            remedy="Look at the system's log (dmesg); try another disk",
        )
    return error
