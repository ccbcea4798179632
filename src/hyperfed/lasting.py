"""A small file that must outlast a power cut and be shared by processes: a client's memory, its guard, its kept message, its links, what a command writes.

1. `alone_with`: one process at a time, by a lock file beside it.
2. `cache_folder`: where what can be made again is kept.
3. `write_lasting`: replaced at once or not at all, on disk before it returns; what was there stays where that fails.

What it does not do: know what is in the file, or what to do about a failure: the caller names the error and the remedy.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperfed.errors import HyperfedError

__all__ = ["alone_with", "cache_folder", "write_lasting"]


def cache_folder() -> Path | None:
    """Where this user's files go that can be made again: $HYPERFED_CACHE, or hyperfed in $XDG_CACHE_HOME or ~/.cache; None where there is no home. It may not
    exist yet."""
    own, base = Path(os.environ.get("HYPERFED_CACHE", "")), Path(os.environ.get("XDG_CACHE_HOME", ""))
    if own.is_absolute():
        return own
    with suppress(RuntimeError):
        return (base if base.is_absolute() else Path.home() / ".cache") / "hyperfed"
    return None


@contextmanager
def alone_with(path: Path, *, error: type[HyperfedError], remedy: str) -> Iterator[None]:
    """Hold the lock of `path`, whose folder is made where it is missing. Raises `error` where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as exc:
        raise error(f"cannot be locked: {exc.strerror}", subject=str(path), remedy=remedy) from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_lasting(path: Path, content: str | bytes, *, error: type[HyperfedError], remedy: str, must_be_new: bool = False) -> None:
    """Replace `path`, or create it where it must be new, and fsync it and its folder. Raises `error` where it cannot be written or is there already."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if must_be_new:
            os.link(part, path)
            part.unlink()
        else:
            part.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError as exc:
        part.unlink(missing_ok=True)
        problem, way = "there is a file already, and it is not overwritten", "Choose another path, or move it away"
        raise error(problem, subject=str(path), remedy=way) from exc
    except OSError as exc:
        with suppress(OSError):  # it may be the folder that is none
            part.unlink(missing_ok=True)
        raise error(f"cannot be written: {exc.strerror}", subject=str(path), remedy=remedy) from exc
