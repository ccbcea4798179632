"""Compute how far clients agree, the inner loop of trust, as machine code.

This needs the extra `compiled` (numba). Without it, numpy computes the same (ADR 0028).

1. A loop gives the same bytes as the numpy code beside it: it adds in the same order, contracts
   nothing, reorders nothing. A result does not show which of them ran, so machines with and without
   numba agree.
2. numba is imported at the first merge of `ROWS` rows and never before, because it takes 0.6 s of a
   core and 135 MB, and saves 0.04 µs a row. From then on, every merge of the process uses the
   loops.
3. numba compiles the loops once on a machine and keeps them in a folder that only this user can
   write (`keeping`). Where there is no such folder, numpy works.
4. Numpy also works where there is no numba, where numba does not fit the installed numpy, and with
   HYPERFED_COMPILED=0.

The loops hold no interpreter lock, so two threads work at once. They decide nothing.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hyperfed.kernels.keeping import code_folder

__all__ = ["ROWS", "by_numpy", "machine_code", "prepare"]

ROWS = 50_000_000
"""How many rows a merge has, at least, in which machine code saves more than its import takes."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    """Holds what this process knows of the machine code."""

    loops: Any | None = None
    """The package of loops, or None where they are not loaded."""
    looked: bool = False
    """Whether this process has tried to load them."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while they are loaded."""


_state = _State()


def machine_code() -> Any | None:
    """Return the package of loops (`kernels.loops`), or None where numpy is to do the work."""
    return _state.loops


def prepare(rows: int) -> None:
    """Load the loops, if a merge of so many rows is worth it.

    Compiling takes some seconds on a machine's first time.
    """
    if rows < ROWS or os.environ.get("HYPERFED_COMPILED") == "0":
        return
    with _state.lock:
        if not _state.looked:
            _state.looked, _state.loops = True, _loaded()


@contextmanager
def by_numpy() -> Iterator[None]:
    """Let numpy do the work inside this context, in every thread, so that both can be compared."""
    loops_before, looked = _state.loops, _state.looked
    _state.loops, _state.looked = None, True
    try:
        yield
    finally:
        _state.loops, _state.looked = loops_before, looked


def _loaded() -> Any | None:
    """Return the loops, or None where they cannot be compiled or kept."""
    try:
        folder = code_folder(f"numba {version('numba')}")
        if folder is None:
            return None
        numba: Any = import_module("numba")
        # numba may serve others in this process, whose cache stays where they want it
        config, theirs = numba.config, (numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES)
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = str(folder), "UserProvidedCacheLocator"
        try:
            return import_module("hyperfed.kernels.loops")
        finally:
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = theirs
    except PackageNotFoundError:
        return None
    except Exception as exc:  # numba raises what it likes where it does not fit
        _log.info("machine code cannot be used, and numpy does the work: %s", exc)
        return None
