"""Name the folder that may hold machine code, and check that only its user can write it.

1. What lies there is run. So the folder must belong to this user, and nobody else may have rights
   to it (0700). Nobody but this user and root may be able to put another one in its place: they
   alone own every folder and every symbolic link on the way, and may write to them. In a folder
   that all may write to, like /tmp, the sticky bit does instead.
2. Its name follows from the sources of the loops and from the compiler's version. numba looks at
   the one file that a loop stands in, and would run a loop whose other files have changed since.
3. Where there is no such folder, the answer is None, and a line of the log says why and what to do.

What it does not do: it reads and writes no files (numba does), and deletes no folder of an earlier
version, which holds less than a megabyte.
"""

import hashlib
import logging
import os
import stat
from pathlib import Path

import numpy as np

from hyperfed.storage.local_files import cache_folder

__all__ = ["code_folder"]

_log = logging.getLogger(__name__)
_LINKS = 40  # symbolic links on one way, as the system allows


def code_folder(compiler: str) -> Path | None:
    """Return the folder for what this compiler makes, or None where there can be none.

    It is made, with mode 0700, where it is missing, and so is the cache folder above it.
    """
    above = cache_folder()
    if above is None or not above.is_absolute():
        _log.info("there is no home folder to keep machine code in; %s", _REMEDY)
        return None
    folder = above / f"machine-code-{_version(compiler)}"
    try:
        for missing in [part for part in (*reversed(folder.parents), folder) if not part.exists()]:
            missing.mkdir(mode=0o700, exist_ok=True)
        problem = _weakness(folder)
    except OSError as exc:
        _log.info("machine code cannot be kept in %s: %s; %s", folder, exc.strerror, _REMEDY)
        return None
    if problem:
        _log.warning("machine code is not kept in %s: %s; %s", folder, problem, _REMEDY)
        return None
    return folder


_REMEDY = (
    "numpy does the work. A folder of your own, named by HYPERFED_CACHE, makes large merges faster"
)


def _version(compiler: str) -> str:
    """Return what tells machine code of other sources, or another compiler, from this one."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"{compiler}, numpy {np.__version__}".encode())
    for source in (*sorted((here / "loops").glob("*.py")), here / "layout.py", _CONFIG):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


_CONFIG = Path(__file__).parents[1] / "config.py"


def _weakness(folder: Path) -> str:
    """Return who else could put machine code into a folder, or "" where nobody can.

    Raises OSError where it cannot be looked at.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to somebody else"
    if status.st_mode & 0o077:
        return f"others have rights to it (chmod 700 {folder})"
    return _weak_way(folder.parent, _LINKS)


def _weak_way(path: Path, links: int) -> str:
    """Return who else could make `path` lead elsewhere, or "" where nobody can."""
    for part in (*reversed(path.parents), path):
        status = part.lstat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{part} belongs to somebody else"
        if stat.S_ISLNK(status.st_mode):
            if not links:
                return f"{part} leads in circles"
            return _weak_way(part.parent / part.readlink() / path.relative_to(part), links - 1)
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            return f"others may write to {part}"
    return ""
