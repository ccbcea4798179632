"""Make the columns of tables from the rows that a merge leaves.

Edges, hyperedges and dag edges are all merged by the one rule (`merge.rows`), and differ in their
keys alone.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.evidence import Evidence, Spread
from hyperfed.merge.false_discovery import q_values
from hyperfed.merge.ranges import Merge, Ranges
from hyperfed.merge.rows import TESTED, MergeRule, no_rows
from hyperfed.tables.tables import EdgeTable, unpack_keys

__all__ = ["Columns", "evidence_of", "merged_edges", "merged_rows", "table_columns"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]


def merged_rows(rule: MergeRule, ranges: Ranges, weight: Floats, whole: Floats) -> Columns:
    """Return the merged rows of all ranges, by ascending keys, as columns.

    weight, whole: float64[clients], as in `merge.ranges.Merge`. The columns are those that
    `EdgeTable`, `HyperedgeTable` and `Evidence` need. By the cut "fdr" the
    rows with q <= `fdr_max` stay.
    """
    parts = list(ranges.map(Merge(rule=rule, weight=weight, whole=whole)))
    if not parts:
        return no_rows() | {"q": np.zeros(0)}
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["q"] = q_values(columns["p"], columns.pop(TESTED))
    if rule.cut == "fdr":
        stays = columns["q"] <= rule.fdr_max
        columns = {name: column[stays] for name, column in columns.items()}
    return columns


def merged_edges(
    rule: MergeRule, ranges: Ranges, weight: Floats, whole: Floats
) -> tuple[EdgeTable, Evidence, Bools]:
    """Return the merged edges, the evidence of each, and who supports each.

    weight, whole: as in `merged_rows`. The supporters are bool[edges, clients].
    """
    columns = merged_rows(rule, ranges, weight, whole)
    source, target, lag = unpack_keys(columns["keys"])
    edges = EdgeTable(source=source, target=target, lag=lag, **table_columns(columns))
    bits = columns["supporters"]
    supporters = (
        np.unpackbits(bits, axis=1, count=len(weight)).view(bool)
        if len(bits)
        else np.zeros((0, len(weight)), dtype=bool)
    )
    return edges, evidence_of(columns), supporters


def table_columns(columns: Columns) -> Columns:
    """Return the columns of a table from merged rows.

    Where no effect was pooled by inverse variance there are no intervals. Where some were, the
    others' intervals have the effect at both ends.
    """
    effect = columns["effect"] + 0.0
    rows: dict[str, Any] = {
        "effect": effect,
        "confidence": columns["confidence"],
        "stability": columns["stability"],
    }
    rows |= {"hits": columns["hits"].astype(np.uint32), "n": columns["samples"].astype(np.uint64)}
    if columns["pooled"].any():
        half = columns["half"]
        rows |= {"ci_low": effect - half + 0.0, "ci_high": effect + half + 0.0}
    return rows


def evidence_of(columns: Columns) -> Evidence:
    """Return the evidence of each merged row."""
    effect = columns["effect"]
    names = (
        "vote",
        "support",
        "reporting",
        "measured_by",
        "samples",
        "std_error",
        "tau2",
        "i2",
        "pooled",
    )
    spread = Spread(
        q=columns["q"],
        predict_low=effect - columns["predicted"],
        predict_high=effect + columns["predicted"],
        without_low=columns["low"],
        without_high=columns["high"],
        positive=columns["positive"],
        negative=columns["negative"],
    )
    return Evidence(**{name: columns[name] for name in names}, spread=spread)
