"""Repeat a discovery on resamples of the data: over processes, from a seed, with the time left.

1. A `Fit` says how data are resampled and what is found in them, as one array of votes. Its fields
   are plain values, so that a child process can make it again from its class's name and them.
2. Each resample has a seed of its own, a child of the run's: the votes are the same whatever the
   number of processes and their order. Linear algebra runs on one thread in each.
3. The first resamples run here. Where what is left takes longer than children take to start, they
   are started, one for each core, and every one is given the next resample when it is free.
4. A child gets data and seeds over its standard input and answers over its standard output. It ends
   when its input does, so that none outlives an interrupted run.

Nothing is sent to anyone before the run is over.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from hyperfed.engines.messages import read_message, write_message
from hyperfed.errors import EngineError

__all__ = ["Fit", "Progress", "one_resample", "one_thread", "resampled", "seed_of"]

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int, float], None]
"""The function that is called after each resample: how many are done, of how many, and the seconds
left."""

_START_S = 4.0  # what a child's start costs; shorter work stays here


class Fit(Protocol):
    """Defines a discovery that can be repeated.

    It is a dataclass of plain values.
    """

    def prepare(self) -> None:
        """Import what the discovery needs. Raises ConfigError where it is not installed."""
        ...  # pragma: no cover

    def resample(self, data: Floats, rng: np.random.Generator) -> Floats:
        """Return a resample of the data."""
        ...  # pragma: no cover

    def votes(self, data: Floats) -> Floats:
        """Return what is found in the data, as votes in [-1, 1]: always of one shape."""
        ...  # pragma: no cover


def seed_of(seed: int, resample: int) -> np.random.Generator:
    """Return the generator of one resample of a run."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(resample,)))


def resampled(
    fit: Fit,
    data: Floats,
    *,
    count: int,
    seed: int,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Floats:
    """Return the votes in each resample, as float64[count, ...].

    `processes` is how many children run; None uses one for each core where that is quicker, and 0
    uses none.

    Raises EngineError where a resample cannot be fitted.
    """
    began, done = time.monotonic(), 0
    votes: list[Floats | None] = [None] * count

    def keep(resample: int, resample_votes: Floats) -> None:
        nonlocal done
        votes[resample] = resample_votes
        done += 1
        if progress is not None:
            progress(done, count, (time.monotonic() - began) / done * (count - done))

    cores = len(os.sched_getaffinity(0)) if processes is None else processes
    resamples_left = list(range(count))
    if processes is None or processes == 0:
        with one_thread():
            while resamples_left:
                if (
                    processes is None
                    and cores > 1
                    and _worth_it(began, done, len(resamples_left), cores)
                ):
                    break
                keep(resamples_left[0], one_resample(fit, data, seed, resamples_left[0]))
                del resamples_left[0]
    if resamples_left:
        _in_children(fit, data, seed, resamples_left, max(1, min(cores, len(resamples_left))), keep)
    whole = [found for found in votes if found is not None]
    return np.stack(whole) if whole else np.zeros((0, 0))


def _worth_it(began: float, done: int, resamples_left: int, cores: int) -> bool:
    """Return whether children would finish what is left sooner."""
    if not done:
        return False
    here = (time.monotonic() - began) / done * resamples_left
    return here > _START_S + here / cores


def one_resample(fit: Fit, data: Floats, seed: int, resample: int) -> Floats:
    """Return the votes in one resample of a run."""
    return fit.votes(fit.resample(data, seed_of(seed, resample)))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra on one thread, where threadpoolctl is there to say so."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield


# -- children --------------------------------------------------------------------------------------


class _Child:
    """A process that fits resamples as they are asked for."""

    def __init__(self, task: bytes, data: Floats) -> None:
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hyperfed.engines.resampling_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C reaches the parent, which ends its children
        )
        self._to, self._from = self._process.stdin, self._process.stdout
        self._first: tuple[bytes, Floats] | None = (task, data)

    def ask(self, resample: int) -> Floats:
        """Return the votes in a resample. Raises EngineError."""
        to, source = self._to, self._from
        if to is None or source is None:
            raise EngineError("has no pipes", subject="resampling")
        try:
            if self._first is not None:
                task, data = self._first
                write_message(to, task)
                write_message(to, json.dumps(data.shape).encode())
                write_message(to, np.ascontiguousarray(data).tobytes())
                self._first = None
            write_message(to, str(resample).encode())
            kind, body = read_message(source), read_message(source)
        except (OSError, EOFError) as exc:
            raise EngineError(
                f"a process that fits resamples ended with {self._process.wait()}",
                subject="resampling",
                remedy=(
                    "Check that there is enough memory; fewer [data] bootstraps make the run "
                    "shorter. Nothing was sent"
                ),
            ) from exc
        if kind == b"error":
            raise EngineError(
                f"resample {resample} cannot be fitted: {body.decode()}",
                subject="resampling",
                remedy="Give more rows or fewer columns: these may be too few. Nothing was sent",
            )
        shape = json.loads(kind)
        return np.frombuffer(body, dtype=np.float64).reshape(shape).copy()

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        for pipe in (self._to, self._from):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


def _in_children(
    fit: Fit,
    data: Floats,
    seed: int,
    resamples: Sequence[int],
    processes: int,
    keep: Callable[[int, Floats], None],
) -> None:
    """Fit resamples in children, and keep the votes in each as it is done.

    The children end with it, however it ends.
    """
    name = f"{type(fit).__module__}:{type(fit).__qualname__}"
    task = json.dumps({"fit": name, "fields": asdict(cast(Any, fit)), "seed": seed}).encode()
    free: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Floats] | Exception] = queue.SimpleQueue()
    for resample in (*resamples, *[None] * processes):
        free.put(resample)

    def work(child: _Child) -> None:
        try:
            while (resample := free.get()) is not None:
                done.put((resample, child.ask(resample)))
        except Exception as exc:
            done.put(exc)

    children = [_Child(task, data) for _ in range(processes)]
    threads = [threading.Thread(target=work, args=(child,), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        for _ in resamples:
            outcome = done.get()
            if isinstance(outcome, Exception):
                raise outcome
            keep(*outcome)
    finally:
        for child in children:
            child.end()
        for thread in threads:
            thread.join()
