"""Hold where edges come from: the baskets that support them, and what supporters did not measure.

1. `BasketSupport` counts the supporters of each edge in one basket. An edge that clients of a
   single basket support is held by that basket alone.
2. `Unadjusted` lists edges whose supporters mostly lack a common parent: a variable that has an
   edge of the model to both ends. Their effect may be that variable's.

What it does not do: it does not say which effects are causal, only what nobody adjusted for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.tables.tables import EdgeTable

__all__ = ["BasketSupport", "Unadjusted", "basket_supports", "unadjusted_edges"]

_JOINED = 1 << 22  # pairs of an edge and a parent that are looked at

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


def _checked(record: Any, subject: str) -> None:
    lengths = set()
    for name, dtype in record.COLUMNS.items():
        column: Array = np.array(getattr(record, name), dtype=dtype)
        column.flags.writeable = False
        object.__setattr__(record, name, column)
        lengths.add(column.shape)
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise BoundsError("columns differ in length", subject=subject)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BasketSupport:
    """Holds how many of a basket's clients support each edge."""

    COLUMNS = MappingProxyType[str, Any]({"support": np.uint32})

    name: str
    """The basket's name."""
    clients: int
    """How many of its clients were counted."""
    support: Array
    """uint32[edges]: how many of them report the edge with its sign, and weigh.

    Numbers above 0 and below the registry's minimum support read 0, and where that is one number
    of an edge, so does the next smallest: it could be found by subtraction.
    """

    def __post_init__(self) -> None:
        _checked(self, f"support of basket {self.name!r:.80}")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BasketSupport)
            and (self.name, self.clients) == (other.name, other.clients)
            and np.array_equal(self.support, other.support)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unadjusted:
    """Lists edges whose supporters mostly did not measure a common parent. Columns are aligned."""

    COLUMNS = MappingProxyType[str, Any](
        {"edge": np.uint32, "variable": np.uint32, "lacking": np.uint32, "supporters": np.uint32}
    )

    edge: Array
    """uint32[rows], ascending: the row of the edge in the model's edges."""
    variable: Array
    """uint32[rows]: the common parent."""
    lacking: Array
    """uint32[rows]: how many of the edge's supporters did not measure it."""
    supporters: Array
    """uint32[rows]: how many supporters the edge has."""

    def __post_init__(self) -> None:
        _checked(self, "unadjusted edges")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unadjusted) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]


def basket_supports(
    supporters: Bools, clients: Sequence[str], domains: Mapping[str, str], *, minimum: int = 1
) -> tuple[BasketSupport, ...]:
    """Return the support of each edge by basket, ascending by name; none where there is but one.

    `supporters` is bool[edges, clients]. `domains` names the basket of each client. Counts above 0
    and below `minimum` become 0, and no count is left that would give one of them by subtraction.
    """
    names = sorted({domains[client] for client in clients if client in domains})
    if len(names) < 2:
        return ()
    members = [
        [i for i, client in enumerate(clients) if domains.get(client) == name] for name in names
    ]
    counts = np.stack([supporters[:, some].sum(axis=1) for some in members])
    hidden = (counts > 0) & (counts < minimum)
    only = np.flatnonzero(hidden.sum(axis=0) == 1)
    shown_counts = np.where(hidden | (counts == 0), len(clients) + 1, counts)
    hidden[np.argmin(shown_counts[:, only], axis=0), only] = True
    counts[hidden] = 0
    return tuple(
        BasketSupport(name=name, clients=len(some), support=count)
        for name, some, count in zip(names, members, counts, strict=True)
    )


def unadjusted_edges(
    edges: EdgeTable, supporters: Bools, measured: Sequence[npt.NDArray[np.uint32]]
) -> Unadjusted | None:
    """Return the edges most of whose supporters lack a common parent; None where there are none.

    `supporters` is bool[edges, clients]. `measured` holds for each client the variables that it
    measured. In a model with very many common parents the first edges by key are looked at.
    """
    if not len(edges):
        return None
    size = 1 + int(max(edges.source.max(), edges.target.max()))
    pairs = np.unique(edges.source.astype(np.int64) * size + edges.target)
    parent, child = np.divmod(pairs, size)
    order = np.argsort(child, kind="stable")
    parent, child = parent[order], child[order]
    low, high = (
        np.searchsorted(child, edges.target.astype(np.int64), side=side)
        for side in ("left", "right")
    )
    length = np.where(np.cumsum(high - low) <= _JOINED, high - low, 0)
    edge = np.repeat(np.arange(len(edges)), length)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(length) - length, length) + low[edge]
    common = parent[at]
    source, target = edges.source.astype(np.int64)[edge], edges.target.astype(np.int64)[edge]
    rows = np.isin(common * size + source, pairs) & (common != source) & (common != target)
    edge, common = edge[rows], common[rows]
    if not len(edge):
        return None
    has = np.zeros((len(measured), size), dtype=bool)
    for client, variables in enumerate(measured):
        has[client, variables[variables < size]] = True
    lacking = np.zeros(len(edge), dtype=np.int64)
    gaps = ~has[:, np.unique(common)]
    # a client at a time, so that few cells are held at once; most have measured all of them
    for client in np.flatnonzero(gaps.any(axis=1)).tolist():
        lacking += supporters[edge, client] & ~has[client, common]
    whole = supporters.sum(axis=1)[edge]
    flagged = 2 * lacking > whole
    if not flagged.any():
        return None
    return Unadjusted(
        edge=edge[flagged],
        variable=common[flagged],
        lacking=lacking[flagged],
        supporters=whole[flagged],
    )
