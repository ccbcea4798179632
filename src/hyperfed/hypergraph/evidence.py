"""Hold the evidence behind a merged graph: how many clients, how sure, and whether it is pooled."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.codec.versions import since
from hyperfed.errors import BoundsError

__all__ = ["Evidence", "Spread", "StoreEvidence"]

Array = npt.NDArray[Any]


_EVIDENCE = MappingProxyType[str, Any](
    {
        "vote": np.float64,
        "support": np.uint32,
        "reporting": np.uint32,
        "measured_by": np.uint32,
        "samples": np.uint64,
        "std_error": np.float64,
        "tau2": np.float64,
        "i2": np.float64,
        "pooled": np.bool_,
    }
)


_SPREAD = MappingProxyType[str, Any](
    {
        "q": np.float64,
        "predict_low": np.float64,
        "predict_high": np.float64,
        "without_low": np.float64,
        "without_high": np.float64,
        "positive": np.uint32,
        "negative": np.uint32,
    }
)


def _keep_columns(record: Any, kind: str, rows: int) -> None:
    """Make a record's columns read-only arrays of their dtypes.

    Raises BoundsError where one has not `rows` values, or a number that is not finite.
    """
    for name, dtype in record.COLUMNS.items():
        column: Array = np.array(getattr(record, name), dtype=dtype)
        if column.ndim != 1 or len(column) != rows:
            raise BoundsError(
                f"has shape {column.shape}; one value a row is needed", subject=f"{kind}.{name}"
            )
        if dtype is np.float64 and not np.isfinite(column).all():
            raise BoundsError("numbers must be finite", subject=f"{kind}.{name}")
        column.flags.writeable = False
        object.__setattr__(record, name, column)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """Holds how far each row could be off, and how often rows like it are false.

    All columns have the same length. Raises BoundsError for columns of different lengths, and for
    numbers that are not finite. docs/statistics.md defines each.
    """

    COLUMNS = _SPREAD  # without an annotation, or it would be a field

    q: Array
    """float64 in [0, 1]: the q-value, the share of false edges among those as sure as this one.

    It is 1 where the edge could not be tested.
    """
    predict_low: Array
    """float64: the lower end of the 95 % prediction interval, for the effect at another client.

    Both ends are the effect where fewer than three clients can say how much clients differ.
    """
    predict_high: Array
    """float64: its upper end."""
    without_low: Array
    """float64: the smallest pooled effect when one client is left out. Of one client it is 0 or
    less.
    """
    without_high: Array
    """float64: the largest pooled effect when one client is left out. Of one client it is 0 or
    more.
    """
    positive: Array
    """uint32: the number of clients whose effect is above 0, whether they vote and weigh or not."""
    negative: Array
    """uint32: the number of clients whose effect is below 0, whether they vote and weigh or not."""

    def __post_init__(self) -> None:
        _keep_columns(self, "spread", len(np.asarray(self.q)))

    def __len__(self) -> int:
        return len(self.q)

    def take(self, rows: Array) -> Self:
        """Return the spread of `rows`: an index array or a boolean mask."""
        return type(self)(**{name: getattr(self, name)[rows] for name in _SPREAD})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spread):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _SPREAD)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Holds the evidence behind each row of a merged table.

    All columns have the length of that table. Clients of weight 0 support nothing, and stay in
    `measured_by`. Raises BoundsError for columns of different lengths, and for numbers that are not
    finite.
    """

    COLUMNS = _EVIDENCE  # without an annotation, or it would be a field

    vote: Array
    """float64 in [-1, 1]: the weighted mean vote."""
    support: Array
    """uint32: the number of clients that report the row with the vote's sign."""
    reporting: Array
    """uint32: the number of clients that report the row with either sign."""
    measured_by: Array
    """uint32: the number of clients that could report the row, those of weight 0 included."""
    samples: Array
    """uint64: the sum of the reporting clients' sample counts."""
    std_error: Array
    """float64: the standard error of the pooled effect; 0 where it was not pooled."""
    tau2: Array
    """float64: the variance of the effect between clients; 0 where it was not pooled."""
    i2: Array
    """float64 in [0, 1]: the share of variation that comes from differences between clients.

    It is 0 where the effect was not pooled.
    """
    pooled: Array
    """bool: whether the effect was pooled by inverse variance."""
    spread: Spread | None = field(default=None, metadata=since(3))
    """How far each row could be off; None in a private release, and in models from earlier
    versions."""

    def __post_init__(self) -> None:
        _keep_columns(self, "evidence", len(np.asarray(self.vote)))
        if self.spread is not None and len(self.spread) != len(self.vote):
            raise BoundsError(
                f"has {len(self.spread)} rows, the evidence {len(self.vote)}",
                subject="evidence.spread",
            )

    @classmethod
    def empty(cls) -> Self:
        """Return the evidence of no rows."""
        columns: dict[str, Any] = {n: np.zeros(0, dtype=dtype) for n, dtype in _EVIDENCE.items()}
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.vote)

    def take(self, rows: Array) -> Self:
        """Return the evidence of `rows`: an index array or a boolean mask."""
        spread = None if self.spread is None else self.spread.take(rows)
        return type(self)(**{name: getattr(self, name)[rows] for name in _EVIDENCE}, spread=spread)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return self.spread == other.spread and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in _EVIDENCE
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEvidence:
    """Holds the evidence of a merged graph, aligned with its parts."""

    edges: Evidence
    """The evidence behind each edge."""
    hyperedges: Evidence | None = None
    """The evidence behind each hyperedge, or None where there are none."""
    confounder_scores: tuple[float, ...] = ()
    """For each confounder, the share in (0, 1] of clients that name it.

    The share is by weight, among the clients that measured the variable or name it.
    """
    dag_support: tuple[int, ...] = ()
    """For each of semantic.dag_edges, the number of clients behind it."""
    intervention_clients: tuple[str, ...] = ()
    """For each of semantic.interventions, the client that published it."""
