"""Who could have voted on a key: a client that measured all its variables.

1. Not reporting a key is a vote of 0 by a client that measured all its variables, and no vote by one that did not (DESIGN section 5).
2. Keys with the same voters form a class; weights are summed once a class, not once a key. Where all clients measured the same, there is one.
3. Sums over clients run in client order, one addition after the other.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.tables import unpack_keys

__all__ = ["Electorate", "PairElectorate", "PatternElectorate", "blocks", "class_weights"]

_BLOCK_CELLS = 1 << 22  # class x client cells held at once

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Electorate(Protocol):
    """The classes of keys and their voters."""

    @property
    def clients(self) -> int: ...

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        """int64[keys]: the class of each key, any non-negative codes."""
        ...

    def members(self, codes: Ints) -> Bools:
        """bool[codes, clients]: who could have voted on the keys of each class."""
        ...


class PairElectorate:
    """Voters on edges: those who measured source and target.

    measured: for each client the indices it measured, uint32, ascending. Keys are those of `hyperfed.tables.pack_keys`.
    """

    def __init__(self, measured: Sequence[npt.NDArray[np.uint32]]) -> None:
        self._clients = len(measured)
        size = max((int(m[-1]) + 1 for m in measured if len(m)), default=0)
        table = np.zeros((size + 1, len(measured)), dtype=bool)  # the last row: a variable that nobody measured
        for client, indices in enumerate(measured):
            table[indices, client] = True
        self._patterns, inverse = np.unique(np.packbits(table, axis=1), axis=0, return_inverse=True)
        self._kind = inverse.reshape(-1).astype(np.int64)

    @property
    def clients(self) -> int:
        return self._clients

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        source, target, _ = unpack_keys(keys)
        last = len(self._kind) - 1
        a, b = self._kind[np.minimum(source, last)], self._kind[np.minimum(target, last)]
        return np.minimum(a, b) * len(self._patterns) + np.maximum(a, b)

    def members(self, codes: Ints) -> Bools:
        a, b = np.divmod(codes, len(self._patterns))
        return np.unpackbits(self._patterns[a] & self._patterns[b], axis=1, count=self._clients).astype(bool)


class PatternElectorate:
    """Voters given for each key. could: bool[keys, clients]; the keys are 0, 1, 2, ..., the rows of `could`."""

    def __init__(self, could: Bools) -> None:
        self._clients = could.shape[1]
        self._patterns, inverse = np.unique(np.packbits(could, axis=1), axis=0, return_inverse=True)
        self._kind = inverse.reshape(-1).astype(np.int64)

    @property
    def clients(self) -> int:
        return self._clients

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        return self._kind[keys.astype(np.int64)]

    def members(self, codes: Ints) -> Bools:
        return np.unpackbits(self._patterns[codes], axis=1, count=self._clients).astype(bool)


def blocks(electorate: Electorate, codes: Ints) -> Iterator[tuple[slice, Bools]]:
    """(slice of `codes`, bool[codes in it, clients]) for all codes, a bounded number of cells at a time."""
    step = max(1, _BLOCK_CELLS // max(1, electorate.clients))
    for first in range(0, len(codes), step):
        at = slice(first, min(first + step, len(codes)))
        yield at, electorate.members(codes[at])


def class_weights(electorate: Electorate, codes: Ints, weights: Floats) -> tuple[Floats, Ints]:
    """(float64[codes] the voters' summed weight, int64[codes] how many of them have weight)."""
    total, count = np.zeros(len(codes)), np.zeros(len(codes), dtype=np.int64)
    for at, members in blocks(electorate, codes):
        for client, weight in enumerate(weights.tolist()):
            if weight > 0:
                total[at] += weight * members[:, client]
                count[at] += members[:, client]
    return total, count
