"""Children that a parent forks, bounds, and leaves nothing of.

1. A child is the leader of a session of its own and dies with its parent. What it wrote to its
   answer file is what the parent reads.
2. It has a bound of wall-clock time, of memory, and of the threads of it and all that it started.
   One above a bound is killed.
3. When it has ended, whatever it started is killed too. The parent is their reaper, so that a
   grandchild which left the session is found all the same.

What it does not do: run two children at once. It needs Linux.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MOST_BYTES, _MOST_THREADS = 4 << 30, 100
_DIE_WITH_PARENT, _REAP_ORPHANS = 1, 36  # prctl(2)
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended."""

    status: int
    """Its exit code, or minus the signal that ended it."""
    why: str
    """Which bound it broke, "" for none."""
    cpu_s: float
    """Processor time of it and of its children that it waited for."""


def run_child(work: Callable[[], int], *, most_s: float) -> Ended:
    """Fork a child that does the work and exits with its answer; wait, and leave nothing of it."""
    libc = ctypes.CDLL(None)
    libc.prctl(_REAP_ORPHANS, 1)
    others = _children()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + _MOST_BYTES,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            code = work()
        finally:
            os._exit(code)
    try:
        why = _watch(child, time.monotonic() + most_s)
        if why:
            os.kill(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
    finally:
        _leave_nothing(child, others)
        libc.prctl(_REAP_ORPHANS, 0)
    return Ended(os.waitstatus_to_exitcode(status), why, used.ru_utime + used.ru_stime)


def bound_processor_time(seconds: float) -> None:
    """Let this process, which is a child, end after so many more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def threads_below(process: int) -> int:
    """Return how many threads a process and all its descendants have."""
    try:
        tasks = [*Path(f"/proc/{process}/task").iterdir()]
        children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
    except (OSError, ValueError):  # it has just ended
        return 0
    return len(tasks) + sum(map(threads_below, children))


def _watch(child: int, over: float) -> str:
    """Wait until a child has ended, or return which bound it broke."""
    handle = os.pidfd_open(child)
    try:
        while not select.select([handle], [], [], _LOOK_S)[0]:
            if time.monotonic() > over:
                return "time"
            if threads_below(child) > _MOST_THREADS:
                return "threads"
    finally:
        os.close(handle)
    return ""


def _children() -> set[int]:
    """Return the children of this thread, the orphans that it reaps among them."""
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def _leave_nothing(child: int, others: set[int]) -> None:
    """Kill what a child has left, in its session or out of it, and none of the `others`."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        left = _children() - others
        if not left:
            return
        for orphan in left:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
