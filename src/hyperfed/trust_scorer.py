"""What a client did in the past, as one number: trust in (0, 1), from a beta reputation that forgets.

1. A night's quality is q = 0.4 (1 - outlier rate) + 0.4 max(0, consistency) + 0.2 accuracy. consistency is the cosine with the aggregate.
2. alpha <- L alpha + q, beta <- L beta + 3 (1 - q), L = 2^(-1/14): evidence halves in a fortnight, and bad nights weigh three times.
3. trust = (alpha + 0.4) / (alpha + beta + 2): a prior of 0.20 worth two nights. A new client starts at 0.20; a steady good one (q = 0.95) is past
   0.7 after a week and levels at 0.81; five attacks bring it from there to below 0.5; an attacker earns trust back more slowly than it lost it.
4. Absence only forgets: alpha and beta decay, so that trust moves toward the prior. It is not held against anyone.

Source: Jøsang & Ismail 2002 (the beta reputation system, with forgetting); DESIGN section 1 (evidence -> trust). It decides nothing: the policy's
`trust_min` does, on the base state. It is not differentially private.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError

__all__ = ["FORGETTING", "PRIOR", "Metric", "TrustScorer", "TrustState"]

PRIOR = 0.2
FORGETTING = 2.0 ** (-1.0 / 14.0)  # a night
_PRIOR_NIGHTS = 2.0
_BAD_WEIGHT = 3.0


class Metric(StrEnum):
    """What `update` accepts, with its values."""

    OUTLIER_COUNT = "outlier_count"  # >= 0: how many of the night's contributions were outliers; one is enough to spoil it
    CONSISTENCY = "consistency"  # [-1, 1]: cosine with the aggregate
    AVAILABILITY = "availability"  # [0, 1]: 1 was there, 0 missed the night
    ACCURACY = "accuracy"  # [0, 1]


_SHARE = {Metric.OUTLIER_COUNT: 0.4, Metric.CONSISTENCY: 0.4, Metric.ACCURACY: 0.2}
_RANGE = {Metric.OUTLIER_COUNT: (0.0, math.inf), Metric.CONSISTENCY: (-1.0, 1.0), Metric.AVAILABILITY: (0.0, 1.0), Metric.ACCURACY: (0.0, 1.0)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrustState:
    """The evidence as columns, one row a client, ascending by id.

    client: ids; alpha, beta: float64[clients] >= 0; nights: uint32[clients] observed; absences: uint32[clients], nights missed. Raises AggregationError.
    """

    client: tuple[str, ...] = ()
    alpha: Any = ()
    beta: Any = ()
    nights: Any = ()
    absences: Any = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", tuple(self.client))
        if any(a >= b for a, b in zip(self.client, self.client[1:], strict=False)):
            raise AggregationError("clients must ascend, each once", subject="trust state")
        for name in ("alpha", "beta", "nights", "absences"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (len(self.client),) or not (np.isfinite(values) & (values >= 0)).all():
                raise AggregationError(f"{name} needs one finite number >= 0 a client", subject="trust state")
            if name in ("nights", "absences") and ((values != np.floor(values)) | (values >= 2**32)).any():
                raise AggregationError(f"{name} are whole numbers below 2**32", subject="trust state")
            column: npt.NDArray[Any] = values.astype(np.float64 if name in ("alpha", "beta") else np.uint32)
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.client)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrustState):
            return NotImplemented
        return self.client == other.client and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("alpha", "beta", "nights", "absences")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def trust(self) -> npt.NDArray[np.float64]:
        """float64[clients] in (0, 1)."""
        return np.asarray((self.alpha + _PRIOR_NIGHTS * PRIOR) / (self.alpha + self.beta + _PRIOR_NIGHTS))


@dataclass(slots=True)
class _Record:
    alpha: float = 0.0
    beta: float = 0.0
    nights: int = 0
    absences: int = 0


class TrustScorer:
    """Trust per client. Deterministic: the same observations in the same order give the same bits. Raises AggregationError for values outside their range."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def observe(self, client_id: str, *, outlier: float | bool = 0.0, consistency: float = 1.0, accuracy: float = 1.0, available: bool = True) -> float:
        """One whole night, and the trust after it: the step of rules 1, 2 and 4.

        outlier: the share of the client's contributions that were outliers, [0, 1], or whether it was one; consistency: [-1, 1];
        accuracy: [0, 1]; available False: the client was absent, and the rest says nothing.
        """
        rate = _within("outlier", float(outlier), 0.0, 1.0)
        cosine = _within("consistency", consistency, -1.0, 1.0)
        hit = _within("accuracy", accuracy, 0.0, 1.0)
        if not available:
            self._forget(client_id, 1.0)
            return self.get_trust(client_id)
        share = _SHARE
        quality = share[Metric.OUTLIER_COUNT] * (1.0 - rate) + share[Metric.CONSISTENCY] * max(0.0, cosine) + share[Metric.ACCURACY] * hit
        record = self._records.setdefault(client_id, _Record())
        record.alpha = FORGETTING * record.alpha + quality
        record.beta = FORGETTING * record.beta + _BAD_WEIGHT * (1.0 - quality)
        record.nights += 1
        return self.get_trust(client_id)

    def update(self, *, client_id: str, metric: str, value: float) -> None:
        """One metric of a night on its own: the part of the step that its share of q is worth (0.4, 0.4, 0.2).

        A metric with share m and score s forgets by L^m, then adds m s to alpha and 3 m (1 - s) to beta, so that one update of each of the three
        comes to one night within 2 %. outlier_count: s = 1 for 0, else 0; consistency: s = max(0, value); accuracy: s = value.
        availability: below 1 it forgets by L^(1 - value), and a 0 counts as an absence. Use `observe` where a night's metrics come together.
        """
        try:
            kind = Metric(metric)
        except ValueError as exc:
            raise AggregationError(f"unknown metric {metric!r}", subject=client_id, remedy=f"One of {', '.join(Metric)} is needed") from exc
        number = _within(kind.value, value, *_RANGE[kind])
        if kind is Metric.AVAILABILITY:
            if number < 1.0:
                self._forget(client_id, 1.0 - number)
            return
        score = 1.0 - min(1.0, number) if kind is Metric.OUTLIER_COUNT else max(0.0, number)
        share = _SHARE[kind]
        record = self._records.setdefault(client_id, _Record())
        decay = FORGETTING**share
        record.alpha = decay * record.alpha + share * score
        record.beta = decay * record.beta + _BAD_WEIGHT * share * (1.0 - score)

    def get_trust(self, client_id: str) -> float:
        """Trust in (0, 1); PRIOR for a client never seen."""
        record = self._records.get(client_id, _Record())
        return (record.alpha + _PRIOR_NIGHTS * PRIOR) / (record.alpha + record.beta + _PRIOR_NIGHTS)

    def state(self) -> TrustState:
        """Everything this scorer knows, as columns."""
        clients = tuple(sorted(self._records))
        records = [self._records[client] for client in clients]
        return TrustState(
            client=clients,
            **{name: np.array([getattr(record, name) for record in records], dtype=np.float64) for name in ("alpha", "beta", "nights", "absences")},
        )

    @classmethod
    def from_state(cls, state: TrustState) -> Self:
        """The scorer that `state()` was taken from."""
        scorer = cls()
        columns = zip(state.client, state.alpha.tolist(), state.beta.tolist(), state.nights.tolist(), state.absences.tolist(), strict=True)
        scorer._records = {client: _Record(alpha, beta, nights, absences) for client, alpha, beta, nights, absences in columns}
        return scorer

    def _forget(self, client_id: str, share: float) -> None:
        record = self._records.setdefault(client_id, _Record())
        record.alpha *= FORGETTING**share
        record.beta *= FORGETTING**share
        record.absences += share >= 1.0


def _within(name: str, value: float, low: float, high: float) -> float:
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise AggregationError(f"{name} is {value!r}; a number in [{low:g}, {high:g}] is needed", subject="trust")
    return number
