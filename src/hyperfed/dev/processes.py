"""Start child processes, and end them by their own process id, even from a later process.

1. Each child leads a process group of its own; ending the child ends what it started. Its output
   goes to a log file.
2. A record is (process id, start time), so that an id that now belongs to somebody else's process
   is never signalled. This reads /proc, and so works on Linux only.
3. A process is ended by SIGTERM, then by SIGKILL after a while, and then waited for. Where it has
   no time to end by itself, it is killed at once: a server that is asked to end may answer with a
   traceback.
4. `carrying` finds what is left after crashes of parents: the processes that were started with a
   mark in their environment, and no others.
5. `end_all` ends all of those at once, and `named` says in words what they are.
6. `own_children` finds also those that carry no mark.
7. `interrupts_held` lets a start come to its end before Ctrl-C is answered.

What it does not do: restart processes (`supervisor`), or look for them by name.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperfed.errors import ConfigError

__all__ = ["Process", "Recorded", "carrying", "end_all", "interrupts_held", "named", "own_children"]

_POLL_S = 0.05
_NAMES = {  # part of a command line -> what a person calls the process
    "weed server": "SeaweedFS",
    "prefect.server.api": "Prefect's server",
    "prefect server start": "Prefect's server",
    "service worker": "the worker",
    "flows.service.development": "the installation of deployments",
    "hyperfed.dev.supervisor": "the supervisor",
}


def _start_time(pid: int) -> int:
    """Return the clock ticks from boot to the start of the process.

    Returns 0 where there is no such process, or only a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Names a process that was started, so that no later one with its id is taken for it."""

    pid: int
    """Its process id."""
    start_time: int
    """Clock ticks from boot to its start, 0 where it had ended before it was recorded."""

    @classmethod
    def of(cls, pid: int) -> "Recorded":
        """Return the record of a running process."""
        return cls(pid=pid, start_time=_start_time(pid))

    @property
    def alive(self) -> bool:
        """Whether the same process still runs."""
        return self.start_time > 0 and _start_time(self.pid) == self.start_time

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, if it is still the same one.

        With `group` its whole process group gets the signal.
        """
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(self.pid, number)

    def end(self, *, timeout_s: float, group: bool = False) -> bool:
        """End the process, and return whether it had to be killed.

        It has `timeout_s` seconds to end by itself; with 0 it is killed at once. With `group` its
        whole process group is killed.
        """
        if timeout_s > 0:
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
    """Return the processes that were started with name=value in their environment.

    They are those that this user may see, without this process itself.
    """
    mark, processes = f"{name}={value}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    processes.append(Recorded.of(int(folder.name)))
    return processes


def own_children() -> list[Recorded]:
    """Return the living children of this process.

    One that has forked and not yet begun its program is among them; it carries no mark yet.
    """
    numbers: list[int] = []
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            numbers += map(int, children.read_text().split())
    return [child for child in map(Recorded.of, numbers) if child.alive]


def named(processes: Sequence[Recorded]) -> str:
    """Say in words what these processes are, each word once. Returns "" where there are none."""
    words = set()
    for process in processes:
        with contextlib.suppress(OSError):
            line = (
                Path(f"/proc/{process.pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
            words.add(
                next(
                    (word for part, word in _NAMES.items() if part in line),
                    f"process {process.pid}",
                )
            )
    *most, last = sorted(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def end_all(name: str, value: str, *, timeout_s: float) -> None:
    """End all processes that were started with name=value in their environment.

    All are asked at once. After `timeout_s` seconds what is left is killed, and so is what has
    appeared meanwhile. With 0 nobody is asked.
    """
    asked_processes = carrying(name, value) if timeout_s > 0 else []
    for process in asked_processes:
        process.signal(signal.SIGTERM)
    over = time.monotonic() + timeout_s
    while any(process.alive for process in asked_processes) and time.monotonic() < over:
        time.sleep(_POLL_S)
    while running := [process for process in carrying(name, value) if process.alive]:
        for process in running:
            process.end(timeout_s=0.0)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while the context lasts, and raise KeyboardInterrupt at its end instead.

    What is started meanwhile answers Ctrl-C as ever: a handler does not outlive `exec`, where a
    blocked or ignored signal would. It works in the main thread only.
    """
    numbers: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: numbers.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if numbers:
            raise KeyboardInterrupt


class Process:
    """Runs a child process.

    `name` names it in messages, `argv` is its command line, and `environment` is added to this
    process's own. It runs in `cwd`, and its output is appended to `log`. `stop` gives it
    `stop_timeout_s` seconds to end by itself.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name, self.argv, self.environment, self.log, self.cwd, self.stop_timeout_s = (
            name,
            list(argv),
            dict(environment),
            log,
            cwd,
            stop_timeout_s,
        )
        self._child: subprocess.Popen[bytes] | None = None
        self._record: Recorded | None = None

    @property
    def running(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def record(self) -> Recorded:
        """Return the record of the child. Raises ConfigError before the first start."""
        if self._record is None:
            raise ConfigError("was not started", subject=self.name)
        return self._record

    def start(self) -> None:
        """Start the child; nothing happens where it runs already.

        Raises ConfigError where it cannot be started.
        """
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
                raise ConfigError(
                    f"cannot be started: {exc.strerror}", subject=self.argv[0]
                ) from exc
        self._record = Recorded.of(self._child.pid)

    def kill(self) -> None:
        """Send SIGKILL to the child alone, as a crash would: what it has started goes on."""
        if self._child is not None:
            self.record.signal(signal.SIGKILL)
            self._child.wait()

    def stop(self) -> None:
        """End the child and what it has started. Where it has ended, end what it left behind."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(self.stop_timeout_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # the group is the child's own: it has the child's process id
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def log_end(self, size: int = 600) -> str:
        """Return the last `size` characters of the log."""
        try:
            return self.log.read_text(errors="replace")[-size:].strip() or "(empty)"
        except OSError:
            return "(no log)"
