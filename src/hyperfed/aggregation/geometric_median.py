"""Find the geometric median: the point with the least weighted sum of Euclidean distances.

1. It is a convex combination of the vectors, so Weiszfeld's iteration runs on n weights and the
   vectors' inner products. One pass over the vectors gives the distances, one the inner products
   around the most central vector, and one the answer, whatever the number of steps.
2. It is scale-free, in the large and client by client. The unit is the median distance from the
   most central vector, and a vector beyond it is kept as its direction and its distance. How far
   away a liar is decides nothing, because the geometric median only depends on the direction.
3. A vector x_k is itself the answer where |sum_{i != k} w_i (x_i - x_k) / |x_i - x_k|| <= w_k (sum
   of w of the vectors at x_k). That is tested first, so that the iteration never has to stop at one
   (Vardi & Zhang 2000). Where there are several answers (an even number on a line), it is their
   mean. Two vectors within a millionth of the unit, or of their distance from the centre, count as
   one.
4. The iteration has converged where the unit vectors towards the clients add up to less than 1e-10.
   Every step lessens the sum of distances. So after 20,000 steps (where the answer all but
   coincides with a vector), the point reached is taken.

The rule bears f < n / 2, with 4 (1 + r)², r = f / (n - 2f). The sources are Weiszfeld 1937 and
Vardi & Zhang 2000, PNAS 97(4). The bound is from Allouah et al. 2023, Prop. 3.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule

__all__ = ["GeometricMedian"]

_TOLERANCE = 1e-10
_STEPS = 20_000
_SAME = 1e-12  # of a squared distance
_AT = 1e-12  # units: no vector counts as nearer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricMedian(Rule):
    """Takes the geometric median.

    Its only parameter is f.
    """

    name: ClassVar[str] = "geometric-median"
    takes_weights: ClassVar[bool] = True

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        share = np.full(len(rows), 1 / len(rows)) if weights is None else weights
        squared = rows.distances()
        return rows.combine(_coefficients(rows.gram_around(_central(squared, share)), share))


def barycentric_median(squared: Floats, share: Floats) -> Floats:
    """Return the coefficients of the geometric median, float64[n], which add up to 1.

    `squared` is float64[n, n], squared distances. `share` is float64[n] and adds up to 1.
    """
    to_centre = squared[_central(squared, share)]
    return _coefficients((to_centre[:, None] + to_centre[None, :] - squared) / 2, share)


def _central(squared: Floats, share: Floats) -> int:
    """Return the most central of the rows that have a share.

    Of these rows it is the one whose nearest half of them lies nearest.
    """
    some = np.flatnonzero(share > 0)
    near = np.sort(np.sqrt(squared[np.ix_(some, some)]), axis=1)[:, : len(some) // 2 + 1]
    return int(some[np.argmin(near.sum(axis=1))])


def _coefficients(inner: Floats, share: Floats) -> Floats:
    """Return the coefficients of the geometric median, float64[n], which add up to 1.

    `inner` is float64[n, n], the inner products of the vectors minus the most central one. `share`
    is float64[n] and adds up to 1.
    """
    some = np.flatnonzero(share > 0)
    out = np.zeros(len(share))
    out[some] = _of_heard(inner[np.ix_(some, some)], share[some])
    return out


def _of_heard(inner: Floats, share: Floats) -> Floats:
    """Return the `_coefficients` of those that have a share."""
    length = np.sqrt(np.maximum(inner.diagonal(), 0.0))
    some = np.sort(length[length > 0])
    if not len(some):
        return share
    unit = some[(len(some) - 1) // 2]
    # each vector is divided by its reach, which leaves its direction in `toward`
    reach = np.maximum(length / unit, 1.0)
    toward = inner / unit / unit / reach[:, None] / reach[None, :]
    ends = _ends(toward, reach, share)
    if ends.any():
        return np.asarray(ends / ends.sum())
    near = np.where(reach == 1.0, share, 0.0)
    a = near / near.sum()
    for _ in range(_STEPS):
        along = toward @ (a * reach)
        gap = toward.diagonal() - 2 * along / reach + float((a * reach) @ along) / reach**2
        pull = share / np.maximum(reach * np.sqrt(np.maximum(gap, 0.0)), _AT)
        following = pull / pull.sum()
        moved = (following - a) * reach
        a = following
        if float(moved @ toward @ moved) <= (_TOLERANCE / pull.sum()) ** 2:
            break
    return np.asarray(a)


def _ends(toward: Floats, reach: Floats, share: Floats) -> npt.NDArray[np.bool_]:
    """Return bool[n]: which vectors are themselves an answer (rule 3)."""
    larger = np.maximum(reach[:, None], reach[None, :])
    ratio = reach[None, :] / larger, reach[:, None] / larger
    squared_norms = toward.diagonal()
    # squared distances, over the square of `larger`
    squared = (
        ratio[1] ** 2 * squared_norms[:, None]
        + ratio[0] ** 2 * squared_norms[None, :]
        - 2 * ratio[0] * ratio[1] * toward
    )
    same = squared <= _SAME
    np.fill_diagonal(same, True)
    with np.errstate(divide="ignore"):
        # row k: w_i / |x_i - x_k|
        pull = np.where(same, 0.0, share[None, :] / (larger * np.sqrt(squared.clip(0))))
    pull *= reach[None, :]
    np.fill_diagonal(pull, -(pull / reach[None, :]).sum(axis=1) * reach)
    force = np.sqrt(np.maximum(((pull @ toward) * pull).sum(axis=1), 0.0))
    return np.asarray(force <= (same @ share) * (1 + 1e-9))
