"""Find a graph at lag 0 in sums of statistics: PC and FCI by Fisher's z, GES by BIC.

1. The searches are causal-learn's, on the correlations of the sum: no row is invented. PC and FCI
   get a test whose number of rows is that of the pair with the fewest; GES gets that of the middle
   pair.
2. A pair has no part of clients whose experiment set either of its ends.
3. Effects are regressions on the causes found (`summed_effects`), and confidence is 1 - p of their
   t. Stability is the share of parametric resamples of the sum (Wishart draws of its covariance)
   that find the edge with its sign and in which BIC keeps it. One that finds it without a direction
   counts half.
4. Knowledge goes into PC and FCI, and is held to afterwards by all (`TableFit.held_to`).
5. Noise on a private sum is in the tests of PC and FCI, in the resamples and in effects. GES, whose
   score knows none, refuses such a sum.
6. Where pairs have unlike clients or rows, and together no valid correlation matrix, the matrix is
   repaired and the result says so.

Sources: Spirtes, Glymour & Scheines 2000; Chickering 2002, JMLR 3; Zheng et al. 2024, JMLR 25
(causal-learn); Odell & Feiveson 1966, JASA 61 (Wishart draws).

What it does not do: it knows nothing of time (`summed.var`).
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.causal_learn import (
    TestingFit,
    found_of_marks,
    module_of_causal_learn,
    quietly,
)
from hyperfed.engines.resampling import one_thread
from hyperfed.engines.summed.engine import SummedEngine, summed_effects
from hyperfed.engines.summed.independence import TEST, register
from hyperfed.engines.table import TableFound, known_pairs, signed_votes
from hyperfed.errors import EngineError
from hyperfed.packets.knowledge import Knowledge
from hyperfed.statistics import Sums
from hyperfed.statistics.noise import definite
from hyperfed.statistics.sweeping import repaired
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["RESAMPLES", "SummedFci", "SummedGes", "SummedPc"]

RESAMPLES = 20
"""How many parametric resamples the stability comes from, unless a plan says otherwise."""
_SHOWN = 0.05  # share of resamples from which an edge is reported that the sum does not have

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GraphFit(TestingFit):
    """Searches for a graph on correlations."""

    effective: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """float64[variables, variables]: the degrees of freedom behind each pair."""
    noise: Floats | None = None
    """float64[variables, variables]: the noise on each correlation, as a standard deviation."""

    @property
    def rows(self) -> int:
        """The rows of the middle pair: its degrees of freedom, and one for the mean."""
        known = self.effective[np.triu_indices(len(self.effective), 1)]
        return 1 + int(np.median(known[known > 0]) + 1e-6) if (known > 0).any() else 1

    def prepare(self) -> None:
        """Import the library. Raises ConfigError where it is not installed."""
        register()

    @abstractmethod
    def find(self, data: Floats) -> TableFound:
        """Return what is found in a correlation matrix."""

    def resample(self, data: Floats, rng: np.random.Generator) -> Floats:
        """Return the correlations of as many normal rows as there are, with these correlations."""
        width, degrees = len(data), self.rows - 1
        root = np.linalg.cholesky(data + 1e-10 * np.eye(width))
        draw = np.tril(rng.standard_normal((width, width)), -1)
        draw[np.diag_indices(width)] = np.sqrt(
            rng.chisquare(np.maximum(degrees - np.arange(width), 1))
        )
        factor = root @ draw
        drawn = factor @ factor.T
        if self.noise is not None:
            # what a resample of the sum has: noise of its own, and eigenvalues raised to it
            draw = np.triu(rng.standard_normal((width, width)))
            moved = (draw + np.triu(draw, 1).T) * self.noise
            drawn, _ = definite(drawn / degrees + moved, float(np.median(self.noise)))
        spread = np.sqrt(drawn.diagonal())
        return np.asarray(drawn / spread[:, None] / spread[None, :])

    def votes(self, data: Floats) -> Floats:
        """Return float64[2, source, target]: signed votes, and 1 where the pair is x <-> y."""
        fit_result = self.find(data)
        votes = self.held_to(fit_result.votes)
        noise = 0.0 if self.noise is None else float(np.median(self.noise))
        estimated = summed_effects(data, self.effective, votes > votes.T, votes > 0, noise=noise)
        return signed_votes(
            votes, estimated.effect, estimated.std_error, fit_result.confounded, rows=self.rows
        )


@dataclass(frozen=True, kw_only=True)
class _PcFit(GraphFit):
    def find(self, data: Floats) -> TableFound:
        module = module_of_causal_learn("search.ConstraintBased.PC")
        with quietly():
            result = module.pc(
                np.zeros((len(data) + 1, len(data))),
                self.alpha,
                TEST,
                background_knowledge=self._background(len(data)),
                show_progress=False,
                correlation=data,
                effective=self.effective,
                noise=self.noise,
            )
        return found_of_marks(result.G)


@dataclass(frozen=True, kw_only=True)
class _FciFit(GraphFit):
    def find(self, data: Floats) -> TableFound:
        module = module_of_causal_learn("search.ConstraintBased.FCI")
        with quietly():
            result, _ = module.fci(
                np.zeros((len(data) + 1, len(data))),
                TEST,
                self.alpha,
                background_knowledge=self._background(len(data)),
                show_progress=False,
                correlation=data,
                effective=self.effective,
                noise=self.noise,
            )
        return found_of_marks(result)


@dataclass(frozen=True, kw_only=True)
class _GesFit(GraphFit):
    def find(self, data: Floats) -> TableFound:
        if self.noise is not None:
            raise EngineError(
                "its score knows nothing of the noise on a private sum",
                subject="SummedGes",
                remedy="Name var, pc or fci in the plan",
            )
        module = module_of_causal_learn("search.ScoreBased.GES")
        with quietly():
            result = module.ges(score_func="local_score_BIC_from_cov", cov=data, n=self.rows)
        return found_of_marks(result["G"])


class _SummedGraph(SummedEngine):
    """Finds edges at lag 0 in sums.

    Args:
        sums, vocabulary, knowledge: As in `SummedEngine`.
        alpha: The level of the tests, in (0, 1).
        resamples: How many parametric resamples the stability comes from.
        seed: What they are drawn by, 0 or more: the same seed gives the same stability.
    """

    fit: ClassVar[type[GraphFit]]

    def __init__(
        self,
        sums: Sums,
        vocabulary: Vocabulary,
        *,
        knowledge: Knowledge | None = None,
        alpha: float = 0.05,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        super().__init__(sums, vocabulary, knowledge=knowledge)
        self.alpha, self.resamples, self.seed = alpha, resamples, seed
        if resamples < 1:
            raise EngineError(
                f"resamples is {resamples!r:.40}; at least 1 is needed", subject="summed engine"
            )

    def discover(self) -> Discovery:
        """Return the edges found, at lag 0, with effects, confidence and stability.

        Raises ConfigError where the library is not installed, EngineError where it fails.
        """
        pairs = self.sums.pairs
        at = np.ix_(self.measured, self.measured)
        effective = pairs.effective[at]
        correlation, covariance = pairs.correlation[at], pairs.covariance[at]
        notes: tuple[str, ...] = ()
        np.fill_diagonal(correlation, 1.0)
        correlation, mended = repaired(correlation)
        if mended:
            spread = np.sqrt(covariance.diagonal())
            covariance = correlation * np.outer(spread, spread)
            notes = (
                "pairs of variables have unlike clients or rows, and together no correlation "
                "matrix: it was repaired",
            )
        noise = 0.0
        if pairs.noise:
            noise = pairs.noise / float(effective.max())
            spread = np.sqrt(covariance.diagonal())
        fit = self.fit(
            alpha=self.alpha,
            effective=effective,
            noise=noise / np.outer(spread, spread) if noise else None,
            **known_pairs(self.knowledge, self.names),
        )
        self._check_rows(fit)
        fit.prepare()
        try:
            with one_thread():
                fit_result = fit.find(correlation)
                resamples = self._resampled(fit, correlation)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as exc:
            raise EngineError(
                f"the library failed: {exc}"[:300],
                subject=type(self).__name__,
                remedy="Leave out of the vocabulary a variable that nearly follows from others",
            ) from exc
        votes = fit.held_to(fit_result.votes)
        shown_edges = (votes > 0) | (np.abs(resamples[:, 0]).mean(axis=0) >= _SHOWN)
        shown_edges &= effective > 0
        estimated = summed_effects(covariance, effective, votes > votes.T, shown_edges, noise=noise)
        effect = estimated.effect
        source, target = np.nonzero(shown_edges & np.isfinite(effect) & (effect != 0))
        agreeing = np.maximum(
            resamples[:, 0, source, target] * np.sign(effect)[source, target], 0.0
        )
        unit = self.scale[target] / self.scale[source]
        names = np.array(self.names, dtype=np.str_)
        return Discovery(
            variables=self.names,
            lags=(0,),
            source=names[source],
            target=names[target],
            lag=np.zeros(len(source), dtype=np.int64),
            effect=effect[source, target] * unit,
            std_error=estimated.std_error[source, target] * unit,
            confidence=np.nan_to_num(estimated.confidence)[source, target],
            stability=np.clip(agreeing.mean(axis=0), 0.0, 1.0),
            hits=(agreeing > 0).sum(axis=0),
            n=self.rows_of(pairs)[source, target],
            endpoints=fit_result.marks(votes, source.tolist(), target.tolist()),
            bidirected=fit_result.bidirected(resamples, self.names),
            notes=notes,
        )

    def _check_rows(self, fit: GraphFit) -> None:
        """Raise EngineError where the rows do not suffice to test with all others held fixed."""
        if fit.rows < len(self.names) + 5:
            raise EngineError(
                f"{fit.rows} rows of {len(self.names)} variables are too few",
                subject=type(self).__name__,
                remedy="Wait for more clients or rows, or name fewer variables",
            )

    def _resampled(self, fit: GraphFit, correlation: Floats) -> Floats:
        """Return the votes of all resamples, float64[resamples, 2, source, target]."""
        draws = np.random.default_rng(self.seed).spawn(self.resamples)
        votes = []
        for draw in draws:
            drawn = fit.resample(correlation, draw)
            # a pair that nobody measured stays one of which nothing is known
            drawn = np.where(fit.effective > 0, drawn, 0.0)
            np.fill_diagonal(drawn, 1.0)
            votes.append(fit.votes(drawn))
        return np.stack(votes)


class SummedPc(_SummedGraph):
    """Finds edges at lag 0 in sums by PC, in its stable form."""

    fit: ClassVar[type[GraphFit]] = _PcFit


class SummedFci(_SummedGraph):
    """Finds edges at lag 0 in sums by FCI, which allows for causes that nobody measured."""

    fit: ClassVar[type[GraphFit]] = _FciFit


class SummedGes(_SummedGraph):
    """Finds edges at lag 0 in sums by GES with BIC; it has no level."""

    fit: ClassVar[type[GraphFit]] = _GesFit
