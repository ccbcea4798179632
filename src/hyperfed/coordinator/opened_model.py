"""Find a round's model in a sum that helpers have opened.

1. The sum is checked first (R-176), because nobody has seen a message behind it.
2. The plan's engine finds edges in it, as in any sum of statistics; weights are all 1.
3. Beside an edge stands what a sum can say: its estimate, interval, q-value, rows and clients. What
   needs single messages is left out: trust, leave-one-out, I2, counts by direction (R-177).

What it does not do: open the sum (`opened_sums`).
"""

from typing import Any

import numpy as np

from hyperfed.engines.structure import to_semantic
from hyperfed.errors import AggregationError
from hyperfed.hypergraph.evidence import Evidence, StoreEvidence
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.packets import CausalSemanticPack, PolicyPack
from hyperfed.reconciler.summed import cut_edges, discovered
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.statistics_vector import has_counts, sums_of
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["opened_graph", "opened_model"]


def opened_model(opened: OpenedSum | None, about: dict[str, Any]) -> GlobalModel:
    """Return the model of an opened sum; `about` is its provenance, as fields of a model.

    Raises AggregationError where nobody has opened it, or where no rows have such a sum.
    """
    if opened is None:
        raise AggregationError(
            "nobody has opened its sum, and no single message can be merged",
            subject=f"round {about['round_id']}",
            rule="R-166",
            remedy="Have its helpers run `hyperfed helper night`",
        )
    graph = opened_graph(opened, about["policy"], about["vocabulary"], clients=about["clients"])
    return GlobalModel.of(graph, **about, opened_by=opened.helpers, unchecked=opened.unchecked)


def opened_graph(
    opened: OpenedSum, policy: PolicyPack, vocabulary: Vocabulary, *, clients: int
) -> HypergraphStore:
    """Return the graph of an opened sum of `clients` messages. Raises AggregationError."""
    sums = sums_of(
        opened.total,
        clients=clients,
        counts=has_counts(policy),
        vocabulary=vocabulary,
        lags=tuple(policy.lags),
        form=policy.statistics.form,
        rows_min=policy.statistics.rows_min,
    )
    discovery = discovered(sums, policy, vocabulary)
    measured, table = discovery.to_edges(vocabulary)
    table, _ = cut_edges(table, policy, vocabulary)
    rows = len(table)
    everyone = np.full(rows, clients, dtype=np.uint32)
    std_error = (
        np.zeros(rows)
        if table.ci_low is None or table.ci_high is None
        else (table.ci_high.astype(np.float64) - table.ci_low) / (2 * Z95)
    )
    evidence = Evidence(
        vote=table.vote.astype(np.float64),
        support=everyone,
        reporting=everyone,
        measured_by=everyone,
        samples=table.n,
        std_error=std_error,
        tau2=np.zeros(rows),
        i2=np.zeros(rows),
        pooled=np.zeros(rows, dtype=bool),
    )
    found = to_semantic(discovery, vocabulary, table)
    confounders = [] if found is None else list(found.confounders)
    return HypergraphStore(
        edges=table,
        hyperedges=HyperedgeTable.empty(),
        semantic=CausalSemanticPack(confounders=confounders),
        measured=measured,
        lags=tuple(policy.lags),
        vocabulary=vocabulary,
        evidence=StoreEvidence(edges=evidence, confounder_scores=(1.0,) * len(confounders)),
    )
