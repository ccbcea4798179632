"""Check this machine: the room that is left where Hyperfed writes, and what is installed.

1. Folders are those that settings and environment name: the state, temporary files, the memory
   beside a key, a shared folder as the store, figures and reports. Folders of one file system are
   one check.
2. A folder that this user cannot write into is critical, as is one with less than `LEAST_BYTES`.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from hyperfed.operations.health.finding import Finding, Level

__all__ = ["disk_finding", "versions_said"]

LEAST_BYTES, FEW_BYTES = 256 << 20, 2 << 30
LEAST_FILES = 10_000
_VARIABLES = ("HYPERFED_METRICS_DIR", "HYPERFED_REPORT_DIR")


def folders(named: Iterable[Path | None]) -> list[Path]:
    """Return the folders that are written into, each once.

    Of one that is not there yet, the nearest folder above it stands for it.
    """
    wanted = [
        *(path for path in named if path is not None),
        Path(tempfile.gettempdir()),
        *(Path(os.environ[name]) for name in _VARIABLES if os.environ.get(name)),
    ]
    there = []
    for path in wanted:
        whole = path.expanduser().absolute()
        there.append(next(p for p in (whole, *whole.parents) if p.is_dir()))
    return list(dict.fromkeys(there))


def disk_finding(named: Iterable[Path | None]) -> Finding:
    """Return how much room is left in the folders of `named` and of the environment."""
    remedy = "Free some room, or name another folder: HYPERFED_STATE, TMPDIR, the paths of settings"
    tightest: tuple[int, Path] | None = None
    for folder in folders(named):
        if not os.access(folder, os.W_OK | os.X_OK):
            said = f"{folder} cannot be written into by this user"
            return Finding(
                name="disk",
                level=Level.CRITICAL,
                said=said,
                remedy="Give it to this user, or name another folder",
            )
        files = os.statvfs(folder)
        if files.f_files and files.f_favail < LEAST_FILES:
            said = f"{folder} has room for {files.f_favail:,} more files"
            return Finding(name="disk", level=Level.WARNING, said=said, remedy=remedy)
        free = shutil.disk_usage(folder).free
        if tightest is None or free < tightest[0]:
            tightest = free, folder
    if tightest is None:
        return Finding(name="disk", level=Level.UNKNOWN, said="no folder", remedy="Set TMPDIR")
    free, folder = tightest
    level = (
        Level.CRITICAL if free < LEAST_BYTES else Level.WARNING if free < FEW_BYTES else Level.GOOD
    )
    return Finding(
        name="disk",
        level=level,
        said=f"{free / (1 << 30):.1f} GB free in {folder}",
        remedy="" if level is Level.GOOD else remedy,
    )


def versions_said() -> str:
    """Return which Hyperfed and which Python run here, in words."""
    return f"hyperfed {metadata.version('hyperfed')}, Python {platform.python_version()}"
