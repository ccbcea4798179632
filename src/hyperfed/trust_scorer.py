"""Score what a client did in the past: trust in (0, 1), by a beta reputation that forgets.

1. A night's quality is q = 0.4 (1 - outlier rate) + 0.4 max(0, consistency) + 0.2 accuracy. In a
   round, consistency is the weight of bounded trust (`coordinator.reputation`).
2. alpha <- L alpha + q, beta <- L beta + 3 (1 - q), L = 2^(-1/14): evidence halves in a fortnight,
   and bad nights weigh three times.
3. trust = (alpha + 0.4) / (alpha + beta + 2): the prior is 0.20 and is worth two nights. A new
   client starts at 0.20; a steady good one (q = 0.95) is past 0.7 after a week and levels at 0.81;
   five attacks bring it from there to below 0.5; an attacker earns trust back more slowly than it
   lost it.
4. Absence only makes the score forget: alpha and beta decay, so that trust moves toward the prior,
   and nobody is blamed for it. A night in which a client said nothing that can be judged changes
   nothing.

Source: Jøsang & Ismail 2002 (the beta reputation system, with forgetting); DESIGN section 1
(evidence -> trust).

What it does not do: it decides nothing (the policy's `trust_min` does, on the base state), and it
is not differentially private.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore

__all__ = [
    "ACCURACY_ROUNDS",
    "FORGETTING",
    "PRIOR",
    "Metric",
    "TrustScorer",
    "TrustState",
    "accuracy_of",
]

PRIOR = 0.2
FORGETTING = 2.0 ** (-1.0 / 14.0)  # the factor of one night
_PRIOR_NIGHTS = 2.0
_BAD_WEIGHT = 3.0
_VOTE_UNITS = 2.0**20


class Metric(StrEnum):
    """Names the metrics that `update` accepts."""

    OUTLIER_COUNT = "outlier_count"
    """At least 0: how many of the night's contributions were outliers; one spoils the night."""
    CONSISTENCY = "consistency"
    """In [-1, 1]: the cosine with the aggregate."""
    AVAILABILITY = "availability"
    """In [0, 1]: 1 where the client was there, 0 where it missed the night."""
    ACCURACY = "accuracy"
    """In [0, 1]: the accuracy."""


