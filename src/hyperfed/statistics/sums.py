"""Add clients' statistics into the moments of all their centred rows, however they are split.

1. Clients are added one after the other in the order of their ids, so that the same set gives the
   same bytes in whatever order it comes. One matrix is held for each set of variables that an
   experiment set, not one for each client.
2. A pair's sum comes from the clients that measured both ends; `clients` says how many, `degrees`
   how many rows they have beyond their own means.
3. With weights w a sum is that of w S, and its degrees of freedom are (sum w v)^2 / sum w^2 v with
   v = rows - 1 (Kish): with weights of 1, that is all rows less one for each client.
4. Rows of an experiment are kept apart: a sum for what acts on a variable leaves out the clients
   that set it (`Sums.into`), and a sum for pairs those that set either end (`Sums.pairs`).
5. `leave_one_out` gives each sum without one client by adding the others, never by taking away:
   what one client sends cannot blur the others' last digits.

What it does not do: it does not weigh clients (`trust`), nor find edges (`engines`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError
from hyperfed.statistics.record import Statistics, block_lags

__all__ = ["Summed", "Sums", "leave_one_out"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summed:
    """Holds the sum of some clients' moments, over all variables of a vocabulary.

    All matrices are float64[m, m], symmetric, with m = variables * len(block_lags(lags)).
    """

    variables: int
    """How many variables the vocabulary has."""
    lags: tuple[int, ...]
    """The lags looked at, ascending."""
    moments: Floats
    """The sum of w S; 0 for a pair that no client measured both ends of."""
    degrees: Floats
    """The sum of w (rows - 1), of those that measured both ends."""
    squares: Floats
    """The sum of w^2 (rows - 1)."""
    clients: Floats
    """The number of clients of weight above 0 that measured both ends."""
    noise: float = 0.0
    """The standard deviation of the noise on each moment; 0 where the sum is exact."""
    lengths: Mapping[int, float] = field(default_factory=dict)
    """The weight of the clients of each number of rows; empty where no own means were taken."""

    @classmethod
    def nothing(cls, variables: int, lags: tuple[int, ...]) -> Self:
        """Return the sum of no client."""
        width = variables * len(block_lags(lags))
        moments, degrees, squares, clients = (np.zeros((width, width)) for _ in range(4))
        return cls(
            variables=variables,
            lags=lags,
            moments=moments,
            degrees=degrees,
            squares=squares,
            clients=clients,
        )

    @property
    def covariance(self) -> Floats:
        """The sum over its degrees, float64[m, m]; 0 where nobody measured both ends."""
        return np.divide(
            self.moments, self.degrees, out=np.zeros_like(self.moments), where=self.degrees > 0
        )

    @property
    def correlation(self) -> Floats:
        """The correlations, float64[m, m]; 0 where nothing is known.

        The diagonal is 1 for what was measured.
        """
        covariance = self.covariance
        spread = np.sqrt(covariance.diagonal())
        spread = np.where(spread > 0, spread, 1.0)
        return np.clip(covariance / spread[:, None] / spread[None, :], -1.0, 1.0)

    @property
    def effective(self) -> Floats:
        """The degrees of freedom behind each pair, float64[m, m] (rule 3 of the module)."""
        # the quotient first: with equal weights it is exactly one
        ratio = np.divide(
            self.degrees, self.squares, out=np.zeros_like(self.degrees), where=self.squares > 0
        )
        return ratio * self.degrees

    def plus(self, other: "Summed") -> "Summed":
        """Return the sum of both."""
        return Summed(
            variables=self.variables,
            lags=self.lags,
            moments=self.moments + other.moments,
            degrees=self.degrees + other.degrees,
            squares=self.squares + other.squares,
            clients=self.clients + other.clients,
            noise=math.hypot(self.noise, other.noise),
            lengths={
                rows: self.lengths.get(rows, 0.0) + other.lengths.get(rows, 0.0)
                for rows in sorted({*self.lengths, *other.lengths})
            },
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Sums:
    """Adds clients' statistics, one after the other.

    Raises AggregationError for statistics of another form, of other lags, or of a variable that is
    not in the vocabulary.
    """

    variables: int
    """How many variables the vocabulary has."""
    lags: tuple[int, ...]
    """The plan's lags, ascending."""
    form: str = "values"
    """What all moments are of."""
    _parts: dict[tuple[int, ...], Summed] = field(default_factory=dict)
    """A sum for each set of variables that clients' experiments set."""

    @classmethod
    def of(
        cls,
        statistics: Mapping[str, Statistics],
        *,
        variables: int,
        lags: tuple[int, ...],
        weights: Mapping[str, float] | None = None,
    ) -> Self:
        """Return the sums of clients' statistics, by client id.

        weights: the weight of each client, 0 or more; None: all are 1. Raises AggregationError.
        """
        forms = sorted({one.form for one in statistics.values()})
        sums = cls(variables=variables, lags=lags, form=forms[0] if forms else "values")
        for client in sorted(statistics):
            weight = 1.0 if weights is None else weights[client]
            sums.add(statistics[client], weight=weight, client=client)
        return sums

    def add(self, statistics: Statistics, *, weight: float = 1.0, client: str = "client") -> None:
        """Add one client's statistics; one of weight 0 adds nothing. Raises AggregationError."""
        if statistics.lags != self.lags or statistics.form != self.form:
            raise AggregationError(
                f"has moments of {statistics.form} at lags {statistics.lags}; those of "
                f"{self.form} at {self.lags} are added",
                subject=client,
                remedy="Let all clients use the lags and the form that the plan names",
            )
        if int(statistics.variables[-1]) >= self.variables:
            raise AggregationError(
                f"has variable {int(statistics.variables[-1])} in a vocabulary of {self.variables}",
                subject=client,
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise AggregationError(f"its weight is {weight!r:.40}", subject=client)
        if weight == 0:
            return
        known = self._parts.get(statistics.intervened)
        if known is None:
            known = Summed.nothing(self.variables, self.lags)
            self._parts[statistics.intervened] = known
        at = columns_of(statistics, self.variables)
        rows = statistics.rows
        degrees = np.maximum(rows - 1.0, 0.0)
        block = np.ix_(at, at)
        known.moments[block] += weight * statistics.matrix
        known.degrees[block] += weight * degrees
        known.squares[block] += weight * weight * degrees
        known.clients[block] += rows > 1
        lengths = dict(known.lengths)
        lengths[statistics.n] = lengths.get(statistics.n, 0.0) + weight
        self._parts[statistics.intervened] = replace(known, lengths=lengths)

    def put(self, summed: Summed) -> None:
        """Take a sum that was made elsewhere, of clients without experiments, in place of any."""
        self._parts[()] = summed

    @property
    def total(self) -> Summed:
        """The sum of all clients, whatever their experiments set."""
        return self._added(self._parts)

    def into(self, target: int) -> Summed:
        """Return the sum of the clients whose experiment did not set the variable `target`."""
        return self._added(part for part in self._parts if target not in part)

    @property
    def intervened(self) -> tuple[int, ...]:
        """The variables that any client's experiment set, ascending."""
        return tuple(sorted({one for part in self._parts for one in part}))

    @property
    def pairs(self) -> Summed:
        """The sum in which a pair has no part of the clients that set either of its ends."""
        total = Summed.nothing(self.variables, self.lags)
        blocks = len(block_lags(self.lags))
        for part in sorted(self._parts):
            free = np.ones(self.variables)
            free[list(part)] = 0.0
            free = np.concatenate([free] * blocks)
            mask = free[:, None] * free[None, :]
            one = self._parts[part]
            total = total.plus(
                Summed(
                    variables=self.variables,
                    lags=self.lags,
                    moments=one.moments * mask,
                    degrees=one.degrees * mask,
                    squares=one.squares * mask,
                    clients=one.clients * mask,
                    noise=one.noise,
                    lengths=one.lengths,
                )
            )
        return total

    def _added(self, parts: Iterable[tuple[int, ...]]) -> Summed:
        total = Summed.nothing(self.variables, self.lags)
        for part in sorted(parts):
            total = total.plus(self._parts[part])
        return total


def columns_of(statistics: Statistics, variables: int) -> npt.NDArray[np.int64]:
    """Return int64[m]: where a client's columns lie among those of a vocabulary."""
    own = statistics.variables.astype(np.int64)
    blocks = len(block_lags(statistics.lags))
    return np.concatenate([block * variables + own for block in range(blocks)])


def leave_one_out(
    statistics: Mapping[str, Statistics],
    *,
    variables: int,
    lags: tuple[int, ...],
    weights: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, Sums]]:
    """Yield (client, the sums of all others), in the order of the clients' ids.

    It adds about C log2 C matrices for C clients, and holds log2 C of them.
    """
    ids = sorted(statistics)

    def added(base: Sums, clients: list[str]) -> Sums:
        # the parts are added to in place, so that those of the base are copied
        more = Sums(variables=variables, lags=lags, form=base.form)
        more._parts = {
            part: one.plus(Summed.nothing(variables, lags)) for part, one in base._parts.items()
        }
        for client in clients:
            weight = 1.0 if weights is None else weights[client]
            more.add(statistics[client], weight=weight, client=client)
        return more

    def halved(base: Sums, clients: list[str]) -> Iterator[tuple[str, Sums]]:
        if len(clients) == 1:
            yield clients[0], base
            return
        middle = len(clients) // 2
        yield from halved(added(base, clients[middle:]), clients[:middle])
        yield from halved(added(base, clients[:middle]), clients[middle:])

    if ids:
        form = statistics[ids[0]].form
        yield from halved(Sums(variables=variables, lags=lags, form=form), ids)
