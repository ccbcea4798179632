"""Compute order statistics of each key's rows where clients count by shares.

Late clients count less, and many clients of one organisation count as one.

1. A key's voters stand in a line by their votes, each as long as its share. Silent voters stand
   between the negative and the positive votes. Shares are relative to the largest, so that f liars
   are never longer than f.
2. The trimmed mean is the mean of the line without a length of f at either end. The median is its
   middle, or the mean of both sides where the middle lies between two.
3. With equal shares the results are those of `merge.order`, which is faster and is then used
   (`equal`).
4. Lengths are whole numbers of 2**-40. Where a row stands on its line follows from its key's rows
   alone, whatever other keys are computed with it. A trimmed mean stays within the values that are
   left.

The sources are the weighted median of Edgeworth 1888, and trimming by weight as in Serfling 1984
(L-statistics). Ties stand in client order.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["equal", "share_median", "share_trimmed"]

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.intp]

_TIE = 1e-9  # of the line's length: rounding must not decide whether its middle lies between two
_GRID = 2.0**40  # a share is a whole number of its parts


def equal(weight: Floats) -> bool:
    """Return whether all clients with a weight above 0 have the same weight.

    `weight` is float64[clients] >= 0.
    """
    some = weight[weight > 0]
    return bool(not len(some) or some.min() == some.max())


def share_median(
    segment: Segments, size: int, value: Floats, share: Floats, length: Floats
) -> Floats:
    """Return float64[keys]: the median of each key's line.

    `segment` is int[rows]. `value` and `share` are float64[rows], with share > 0. `length` is
    float64[keys], the sum of all voters' shares.
    """
    at, sorted_value, first, last = _line(segment, size, value, share, length)
    middle = length[at] / 2
    low, high = (
        np.where((first < cut) & (cut <= last), sorted_value, 0.0)
        for cut in (middle * (1 - _TIE), middle * (1 + _TIE))
    )
    return np.asarray(0.5 * np.bincount(at, low + high, size))


def share_trimmed(
    segment: Segments, size: int, value: Floats, share: Floats, length: Floats, f: float
) -> Floats:
    """Return float64[keys]: the mean of each key's line without `f` at either end.

    It is 0 where nothing is left. The arguments are those of `share_median`, and `f` is in the unit
    of the shares.
    """
    at, sorted_value, first, last = _line(segment, size, value, share, length)
    kept_share = np.maximum(np.minimum(last, length[at] - f) - np.maximum(first, f), 0.0)
    share_left = length - 2 * f
    some = share_left > _TIE * length
    mean = np.bincount(at, kept_share * sorted_value, size) / np.where(some, share_left, 1.0)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    inside = kept_share > 0
    np.minimum.at(low, at[inside], sorted_value[inside])
    np.maximum.at(high, at[inside], sorted_value[inside])
    # who is silent stands at 0
    silent = np.bincount(at, kept_share, size) < share_left * (1 - _TIE)
    low, high = (
        np.where(silent, np.minimum(low, 0.0), low),
        np.where(silent, np.maximum(high, 0.0), high),
    )
    return np.where(some, np.clip(mean, np.minimum(low, high), high), 0.0)


def _line(
    segment: Segments, size: int, value: Floats, share: Floats, length: Floats
) -> tuple[npt.NDArray[np.intp], Floats, Floats, Floats]:
    """Return key, value, and where each row begins and ends on its key's line.

    Each is [rows], in the order of (key, value).
    """
    order = np.lexsort((value, segment))
    at = segment[order].astype(np.intp)
    ordered, part = value[order], np.rint(share[order] * _GRID).astype(np.int64)
    reached = np.cumsum(part)
    count = np.bincount(at, minlength=size)
    end = np.concatenate([[0], reached])[np.cumsum(count)]
    total = np.diff(end, prepend=0)
    silent = np.maximum(np.rint(length * _GRID).astype(np.int64) - total, 0)
    last = reached - (end - total)[at] + np.where(ordered > 0, silent[at], 0)
    return at, ordered, (last - part) / _GRID, last / _GRID
