"""Merge semantic packs part by part (rule 4 of `reconcile`).

1. `dag_edges` vote with their weight, held within [-1, 1].
2. A confounder's score is the share of weight that names it, among the clients that measured or
   name it.
3. Interventions are kept, each with its client.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.merge.eligible_voters import PairVoters
from hyperfed.merge.rows import MergeRule, no_rows
from hyperfed.merge.tables import table_ranges
from hyperfed.packets import CausalSemanticPack
from hyperfed.reconciler.merged_rows import merged_rows
from hyperfed.tables.tables import pack_keys, unpack_keys

__all__ = ["merge_semantic"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]


def merge_semantic(
    rule: MergeRule,
    packs: Sequence[CausalSemanticPack],
    clients: Sequence[str],
    measured: Sequence[Indices],
    intervened: Sequence[tuple[int, ...]],
    weight: Floats,
) -> tuple[CausalSemanticPack, dict[str, Any]]:
    """Return the merged pack, and the fields of `StoreEvidence` that describe its parts.

    packs, clients, measured, intervened and weight are aligned: each client's pack, its id, the
    indices of the variables that it measured and of those that its experiment set, and
    float64[clients]. A dag edge has no lag: whoever measured both
    its ends could have voted on it.
    """
    # a dag edge is a row without an interval: its effect is its weight, and its vote is that
    # weight within [-1, 1]
    tables = [_DagTable.of(pack) for pack in packs] if any(pack.dag_edges for pack in packs) else []
    dag = (
        merged_rows(
            rule,
            table_ranges(
                tables,
                PairVoters(measured, intervened=intervened),
                keys=[table.keys for table in tables],
            ),
            weight,
            weight,
        )
        if tables
        else no_rows()
    )
    source, target, _ = unpack_keys(dag["keys"])
    edges = list(zip(source.tolist(), target.tolist(), dag["vote"].tolist(), strict=True))
    confounders, scores = _confounders(rule, packs, measured, weight)
    acts = [
        (client, dict(act))
        for client, pack in zip(clients, packs, strict=True)
        for act in pack.interventions
    ]
    merged = CausalSemanticPack(
        dag_edges=edges, confounders=confounders, interventions=[act for _, act in acts]
    )
    about = {
        "confounder_scores": scores,
        "dag_support": tuple(dag["support"].astype(np.int64).tolist()),
        "intervention_clients": tuple(client for client, _ in acts),
    }
    return merged, about


def _confounders(
    rule: MergeRule,
    packs: Sequence[CausalSemanticPack],
    measured: Sequence[Indices],
    weight: Floats,
) -> tuple[list[int], tuple[float, ...]]:
    """Return the confounders that stay, ascending, and the score of each in (0, 1]."""
    named = [np.array(pack.confounders, dtype=np.int64) for pack in packs]
    variables = np.unique(np.concatenate(named))
    if not len(variables):
        return [], ()
    naming, able, count, graphs = (
        np.zeros(len(variables)),
        np.zeros(len(variables)),
        np.zeros(len(variables), dtype=np.int64),
        len(packs),
    )
    for client, confounders in enumerate(named):
        names = np.isin(variables, confounders)
        count += names
        naming += weight[client] * names
        able += weight[client] * (names | np.isin(variables, measured[client]))
    score = np.divide(naming, able, out=np.zeros(len(variables)), where=able > 0)
    keep = {"union": score > 0, "intersection": count == graphs}.get(
        rule.strategy, (score >= rule.vote_min) & (score > 0)
    )
    return variables[keep].tolist(), tuple(score[keep].tolist())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DagTable:
    """The dag edges of a semantic pack, with the columns of an edge table."""

    keys: npt.NDArray[np.uint64]
    """uint64[rows]: the packed keys, of lag 0."""
    effect: Floats
    """float64[rows]: the edges' weights."""
    confidence: Floats
    """float64[rows]: |weight|, at most 1."""
    stability: Floats
    """float64[rows]: 1 everywhere."""
    hits: npt.NDArray[np.uint32]
    """uint32[rows]: 1 everywhere."""
    n: npt.NDArray[np.uint64]
    """uint64[rows]: 0 everywhere, as dag edges have no sample count."""
    ci_low: None = field(default=None)
    """None: dag edges have no interval."""
    ci_high: None = field(default=None)
    """None: dag edges have no interval."""

    @classmethod
    def of(cls, pack: CausalSemanticPack) -> "_DagTable":
        """Return the table of a pack's dag edges."""
        table = np.array(pack.dag_edges, dtype=np.float64).reshape(-1, 3)
        ends = table[:, :2].astype(np.uint64)
        rows = len(table)
        strength = np.minimum(np.abs(table[:, 2]), 1.0)
        keys = pack_keys(ends[:, 0], ends[:, 1], np.zeros(rows, np.uint64))
        return cls(
            keys=keys,
            effect=table[:, 2],
            confidence=strength,
            stability=np.ones(rows),
            hits=np.ones(rows, np.uint32),
            n=np.zeros(rows, np.uint64),
        )
