"""Hold what single clients estimated of each edge of a model.

1. The operator's own page shows them under clients' names. A model has them only where the signed
   plan lets members see them (`PolicyPack.show_clients`), and under pseudonyms.
2. Pseudonyms are numbers in the order of what the clients' rows say. Nothing else goes into that
   order, so that a number says nothing of whose rows they are: clients that change their names, or
   places in the cohort, change no byte.
3. A row is a client's own estimate, whether or not the merge believes it: its weight says that.

What it does not do: hide a client whose values are known. Whoever knows an estimate finds its row.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.tables.tables import EdgeTable

__all__ = ["ClientEstimates", "client_estimates", "under_pseudonyms"]

Array = npt.NDArray[Any]
_DTYPES: dict[str, Any] = {
    "edge": np.uint32,
    "client": np.uint32,
    "effect": np.float64,
    "ci_low": np.float64,
    "ci_high": np.float64,
    "weight": np.float64,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClientEstimates:
    """Holds the estimates as aligned columns, ascending by edge, then by client."""

    COLUMNS = MappingProxyType(_DTYPES)

    edge: Array
    """uint32[rows]: the row of the edge in the model's edges."""
    client: Array
    """uint32[rows]: the client's number, from 0."""
    effect: Array
    """float64[rows]: the client's estimate."""
    ci_low: Array
    """float64[rows]: the lower end of its 95 % interval; equal to `ci_high` where none is known."""
    ci_high: Array
    """float64[rows]: the upper end."""
    weight: Array
    """float64[rows] in [0, 1]: the client's share of all clients' weight in the merge."""

    def __post_init__(self) -> None:
        lengths = set()
        for name, dtype in self.COLUMNS.items():
            column: Array = np.array(getattr(self, name), dtype=dtype)
            column.flags.writeable = False
            object.__setattr__(self, name, column)
            lengths.add(column.shape)
        problem = ""
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            problem = "columns differ in length"
        elif not all(np.isfinite(getattr(self, name)).all() for name in list(_DTYPES)[2:]):
            problem = "a number is not finite"
        elif ((self.ci_low > self.effect) | (self.effect > self.ci_high)).any():
            problem = "an effect lies outside of its interval"
        elif ((self.weight < 0) | (self.weight > 1)).any():
            problem = "a weight lies outside of [0, 1]"
        elif len(self.edge) > 1 and not (np.diff(self._order) > 0).all():
            problem = "rows do not ascend by edge and client"
        if problem:
            raise BoundsError(problem, subject="clients' estimates")

    @property
    def _order(self) -> npt.NDArray[np.int64]:
        return (self.edge.astype(np.int64) << 32) | self.client.astype(np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientEstimates) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]

    def of_edge(self, edge: int) -> list[dict[str, Any]]:
        """Return one dict for each client that estimated an edge, the heaviest first.

        ci_low and ci_high are None where the client stated no interval.
        """
        low, high = np.searchsorted(self.edge, [edge, edge + 1]).tolist()
        rows = []
        for i in range(low, high):
            known = self.ci_low[i] < self.ci_high[i]
            rows.append(
                {
                    "client": int(self.client[i]),
                    "effect": float(self.effect[i]),
                    "ci_low": float(self.ci_low[i]) if known else None,
                    "ci_high": float(self.ci_high[i]) if known else None,
                    "weight": float(self.weight[i]),
                }
            )
        return sorted(rows, key=lambda row: (-row["weight"], row["client"]))


def client_estimates(
    keys: Array, tables: Iterable[EdgeTable], weights: Sequence[float]
) -> ClientEstimates:
    """Return what each client's table says of some edges.

    keys: uint64[edges], ascending: the edges. tables: the clients' tables, in the order that
    numbers them; each is looked at once. weights: each client's weight in the merge, 0 or more.
    """
    total = sum(weights)
    parts: dict[str, list[Array]] = {name: [] for name in _DTYPES}
    for client, (table, weight) in enumerate(zip(tables, weights, strict=True)):
        edge = np.searchsorted(keys, table.keys)
        rows = np.flatnonzero(np.append(keys, np.uint64(0))[edge] == table.keys)
        rows = rows[edge[rows] < len(keys)]
        effect = table.effect[rows].astype(np.float64)
        low, high = (
            effect if column is None else column[rows].astype(np.float64)
            for column in (table.ci_low, table.ci_high)
        )
        share = np.full(len(rows), weight / total if total > 0 else 0.0)
        number = np.full(len(rows), client)
        for name, column in zip(
            _DTYPES, (edge[rows], number, effect, low, high, share), strict=True
        ):
            parts[name].append(column)
    columns = {name: np.concatenate([*held, np.zeros(0)]) for name, held in parts.items()}
    order = np.lexsort((columns["client"], columns["edge"]))
    return ClientEstimates(**{name: column[order] for name, column in columns.items()})


def under_pseudonyms(estimates: ClientEstimates) -> ClientEstimates:
    """Return the estimates with clients numbered anew, in the order of what their rows say."""
    said: dict[int, bytes] = {}
    for client in np.unique(estimates.client).tolist():
        rows = estimates.client == client
        digest = hashlib.sha256()
        for name in _DTYPES:
            if name != "client":
                digest.update(np.ascontiguousarray(getattr(estimates, name)[rows]).tobytes())
        said[client] = digest.digest()
    # clients whose rows are the same to the last bit may change places: no byte changes
    number = {client: i for i, client in enumerate(sorted(said, key=lambda one: said[one]))}
    columns = {name: getattr(estimates, name) for name in _DTYPES}
    columns["client"] = np.array([number[c] for c in estimates.client.tolist()], np.uint32)
    order = np.lexsort((columns["client"], columns["edge"]))
    return ClientEstimates(**{name: column[order] for name, column in columns.items()})
