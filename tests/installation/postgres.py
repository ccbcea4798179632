"""PostgreSQL on the loopback address, as itself: not as root, which it refuses to be."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperfed.testing.seaweedfs import free_ports

__all__ = ["postgresql"]


def _binaries() -> Path | None:
    """The folder of initdb: the newest of Debian's, else from the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _user() -> str | None:
    """Who runs it: this user, or for root Debian's own; "" where there is nobody."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return ""


@contextmanager
def postgresql(*databases: str) -> Iterator[dict[str, str] | None]:
    """A server with these databases: name -> address for sqlalchemy. None where PostgreSQL is not
    installed.
    """
    binaries, user = _binaries(), _user()
    if binaries is None or user == "":
        yield None
        return
    folder, port = (
        Path(tempfile.mkdtemp(prefix="hyperfed-postgres-")),
        free_ports(["postgres"])["postgres"],
    )
    if user:
        shutil.chown(folder, user)

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / name, *arguments],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=120,
        )  # type: ignore[call-overload]

    try:
        run("initdb", "-D", f"{folder}/data", "-U", "prefect", "--auth=trust", "--no-sync")
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c fsync=off"
        )
        run("pg_ctl", "start", "-w", "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options)
        try:
            for name in databases:
                run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", name)
            yield {
                name: f"postgresql+asyncpg://prefect:unused@127.0.0.1:{port}/{name}"
                for name in databases
            }
        finally:
            run("pg_ctl", "stop", "-m", "immediate", "-D", f"{folder}/data")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
