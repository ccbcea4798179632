"""Command lines under bubblewrap with the limits of a unit or a container: nothing is writable but
what is named, /tmp is small, there is no capability and no variable but those given.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["NEEDS_BUBBLEWRAP", "sandboxed"]

CHECKOUT = Path(__file__).parents[2]
NEEDS_BUBBLEWRAP = pytest.mark.skipif(
    shutil.which("bwrap") is None and "HYPERFED_CI" not in os.environ,
    reason="bubblewrap (Debian's package) is not here",
)


def sandboxed(
    argv: list[str],
    *,
    environment: Mapping[str, str],
    read_only: Mapping[str, Path],
    writable: Mapping[str, Path],
    folder: str = "/tmp",  # noqa: S108 - in there
    user: int = 10_001,
    tmp_bytes: int = 16 << 20,
) -> list[str]:
    """The command line that runs `argv` so. `read_only` and `writable` say which folder or file of
    this machine lies under which path in there; `folder` is where it starts.
    """
    mounts = ["--dev", "/dev", "--proc", "/proc", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    for at in map(
        Path, ("/usr", "/bin", "/lib", "/lib64", "/sbin", *sorted(Path("/etc").iterdir()))
    ):
        if at.is_symlink():
            mounts += ["--symlink", str(at.readlink()), str(at)]
        elif os.access(at, os.R_OK):
            mounts += ["--ro-bind", str(at), str(at)]
    for needed in (sys.base_prefix, str(CHECKOUT)):
        mounts += ["--ro-bind", needed, needed]
    for option, paths in (("--ro-bind", read_only), ("--bind", writable)):
        for inside, outside in paths.items():
            mounts += [option, str(outside), inside]
    mounts += ["--remount-ro", "/"]
    locked = [
        *("--unshare-user", "--uid", str(user), "--gid", str(user), "--unshare-pid"),
        *("--unshare-ipc", "--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *("--clearenv", "--chdir", folder),
    ]
    variables = [word for name, text in environment.items() for word in ("--setenv", name, text)]
    return ["bwrap", *mounts, *locked, *variables, "--", *argv]
