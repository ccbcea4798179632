"""Where the ballots of a merge lie between steps: in memory while there is room, else in a file without a name, gone with the merge.

What it does not do: know what a ballot is (`ranges`), encrypt what it writes (docs/threat-model.md).
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
from typing import IO, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

__all__ = ["FileShelf", "Place", "Room", "Shelf", "bytes_of", "fill", "nameless", "scatter", "write"]

_AT_ONCE = 1024  # pieces that one call takes

Array = npt.NDArray[Any]
Place = tuple[int, np.dtype[Any], int]
"""Of an array on a shelf: where it begins, bytes; its type; its length."""


@dataclass(slots=True, eq=False)
class Room:
    """Memory that the ranges of a merge share, and no more. left: bytes. Asked by two threads at once."""

    left: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, size: int) -> bool:
        """Whether there was room for so many bytes; they are then taken."""
        with self._lock:
            if size > self.left:
                return False
            self.left -= size
            return True


class Shelf(Protocol):
    """Where arrays lie that memory has no room for. Called by two threads at once."""

    def put(self, arrays: Sequence[Array]) -> list[Place]:
        """What `get` is to be asked for, array by array."""
        ...

    def get(self, places: Sequence[Place]) -> list[Array]:
        """The arrays, new and writeable."""
        ...


class FileShelf:
    """A `Shelf` in a temporary file."""

    def __init__(self) -> None:
        self._lock, self._file, self._end = threading.Lock(), cast(IO[bytes] | None, None), 0

    def put(self, arrays: Sequence[Array]) -> list[Place]:
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
        found = []
        for at, dtype, length in places:
            out = np.empty(length, dtype=dtype)
            if self._file is not None:
                fill(self._file, out, at)
            found.append(out)
        return found


def nameless(owner: object) -> IO[bytes]:
    """A temporary file without a name that lives as long as its owner. Who uses it while the owner may go needs a descriptor of its own: the number is given
    to another file then."""
    file = tempfile.TemporaryFile(prefix="hyperfed-spool-")  # noqa: SIM115 - closed with its owner
    weakref.finalize(owner, file.close)
    return file


def write(file: int, pieces: Iterable[Array], at: int) -> None:
    """Write arrays' bytes to a descriptor, one after the other, from `at` on; they are gathered on their way, not before."""
    _move(partial(os.pwritev, file), [bytes_of(np.ascontiguousarray(piece)) for piece in pieces if piece.size], at)


def fill(file: IO[bytes], out: Array, at: int) -> None:
    """Read as many bytes as the array has. Raises OSError where the file is shorter."""
    scatter(file, [bytes_of(out)] if out.size else [], at)


def scatter(file: IO[bytes], pieces: Iterable[memoryview], at: int) -> None:
    """Read what lies one after the other from `at` on into pieces of memory, none of them empty. Raises OSError where the file is shorter."""
    _move(partial(os.preadv, file.fileno()), pieces, at)


def bytes_of(array: Array) -> memoryview:
    """An array's own bytes."""
    return memoryview(array.view(np.uint8).data)


def _move(call: Callable[[list[memoryview], int], int], pieces: Iterable[memoryview], at: int) -> None:
    """All bytes of the pieces, between memory and a file, by calls that take so many of them and may stop anywhere."""
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
