"""Fit a vector autoregression to sums of statistics, at the plan's lags.

1. Each variable at lag 0 is regressed on all variables at all lags of the plan, except for those
   that knowledge forbids. This gives the coefficients, standard errors and t of least squares on
   all clients' rows, with an intercept for each client.
2. Stability is the share of parametric resamples of the sum that find the edge with its sign and in
   which BIC keeps it, in closed form: a resample's t is normal around the t that was found. So it
   needs no draw, and is the same on every machine.
3. Rows in which an experiment set the target say nothing of what acts on it, and are left out of
   its regression.
4. Own means that each client takes away bias short series; on request the bias is removed
   (`statistics.short_series`).

Sources: Lütkepohl 2005, New Introduction to Multiple Time Series Analysis, 3.2; Nickell 1981 (with
few rows for each client, an intercept for each biases a variable's effect on itself downwards).
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.summed.engine import SummedEngine, deviations, fewest
from hyperfed.errors import EngineError
from hyperfed.merge.student_t import MOST, t_central
from hyperfed.packets.knowledge import Knowledge
from hyperfed.statistics import Summed, Sums, block_lags
from hyperfed.statistics.short_series import without_short_bias
from hyperfed.statistics.sweeping import regressions, repaired
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["SummedVar", "expected_hits"]

Floats = npt.NDArray[np.float64]
_DECIMALS = 12


def expected_hits(t: Floats, rows: float) -> Floats:
    """Return the share of resamples with the sign of t in which BIC keeps the edge.

    rows: the rows behind t. A resample's t is normal with mean t and variance 1.
    """
    least = math.sqrt(rows * math.expm1(math.log(rows) / rows)) if rows > 1 else 0.0
    beyond = np.abs(t) - least
    central = t_central(beyond, MOST)
    return np.where(beyond >= 0, 0.5 + central / 2, 0.5 - central / 2)


class SummedVar(SummedEngine):
    """Finds edges from earlier to later rows, at the lags of the sums above 0.

    Args:
        sums, vocabulary, knowledge: As in `SummedEngine`.
        short_bias: "removed", or "kept": then the result is least squares on all centred rows.
    """

    def __init__(
        self,
        sums: Sums,
        vocabulary: Vocabulary,
        *,
        knowledge: Knowledge | None = None,
        short_bias: str = "kept",
    ) -> None:
        super().__init__(sums, vocabulary, knowledge=knowledge)
        self.short_bias = short_bias

    def discover(self) -> Discovery:
        """Return every possible edge, with its interval, confidence and stability.

        Raises EngineError where there is no lag above 0, or there are too few rows.
        """
        variables, lags = len(self.vocabulary), [lag for lag in self.sums.lags if lag > 0]
        if not lags:
            raise EngineError(
                "the plan names no lag above 0",
                subject="SummedVar",
                remedy="Name lags in the plan, or an engine for tables",
            )
        width, count = len(self.measured), len(lags)
        shape = (count * width, width)
        effect, error, confidence, stability = (np.full(shape, np.nan) for _ in range(4))
        rows, notes = np.zeros(shape, dtype=np.int64), list[str]()
        regressors = np.concatenate(
            [block * variables + self.measured for block in range(1, count + 1)]
        )
        for summed, targets in self._equations():
            covariance, mended = self._covariance(summed)
            if self.short_bias == "removed":
                covariance = without_short_bias(covariance, summed)
            if mended and not notes:
                notes.append(
                    "pairs of variables have unlike clients or rows, and together no correlation "
                    "matrix: it was repaired"
                )
            effective = summed.effective
            for allowed, into in self._alike(targets):
                use = np.flatnonzero(np.concatenate([allowed] * count))
                columns = regressors[use].tolist()
                at = self.measured[into].tolist()
                fit = regressions(covariance, columns, at)
                for place, target in enumerate(into):
                    degrees = fewest(effective, [*columns, at[place]])
                    free = int(degrees + 1e-6) - int(fit.used.sum())
                    if free < 1:
                        raise EngineError(
                            f"{degrees:.0f} rows beyond the clients' means are too few for "
                            f"{len(columns)} regressors of {self.names[target]!r:.80}",
                            subject="SummedVar",
                            remedy="Wait for more clients or rows, or name fewer lags",
                        )
                    known = (summed.degrees[columns, at[place]] > 0) & fit.used
                    noise = summed.noise / max(degrees, 1.0)
                    deviation = deviations(fit, place, degrees, covariance, columns, noise)
                    known &= deviation > 0
                    keep = use[known]
                    effect[keep, target] = fit.coefficient[known, place]
                    error[keep, target] = deviation[known]
                    t = fit.coefficient[known, place] / deviation[known]
                    confidence[keep, target] = t_central(t, free)
                    stability[keep, target] = expected_hits(t, degrees + 1.0)
                    rows[keep, target] = np.rint(
                        (summed.degrees + summed.clients)[columns, at[place]][known]
                    )
        return self._found(lags, effect, error, confidence, stability, rows, notes)

    def _equations(self) -> Iterator[tuple[Summed, list[int]]]:
        """Yield sums, and the targets (places among the measured) that are judged by them."""
        places = {int(index): place for place, index in enumerate(self.measured.tolist())}
        by_experiment = [places[one] for one in self.sums.intervened if one in places]
        others = [place for place in places.values() if place not in by_experiment]
        if others:
            yield self.total, others
        for place in by_experiment:
            yield self.sums.into(int(self.measured[place])), [place]

    def _alike(self, targets: list[int]) -> Iterator[tuple[npt.NDArray[np.bool_], list[int]]]:
        """Yield the variables that may act on some targets, bool[measured], and these targets."""
        forbidden = self.knowledge.forbids(self.names)
        groups: dict[bytes, list[int]] = {}
        for target in targets:
            groups.setdefault(forbidden[:, target].tobytes(), []).append(target)
        for into in groups.values():
            yield ~forbidden[:, into[0]], into

    def _covariance(self, summed: Summed) -> tuple[Floats, bool]:
        """Return the covariance, repaired where it had to be, and whether it had."""
        covariance = summed.covariance
        blocks = len(block_lags(self.sums.lags))
        at = np.concatenate([b * len(self.vocabulary) + self.measured for b in range(blocks)])
        sound, mended = repaired(summed.correlation[np.ix_(at, at)])
        if mended:
            spread = np.sqrt(covariance.diagonal()[at])
            covariance = covariance.copy()
            covariance[np.ix_(at, at)] = np.round(sound, _DECIMALS) * np.outer(spread, spread)
        return covariance, mended

    def _found(
        self,
        lags: list[int],
        effect: Floats,
        error: Floats,
        confidence: Floats,
        stability: Floats,
        rows: npt.NDArray[np.int64],
        notes: list[str],
    ) -> Discovery:
        """Return the discovery of matrices over [lags * source, target]."""
        width, names = len(self.measured), np.array(self.names, dtype=np.str_)
        regressor, target = np.nonzero(np.isfinite(effect))
        source = regressor % width
        unit = self.scale[target] / self.scale[source]
        at = (regressor, target)
        return Discovery(
            variables=self.names,
            lags=tuple(lags),
            source=names[source],
            target=names[target],
            lag=np.array(lags, dtype=np.int64)[regressor // width],
            effect=effect[at] * unit,
            std_error=error[at] * unit,
            confidence=confidence[at],
            stability=np.clip(stability[at], 0.0, 1.0),
            n=rows[at],
            notes=tuple(notes),
        )
