"""Find edges of a time series by causal-learn's VAR-LiNGAM: lagged ones, and simultaneous ones.

1. A vector autoregression is fitted to the columns less their means, because the library fits no
   intercept, and DirectLiNGAM to its residuals: B_0 says what acts within a step, and B_l = (I -
   B_0) M_l what acts after l steps. The library's matrices have the target in the row, which is
   turned here.
2. The lags are 0 to the longest that is asked for; a round's plan may name others, whose edges are
   then left out by the policy. There is no search for a shorter order.
3. An edge's confidence is 1 - p of the t-test of its effect in the regression of the target on
   everything earlier and on its causes of the same moment.
4. Stability is the share of resamples with its sign in which BIC distinguishes it from 0, as in the
   built-in engine. A resample draws residuals with replacement and builds the series from them
   again, as the library's own bootstrap does.

Source: Hyvärinen et al. 2010, JMLR 11.

What it does not do: it takes no series with a missing value, whose rows would not be steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.causal_learn import module_of_causal_learn, quietly
from hyperfed.engines.effects import standardised
from hyperfed.engines.resampling import Progress, one_thread, resampled
from hyperfed.engines.table import checked_table
from hyperfed.errors import EngineError
from hyperfed.merge.student_t import t_central
from hyperfed.packets.knowledge import Knowledge

__all__ = ["VarLingamEngine"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VarLingamFit:
    """Fits VAR-LiNGAM of one order."""

    order: int
    """The longest lag."""

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        module_of_causal_learn("search.FCMBased.lingam")

    def effects(self, data: Floats) -> Floats:
        """Return float64[order + 1, source, target]: the effects at each lag."""
        module = module_of_causal_learn("search.FCMBased.lingam")
        with quietly():
            model = module.VARLiNGAM(lags=self.order, criterion=None).fit(data)
        return np.asarray(model.adjacency_matrices_, dtype=np.float64).transpose(0, 2, 1)

    def resample(self, data: Floats, rng: np.random.Generator) -> Floats:
        """Return a series built again from residuals drawn with replacement."""
        x, y = _regression(data, self.order)
        coefficient = np.linalg.lstsq(x, y, rcond=None)[0]
        residuals = y - x @ coefficient
        drawn = residuals[rng.integers(0, len(residuals), len(residuals))]
        series = data.copy()
        for row in range(self.order, len(data)):
            past = np.concatenate([[1.0], *series[row - self.order : row][::-1]])
            series[row] = past @ coefficient + drawn[row - self.order]
        return series

    def votes(self, data: Floats) -> Floats:
        """Return float64[order + 1, source, target]: the sign of each effect that BIC keeps."""
        standard, _ = standardised(data)
        effect = self.effects(standard)
        t, dof = t_of_effects(standard, effect)
        n = len(data) - self.order
        significant = t**2 > dof * math.expm1(math.log(n) / n)
        return np.where(significant, np.sign(effect), 0.0)


class VarLingamEngine:
    """Finds edges in one time series by VAR-LiNGAM; it is an `Engine`.

    Args:
        data: float[rows, variables], equally spaced in time, oldest first, finite.
        names: One name for each column, unique.
        lags: The lags to look at; the longest is the order. None stands for 0 and 1.
        knowledge: What the round's plan knows of the graph; edges that it forbids are left out.
        n_bootstrap: The number of resamples for the stability.
        rng: A seed, with which every `discover()` gives the same result.
        processes: The number of processes for the resamples; None chooses (`resampling`).
        progress: The function that is called with how far the resamples are.

    Raises EngineError, which names the column, where the data cannot be used.
    """

    reads: ClassVar[str] = "series"

    def __init__(
        self,
        data: npt.ArrayLike,
        names: Sequence[str],
        *,
        lags: Sequence[int] | None = None,
        knowledge: Knowledge | None = None,
        n_bootstrap: int = 100,
        rng: int = 0,
        processes: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        subject = type(self).__name__
        self.names = tuple(names)
        self.data, self._notes = checked_table(data, self.names, subject=subject)
        if len(self.data) < len(np.atleast_2d(np.asarray(data))):
            raise EngineError(
                "the series lacks values, and every row has to be the step after the one before",
                subject=subject,
                remedy="Use --engine var, or leave out columns with holes",
            )
        self.lags = (0, 1) if lags is None else tuple(sorted(set(lags)))
        if not self.lags or self.lags[0] < 0 or self.lags[-1] < 1:
            raise EngineError(
                f"lags is {self.lags!r:.80}; one of at least 1 is needed",
                subject=subject,
                remedy="Use --engine lingam for effects of the same moment alone",
            )
        rows, width, order = *self.data.shape, self.lags[-1]
        if rows - order <= width * (order + 1) + 1:
            raise EngineError(
                f"{rows} rows of {width} columns are too few for lag {order}",
                subject=subject,
                remedy=f"Give at least {width * (order + 1) + order + 2} rows, or fewer columns",
            )
        self.n_bootstrap, self.rng, self.processes = n_bootstrap, rng, processes
        self.progress, self._knowledge = progress, knowledge

    def looked_at(self) -> tuple[int, ...]:
        """Return the lags that are looked at, ascending."""
        return self.lags

    def discover(self) -> Discovery:
        """Return the edges at the lags looked at, with effects, confidence and stability.

        Raises ConfigError where the library is not installed, EngineError where it fails.
        """
        standard, scale = standardised(self.data)
        fit = VarLingamFit(order=self.lags[-1])
        fit.prepare()
        with one_thread():
            effect = fit.effects(standard)
        t, dof = t_of_effects(standard, effect)
        resamples = resampled(
            fit,
            standard,
            count=self.n_bootstrap,
            seed=self.rng,
            processes=self.processes,
            progress=self.progress,
        )
        shown_edges = (
            np.isfinite(t)
            & (effect != 0)
            & np.isin(np.arange(len(effect)), self.lags)[:, None, None]
        )
        if self._knowledge is not None:
            shown_edges &= ~self._knowledge.forbids(self.names)
        lag, source, target = np.nonzero(shown_edges)
        at = (lag, source, target)
        agreeing = resamples[:, lag, source, target] == np.sign(effect[at])
        size = np.abs(effect[at]) / np.maximum(np.abs(t[at]), 1e-300)
        unit = scale[target] / scale[source]
        variables = np.array(self.names, dtype=np.str_)
        return Discovery(
            variables=self.names,
            lags=self.lags,
            source=variables[source],
            target=variables[target],
            lag=lag,
            effect=effect[at] * unit,
            std_error=size * unit,
            confidence=t_central(t[at], dof),
            stability=agreeing.mean(axis=0),
            hits=agreeing.sum(axis=0),
            n=len(self.data) - self.lags[-1],
            notes=self._notes,
        )


def t_of_effects(data: Floats, effect: Floats) -> tuple[Floats, int]:
    """Return the t statistic of each effect, and the least degrees of freedom of a regression.

    A target is regressed on all earlier values and on its causes of the same moment. The statistic
    is the effect over the standard error there; NaN where there is no such effect.
    """
    order, width = len(effect) - 1, data.shape[1]
    x, y = _regression(data, order)
    t, least = np.full(effect.shape, np.nan), len(y)
    for target in range(width):
        causes = np.flatnonzero(effect[0, :, target])
        columns = np.concatenate([x, y[:, causes]], axis=1)
        _, r = np.linalg.qr(columns)
        inverse = np.linalg.pinv(r)
        coefficient = np.linalg.lstsq(columns, y[:, target], rcond=None)[0]
        residuals = y[:, target] - columns @ coefficient
        dof = len(y) - columns.shape[1]
        least = min(least, dof)
        error = np.sqrt(float(residuals @ residuals) / max(dof, 1) * (inverse**2).sum(axis=1))
        error = np.maximum(error, 1e-300)
        earlier = error[1 : 1 + order * width].reshape(order, width)
        t[1:, :, target] = effect[1:, :, target] / earlier
        t[0, causes, target] = effect[0, causes, target] / error[1 + order * width :]
    return t, max(least, 1)


def _regression(data: Floats, order: int) -> tuple[Floats, Floats]:
    """Return the regressors, an intercept and all values at lag 1, 2, ..., and the values."""
    rows = len(data)
    lagged = [data[order - lag : rows - lag] for lag in range(1, order + 1)]
    return np.concatenate([np.ones((rows - order, 1)), *lagged], axis=1), data[order:]