_SHARE = {Metric.OUTLIER_COUNT: 0.4, Metric.CONSISTENCY: 0.4, Metric.ACCURACY: 0.2}
_RANGE = {
    Metric.OUTLIER_COUNT: (0.0, math.inf),
    Metric.CONSISTENCY: (-1.0, 1.0),
    Metric.AVAILABILITY: (0.0, 1.0),
    Metric.ACCURACY: (0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrustState:
    """Holds the evidence as columns, one row a client, ascending by id.

    Raises AggregationError where clients do not ascend, or a column holds a number outside its
    range.
    """

    client: tuple[str, ...] = ()
    """The ids of the clients."""
    alpha: Any = ()
    """float64[clients] >= 0: the evidence of good nights."""
    beta: Any = ()
    """float64[clients] >= 0: the evidence of bad nights."""
    nights: Any = ()
    """uint32[clients]: the number of nights observed."""
    absences: Any = ()
    """uint32[clients]: the number of nights missed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", tuple(self.client))
        if any(a >= b for a, b in zip(self.client, self.client[1:], strict=False)):
            raise AggregationError("clients must ascend, each once", subject="trust state")
        for name in ("alpha", "beta", "nights", "absences"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if (
                values.shape != (len(self.client),)
                or not (np.isfinite(values) & (values >= 0)).all()
            ):
                raise AggregationError(
                    f"{name} needs one finite number >= 0 a client", subject="trust state"
                )
            if (
                name in ("nights", "absences")
                and ((values != np.floor(values)) | (values >= 2**32)).any()
            ):
                raise AggregationError(
                    f"{name} are whole numbers below 2**32", subject="trust state"
                )
            column: npt.NDArray[Any] = values.astype(
                np.float64 if name in ("alpha", "beta") else np.uint32
            )
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.client)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrustState):
            return NotImplemented
        return self.client == other.client and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("alpha", "beta", "nights", "absences")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def trust(self) -> npt.NDArray[np.float64]:
        """The trust of each client, float64[clients] in (0, 1)."""
        return np.asarray(
            (self.alpha + _PRIOR_NIGHTS * PRIOR) / (self.alpha + self.beta + _PRIOR_NIGHTS)
        )


@dataclass(slots=True)
class _Record:
    alpha: float = 0.0
    beta: float = 0.0
    nights: int = 0
    absences: int = 0


class TrustScorer:
    """Keeps the trust of each client.

    It is deterministic: the same observations in the same order give the same bits. Raises
    AggregationError for values outside their range.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def observe(
        self,
        client_id: str,
        *,
        outlier: float | bool = 0.0,
        consistency: float = 1.0,
        accuracy: float = 1.0,
        available: bool = True,
    ) -> float:
        """Take in one whole night by rules 1, 2 and 4, and return the trust after it.

        Args:
            client_id: The client.
            outlier: The share of its contributions that were outliers, in [0, 1]; or whether it was
                one.
            consistency: The cosine with the aggregate, in [-1, 1].
            accuracy: The accuracy, in [0, 1].
            available: False where the client was absent; the other values then do not count.
        """
        rate = _within("outlier", float(outlier), 0.0, 1.0)
        cosine = _within("consistency", consistency, -1.0, 1.0)
        hit = _within("accuracy", accuracy, 0.0, 1.0)
        if not available:
            self._forget(client_id, 1.0)
            return self.get_trust(client_id)
        share = _SHARE
        quality = (
            share[Metric.OUTLIER_COUNT] * (1.0 - rate)
            + share[Metric.CONSISTENCY] * max(0.0, cosine)
            + share[Metric.ACCURACY] * hit
        )
        record = self._records.setdefault(client_id, _Record())
        record.alpha = FORGETTING * record.alpha + quality
        record.beta = FORGETTING * record.beta + _BAD_WEIGHT * (1.0 - quality)
        record.nights += 1
        return self.get_trust(client_id)

    def pass_over(self, client_id: str) -> float:
        """Take in a night that says nothing about a client, and return its trust, which stays."""
        self._records.setdefault(client_id, _Record())
        return self.get_trust(client_id)

    def update(self, *, client_id: str, metric: str, value: float) -> None:
        """Take in one metric of a night on its own.

        It counts as the part of a night that its share of q is worth: 0.4, 0.4 and 0.2. A metric
        with share m and score s forgets by L^m, then adds m s to alpha and 3 m (1 - s) to beta, so
        that one update of each of the three comes to one night within 2 %. The scores are:

        - outlier_count: s = 1 - min(1, value), so s = 0 from one outlier on.
        - consistency: s = max(0, value).
        - accuracy: s = value.

        availability has no score: below 1 it forgets by L^(1 - value), and a 0 counts as an
        absence. Use `observe` where a night's metrics come together. Raises AggregationError for an
        unknown metric.
        """
        try:
            kind = Metric(metric)
        except ValueError as exc:
            raise AggregationError(
                f"unknown metric {metric!r}",
                subject=client_id,
                remedy=f"Name one of {', '.join(Metric)}",
            ) from exc
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
        """Return the trust in (0, 1); PRIOR for a client never seen."""
        record = self._records.get(client_id, _Record())
        return (record.alpha + _PRIOR_NIGHTS * PRIOR) / (record.alpha + record.beta + _PRIOR_NIGHTS)

    def state(self) -> TrustState:
        """Return everything this scorer knows, as columns."""
        clients = tuple(sorted(self._records))
        records = [self._records[client] for client in clients]
        return TrustState(
            client=clients,
            **{
                name: np.array([getattr(record, name) for record in records], dtype=np.float64)
                for name in ("alpha", "beta", "nights", "absences")
            },
        )

    @classmethod
    def from_state(cls, state: TrustState) -> Self:
        """Return the scorer that `state()` was taken from."""
        scorer = cls()
        columns = zip(
            state.client,
            state.alpha.tolist(),
            state.beta.tolist(),
            state.nights.tolist(),
            state.absences.tolist(),
            strict=True,
        )
        scorer._records = {
            client: _Record(alpha, beta, nights, absences)
            for client, alpha, beta, nights, absences in columns
        }
        return scorer

    def _forget(self, client_id: str, share: float) -> None:
        """Let a share of a night's forgetting pass; a whole night counts as an absence."""
        record = self._records.setdefault(client_id, _Record())
        record.alpha *= FORGETTING**share
        record.beta *= FORGETTING**share
        record.absences += share >= 1.0


def _within(name: str, value: float, low: float, high: float) -> float:
    """Return `value` as a float. Raises AggregationError where it lies outside [low, high]."""
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise AggregationError(
            f"{name} is {value!r}; a number in [{low:g}, {high:g}] is needed", subject="trust"
        )
    return number


ACCURACY_ROUNDS = 3  # committed rounds by which accuracy is measured


AccuracyModel = GlobalModel | HypergraphStore


def accuracy_of(graph: HypergraphStore, models: Sequence[AccuracyModel]) -> float:
    """Return the share of the graph's votes, in [0, 1], whose sign agrees with the last models.

    Each vote counts by its size: a weak one that is wrong costs little. The `models` are committed
    ones, newest first, and the first `ACCURACY_ROUNDS` are used. Each edge is compared with the
    newest vote on it, so an edge that last night's model lost is still remembered. The share is 1
    where there is nothing to compare.
    """
    right = compared = 0
    # whole numbers: their sum does not depend on the order
    size = np.rint(np.abs(graph.edges.vote) * _VOTE_UNITS).astype(np.int64)
    compared_keys = np.zeros(0, dtype=np.uint64)
    for model in models[:ACCURACY_ROUNDS]:
        if model.evidence is None:
            continue
        keys, mine, theirs = np.intersect1d(
            graph.edges.keys, model.edges.keys, assume_unique=True, return_indices=True
        )
        new = ~np.isin(keys, compared_keys)
        agrees = np.sign(graph.edges.effect[mine]) == np.sign(model.evidence.edges.vote[theirs])
        right, compared, compared_keys = (
            right + int(size[mine][agrees & new].sum()),
            compared + int(size[mine][new].sum()),
            np.union1d(compared_keys, keys),
        )
    return right / compared if compared else 1.0
