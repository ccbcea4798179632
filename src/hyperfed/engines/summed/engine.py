"""Define what engines on sums share: units, the numbers behind a pair, and effects of causes.

1. An engine takes `Sums` and the vocabulary, and returns a `Discovery`, as engines on rows do. The
   variables are those that any client measured.
2. Effects are in the vocabulary's units again; of ranks they are in standard deviations.
3. The degrees of freedom of a regression are those of the pair with the fewest, less one for each
   regressor. Where all clients measured everything, they are all rows less one mean for each client
   and less the regressors. That is least squares with a dummy for each client.
4. Two variables that no client measured together have no edge, and count as uncorrelated where they
   stand beside others.
5. Where a sum has noise (a private round), standard errors are those of sampling and of the noise
   together (`statistics.noise`), and so are t, confidence and intervals.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.effects import Effects
from hyperfed.errors import EngineError
from hyperfed.merge.student_t import t_central
from hyperfed.packets.knowledge import Knowledge
from hyperfed.statistics import Scaling, Summed, Sums
from hyperfed.statistics.noise import coefficient_noise
from hyperfed.statistics.sweeping import Regression, regressions
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["SummedEngine", "deviations", "fewest", "summed_effects"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class SummedEngine(ABC):
    """Finds edges in sums of clients' statistics, as an `Engine`.

    Args:
        sums: What the clients' statistics add up to.
        vocabulary: The variables that the sums' columns are of.
        knowledge: What the round's plan knows of the graph.

    Raises EngineError where no client measured two variables.
    """

    def __init__(
        self, sums: Sums, vocabulary: Vocabulary, *, knowledge: Knowledge | None = None
    ) -> None:
        self.sums, self.vocabulary = sums, vocabulary
        self.knowledge = knowledge or Knowledge()
        self.total = sums.total
        self.measured = np.flatnonzero(self.total.degrees.diagonal()[: len(vocabulary)] > 0)
        if len(self.measured) < 2:
            raise EngineError(
                f"{len(self.measured)} variables were measured; at least 2 are needed",
                subject=type(self).__name__,
            )
        self.names = tuple(vocabulary.names[i] for i in self.measured.tolist())

    @abstractmethod
    def discover(self) -> Discovery:
        """Return the edges found, with effects, confidence and stability. Raises EngineError."""

    @property
    def scale(self) -> Floats:
        """The unit of each variable's column, in the vocabulary's units: float64[measured]."""
        if self.sums.form == "ranks":
            return np.ones(len(self.measured))
        return Scaling.of(self.vocabulary, self.measured.astype(np.uint32)).scale

    def rows_of(self, summed: Summed) -> npt.NDArray[np.int64]:
        """Return the rows behind each pair at lag 0: int64[measured, measured]."""
        at = np.ix_(self.measured, self.measured)
        return np.rint(summed.degrees[at] + summed.clients[at]).astype(np.int64)


def fewest(effective: Floats, columns: Sequence[int]) -> float:
    """Return the degrees of freedom of the pair with the fewest, among pairs that are known."""
    part = effective[np.ix_(columns, columns)]
    known = part[part > 0]
    return float(known.min()) if len(known) else 0.0


def deviations(
    fit: Regression,
    place: int,
    degrees: float,
    covariance: Floats,
    regressors: Sequence[int],
    noise: float,
) -> Floats:
    """Return float64[regressors]: standard errors of one target's coefficients, noise included.

    noise: the standard deviation of the noise on each entry of the covariance.
    """
    error = np.asarray(fit.errors(np.array(degrees))[:, place])
    used = np.flatnonzero(fit.used)
    if noise and len(used):
        columns = np.asarray(regressors)[used]
        moved = coefficient_noise(
            covariance[np.ix_(columns, columns)], fit.coefficient[used, place], noise
        )
        error = error.copy()
        error[used] = np.hypot(error[used], moved)
    return error


def summed_effects(
    covariance: Floats,
    effective: Floats,
    definite: Bools,
    possible: Bools,
    *,
    noise: float = 0.0,
) -> Effects:
    """Return the effects of causes on their targets, as `engines.effects` gives them of rows.

    covariance and effective are float64[variables, variables]; definite and possible are
    bool[source, target]: the causes of each target. noise: as in `deviations`.
    """
    width = len(covariance)
    effect, error, confidence = (np.full((width, width), np.nan) for _ in range(3))
    for target in range(width):
        causes = np.flatnonzero(definite[:, target]).tolist()
        sets = [(causes, causes)] if causes else []
        for other in np.flatnonzero(possible[:, target] & ~definite[:, target]).tolist():
            sets.append(([*causes, other], [other]))
        for regressors, sources in sets:
            fit = regressions(covariance, regressors, [target])
            degrees = fewest(effective, [*regressors, target])
            free = int(degrees + 1e-6) - int(fit.used.sum())
            if free < 1:
                continue
            deviation = deviations(fit, 0, degrees, covariance, regressors, noise)
            for source in sources:
                place = regressors.index(source)
                if not fit.used[place]:
                    continue
                effect[source, target] = fit.coefficient[place, 0]
                error[source, target] = deviation[place]
                t = fit.coefficient[place, 0] / deviation[place] if deviation[place] > 0 else 1e300
                confidence[source, target] = float(t_central(np.array([t]), free)[0])
    return Effects(effect=effect, std_error=error, confidence=confidence)
