"""Lagged edges of a time series by vector autoregression: the engine that comes with Hyperfed.

1. y_t = c + sum over l = 1..p of A_l y_(t-l) + e_t by ordinary least squares; p by BIC among 1..max_lag on a common sample
   (Lütkepohl 2005, New Introduction to Multiple Time Series Analysis, section 4.3). The edge j -> i at lag l has the effect A_l[i, j].
2. The 95 % interval is effect +- t(0.975, df) * standard error, df = rows - regressors.
3. confidence = 1 - p, p the two-sided p-value of the t-test in the full sample: how sure the sign is.
4. stability = the share of block bootstraps in which the edge has the full sample's sign and BIC keeps it: dropping the single regressor
   would raise n log(RSS) by n log(1 + t²/df) > log n. It is the same criterion as for p, so there is no threshold to tune.
   Bootstrap: circular blocks of whole regression rows (y_t with its lags; Künsch 1989; Politis & Romano 1992), block length
   ceil(n^(1/3)) unless given. A resample whose regressors are dependent shows nothing and counts as not selected.
5. All d*d*p edges are returned, weak ones too: which are shared is the policy's business, and weak rows help the merge.

Edges are predictive (Granger) edges: a common cause that is not among the variables can produce one.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.student_t import t_central, t_quantile
from hyperfed.errors import EngineError

__all__ = ["VarEngine"]

_LOG = logging.getLogger(__name__)
_CHUNK_VALUES = 1 << 22  # float64 of resampled regressors held at once: 32 MiB
_DEPENDENT = 1e-10  # smallest eigenvalue over largest of the standardised moment matrix

Floats = npt.NDArray[np.float64]


class VarEngine:
    """An `Engine` over one time series.

    data: float[rows, variables], equally spaced in time, oldest first, finite, no constant column; names: one for each column, unique.
    max_lag: longest lag tried, steps; an order that leaves fewer residual degrees of freedom than variables is not a candidate.
    n_bootstrap: resamples for the stability; block_length: rows, or None. rng: a seed (every `discover()` then gives the same) or a generator.
    Raises EngineError, naming the column.
    """

    def __init__(
        self,
        data: npt.ArrayLike,
        names: Sequence[str],
        *,
        max_lag: int = 1,
        n_bootstrap: int = 100,
        block_length: int | None = None,
        rng: int | np.random.Generator = 0,
    ) -> None:
        try:
            self.data = np.array(data, dtype=np.float64)
        except (TypeError, ValueError) as exc:
            raise EngineError(f"the data are not numbers: {exc}", subject="VarEngine") from exc
        self.names = tuple(names)
        self.max_lag, self.n_bootstrap, self.block_length, self.rng = max_lag, n_bootstrap, block_length, rng
        for name, value in (("max_lag", max_lag), ("n_bootstrap", n_bootstrap), ("block_length", 1 if block_length is None else block_length)):
            if not isinstance(value, int) or value < 1:
                raise EngineError(f"{name} is {value!r}; a whole number of at least 1 is needed", subject="VarEngine")
        self._check()
        self.data.flags.writeable = False

    def _check(self) -> None:
        if self.data.ndim != 2 or self.data.shape[1] == 0:
            raise EngineError(f"the data have shape {self.data.shape}; rows and columns are needed", subject="VarEngine")
        rows, width = self.data.shape
        if len(self.names) != width:
            raise EngineError(f"{len(self.names)} names for {width} columns", subject="VarEngine")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise EngineError(f"column names must be unique; twice: {', '.join(twice[:5])}", subject="VarEngine")
        bad = ~np.isfinite(self.data)
        if bad.any():
            column = int(np.argmax(bad.any(axis=0)))
            row = int(np.argmax(bad[:, column]))
            problem = f"column {self.names[column]!r} holds {self.data[row, column]} in row {row}"
            raise EngineError(problem, subject="VarEngine", remedy="Fill in or leave out missing values first")
        need = 2 * width + 2
        if rows < need:
            problem = f"{rows} rows of {width} columns ({', '.join(self.names[:5])}) are too few"
            raise EngineError(problem, subject="VarEngine", remedy=f"At least {need} are needed for lag 1")
        size = np.abs(self.data).max(axis=0)
        if size.max() > 1e100:
            raise EngineError(f"column {self.names[int(np.argmax(size))]!r} exceeds 1e100", subject="VarEngine", remedy="Use another unit")
        for part in (self.data[:-1], self.data[1:]):
            constant = np.ptp(part, axis=0) <= 1e-12 * size
            if constant.any():
                name = self.names[int(np.argmax(constant))]
                raise EngineError(f"column {name!r} is constant", subject="VarEngine", remedy="Leave it out: it explains nothing")

    def _regression(self, order: int, first: int) -> tuple[Floats, Floats]:
        """(X: [rows - first, 1 + order * variables], Y: [rows - first, variables]); X is an intercept, then all variables at lag 1, 2, ..."""
        rows = len(self.data)
        lagged = [self.data[first - lag : rows - lag] for lag in range(1, order + 1)]
        return np.concatenate([np.ones((rows - first, 1)), *lagged], axis=1), self.data[first:]

    def order(self) -> int:
        """The lag order that BIC chooses among those that the rows allow."""
        rows, width = self.data.shape
        longest = max(lag for lag in range(1, self.max_lag + 1) if lag == 1 or rows - lag - (1 + lag * width) >= width)
        scores = []
        for order in range(1, longest + 1):
            x, y = self._regression(order, longest)
            n = len(y)
            q, _ = np.linalg.qr(_standardised(x)[0])
            y = (y - y.mean(axis=0)) / y.std(axis=0)
            left = y - q @ (q.T @ y)
            _, logdet = np.linalg.slogdet(left.T @ left / n)
            scores.append(float(logdet) + math.log(n) / n * width * (1 + order * width))
        best = 1 + int(np.argmin(scores))
        _LOG.debug("var.order chosen=%d longest=%d", best, longest)
        return best

    def discover(self) -> Discovery:
        """Every edge at lags 1..p with effect, interval, confidence and stability; hits counts the bootstraps behind the stability."""
        width, order = self.data.shape[1], self.order()
        raw, y = self._regression(order, order)
        x, x_scale = _standardised(raw)
        y_scale = y.std(axis=0)
        y = (y - y.mean(axis=0)) / y_scale
        self._refuse_dependent(x)
        n, k = x.shape
        coefficient, error, _ = _least_squares(x[None], y[None])
        full, error = coefficient[0, 1:], error[0, 1:]
        hits = self._bootstrap(x, y, np.sign(full))
        unit = y_scale[None, :] / x_scale[1:, None]
        half = t_quantile(0.95, n - k) * error * unit
        effect = full * unit
        confidence = t_central(full / error, n - k)
        variables = np.array(self.names, dtype=np.str_)
        return Discovery(
            variables=self.names,
            source=np.repeat(np.tile(variables, order), width),
            target=np.tile(variables, order * width),
            lag=np.repeat(np.arange(1, order + 1), width * width),
            effect=effect.ravel(),
            ci_low=(effect - half).ravel(),
            ci_high=(effect + half).ravel(),
            confidence=confidence.ravel(),
            stability=hits.ravel() / self.n_bootstrap,
            hits=hits.ravel(),
            n=n,
        )

    def _refuse_dependent(self, x: Floats) -> None:
        """Raises EngineError naming the first regressor that the ones before it determine."""
        diagonal = np.abs(np.diagonal(np.linalg.qr(x, mode="r")))
        dependent = diagonal <= 1e-8 * math.sqrt(len(x))
        if dependent.any():
            at = int(np.argmax(dependent)) - 1
            lag, column = at // len(self.names) + 1, self.names[at % len(self.names)]
            problem = f"column {column!r} (at lag {lag}) follows from the other columns"
            raise EngineError(problem, subject="VarEngine", remedy="Leave one of them out, or use a shorter max_lag")

    def _bootstrap(self, x: Floats, y: Floats, sign: Floats) -> npt.NDArray[np.int64]:
        """int64[regressors - 1, variables]: in how many resamples the edge has `sign` and BIC keeps it."""
        n, k = x.shape
        length = min(n, self.block_length or math.ceil(n ** (1 / 3)))
        generator = np.random.default_rng(self.rng)
        starts = generator.integers(0, n, (self.n_bootstrap, -(-n // length)))
        rows = ((starts[:, :, None] + np.arange(length)) % n).reshape(self.n_bootstrap, -1)[:, :n]
        least_t2 = (n - k) * math.expm1(math.log(n) / n)
        hits = np.zeros(sign.shape, dtype=np.int64)
        chunk = max(1, _CHUNK_VALUES // (n * k))
        for first in range(0, self.n_bootstrap, chunk):
            some = rows[first : first + chunk]
            coefficient, error, sound = _least_squares(x[some], y[some])
            kept = (coefficient[:, 1:] ** 2 > least_t2 * error[:, 1:] ** 2) & (np.sign(coefficient[:, 1:]) == sign) & sound[:, None, None]
            hits += kept.sum(axis=0)
        return hits


def _standardised(x: Floats) -> tuple[Floats, Floats]:
    """Columns after the intercept with mean 0 and standard deviation 1, and the standard deviations (1 for the intercept)."""
    scale = x.std(axis=0)
    scale[0] = 1.0
    centre = x.mean(axis=0)
    centre[0] = 0.0
    return (x - centre) / np.where(scale > 0, scale, 1.0), np.where(scale > 0, scale, 1.0)


def _least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Least squares for a batch. x: [batch, n, k], y: [batch, n, d].

    Returns coefficients and standard errors [batch, k, d], and which regressions are determined, bool[batch].
    """
    n, k = x.shape[1:]
    transposed = x.transpose(0, 2, 1)
    value, vector = np.linalg.eigh(transposed @ x)
    sound = value[:, 0] > _DEPENDENT * value[:, -1]
    inverse = (vector / np.maximum(value, _DEPENDENT * value[:, -1:])[:, None, :]) @ vector.transpose(0, 2, 1)
    coefficient = inverse @ (transposed @ y)
    left = y - x @ coefficient
    variance = np.einsum("bnd,bnd->bd", left, left) / (n - k)
    error = np.sqrt(np.maximum(np.diagonal(inverse, axis1=1, axis2=2)[:, :, None] * variance[:, None, :], 1e-300))
    return coefficient, error, sound
