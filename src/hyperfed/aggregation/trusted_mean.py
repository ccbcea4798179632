"""Bounded trust as a rule on dense vectors: the mean of vectors of held norm, weighted by how far each agrees with the others.

1. Weights: `bounded_trust` on the vectors (agreement = cosine with the leave-one-out weighted mean of the others' unit-norm vectors; full weight at or
   above the median, none at median - 3 MAD; vectors longer than honest ones differ are not heard, `loudness`), times the given weights.
   It needs nothing but the Gram matrix.
2. A cosine knows no size, so sizes are held apart: every vector is scaled down to the median norm of the clients with trust before it is averaged.
3. More than half the clients must be honest: f < n / 2. At least half always keep full weight, so it cannot collapse.

Source: DESIGN section 5. Fewer than three clients cannot be compared: there f must be 0.
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
    """(weights in [0, 1], agreements in [-1, 1]), float64[n] each, from the vectors' inner products float64[n, n]."""
    n = len(gram)
    norms = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    unit = np.where(norms > 0, 1.0 / np.where(norms > 0, norms, 1.0), 0.0)
    cosine = np.clip(gram * unit[:, None] * unit[None, :], -1.0, 1.0)
    own = cosine.diagonal().copy()
    weight, agreement = np.ones(n), np.zeros(n)
    if n < 3:
        return weight, agreement
    heard = attention(norms)
    weight = heard
    for _ in range(ITERATIONS):
        toward = cosine @ weight
        dot = toward - weight * own
        square = float(weight @ toward) - 2 * weight * toward + weight * weight * own
        known = square > 1e-12 * max(1.0, float(weight.sum()) ** 2)
        agreement = np.clip(np.where(known, dot / np.sqrt(np.where(known, square, 1.0)), 0.0), -1.0, 1.0)
        weight = trust_weights(np.where(agreement > 0, agreement * heard, agreement))
    return weight, agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedMean(Rule):
    """No parameters but f."""

    name: ClassVar[str] = "bounded-trust"
    takes_weights: ClassVar[bool] = True

    def least(self) -> int:
        return 2 * self.f + 1

    def _apply(self, rows: Rows, weights: Floats | None, losses: Floats | None) -> Any:
        gram = rows.gram()
        trust, _ = trust_of_gram(gram)
        share = trust if weights is None else trust * weights
        if not share.sum() > 0:  # those with weight have no trust: the trusted share alike
            share = trust
        norms = np.sqrt(np.maximum(gram.diagonal(), 0.0))
        bound = float(np.median(norms[trust > 0]))
        held = np.minimum(1.0, bound / np.maximum(norms, 1e-300))
        return rows.combine(share / share.sum() * held)
