"""Find effects that two causes have together: products of a target's causes that explain more.

1. A target with two or more causes is regressed on them and on the products of each two, all less
   their means. Products of more than two are not looked for, nor those of more than `_MOST` causes.
2. A product is an interaction where the extended BIC keeps it, dropping it alone (Chen & Chen 2008,
   Biometrika 95): with m products looked at, where n log(1 + t²/df) > log n + 2 log m.
3. Confidence is 1 - p of its t-test. Stability is the share of resamples of the rows in which the
   same criterion keeps it with its sign. A resample of no more distinct rows than there are
   regressors fits whatever it is given, and keeps nothing.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.effects import standardised
from hyperfed.engines.structure import Interaction
from hyperfed.merge.student_t import t_central

__all__ = ["interactions_in"]

_MOST = 8
_EXACT = 1e-13  # of a target's squares: what rounding leaves of them, so that no fit is exact

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def interactions_in(
    data: Floats, names: Sequence[str], causes: Bools, *, count: int, rng: np.random.Generator
) -> list[Interaction]:
    """Return the interactions of the causes of each target, at lag 0.

    `data` is float64[rows, variables], `causes` is bool[source, target], and `count` is the number
    of resamples.
    """
    standard, scale = standardised(data)
    sizes = causes.sum(axis=0)
    targets = np.flatnonzero((sizes >= 2) & (sizes <= _MOST)).tolist()
    products = int((sizes[targets] * (sizes[targets] - 1) // 2).sum())
    rows = len(data)
    if not targets:
        return []
    weights = np.vstack(
        [np.ones(rows), rng.multinomial(rows, np.full(rows, 1 / rows), size=count)]
    ).astype(np.float64)
    interactions = []
    for target in targets:
        direct_causes = np.flatnonzero(causes[:, target]).tolist()
        pairs = list(itertools.combinations(direct_causes, 2))
        columns = [np.ones(rows), *(standard[:, i] for i in direct_causes)]
        columns += [standard[:, i] * standard[:, j] for i, j in pairs]
        x, y = np.stack(columns, axis=1), standard[:, target]
        dof = rows - x.shape[1]
        if dof < 1:
            continue
        coefficient, t = _weighted(x, y, weights, dof)
        significant = rows * np.log1p(t**2 / dof) > math.log(rows) + 2 * math.log(products)
        first = 1 + len(direct_causes)
        for at, (i, j) in enumerate(pairs, start=first):
            if not significant[0, at]:
                continue
            unit = scale[target] / (scale[i] * scale[j])
            effect = float(coefficient[0, at] * unit)
            again = significant[1:, at] & (np.sign(coefficient[1:, at]) == np.sign(effect))
            interactions.append(
                Interaction(
                    sources=(names[i], names[j]),
                    target=names[target],
                    effect=effect,
                    std_error=abs(effect / float(t[0, at])),
                    confidence=float(t_central(t[0, at : at + 1], dof)[0]),
                    stability=float(again.mean()),
                    hits=int(again.sum()),
                    n=rows,
                )
            )
    return interactions


def _weighted(x: Floats, y: Floats, weights: Floats, dof: int) -> tuple[Floats, Floats]:
    """Return the coefficients of least squares and their t statistics, [resample, regressor] each.

    `weights` is float64[resamples, rows]: how often each row is drawn.
    """
    width = x.shape[1]
    whole = np.concatenate([x, y[:, None]], axis=1)
    upper = np.triu_indices(width + 1)
    sums = weights @ (whole[:, upper[0]] * whole[:, upper[1]])
    moments = np.zeros((len(weights), width + 1, width + 1))
    moments[:, upper[0], upper[1]] = moments[:, upper[1], upper[0]] = sums
    inverse = np.linalg.pinv(moments[:, :width, :width], rcond=1e-12, hermitian=True)
    coefficient = (inverse @ moments[:, :width, width:])[:, :, 0]
    residual_squares = moments[:, width, width] - (coefficient * moments[:, :width, width]).sum(
        axis=1
    )
    variance = np.maximum(residual_squares, _EXACT * moments[:, width, width]) / dof
    error = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2) * variance[:, None])
    t = np.divide(coefficient, error, out=np.zeros_like(coefficient), where=error > 0)
    t[(weights > 0).sum(axis=1) <= width] = 0.0
    return coefficient, t
