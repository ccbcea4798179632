"""Average dense vectors of limited norm, weighted by bounded trust.

1. The weights are `bounded_trust`'s on the vectors, times the given weights. Agreement is the
   cosine with the leave-one-out weighted mean of the others' unit-norm vectors. A weight is full at
   or above the median and 0 at median - 3 MAD. Vectors that are far longer than honest ones differ
   are not heard (`loudness`). The weights need nothing but the Gram matrix.
2. A cosine does not depend on size, so sizes are limited apart from it: every vector is scaled down
   to the median norm of the clients with trust before it is averaged.
3. More than half the clients must be honest: f < n / 2. At least half always keep full weight, so
   the rule cannot collapse.

The rule comes from DESIGN section 5. Fewer than three clients cannot be compared, and f must then
be 0.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.bounded_trust import ITERATIONS, trust_weights
from hyperfed.aggregation.loudness import attention
from hyperfed.aggregation.rows import Rows
from hyperfed.aggregation.rule import Rule

__all__ = ["TrustedMean", "trust_of_gram"]

Floats = npt.NDArray[np.float64]


def trust_of_gram(gram: Floats) -> tuple[Floats, Floats]:
    """Return the vectors' weights in [0, 1] and agreements in [-1, 1], float64[n] each.

    `gram` is float64[n, n], the vectors' inner products.
    """
    n = len(gram)
    norms = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    unit = np.where(norms > 0, 1.0 / np.where(norms > 0, norms, 1.0), 0.0)
    cosine = np.clip(gram * unit[:, None] * unit[None, :], -1.0, 1.0)
    squared_norm = cosine.diagonal().copy()
    weight, agreement = np.ones(n), np.zeros(n)
    if n < 3:
        return weight, agreement
    heard = attention(norms)
    weight = heard
    for _ in range(ITERATIONS):
        toward = cosine @ weight
        dot = toward - weight * squared_norm
        square = float(weight @ toward) - 2 * weight * toward + weight * weight * squared_norm
        is_apart = square > 1e-12 * max(1.0, float(weight.sum()) ** 2)
        agreement = np.clip(
            np.where(is_apart, dot / np.sqrt(np.where(is_apart, square, 1.0)), 0.0), -1.0, 1.0
        )
        weight = np.minimum(
            trust_weights(np.where(agreement > 0, agreement * heard, agreement)), heard
        )
    return weight, agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedMean(Rule):
    """Averages vectors by bounded trust.

    Its only parameter is f.
    """

    name: ClassVar[str] = "bounded-trust"
    takes_weights: ClassVar[bool] = True

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        gram, _ = rows.gram()
        trust, _ = trust_of_gram(gram)
        share = trust if weights is None else trust * weights
        if not share.sum() > 0:  # no client with weight has trust: the trusted ones share alike
            share = trust
        norms = np.sqrt(np.maximum(gram.diagonal(), 0.0))
        bound = float(np.median(norms[trust > 0]))
        scale = np.minimum(1.0, bound / np.maximum(norms, 1e-300))
        return rows.combine(share / share.sum() * scale)
