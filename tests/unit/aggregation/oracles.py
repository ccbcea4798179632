"""Every rule once more, written from its paper for small n: loops, no Gram matrix, no network,
float64. Nothing here imports the library.
"""

from itertools import combinations

import numpy as np


def mean(x, weights=None):
    total, share = np.zeros(x.shape[1]), 0.0
    for i, row in enumerate(x):
        w = 1.0 if weights is None else weights[i]
        total, share = total + w * row, share + w
    return total / share


def median(x, f=0):
    out = []
    for column in x.T:
        ordered = sorted(column)
        n = len(ordered)
        out.append(ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2)
    return np.array(out)


def trimmed_mean(x, f):
    return np.array(
        [sum(sorted(column)[f : len(column) - f]) / (len(column) - 2 * f) for column in x.T]
    )


def geometric_median(x, f=0, weights=None):
    """Subgradient descent's answer by brute force: smoothed Weiszfeld with the smoothing sent to
    zero, and every vector tried itself.
    """
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)

    def cost(z):
        return sum(wi * np.linalg.norm(row - z) for wi, row in zip(w, x, strict=True))

    z = mean(x, w)
    scale = max(np.linalg.norm(row - z) for row in x) or 1.0
    for smooth in (1e-2, 1e-4, 1e-6, 1e-8):
        for _ in range(3000):
            pull = w / np.sqrt(((x - z) ** 2).sum(axis=1) + (smooth * scale) ** 2)
            z = (pull[:, None] * x).sum(axis=0) / pull.sum()
    return min([z, *x], key=cost)


def _score(x, i, neighbours):
    gaps = sorted(float(((x[i] - x[j]) ** 2).sum()) for j in range(len(x)) if j != i)
    return sum(gaps[:neighbours]), sum(gaps)


def krum(x, f):
    return x[min(range(len(x)), key=lambda i: _score(x, i, len(x) - f - 2))]


def multi_krum(x, f):
    best = sorted(range(len(x)), key=lambda i: _score(x, i, len(x) - f - 2))[: len(x) - f]
    return mean(x[best])


def bulyan(x, f):
    left, chosen = list(range(len(x))), []
    while len(chosen) < len(x) - 2 * f:
        rest = x[left]
        at = min(range(len(left)), key=lambda i: _score(rest, i, max(1, len(left) - f - 2)))
        chosen.append(left.pop(at))
    near = len(chosen) - 2 * f
    out = []
    for column in x[chosen].T:
        middle = float(np.median(column))
        out.append(np.mean(sorted(column, key=lambda v: (abs(v - middle), v))[:near]))
    return np.array(out)


def centered_clipping(x, f=0, radius=1.0, steps=10, start=None):
    v = np.zeros(x.shape[1]) if start is None else start.copy()
    for _ in range(steps):
        step = np.zeros_like(v)
        gaps = [np.linalg.norm(row - v) for row in x]
        r = float(np.median(gaps)) if radius is None else radius
        for row, gap in zip(x, gaps, strict=True):
            step += (row - v) * (min(1.0, r / gap) if gap > 0 else 1.0)
        v = v + step / len(x)
    return v


def mda(x, f):
    def diameter(subset):
        gaps = [float(((x[i] - x[j]) ** 2).sum()) for i, j in combinations(subset, 2)]
        return max(gaps, default=0.0), sum(gaps)

    return mean(x[list(min(combinations(range(len(x)), len(x) - f), key=diameter))])


def smea(x, f):
    def largest(subset):
        rows = x[list(subset)]
        return np.linalg.norm((rows - rows.mean(axis=0)) / np.sqrt(len(rows)), 2) ** 2

    return mean(x[list(min(combinations(range(len(x)), len(x) - f), key=largest))])


def trusted_mean(x, f=0):
    n = len(x)
    unit = np.array([row / np.linalg.norm(row) if np.linalg.norm(row) else row for row in x])
    length = [float(np.linalg.norm(row)) for row in x]
    usual = float(np.median(length))
    spread = 1.4826 * (usual - float(np.percentile(length, 25))) + 0.2 * usual
    heard = [
        min(1.0, max(0.0, (usual + 2 * spread - own) / spread)) if spread else 1.0 for own in length
    ]
    weight = np.array(heard)
    for _ in range(8):
        agreement = []
        for i in range(n):
            others = sum((weight[j] * unit[j] for j in range(n) if j != i), np.zeros(x.shape[1]))
            size = np.linalg.norm(others) * np.linalg.norm(unit[i])
            agreement.append(float(unit[i] @ others / size) if size else 0.0)
        agreement = [a if a <= 0 else a * h for a, h in zip(agreement, heard, strict=True)]
        middle = float(np.median(agreement))
        spread = 1.4826 * float(np.median([abs(a - middle) for a in agreement])) + 0.02
        floor = max(0.0, middle - 3 * spread)
        if middle > floor:
            weight = np.array(
                [min(1.0, max(0.0, (a - floor) / (middle - floor))) for a in agreement]
            )
        else:
            weight = np.array([float(a >= middle - 1e-9) for a in agreement])
        weight = np.minimum(weight, heard)
    bound = float(
        np.median([np.linalg.norm(row) for row, w in zip(x, weight, strict=True) if w > 0])
    )
    held = [
        row * min(1.0, bound / np.linalg.norm(row)) if np.linalg.norm(row) else row for row in x
    ]
    return mean(np.array(held), weight)


def nearest_mixing(x, f):
    mixed = []
    for i in range(len(x)):
        near = sorted(
            range(len(x)), key=lambda j: -1.0 if i == j else float(((x[i] - x[j]) ** 2).sum())
        )[: len(x) - f]
        mixed.append(mean(x[near]))
    return np.array(mixed)
