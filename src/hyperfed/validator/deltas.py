"""Resolve an update that carries changes against its sender's last counted one (R-97)."""

from dataclasses import replace

import numpy as np

from hyperfed.errors import (
    RefusedError,
)
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Update

__all__ = ["resolved"]


def resolved(update: Update, base: Update | None, *, subject: str) -> Update:
    """Return an update that names a base with its whole table: its deltas applied to `base`.

    `base` is the sender's last counted update. Raises RefusedError where it is missing (R-97), and
    BoundsError where the changes do not fit.
    """
    assert update.deltas is not None  # noqa: S101 - an update that names a base has changes
    if base is None or base.edges is None:
        raise RefusedError(
            "carries changes against an update that is gone, or is not the last counted one",
            subject=subject,
            rule="R-97",
            remedy="Send the whole table",
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as not finite
        edges = HypergraphStore(edges=base.edges, measured=base.measured).apply(update.deltas).edges
    return replace(update, edges=edges, deltas=None, base=None)
