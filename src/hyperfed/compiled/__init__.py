"""The inner loops of merging and decoding as machine code, where the extra `compiled` (numba) is there; numpy does the same without it (ADR 0021).

1. A loop gives the same bytes as the numpy code beside it: it adds in the same order, contracts nothing, reorders nothing. Which of them ran
   cannot be seen in a result, so machines with and without machine code agree.
2. numba compiles the loops once on a machine, in a process of its own (`build`), while numpy does the work; what it has made is kept (`keeping`). A process
   that finds it there loads it in a tenth of a second, without numba (`loading`).
3. It is loaded at the first merge or intake of `ROWS` rows and never before. Once it is there, `FEW` rows are enough.
4. Without numba, with HYPERFED_COMPILED=0, or with one that does not fit the installed numpy, `machine_code` is None and numpy works.

Loops hold no interpreter lock: two threads work at once. They decide nothing.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["FEW", "ROWS", "by_numpy", "load_kept", "loaded", "machine_code", "make"]

ROWS = 1 << 17  # of a range or a night, from which machine code is asked for
FEW = 1 << 10  # from which it is used once it is there

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    """What this process has of it. looked: whether a build was looked for; building: the process that makes one, until it has ended."""

    code: Any | None = None
    looked: bool = False
    building: "subprocess.Popen[bytes] | None" = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def machine_code(rows: int) -> Any | None:
    """The loops (`loading.Code`) for so many rows, None where numpy is to do the work. Where there is no build for this machine yet, one is begun."""
    if _off():
        return None
    code = _state.code
    if code is not None:
        return code if rows >= FEW else None
    if rows < ROWS or (_state.looked and _state.building is None):
        return None
    with _state.lock:
        if not _state.looked:
            _state.looked, _state.code = True, _kept()
            if _state.code is None and find_spec("numba") is not None:
                command = [sys.executable, "-P", "-m", "hyperfed.compiled.build"]
                try:
                    _state.building = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
                except OSError as exc:  # no process can be started here, or none now
                    _log.debug("compiled: numpy is used: %s", exc)
        elif _state.building is not None and _state.building.poll() is not None:
            _state.building, _state.code = None, _kept()
        return _state.code


def loaded() -> Any | None:
    """The loops, where this process has them; nothing is loaded or begun."""
    return _state.code


def load_kept() -> None:
    """Load what was kept, where there is any, whatever the number of rows; begin nothing."""
    with _state.lock:
        if _state.code is None and not _off():
            _state.looked, _state.code = True, _kept()


@contextmanager
def by_numpy() -> Iterator[None]:
    """Inside, numpy does the work, in every thread: for who compares both."""
    code, looked = _state.code, _state.looked
    _state.code, _state.looked = None, True
    try:
        yield
    finally:
        _state.code, _state.looked = code, looked


def make() -> bool:
    """Compile what is not kept yet, here and now, and load it; whether it is there. It takes forty seconds on a machine's first time."""
    if find_spec("numba") is not None:
        subprocess.run([sys.executable, "-P", "-m", "hyperfed.compiled.build"], stdin=subprocess.DEVNULL, check=False)
    load_kept()
    return _state.code is not None


def _off() -> bool:
    return os.environ.get("HYPERFED_COMPILED") == "0"


def _kept() -> Any | None:
    try:
        return import_module("hyperfed.compiled.loading").load()
    except Exception as exc:  # llvmlite raises what it likes where it does not fit
        _log.debug("compiled: numpy is used: %s", exc)
        return None
