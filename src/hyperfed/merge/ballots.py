"""Hold the arithmetic of ballots, which takes arrays and returns arrays.

An agreement step spends its time here.

1. `key_totals` adds in client order, one addition after the other. All other sums here are of whole
   numbers below 2**52, and are the same in any order.

What it does not do: it knows nothing of ranges, steps or classes of voters (`ranges`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.kernels import machine_code

__all__ = [
    "agreement",
    "by_client",
    "class_squares",
    "exact",
    "key_totals",
    "peaks",
    "times_totals",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.uint16]


def agreement(
    segment: Segments,
    vote: Floats,
    rows: Ints,
    factor: Floats,
    keys: int,
    units: float,
    pair: Segments | None,
    pairs: int,
) -> tuple[Floats, Ints]:
    """Return the weighted vote total of each key, and how far each pair votes with the totals.

    The first array is float64[keys], as `key_totals` returns it. The second is int64[pairs]: for
    each pair the sum of vote * total in units (`times_totals`).

    `pair` is int32[rows], the pair of each row, one of `pairs`. It is None where a row's pair is
    its client.
    """
    code = machine_code() if pair is None else None
    if code is not None:
        total, dot = code.agreement(segment, vote, rows, factor, keys, units)
        return total, exact(dot)
    total = key_totals(segment, vote, rows, factor, keys)
    part = times_totals(segment, vote, total * units)
    return total, exact(
        by_client(part, rows) if pair is None else np.bincount(pair, part, pairs).astype(np.float64)
    )


def key_totals(segment: Segments, vote: Floats, rows: Ints, factor: Floats, keys: int) -> Floats:
    """Return float64[keys]: the sum of factor * vote of each key, added in client order.

    `segment` is int32 or uint16[rows], `rows` int64[clients] and `factor` float64[clients].
    """
    part = np.repeat(factor, rows)
    part *= vote
    return np.asarray(np.bincount(segment, part, keys))


def times_totals(segment: Segments, vote: Floats, total: Floats) -> Floats:
    """Return float64[rows] of whole numbers: each row's vote times its key's total, rounded."""
    out = total.take(segment)
    out *= vote
    return np.asarray(np.rint(out, out=out))


def class_squares(total: Floats, place: npt.NDArray[Any], classes: int, units: float) -> Floats:
    """Return float64[classes] of whole numbers: the sum of total**2 * units of each class.

    `place` is [keys], the class of each key.
    """
    square = total * total
    square *= units
    np.rint(square, out=square)
    return (
        np.array([square.sum()])
        if classes == 1
        else np.asarray(np.bincount(place, square, classes))
    )


def by_client(units: Floats, rows: Ints) -> Floats:
    """Return float64[clients]: the sum of each client's run of `rows` values.

    The values are whole numbers. Runs lie one after the other, so nothing is gathered or scattered.
    """
    out = np.zeros(len(rows))
    some = np.flatnonzero(rows)
    if len(some):
        out[some] = np.add.reduceat(units, (np.cumsum(rows) - rows)[some])
    return out


def peaks(vote: Floats, rows: Ints) -> Floats:
    """Return float64[clients]: the largest |vote| of each client's run, 0 where it is empty."""
    out = np.zeros(len(rows))
    some = np.flatnonzero(rows)
    if len(some):
        out[some] = np.maximum.reduceat(np.abs(vote), (np.cumsum(rows) - rows)[some])
    return out


def exact(units: Floats) -> Ints:
    """Return whole numbers below 2**53 as int64."""
    return units.astype(np.int64)
