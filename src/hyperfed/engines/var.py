"""Find lagged edges of a time series by vector autoregression: Hyperfed's own engine.

1. y_t = c + sum over the lags l of A_l y_(t-l) + e_t is fitted by ordinary least squares. The lags
   are those given, as a round's plan names them; where that leaves too few rows, the longest are
   left out. Where none are given, BIC chooses p among 1..max_lag on a common sample, and they are
   1..p (Lütkepohl 2005, New Introduction to Multiple Time Series Analysis, section 4.3). The edge
   j -> i at lag l has the effect A_l[i, j].
2. The interval is effect +- 1.96 standard errors, as it travels; the errors are those of least
   squares with rows - regressors degrees of freedom.
3. confidence = 1 - p, where p is the two-sided p-value of the t-test in the full sample, with those
   degrees: how sure the sign is. Under pure noise it is uniform in [0, 1], 0.50 on average;
   stability and the votes of others tell noise from an edge.
4. Least squares are solved by an orthogonal basis (`least_squares`), on columns scaled by powers of
   two: nearly equal columns and units of any size cost no digits. A row with holes is left out of
   the equations whose target or regressors it lacks, and of no other; `n` counts what is left. A
   variable that the past explains exactly is refused: it was computed rather than measured.
5. stability is the share of block bootstraps in which the edge has the full sample's sign and BIC
   keeps it: dropping the single regressor would raise n log(RSS) by n log(1 + t²/df) > log n. This
   is the same criterion as for p, so there is no threshold to tune. The bootstrap draws circular
   blocks of whole regression rows (y_t with its lags; Künsch 1989; Politis & Romano 1992), of
   length ceil(n^(1/3)) unless given. A resample whose regressors are dependent shows nothing and
   counts as not selected.
6. All d*d edges at each of these lags are returned, weak ones too: the policy decides which are
   shared, and weak rows help the merge.

Edges are predictive (Granger) edges: a common cause that is not among the variables can produce
one.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.columns import check_columns, constant, nearly_alike, scaled
from hyperfed.engines.least_squares import LeastSquares, dependent
from hyperfed.errors import EngineError
from hyperfed.merge.student_t import t_central

__all__ = ["VarEngine"]

_LOG = logging.getLogger(__name__)
_EXACT = 1e-6  # of a variable's spread: what the past must leave unexplained
_NEARLY_EXACT = 1e-3
_MUCH_LOST = 0.2  # of the rows
_SMALLEST_UNIT = 1e-290  # beyond it, an effect's standard error may be no number any more

Floats = npt.NDArray[np.float64]


class VarEngine:
    """Finds edges in one time series, as an `Engine`.

    Args:
        data: float[rows, variables], equally spaced in time, oldest first; NaN where a value is
            missing. No column may be constant, a copy, or an index (`columns`).
        names: One name for each column, unique.
        max_lag: The longest lag tried, in time steps, where `lags` is None. An order that leaves
            fewer residual degrees of freedom than variables is not a candidate.
        lags: The lags to look at, each at least 1; None lets BIC choose 1..p.
        n_bootstrap: The number of resamples for the stability.
        block_length: The length of a block, in rows; None chooses it by rule 4.
        rng: A seed, with which every `discover()` gives the same result, or a generator.

    Raises EngineError, which names the column, where the data cannot be used.
    """

    def __init__(
        self,
        data: npt.ArrayLike,
        names: Sequence[str],
        *,
        max_lag: int = 1,
        lags: Sequence[int] | None = None,
        n_bootstrap: int = 100,
        block_length: int | None = None,
        rng: int | np.random.Generator = 0,
    ) -> None:
        try:
            self.data = np.array(data, dtype=np.float64)
        except (TypeError, ValueError) as exc:
            raise EngineError(f"the data are not numbers: {exc}", subject="VarEngine") from exc
        self.names = tuple(names)
        self.max_lag, self.n_bootstrap, self.block_length, self.rng = (
            max_lag,
            n_bootstrap,
            block_length,
            rng,
        )
        for name, value in (
            ("max_lag", max_lag),
            ("n_bootstrap", n_bootstrap),
            ("block_length", 1 if block_length is None else block_length),
        ):
            if not isinstance(value, int) or value < 1:
                raise EngineError(
                    f"{name} is {value!r}; a whole number of at least 1 is needed",
                    subject="VarEngine",
                )
        self.lags = None if lags is None else tuple(sorted(set(lags)))
        if self.lags is not None and not (self.lags and self.lags[0] >= 1):
            raise EngineError(
                f"lags is {self.lags!r:.80}; lags of at least 1 are needed",
                subject="VarEngine",
                remedy=(
                    "Name lags of at least 1: a vector autoregression looks from earlier rows to "
                    "later ones"
                ),
            )
        check_columns(self.data, self.names, subject="VarEngine")
        self._scaled, self._exponents = scaled(self.data)
        self._has_holes = bool(np.isnan(self.data).any())
        self._check()
        self.data.flags.writeable = False

    def _check(self) -> None:
        """Raise EngineError where there are too few rows, or a column does not vary."""
        rows, width = self.data.shape
        need = 2 * width + 2
        if rows < need:
            problem = f"{rows} rows of {width} columns ({', '.join(self.names[:5])}) are too few"
            raise EngineError(
                problem, subject="VarEngine", remedy=f"Give at least {need} rows, for lag 1"
            )
        for part in (self._scaled[:-1], self._scaled[1:]):
            still = constant(part)
            if still.any():
                name = self.names[int(np.argmax(still))]
                raise EngineError(
                    f"column {name!r:.80} is constant",
                    subject="VarEngine",
                    remedy="Leave it out: it explains nothing",
                )

    def _regression(self, lags: Sequence[int], first: int) -> tuple[Floats, Floats]:
        """Return the regressors X and the values Y, of the rows from `first` on.

        X is [rows - first, 1 + lags * variables]: an intercept, then all variables at each lag. Y
        is [rows - first, variables].
        """
        rows, data = len(self._scaled), self._scaled
        lagged = [data[first - lag : rows - lag] for lag in lags]
        return np.concatenate([np.ones((rows - first, 1)), *lagged], axis=1), data[first:]

    def _whole(self, lags: Sequence[int], first: int) -> tuple[Floats, Floats]:
        """Return the regressors and the values of the rows that lack nothing."""
        x, y = self._regression(lags, first)
        whole = ~(np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1))
        return (x, y) if whole.all() else (x[whole], y[whole])

    def _rows(self, lags: Sequence[int]) -> int:
        """Return how many rows lack nothing at these lags."""
        if not self._has_holes:
            return len(self.data) - max(lags)
        return 0 if max(lags) >= len(self.data) else len(self._whole(lags, max(lags))[1])

    def order(self) -> int:
        """Return the lag order that BIC chooses among those that the number of rows allows."""
        width = self.data.shape[1]
        longest = max(
            lag
            for lag in range(1, self.max_lag + 1)
            if lag == 1 or self._rows(range(1, lag + 1)) - (1 + lag * width) >= width
        )
        scores = []
        for order in range(1, longest + 1):
            x, y = self._whole(range(1, order + 1), longest)
            n = len(y)
            if order == 1 and n < 2 * width + 1:
                break
            q, _ = np.linalg.qr(_standardised(x)[0])
            y = (y - y.mean(axis=0)) / y.std(axis=0)
            residuals = y - q @ (q.T @ y)
            _, logdet = np.linalg.slogdet(residuals.T @ residuals / n)
            scores.append(float(logdet) + math.log(n) / n * width * (1 + order * width))
        if not scores:
            return 1
        best = 1 + int(np.argmin(scores))
        _LOG.debug("var.order chosen=%d longest=%d", best, longest)
        return best

    def looked_at(self) -> tuple[int, ...]:
        """Return the lags that are fitted, ascending: those given, as far as the rows allow.

        Without given ones they are 1..p, where BIC chooses p. Raises EngineError where the rows do
        not allow even the shortest.
        """
        if self.lags is None:
            return tuple(range(1, self.order() + 1))
        rows, width = self.data.shape
        fitting = [
            lag
            for count, lag in enumerate(self.lags, start=1)
            if self._rows(self.lags[:count]) - (1 + count * width) >= (1 if count == 1 else width)
        ]
        if not fitting:
            raise EngineError(
                f"{rows} rows of {width} columns are too few for lag {self.lags[0]}",
                subject="VarEngine",
                remedy=f"Give at least {self.lags[0] + width + 2} rows, or fewer columns",
            )
        if len(fitting) < len(self.lags):
            _LOG.info("var.lags fitted=%d of=%d rows=%d", len(fitting), len(self.lags), rows)
        return tuple(fitting)

    def discover(self) -> Discovery:
        """Return every edge at the lags looked at: effect, interval, confidence and stability.

        hits counts the resamples in which the edge was found. Raises EngineError where a variable
        follows from the others, or from the past.
        """
        width, lags = self.data.shape[1], self.looked_at()
        x, y = self._regression(lags, lags[-1])
        shape = (len(lags) * width, width)
        effect, error, confidence = (np.empty(shape) for _ in range(3))
        hits, counts = np.empty(shape, np.int64), np.empty(width, np.int64)
        notes = list(nearly_alike(self.data, self.names))
        for rows, targets in self._equations(x, y):
            fit, unit = self._fit(x[rows], y[rows][:, targets], targets, lags)
            n, k = fit.basis.shape
            notes += self._check_exact(fit, targets, lags)
            effect[:, targets] = fit.coefficient[1:] * unit
            error[:, targets] = fit.error[1:] * unit
            confidence[:, targets] = t_central(fit.coefficient[1:] / fit.error[1:], n - k)
            hits[:, targets] = self._bootstrap(fit)
            counts[targets] = n
        notes += self._lost(counts, len(x))
        variables = np.array(self.names, dtype=np.str_)
        same = len(set(counts.tolist())) == 1
        return Discovery(
            variables=self.names,
            lags=lags,
            source=np.repeat(np.tile(variables, len(lags)), width),
            target=np.tile(variables, len(lags) * width),
            lag=np.repeat(lags, width * width),
            effect=effect.ravel(),
            std_error=error.ravel(),
            confidence=confidence.ravel(),
            stability=hits.ravel() / self.n_bootstrap,
            hits=hits.ravel(),
            n=int(counts[0]) if same else np.tile(counts, len(lags) * width),
            notes=tuple(notes),
        )

    def _equations(
        self, x: Floats, y: Floats
    ) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
        """Return the rows that each equation can use, with the targets that share them.

        Raises EngineError where they are too few.
        """
        regressors: npt.NDArray[np.bool_] = np.asarray(~np.isnan(x).any(axis=1))
        usable = regressors[:, None] & ~np.isnan(y)
        few = usable.sum(axis=0) <= x.shape[1]
        if few.any():
            target = int(np.argmax(few))
            lacking = int(np.argmax(np.isnan(self.data).sum(axis=0)))
            raise EngineError(
                f"only {int(usable[:, target].sum())} rows lack nothing that edges into "
                f"{self.names[target]!r:.80} need; {x.shape[1] + 1} are needed",
                subject="VarEngine",
                remedy=f"Leave out {self.names[lacking]!r:.80}, which lacks most, or look at fewer "
                "lags",
            )
        groups: dict[bytes, list[int]] = {}
        for target in range(y.shape[1]):
            groups.setdefault(usable[:, target].tobytes(), []).append(target)
        return [(usable[:, some[0]], np.array(some)) for some in groups.values()]

    def _fit(
        self, raw: Floats, y: Floats, targets: npt.NDArray[np.int64], lags: Sequence[int]
    ) -> tuple[LeastSquares, Floats]:
        """Return the fit of some equations, and the unit of their coefficients.

        Raises EngineError where a regressor follows from others, a target does not vary in the rows
        that are left, or an effect has no number in the data's units.
        """
        still = constant(y)  # [equations]
        if still.any():
            raise EngineError(
                f"column {self.names[targets[int(np.argmax(still))]]!r:.80} is constant in the "
                "rows without holes",
                subject="VarEngine",
                remedy="Leave it out, or a column that lacks many values",
            )
        x, x_scale = _standardised(raw)
        y_scale = y.std(axis=0)
        self._refuse_dependent(x, lags)
        width = len(self.names)
        powers = self._exponents[targets][None, :] - np.tile(self._exponents, len(lags))[:, None]
        with np.errstate(over="ignore", under="ignore"):
            unit = np.ldexp(y_scale[None, :] / x_scale[1:, None], powers.astype(np.int32))
        wrong = ~((unit > _SMALLEST_UNIT) & (unit < 1 / _SMALLEST_UNIT))
        if wrong.any():
            at, into = np.argwhere(wrong)[0].tolist()
            raise EngineError(
                f"the effect of {self.names[at % width]!r:.80} on "
                f"{self.names[targets[into]]!r:.80} has no number in their units",
                subject="VarEngine",
                remedy="Use units in which both columns are of like size",
            )
        return LeastSquares.of(x, (y - y.mean(axis=0)) / y_scale), unit

    def _check_exact(
        self, fit: LeastSquares, targets: npt.NDArray[np.int64], lags: Sequence[int]
    ) -> list[str]:
        """Return notes on variables that the past explains nearly without a rest.

        Raises EngineError where nothing is left: such a fit says nothing of chance.
        """
        notes = []
        for column in np.flatnonzero(fit.left < _NEARLY_EXACT).tolist():
            at = int(np.argmax(np.abs(fit.coefficient[1:, column])))
            source, lag = self.names[at % len(self.names)], lags[at // len(self.names)]
            target, unexplained = self.names[targets[column]], float(fit.left[column])
            description = f"column {target!r:.80} follows from {source!r:.80} at lag {lag}"
            if unexplained < _EXACT:
                raise EngineError(
                    f"{description} without a rest: it seems computed from it, "
                    "and no test can judge that",
                    subject="VarEngine",
                    remedy="Leave one of them out; a trend or a sum is no measurement",
                )
            notes.append(
                f"{description} up to {unexplained:.1g} of its spread: is it computed from it?"
            )
        return notes

    def _lost(self, counts: npt.NDArray[np.int64], rows: int) -> list[str]:
        """Return a note on the rows that holes cost, or nothing."""
        worst = int(np.argmin(counts))
        lost = rows - int(counts[worst])
        if not lost:
            return []
        description = (
            f"missing values cost {lost} of {rows} rows ({lost / rows:.0%}) for edges into "
            f"{self.names[worst]!r:.80}"
        )
        if lost > _MUCH_LOST * rows:
            description += (
                f", more than {_MUCH_LOST:.0%}: what is left may differ from what is missing"
            )
        return [description]

    def _refuse_dependent(self, x: Floats, lags: Sequence[int]) -> None:
        """Raise EngineError where a regressor follows from those before it.

        The error names the first such regressor, and from which it follows.
        """
        dependency = dependent(x)
        if dependency is None:
            return
        at, others = dependency
        width = len(self.names)
        (name, lag), *most = (
            (self.names[(one - 1) % width], lags[(one - 1) // width]) for one in (at, *others)
        )
        follows = ", ".join(f"{other!r:.40} at lag {its}" for other, its in most)
        raise EngineError(
            f"column {name!r:.80} (at lag {lag}) follows from the other columns"
            + (f": {follows}" if follows else ""),
            subject="VarEngine",
            remedy="Leave one of them out, or look at fewer lags",
        )

    def _bootstrap(self, fit: LeastSquares) -> npt.NDArray[np.int64]:
        """Return in how many resamples each edge has its sign and BIC keeps it.

        The result is int64[regressors - 1, equations].
        """
        n, k = fit.basis.shape
        length = min(n, self.block_length or math.ceil(n ** (1 / 3)))
        generator = np.random.default_rng(self.rng)
        starts = generator.integers(0, n, (self.n_bootstrap, -(-n // length)))
        rows = ((starts[:, :, None] + np.arange(length)) % n).reshape(self.n_bootstrap, -1)[:, :n]
        least_t2 = (n - k) * math.expm1(math.log(n) / n)
        return fit.hits(rows, least_t2)[1:]


def _standardised(x: Floats) -> tuple[Floats, Floats]:
    """Return x with standardised columns, and the standard deviations of the columns.

    Every column after the intercept gets mean 0 and standard deviation 1. The intercept stays as it
    is, with 1 as its standard deviation.
    """
    scale = x.std(axis=0)
    scale[0] = 1.0
    centre = x.mean(axis=0)
    centre[0] = 0.0
    return (x - centre) / np.where(scale > 0, scale, 1.0), np.where(scale > 0, scale, 1.0)
