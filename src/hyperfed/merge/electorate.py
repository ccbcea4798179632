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

__all__ = ["Electorate", "PairElectorate", "PatternElectorate", "blocks", "class_weights", "summed"]

_FEW = 8  # classes that are summed at once
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
        """bool[clients, codes]: who could have voted on the keys of each class."""
        ...


class PairElectorate:
    """Voters on edges: those who measured source and target.

    measured: for each client the indices it measured, uint32, ascending. Keys are those of `hyperfed.tables.pack_keys`.
    """

    def __init__(self, measured: Sequence[npt.NDArray[np.uint32]]) -> None:
        size = max((int(m[-1]) + 1 for m in measured if len(m)), default=0)
        table = np.zeros((size + 1, len(measured)), dtype=bool)  # the last row: a variable that nobody measured
        for client, indices in enumerate(measured):
            table[indices, client] = True
        self._patterns, self._kind = _patterns(table)

    @property
    def clients(self) -> int:
        return len(self._patterns)

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        source, target, _ = unpack_keys(keys)
        last = len(self._kind) - 1
        a, b = self._kind[np.minimum(source, last)], self._kind[np.minimum(target, last)]
        return np.asarray(np.minimum(a, b) * self._patterns.shape[1] + np.maximum(a, b))

    def members(self, codes: Ints) -> Bools:
        a, b = np.divmod(codes, self._patterns.shape[1])
        return self._patterns[:, a] & self._patterns[:, b]


class PatternElectorate:
    """Voters given for each key. could: bool[keys, clients]; the keys are 0, 1, 2, ..., the rows of `could`."""

    def __init__(self, could: Bools) -> None:
        self._patterns, self._kind = _patterns(could)

    @property
    def clients(self) -> int:
        return len(self._patterns)

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        return self._kind[keys.astype(np.int64)]

    def members(self, codes: Ints) -> Bools:
        return self._patterns[:, codes]


def _patterns(table: Bools) -> tuple[Bools, Ints]:
    """(bool[clients, kinds] the distinct rows of a bool[rows, clients] table, as columns; int64[rows] the kind of each row)."""
    packed, kind = np.unique(np.packbits(table, axis=1), axis=0, return_inverse=True)
    distinct = np.unpackbits(packed, axis=1, count=table.shape[1]).astype(bool)
    return np.ascontiguousarray(distinct.T), kind.reshape(-1).astype(np.int64)


def blocks(electorate: Electorate, codes: Ints) -> Iterator[tuple[slice, Bools]]:
    """(slice of `codes`, bool[clients, codes in it]) for all codes, a bounded number of cells at a time."""
    step = max(1, _BLOCK_CELLS // max(1, electorate.clients))
    for first in range(0, len(codes), step):
        at = slice(first, min(first + step, len(codes)))
        yield at, electorate.members(codes[at])


def class_weights(electorate: Electorate, codes: Ints, weights: Floats) -> tuple[Floats, Ints]:
    """(float64[codes] the voters' summed weight, int64[codes] how many of them have weight)."""
    total, count = np.zeros(len(codes)), np.zeros(len(codes), dtype=np.int64)
    for at, members in blocks(electorate, codes):
        total[at] = summed(members, weights)
        count[at] = members[weights > 0].sum(axis=0)
    return total, count


def summed(members: Bools, weights: Floats) -> Floats:
    """float64[codes]: the members' weights, added in client order. members: bool[clients, codes]."""
    total = np.zeros(members.shape[1])
    if 0 < len(total) <= _FEW and len(members):
        return np.asarray(np.cumsum(np.where(members, weights[:, None], 0.0), axis=0)[-1])  # it, too, adds one after the other
    for member, weight in zip(members, weights.tolist(), strict=True):
        if weight > 0:
            total += weight * member
    return total
