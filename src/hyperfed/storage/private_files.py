"""Read files that hold a secret, where only the user can reach them (R-20).

1. The file is opened once, so that what was checked is what is read.
2. Its mode gives group and others nothing. Orchestrators mount secrets with modes that the user
   cannot change (Docker 0444, Kubernetes with fsGroup 0440). Such a file is taken where nobody else
   can reach it all the same: below a folder of the user's or of root that only its owner can enter,
   or in a container, on a mount that is read-only. What others may write is never taken.
3. A byte-order mark, which editors on Windows put before the text, is no part of it.

`from_home` reads "~" in the paths to such files.
"""

import os
import stat
from pathlib import Path

from hyperfed.errors import ConfigError

__all__ = ["from_home", "read_private"]

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")


def read_private(path: Path, *, what: str, max_bytes: int, remedy: str) -> str:
    """Return the text of a plain file that only this user can reach.

    `what` names the secret in messages ("key"), and `remedy` says what to do where it is missing.
    Raises ConfigError where the file is missing, no plain file, larger than `max_bytes`, no text,
    or within others' reach. No message shows its content.
    """
    subject = str(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise ConfigError(
                    f"is no file but a {'folder' if stat.S_ISDIR(info.st_mode) else 'device'}",
                    subject=subject,
                    remedy=f"Give the {what} file itself",
                )
            if info.st_size > max_bytes:
                raise ConfigError(
                    f"is larger than any file of this kind ({info.st_size} bytes)", subject=subject
                )
            mode = stat.S_IMODE(info.st_mode)
            if mode & 0o077 and (mode & 0o022 or not _out_of_reach(fd)):
                raise ConfigError(
                    f"others can read this {what} (mode {mode:o})",
                    subject=subject,
                    rule="R-20",
                    remedy=f"chmod 600 {path}; if others had access, make a new {what}. Where an "
                    "orchestrator mounts it, mount it read-only into the container, with mode "
                    "0400 where it can, or put it into a folder that only this user can enter",
                )
            with open(fd, "rb", closefd=False) as file:
                return file.read(max_bytes).decode("utf-8-sig")
        finally:
            os.close(fd)
    except FileNotFoundError as exc:
        raise ConfigError(f"no such {what} file", subject=subject, remedy=remedy) from exc
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}",
            subject=subject,
            remedy="Check the path, and that this user may read it",
        ) from exc
    except UnicodeDecodeError:
        # the cause is left out, because it quotes the file
        raise ConfigError("is not text in UTF-8", subject=subject, remedy=remedy) from None


def _out_of_reach(fd: int) -> bool:
    """Return whether nobody but this user and root can open the file, whatever its own mode."""
    contained = any(map(os.path.exists, _CONTAINER_MARKS)) or any(
        os.environ.get(name) for name in _CONTAINER_VARIABLES
    )
    if contained and os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        return True
    folders = Path(f"/proc/self/fd/{fd}").readlink().parents
    return any(
        info.st_mode & 0o077 == 0 and info.st_uid in (os.geteuid(), 0)
        for info in map(os.stat, folders)
    )


def from_home(text: str, *, subject: str) -> Path:
    """Return a path in which "~" is the user's home folder.

    Raises ConfigError, which names `subject`, where this user has none, as in many containers.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ConfigError(
            f"{text!r:.80} starts in a home folder, and this user has none",
            subject=subject,
            remedy="Set HOME, or write the whole path",
        ) from exc
