"""Follow an edge over rounds, by the names of its variables.

1. A round in which the edge does not stand has a word for why: suppressed, missing, absent or not
   released. A variable that a round's vocabulary does not have is missing there.
2. An edge's page has one address over all rounds, made of its names and lag.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.tables.tables import pack_keys

__all__ = ["EdgeKey", "RoundOfEdge", "address_of", "history_of", "rows_of", "strongest"]

EdgeKey = tuple[str, str, int]
"""Source, target and lag of an edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOfEdge:
    """Says how an edge stood in one round."""

    round: int
    """The round."""
    status: EdgeStatus
    """How it stood."""
    row: dict[str, Any] | None
    """Its row of `GlobalModel.rows`; None unless it was present."""


def address_of(edge: EdgeKey) -> str:
    """Return the address of an edge's page below the site's folder; no name can leave it."""
    source, target, lag = edge
    said = re.sub(r"[^a-z0-9]+", "-", f"{source}-{target}-{lag}".casefold()).strip("-")[:60]
    digest = hashlib.sha256(f"{source}\n{target}\n{lag}".encode()).hexdigest()[:10]
    return f"edges/{said or 'edge'}-{digest}.html"


def strongest(model: GlobalModel, most: int) -> dict[EdgeKey, dict[str, Any]]:
    """Return the rows of a model's strongest edges, strongest first."""
    order = np.argsort(-np.abs(model.evidence.edges.vote), kind="stable")
    return _by_key(model.rows(np.sort(order[:most])))


def rows_of(model: GlobalModel, keys: Collection[EdgeKey]) -> dict[EdgeKey, dict[str, Any]]:
    """Return the rows of those of these edges that a model has."""
    index = {name: i for i, name in enumerate(model.vocabulary.names)}
    ends = [
        (index[source], index[target], lag)
        for source, target, lag in keys
        if source in index and target in index
    ]
    source, target, lag = np.array(ends, dtype=np.int64).reshape(-1, 3).T
    return _by_key(
        model.rows(np.flatnonzero(np.isin(model.edges.keys, pack_keys(source, target, lag))))
    )


def _by_key(rows: list[dict[str, Any]]) -> dict[EdgeKey, dict[str, Any]]:
    return {(row["source"], row["target"], row["lag"]): row for row in rows}


def history_of(
    edge: EdgeKey,
    models: Sequence[GlobalModel],
    rows: Sequence[dict[EdgeKey, dict[str, Any]]],
) -> list[RoundOfEdge]:
    """Return how an edge stood in each round. `rows` are those of each model."""
    source, target, lag = edge
    out = []
    for model, by_edge in zip(models, rows, strict=True):
        row = by_edge.get(edge)
        status = EdgeStatus.UNMEASURED
        if {source, target} <= set(model.vocabulary.names):
            status = model.status(source, target, lag)
        out.append(RoundOfEdge(round=model.round, status=status, row=row))
    return out
