"""Merge hyperedges by the edges' rule; their keys are their ranks among all that occur."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.evidence import Evidence
from hyperfed.merge.eligible_voters import PatternVoters
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.tables import table_ranges
from hyperfed.reconciler.merged_rows import evidence_of, merged_rows, table_columns
from hyperfed.tables.hyperedges import HyperedgeTable

__all__ = ["merge_hyperedges"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]


def merge_hyperedges(
    rule: MergeRule,
    tables: Sequence[HyperedgeTable],
    measured: Sequence[Indices],
    lags: Sequence[tuple[int, ...] | None],
    intervened: Sequence[tuple[int, ...]],
    weight: Floats,
    whole: Floats,
) -> tuple[HyperedgeTable, Evidence | None]:
    """Return the merged hyperedges and their evidence; None for it where there are no hyperedges.

    tables, measured, lags, intervened and weight are aligned: each client's hyperedges, the indices
    of the variables that it measured, the lags that it looked at (None for all), the variables that
    its experiment set, on which nothing acts there, and float64[clients]. A hyperedge with such a
    variable among its sources weighs double, as an edge does.
    """
    if not any(len(table) for table in tables):
        return HyperedgeTable.empty(), None
    matrices = [table.key_matrix() for table in tables]
    width = max(matrix.shape[1] for matrix in matrices)
    padded = np.concatenate(
        [
            np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=-1)
            for matrix in matrices
        ]
    )
    distinct, rank = np.unique(padded, axis=0, return_inverse=True)
    ends = np.cumsum([len(table) for table in tables])
    keys = [part.astype(np.uint64) for part in np.split(rank.reshape(-1), ends[:-1])]
    variables = np.concatenate([distinct[:, :1], distinct[:, 3:]], axis=1)
    could = np.ones((len(distinct), len(tables)), dtype=bool)
    doubled = np.zeros_like(could)
    for client, (indices, looked_at, cut) in enumerate(
        zip(measured, lags, intervened, strict=True)
    ):
        could[:, client] = (np.isin(variables, indices) | (variables < 0)).all(axis=1)
        if looked_at is not None:
            could[:, client] &= np.isin(distinct[:, 1], looked_at)
        could[:, client] &= ~np.isin(distinct[:, 0], cut)
        doubled[:, client] = np.isin(distinct[:, 3:], cut).any(axis=1)
    columns = merged_rows(
        rule, table_ranges(tables, PatternVoters(could, doubled), keys=keys), weight, whole
    )
    distinct_rows = distinct[columns["keys"].astype(np.int64)]
    offsets = np.concatenate([[0], np.cumsum(distinct_rows[:, 2])]).astype(np.int64)
    sources = distinct_rows[:, 3:][distinct_rows[:, 3:] >= 0]
    table = HyperedgeTable(
        sources=sources,
        offsets=offsets,
        target=distinct_rows[:, 0],
        lag=distinct_rows[:, 1],
        **table_columns(columns),
    )
    return table, evidence_of(columns) if len(table) else None
