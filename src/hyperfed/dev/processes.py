"""Child processes that are ended by their own process id, also by another process later on.

1. Each child leads a process group of its own; ending it ends what it started. Its output goes to a log file.
2. A record is (process id, start time): an id that now belongs to somebody else's process is never signalled. Linux only: it reads /proc.
3. Ending is SIGTERM, then SIGKILL after a while, then waited for.
4. `carrying` finds what is left after crashes of parents: the processes that were started with a mark in their environment, and no others.

What it does not do: restart (`supervisor`), look for processes by name.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperfed.errors import ConfigError

__all__ = ["Process", "Recorded", "carrying"]

_POLL_S = 0.05


def _start_time(pid: int) -> int:
    """Clock ticks since boot at which the process began; 0 where there is none, or it is only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A process that somebody has started: enough to tell it from a later one with the same id."""

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> "Recorded":
        return cls(pid=pid, start_time=_start_time(pid))

    @property
    def alive(self) -> bool:
        return self.start_time > 0 and _start_time(self.pid) == self.start_time

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to it (group: to all that it started), if it is still the same process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(self.pid, number)

    def end(self, *, timeout_s: float, group: bool = False) -> bool:
        """End it; whether it had to be killed."""
        self.signal(signal.SIGTERM)
        over = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < over:
            time.sleep(_POLL_S)
        killed = self.alive
        self.signal(signal.SIGKILL, group=group)
        while self.alive:
            time.sleep(_POLL_S)
        return killed


def carrying(name: str, value: str) -> list[Recorded]:
    """The processes that were started with name=value in their environment, as far as this user may see; never this one."""
    mark, found = f"{name}={value}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(Recorded.of(int(folder.name)))
    return found


class Process:
    """A child. argv, environment (added to this process's own), log: its output is appended there."""

    def __init__(self, name: str, argv: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path, stop_timeout_s: float = 10.0) -> None:
        self.name, self.argv, self.environment, self.log, self.cwd, self.stop_timeout_s = name, list(argv), dict(environment), log, cwd, stop_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._record: Recorded | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def record(self) -> Recorded:
        """Raises ConfigError before the first start."""
        if self._record is None:
            raise ConfigError("was not started", subject=self.name)
        return self._record

    def start(self) -> None:
        """Start it; where it runs, nothing happens. Raises ConfigError."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                self._child = subprocess.Popen(  # noqa: S603 - our own arguments
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | self.environment,
                    cwd=self.cwd,
                    start_new_session=True,
                )
            except OSError as exc:
                raise ConfigError(f"cannot be started: {exc.strerror}", subject=self.argv[0]) from exc
        self._record = Recorded.of(self._child.pid)

    def kill(self) -> None:
        """SIGKILL to it alone, as a crash would: what it has started goes on."""
        if self._child is not None:
            self.record.signal(signal.SIGKILL)
            self._child.wait()

    def stop(self) -> None:
        """End it and what it has started; where it does not run, what it left behind."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(self.stop_timeout_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)  # its group was made by us and is named after it
        self._child.wait()

    def log_end(self, size: int = 600) -> str:
        try:
            return self.log.read_text(errors="replace")[-size:].strip() or "(empty)"
        except OSError:
            return "(no log)"
