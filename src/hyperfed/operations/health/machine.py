"""Check this machine: the room that is left where Hyperfed writes, and what is installed.

1. Folders are those that settings and environment name: the state, temporary files, the memory
   beside a key, a shared folder as the store, figures and reports.
2. A folder that this user cannot write into is critical, as is one with less than `LEAST_BYTES`. A
   file system smaller than that, such as a container's /tmp, has too little once less than a
   quarter of it is free.
3. The worst folder is told.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from hyperfed.operations.health.finding import Finding, Level, worst

__all__ = ["disk_finding", "versions_said"]

LEAST_BYTES, FEW_BYTES = 256 << 20, 2 << 30
LEAST_FILES = 10_000
_VARIABLES = ("HYPERFED_METRICS_DIR", "HYPERFED_REPORT_DIR")
_NAMES = "HYPERFED_STATE, TMPDIR, HYPERFED_METRICS_DIR, HYPERFED_REPORT_DIR, the paths of settings"


def folders(named: Iterable[Path | None]) -> list[Path]:
    """Return the folders that are written into, each once.

    Of one that is not there yet, the nearest folder above it stands for it.
    """
    wanted = [
        *(path for path in named if path is not None),
        Path(tempfile.gettempdir()),
        *(Path(os.environ[name]) for name in _VARIABLES if os.environ.get(name)),
    ]
    return list(dict.fromkeys(_nearest(path.expanduser().absolute()) for path in wanted))


def _nearest(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there, or that hides what is in it."""
    for folder in (path, *path.parents):
        try:
            if folder.exists():
                return folder
        except OSError:  # this user may not look into the folder above
            return folder.parent
    return path


def disk_finding(named: Iterable[Path | None]) -> Finding:
    """Return how much room is left in the folders of `named` and of the environment."""
    found = [_room(folder) for folder in folders(named)]
    level = worst([finding for finding, _ in found])
    return min((f for f in found if f[0].level is level), key=lambda each: each[1])[0]


def _room(folder: Path) -> tuple[Finding, int]:
    """Return how much room is left in a folder, in words and in bytes."""
    if not os.access(folder, os.W_OK | os.X_OK):
        said, remedy = (
            "cannot be written into by this user",
            "Give it to this user, or name another",
        )
        return _finding(Level.CRITICAL, f"{folder} {said}", f"{remedy} folder: {_NAMES}"), 0
    usage, files = shutil.disk_usage(folder), os.statvfs(folder)
    level, said = Level.GOOD, f"{_size(usage.free)} free in {folder}"
    if usage.free < min(LEAST_BYTES, usage.total // 4):
        level = Level.CRITICAL
    elif files.f_files and files.f_favail < min(LEAST_FILES, files.f_files // 4):
        level, said = Level.WARNING, f"{folder} has room for {files.f_favail:,} more files"
    elif usage.free < min(FEW_BYTES, usage.total // 2):
        level = Level.WARNING
    remedy = f"Free some room, or name another folder: {_NAMES}"
    return _finding(level, said, "" if level is Level.GOOD else remedy), usage.free


def _finding(level: Level, said: str, remedy: str) -> Finding:
    return Finding(name="disk", level=level, said=said, remedy=remedy)


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB" if size >= 1 << 30 else f"{size >> 20} MB"


def versions_said() -> str:
    """Return which Hyperfed and which Python run here, in words."""
    return f"hyperfed {metadata.version('hyperfed')}, Python {platform.python_version()}"
