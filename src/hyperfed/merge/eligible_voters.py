"""Say who could have voted on a key: a client that measured its variables and looked at its lag.

1. A client that measured all variables of a key, looked at its lag and does not report it casts a
   vote of 0. A client that did not measure them, or did not look at that lag, casts no vote (DESIGN
   section 5). An edge into a variable that the client's experiment set is no vote either, whether
   reported or not: what acts on it was cut. One out of it weighs double in a weighted mean: it was
   seen under an experiment. Order statistics count each client once, and so does the rule that
   weighs clients (ADR 0046).
2. Keys with the same voters form a class. Weights are summed once for each class, not once for each
   key. Where all clients measured the same variables, there is one class.
3. Sums over clients run in client order, one addition after the other.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hyperfed.tables.tables import unpack_keys

__all__ = ["EligibleVoters", "PairVoters", "PatternVoters", "blocks", "class_weights", "summed"]

_FEW = 8  # classes that are summed at once
_BLOCK_CELLS = 1 << 22  # class x client cells held at once

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Lags = tuple[int, ...]


class EligibleVoters(Protocol):
    """Gives the classes of keys and the voters of each class."""

    @property
    def clients(self) -> int:
        """The number of clients."""
        ...

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        """Return int64[keys]: the class of each key, as any non-negative codes."""
        ...

    def members(self, codes: Ints) -> Bools:
        """Return bool[clients, codes]: who could have voted on the keys of each class."""
        ...

    def doubled(self, codes: Ints) -> Bools | None:
        """Return bool[clients, codes]: whose votes on the keys of each class weigh double.

        None stands for nobody's, on any key.
        """
        ...


class PairVoters:
    """Says who could vote on an edge: whoever measured both ends and looked at its lag.

    `measured` gives for each client the indices that it measured, uint32, ascending. `lags` gives
    for each client the lags that it looked at, or None for all; without it, all looked at all.
    `intervened` gives for each client the variables that its experiment set; without it, there was
    none. Keys are those of `hyperfed.tables.tables.pack_keys`.
    """

    def __init__(
        self,
        measured: Sequence[npt.NDArray[np.uint32]],
        lags: Sequence[Lags | None] | None = None,
        intervened: Sequence[Sequence[int]] | None = None,
    ) -> None:
        size = max((int(m[-1]) + 1 for m in measured if len(m)), default=0)
        # the last row: a variable that nobody measured
        table = np.zeros((size + 1, len(measured)), dtype=bool)
        for client, indices in enumerate(measured):
            table[indices, client] = True
        self._patterns, self._kind = _patterns(table)
        self._set: tuple[Bools, Ints] | None = None
        if intervened is not None and any(intervened):
            intervened_at = np.zeros_like(table)
            for client, set_variables in enumerate(intervened):
                at = np.asarray(set_variables, dtype=np.int64)
                intervened_at[at[at < size], client] = True
            # only a variable that was measured can be known to have been set
            self._set = _patterns(intervened_at & table)
        self._lag_patterns, self._lag_kind = _patterns(
            _looked_at([None] * len(measured) if lags is None else lags)
        )

    @property
    def clients(self) -> int:
        return len(self._patterns)

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        source, target, lag = unpack_keys(keys)
        last, last_lag = len(self._kind) - 1, len(self._lag_kind) - 1
        at_source, at_target = np.minimum(source, last), np.minimum(target, last)
        a, b = self._kind[at_source], self._kind[at_target]
        code = np.minimum(a, b) * self._patterns.shape[1] + np.maximum(a, b)
        if self._set is not None:
            patterns, kind = self._set
            sets = patterns.shape[1]
            code = (code * sets + kind[at_source]) * sets + kind[at_target]
        if not last_lag:  # all looked at all lags
            return np.asarray(code)
        of_lag = self._lag_kind[np.minimum(lag.astype(np.int64), last_lag)]
        return np.asarray(code * self._lag_patterns.shape[1] + of_lag)

    def members(self, codes: Ints) -> Bools:
        pair, of_lag = np.divmod(codes, self._lag_patterns.shape[1])
        cut: Bools | None = None
        if self._set is not None:
            pair, of_target = np.divmod(pair, self._set[0].shape[1])
            pair, _ = np.divmod(pair, self._set[0].shape[1])
            cut = self._set[0][:, of_target]
        a, b = np.divmod(pair, self._patterns.shape[1])
        could = self._patterns[:, a] & self._patterns[:, b] & self._lag_patterns[:, of_lag]
        return could if cut is None else could & ~cut

    def doubled(self, codes: Ints) -> Bools | None:
        if self._set is None:
            return None
        patterns, _ = self._set
        pair, _ = np.divmod(codes, self._lag_patterns.shape[1])
        pair, of_target = np.divmod(pair, patterns.shape[1])
        _, of_source = np.divmod(pair, patterns.shape[1])
        return np.asarray(patterns[:, of_source] & ~patterns[:, of_target])


class PatternVoters:
    """Says who could vote where the voters of each key are given.

    `could` is bool[keys, clients]. The keys are 0, 1, 2, ...: the row numbers of `could`. `doubled`
    is of the same shape: whose votes weigh double; without it, nobody's do.
    """

    def __init__(self, could: Bools, doubled: Bools | None = None) -> None:
        self._doubled: Bools | None = None
        if doubled is None or not doubled.any():
            self._patterns, self._kind = _patterns(could)
            return
        both, self._kind = _patterns(np.concatenate([could, doubled & could], axis=1))
        self._patterns, self._doubled = both[: could.shape[1]], both[could.shape[1] :]

    @property
    def clients(self) -> int:
        return len(self._patterns)

    def classes(self, keys: npt.NDArray[np.uint64]) -> Ints:
        return self._kind[keys.astype(np.int64)]

    def members(self, codes: Ints) -> Bools:
        return self._patterns[:, codes]

    def doubled(self, codes: Ints) -> Bools | None:
        return None if self._doubled is None else self._doubled[:, codes]


def _looked_at(lags: Sequence[Lags | None]) -> Bools:
    """Return bool[lags, clients]: who looked at which lag.

    The last row stands for every lag that no client names. Whoever looked at all looked at those.
    """
    longest = max(
        (lag for client_lags in lags if client_lags is not None for lag in client_lags), default=-1
    )
    table = np.zeros((longest + 2, len(lags)), dtype=bool)
    for client, client_lags in enumerate(lags):
        table[slice(None) if client_lags is None else list(client_lags), client] = True
    return table


def _patterns(table: Bools) -> tuple[Bools, Ints]:
    """Return the distinct rows of a table, and which of them each row is.

    `table` is bool[rows, clients]. The first array is bool[clients, kinds], the distinct rows as
    columns. The second is int64[rows], the kind of each row.
    """
    packed, kind = np.unique(np.packbits(table, axis=1), axis=0, return_inverse=True)
    distinct = np.unpackbits(packed, axis=1, count=table.shape[1]).astype(bool)
    return np.ascontiguousarray(distinct.T), kind.reshape(-1).astype(np.int64)


def blocks(eligible_voters: EligibleVoters, codes: Ints) -> Iterator[tuple[slice, Bools]]:
    """Yield slices that cover `codes`, each with the members of its classes.

    The members are bool[clients, codes in the slice]. A bounded number of cells is held at a time.
    """
    step = max(1, _BLOCK_CELLS // max(1, eligible_voters.clients))
    for first in range(0, len(codes), step):
        at = slice(first, min(first + step, len(codes)))
        yield at, eligible_voters.members(codes[at])


def class_weights(
    eligible_voters: EligibleVoters, codes: Ints, weights: Floats, *, doubling: bool = True
) -> tuple[Floats, Ints, Ints]:
    """Return the voters' summed weight of each class, how many have weight, and how many there are.

    The arrays are float64[codes], int64[codes] and int64[codes]. Without `doubling`, votes that
    weigh double weigh as all others do.
    """
    total = np.zeros(len(codes))
    count, every = np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
    for at, members in blocks(eligible_voters, codes):
        total[at] = summed(members, weights)
        count[at] = members[weights > 0].sum(axis=0)
        every[at] = members.sum(axis=0)
        doubled = eligible_voters.doubled(codes[at]) if doubling else None
        if doubled is not None:
            total[at] += summed(members & doubled, weights)
    return total, count, every


def summed(members: Bools, weights: Floats) -> Floats:
    """Return float64[codes]: the members' weights, added in client order.

    `members` is bool[clients, codes].
    """
    total = np.zeros(members.shape[1])
    if 0 < len(total) <= _FEW and len(members):
        # cumsum, too, adds one after the other
        return np.asarray(np.cumsum(np.where(members, weights[:, None], 0.0), axis=0)[-1])
    for member, weight in zip(members, weights.tolist(), strict=True):
        if weight > 0:
            total += weight * member
    return total
