"""The arithmetic of ballots: arrays in, arrays out. What an agreement step spends its time in, and what may be compiled.

1. `key_totals` adds in client order, one addition after the other. All other sums here are of whole numbers below 2**52, and the same in any order.

What it does not do: know ranges, steps or classes of voters (`ranges`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.compiled import machine_code

__all__ = ["agreement", "by_client", "class_squares", "exact", "key_totals", "peaks", "times_totals"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.uint16]


def agreement(segment: Segments, vote: Floats, rows: Ints, factor: Floats, keys: int, units: float, pair: Segments | None, pairs: int) -> tuple[Floats, Ints]:
    """(float64[keys], `key_totals`; int64[pairs], the sum by pair of vote * total in units, `times_totals`).

    pair: int32[rows], each row's pair, of `pairs`; None where it is the row's client.
    """
    compiled = machine_code(len(segment))
    if compiled is not None:
        total, dot = compiled.agreement(segment, vote, rows, factor, keys, units, pair, pairs)
        return total, exact(dot)
    total = key_totals(segment, vote, rows, factor, keys)
    part = times_totals(segment, vote, total * units)
    return total, exact(by_client(part, rows) if pair is None else np.bincount(pair, part, pairs).astype(np.float64))


def key_totals(segment: Segments, vote: Floats, rows: Ints, factor: Floats, keys: int) -> Floats:
    """float64[keys]: the sum of factor * vote by key, in client order. segment: int32 or uint16[rows]; rows: int64[clients]; factor: float64[clients]."""
    part = np.repeat(factor, rows)
    part *= vote
    return np.asarray(np.bincount(segment, part, keys))


def times_totals(segment: Segments, vote: Floats, total: Floats) -> Floats:
    """float64[rows], whole numbers: each row's vote times its key's total."""
    out = total.take(segment)
    out *= vote
    return np.asarray(np.rint(out, out=out))


def class_squares(total: Floats, place: npt.NDArray[Any], classes: int, units: float) -> Floats:
    """float64[classes], whole numbers: the sum of total**2 * units by class. place: [keys], the class of each key."""
    square = total * total
    square *= units
    np.rint(square, out=square)
    return np.array([square.sum()]) if classes == 1 else np.asarray(np.bincount(place, square, classes))


def by_client(units: Floats, rows: Ints) -> Floats:
    """float64[clients]: the sums of runs of `rows` values, whole numbers: nothing is gathered, nothing scattered."""
    out = np.zeros(len(rows))
    some = np.flatnonzero(rows)
    if len(some):
        out[some] = np.add.reduceat(units, (np.cumsum(rows) - rows)[some])
    return out


def peaks(vote: Floats, rows: Ints) -> Floats:
    """float64[clients]: the largest |vote| of each run, 0 where it is empty."""
    out = np.zeros(len(rows))
    some = np.flatnonzero(rows)
    if len(some):
        out[some] = np.maximum.reduceat(np.abs(vote), (np.cumsum(rows) - rows)[some])
    return out


def exact(units: Floats) -> Ints:
    """int64: whole numbers below 2**53 as integers."""
    return units.astype(np.int64)
