"""Which clients lie far from a reference: a report, not a verdict.

A client is an outlier where its distance to the reference exceeds the median distance by more than three scaled median absolute deviations
(1.4826 MAD, plus a tenth of the median distance, so that clients that agree to the last digit do not flag each other).
"""

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.median import Median
from hyperfed.aggregation.rows import Rows
from hyperfed.errors import AggregationError

__all__ = ["detect_outliers"]


def detect_outliers(updates: npt.ArrayLike, reference: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
    """int64[outliers], ascending.

    updates: float[clients, d], finite; reference: float[d], such as the last result; None: the coordinate-wise median. Raises AggregationError.
    """
    rows = Rows.of(updates, subject="detect_outliers")
    centre = Median().aggregate(rows) if reference is None else np.asarray(reference, dtype=np.float64)
    if centre.shape != (rows.width,) or not np.isfinite(centre).all():
        raise AggregationError(f"the reference has shape {centre.shape}; {rows.width} finite numbers are needed", subject="detect_outliers")
    rows.refuse_non_finite()
    square = np.zeros(len(rows))
    for at, part in rows.chunks():
        for i, row in enumerate(part):
            gap = row.astype(np.float64) - centre[at]
            square[i] += float(gap @ gap)
    distance = np.sqrt(square)
    middle = float(np.median(distance))
    spread = 1.4826 * float(np.median(np.abs(distance - middle))) + 0.1 * middle
    return np.flatnonzero(distance > middle + 3.0 * spread)
