"""Hold the ballots of a merge between steps: in memory while there is room, else in a file.

The file has no name and is gone with the merge.

What it does not do: it neither knows what a ballot is (`ranges`) nor encrypts what it writes
(docs/threat-model.md).
"""

import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from hyperfed.storage.machine_faults import as_ours

__all__ = [
    "OwnDescriptor",
    "Place",
    "Room",
    "SpillFile",
    "bytes_of",
    "fill",
    "nameless",
    "scatter",
    "write",
]

_AT_ONCE = 1024  # pieces that one call takes

Array = npt.NDArray[Any]
Place = tuple[int, np.dtype[Any], int]
"""Where an array lies in a spill file: its offset in bytes, its type and its length."""


@dataclass(slots=True, eq=False)
class Room:
    """Limits the memory that the ranges of a merge share.

    Two threads may ask it at once.
    """

    left: int
    """How many bytes are left."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, size: int) -> bool:
        """Return whether there is room for so many bytes, and take them where there is."""
        with self._lock:
            if size > self.left:
                return False
            self.left -= size
            return True


class SpillFile:
    """Keeps arrays that memory has no room for, in a temporary file.

    Two threads may call it at once.
    """

    def __init__(self) -> None:
        self._lock, self._file, self._end = threading.Lock(), cast(IO[bytes] | None, None), 0

    def put(self, arrays: Sequence[Array]) -> list[Place]:
        """Keep the arrays, and return the tickets by which `get` finds them, array by array."""
        places = []
        for array in arrays:
            with self._lock:
                self._file = self._file or nameless(self)
                file, at = self._file, self._end
                self._end += array.nbytes
            write(file.fileno(), [array], at)
            places.append((at, array.dtype, len(array)))
        return places

    def get(self, places: Sequence[Place]) -> list[Array]:
        """Return the arrays, new and writeable."""
        arrays = []
        for at, dtype, length in places:
            out = np.empty(length, dtype=dtype)
            if self._file is not None:
                fill(self._file, out, at)
            arrays.append(out)
        return arrays


def nameless(owner: object) -> IO[bytes]:
    """Return a temporary file without a name that lives as long as its owner.

    Whoever uses it while the owner may go needs an `OwnDescriptor`, because the number may then be
    given to another file.
    """
    file = tempfile.TemporaryFile(prefix="hyperfed-spool-")  # noqa: SIM115 - closed with its owner
    weakref.finalize(owner, file.close)
    return file


class OwnDescriptor:
    """Holds a second descriptor of a file, and closes it when nobody holds this object any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.number = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.number)


def write(file: int, pieces: Iterable[Array], at: int) -> None:
    """Write arrays' bytes to a descriptor, one after the other, from the offset `at` on.

    They are gathered as they are written, and not copied together before. Raises MachineError where
    the disk is full.
    """
    try:
        _move(
            partial(os.pwritev, file),
            [bytes_of(np.ascontiguousarray(piece)) for piece in pieces if piece.size],
            at,
        )
    except OSError as exc:
        raise as_ours(exc, where=f"a temporary file in {tempfile.gettempdir()}") from exc


def fill(file: IO[bytes], out: Array, at: int) -> None:
    """Read as many bytes as the array has.

    Raises OSError where the file is shorter.
    """
    scatter(file, [bytes_of(out)] if out.size else [], at)


def scatter(file: IO[bytes], pieces: Iterable[memoryview], at: int) -> None:
    """Read the bytes from the offset `at` on into pieces of memory, one after the other.

    No piece may be empty. Raises OSError where the file is shorter.
    """
    _move(partial(os.preadv, file.fileno()), pieces, at)


def bytes_of(array: Array) -> memoryview:
    """Return an array's own bytes, without a copy."""
    return memoryview(array.view(np.uint8).data)


def _move(
    call: Callable[[list[memoryview], int], int], pieces: Iterable[memoryview], at: int
) -> None:
    """Move all bytes of the pieces between memory and a file.

    `call` takes a limited number of pieces and may stop anywhere.
    """
    waiting = deque(pieces)
    while waiting:
        done = call(list(islice(waiting, _AT_ONCE)), at)
        if not done:
            raise OSError("the spool's temporary file is shorter than what was written to it")
        at += done
        while waiting and done >= len(waiting[0]):
            done -= len(waiting.popleft())
        if done:
            waiting[0] = waiting[0][done:]
