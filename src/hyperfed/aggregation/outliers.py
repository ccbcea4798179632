"""Find the clients that lie far from a reference.

The result is a report, not a verdict, and is the same at every scale. A client is an outlier where
its distance to the reference exceeds the median distance by more than each of these:

1. Three scaled median absolute deviations (1.4826 MAD, plus a tenth of the median distance). The
   tenth is there so that clients that agree to the last digit do not flag each other.
2. Sixteen units in the last place of the largest numbers of the median client. Where most clients
   lie at the reference, a smaller distance is rounding.
"""

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.median import Median
from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError

__all__ = ["detect_outliers"]

_FAR = 2.0**300  # units: far beyond what is usual


def detect_outliers(
    updates: npt.ArrayLike, reference: npt.ArrayLike | None = None
) -> npt.NDArray[np.int64]:
    """Return the outliers, int64, in ascending order.

    `updates` is float[clients, d], finite. `reference` is float[d], such as the last result, or
    None for the coordinate-wise median. Raises AggregationError where a shape does not fit or a
    number is not finite.
    """
    rows = Rows.of(updates, subject="detect_outliers")
    centre = (
        Median().aggregate(rows) if reference is None else np.asarray(reference, dtype=np.float64)
    )
    if centre.shape != (rows.width,) or not np.isfinite(centre).all():
        raise AggregationError(
            f"the reference has shape {centre.shape}; {rows.width} finite numbers are needed",
            subject="detect_outliers",
        )
    rows.refuse_non_finite()
    largest, farthest = np.zeros(len(rows)), np.zeros(len(rows))
    for at, part in rows.chunks():
        np.maximum(largest, np.abs(part).max(axis=1), out=largest)
        np.maximum(farthest, np.abs(part - centre[at]).max(axis=1), out=farthest)
    usual = float(np.median(largest))
    unit = _power_of_two(float(np.median(farthest)) or usual or float(farthest.max()))
    square = np.zeros(len(rows))
    for at, part in rows.chunks():
        for i, row in enumerate(part):
            gap = np.clip((row.astype(np.float64) - centre[at]) / unit, -_FAR, _FAR)
            square[i] += float(gap @ gap)
    distance = np.sqrt(square)
    middle = float(np.median(distance))
    spread = 1.4826 * float(np.median(np.abs(distance - middle))) + 0.1 * middle
    rounding = 16 * float(np.finfo(rows.matrix.dtype).eps) * usual / unit * np.sqrt(rows.width)
    return np.flatnonzero(distance > middle + 3.0 * spread + rounding)


def _power_of_two(value: float) -> float:
    """Return a power of two near a value >= 0, or 1 for 0."""
    return float(2.0 ** np.clip(np.frexp(value)[1], -1000, 1000)) if value > 0 else 1.0
