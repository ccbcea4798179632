"""PostgreSQL on the loopback address, as itself: not as root, which it refuses to be."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperfed.testing.seaweedfs import free_ports

__all__ = ["Cluster", "cluster", "postgresql"]


@dataclass(frozen=True)
class Cluster:
    """A server that runs, with its socket in its folder."""

    folder: Path
    port: int
    binaries: Path
    user: str | None

    def run(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """What one of PostgreSQL's programs says."""
        done = subprocess.run(
            [self.binaries / name, *arguments],
            user=self.user,
            cwd=self.folder,
            env={**os.environ, "PGHOST": str(self.folder), "PGPORT": str(self.port)}
            | dict(environment or {}),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )  # type: ignore[call-overload]
        assert done.returncode == 0, f"{name} {arguments}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def stop(self) -> None:
        """End the server at once, where it runs."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.run("pg_ctl", "stop", "-m", "immediate", "-D", f"{self.folder}/data")


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
def cluster(superuser: str, *, password: str = "") -> Iterator[Cluster | None]:
    """A server with this superuser, or None where PostgreSQL is not installed.

    Whoever comes by its socket is trusted. Over TCP, `password` is asked for where it is given.
    """
    binaries, user = _binaries(), _user()
    if binaries is None or user == "":
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="hyperfed-postgres-"))
    server = Cluster(folder, free_ports(["postgres"])["postgres"], binaries, user)
    if user:
        shutil.chown(folder, user)
    (folder / "password").write_text(password or "unused")
    (folder / "password").chmod(0o644)
    folder.chmod(0o755)  # data is its own; the socket is for whoever it trusts
    try:
        server.run(
            *("initdb", "-D", f"{folder}/data", "-U", superuser, "--auth-local=trust"),
            f"--auth-host={'scram-sha-256' if password else 'trust'}",
            *(f"--pwfile={folder}/password", "--no-sync"),
        )
        options = (
            f"-p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c fsync=off"
        )
        # to a file: the server would keep a pipe open
        with (folder / "started").open("wb") as log:
            subprocess.run(
                [
                    *(binaries / "pg_ctl", "start", "-w", "-D", f"{folder}/data"),
                    *("-l", f"{folder}/log", "-o", options),
                ],
                user=user,
                cwd=folder,
                check=True,
                stdout=log,
                stderr=log,
                timeout=120,
            )  # type: ignore[call-overload]
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql(*databases: str) -> Iterator[dict[str, str] | None]:
    """A server with these databases: name -> address for sqlalchemy. None where PostgreSQL is not
    installed.
    """
    with cluster("prefect") as server:
        if server is None:
            yield None
            return
        for name in databases:
            server.run("createdb", "-U", "prefect", name)
        yield {
            name: f"postgresql+asyncpg://prefect:unused@127.0.0.1:{server.port}/{name}"
            for name in databases
        }
