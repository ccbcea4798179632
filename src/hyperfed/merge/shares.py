"""Order statistics of each key's rows where clients count by shares: late clients less, many clients of one organisation as one.

1. A key's voters stand in a line by their votes, each as long as its share, those who are silent between the negative and the positive votes. Shares are
   relative to the largest, so that f liars are never longer than f.
2. The trimmed mean is the mean of the line without a length of f at either end; the median its middle, the mean of both sides where the middle
   lies between two.
3. With equal shares this is `merge.order`, which is faster and to which equal shares are left (`equal`).

Source: the weighted median of Edgeworth 1888; trimming by weight as in Serfling 1984 (L-statistics). Ties stand in client order.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["equal", "share_median", "share_trimmed"]

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.int32] | npt.NDArray[np.intp]

_TIE = 1e-9  # of the line's length: rounding must not decide whether its middle lies between two


def equal(weight: Floats) -> bool:
    """Whether all that count count the same. weight: float64[clients] >= 0."""
    some = weight[weight > 0]
    return bool(not len(some) or some.min() == some.max())


def share_median(segment: Segments, size: int, value: Floats, share: Floats, length: Floats) -> Floats:
    """float64[keys]: the median of each key's line. segment: int[rows]; value, share > 0: float64[rows]; length: float64[keys], all voters' shares."""
    at, sorted_value, first, last = _line(segment, size, value, share, length)
    middle = length[at] / 2
    low, high = (np.where((first < cut) & (cut <= last), sorted_value, 0.0) for cut in (middle * (1 - _TIE), middle * (1 + _TIE)))
    return np.asarray(0.5 * np.bincount(at, low + high, size))


def share_trimmed(segment: Segments, size: int, value: Floats, share: Floats, length: Floats, f: float) -> Floats:
    """float64[keys]: the mean of each key's line without `f` at either end; 0 where nothing is left. Arguments as in `share_median`; f in the shares' unit."""
    at, sorted_value, first, last = _line(segment, size, value, share, length)
    kept = np.maximum(np.minimum(last, length[at] - f) - np.maximum(first, f), 0.0)
    left = length - 2 * f
    some = left > _TIE * length
    return np.where(some, np.bincount(at, kept * sorted_value, size) / np.where(some, left, 1.0), 0.0)


def _line(segment: Segments, size: int, value: Floats, share: Floats, length: Floats) -> tuple[npt.NDArray[np.intp], Floats, Floats, Floats]:
    """(key, value, from where, to where on its key's line), [rows] in the order of (key, value)."""
    order = np.lexsort((value, segment))
    at = segment[order].astype(np.intp)
    ordered, part = value[order], share[order]
    reached = np.cumsum(part)
    total = np.bincount(at, part, size)
    last = reached - (np.cumsum(total) - total)[at] + np.where(ordered > 0, np.maximum(length - total, 0.0)[at], 0.0)
    return at, ordered, last - part, last
