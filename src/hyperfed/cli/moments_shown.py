"""Show what statistics say: variances and the strongest correlations, with variables by name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperfed.statistics import Statistics
    from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["moments_shown"]

_SHOWN_PAIRS = 40


def moments_shown(statistics: "Statistics", vocabulary: "Vocabulary | None") -> dict[str, Any]:
    """Return what statistics say as a document, with lists of rows for tables.

    Variances are in units of the vocabulary's plausible ranges: of half their width.
    """
    import numpy as np

    from hyperfed.statistics import block_lags

    matrix, rows = statistics.matrix, statistics.rows
    own = statistics.variables.tolist()
    names = [vocabulary.names[i] if vocabulary and i < len(vocabulary) else str(i) for i in own]
    labels = [
        name + (f", {lag} before" if lag else "")
        for lag in block_lags(statistics.lags)
        for name in names
    ]
    variance = matrix.diagonal() / np.maximum(rows.diagonal() - 1.0, 1.0)
    # noise may leave a sum of squares below 0
    spread = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), np.inf))
    correlation = matrix / spread[:, None] / spread[None, :]
    first, second = np.triu_indices(len(labels), 1)
    order = np.argsort(-np.abs(correlation[first, second]), kind="stable")[:_SHOWN_PAIRS]
    return {
        "rows": statistics.n,
        "moments_of": statistics.form,
        "moments": len(statistics.moments),
        "moments_bytes": statistics.nbytes,
        "set_by_experiment": [names[own.index(i)] for i in statistics.intervened],
        "variances": [
            {"column": label, "variance": value, "rows": int(number)}
            for label, value, number in zip(
                labels, variance.tolist(), rows.diagonal().tolist(), strict=True
            )
        ],
        "correlations": [
            {
                "first": labels[i],
                "second": labels[j],
                "correlation": float(correlation[i, j]),
                "rows": int(rows[i, j]),
            }
            for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True)
        ],
    }
