"""Offer PCMCI to Hyperfed, as an engine in a package of its own.

PCMCI looks for lagged edges of a time series by tests of independence that condition on each end's
own causes (Runge et al. 2019, Sci. Adv. 5). The effects are partial correlations. Stability is the
share of block bootstraps in which PCMCI finds a link again with its sign.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.engines import Discovery
from hyperfed.errors import EngineError

__all__ = ["PcmciEngine"]


class PcmciEngine:
    """Finds edges in one time series by PCMCI.

    Args:
        values: float[rows, variables], oldest first, without missing values.
        names: One name for each column.
        lags: The lags to look at; None stands for 1. All from 1 to the longest are looked at.
        n_bootstrap: The number of resamples for the stability.
        rng: A seed.
        alpha: The level of the tests.
        progress: What is told how far the resamples are.
    """

    reads: ClassVar[str] = "series"

    def __init__(
        self,
        values: npt.ArrayLike,
        names: Sequence[str],
        *,
        lags: Sequence[int] | None = None,
        n_bootstrap: int = 20,
        rng: int = 0,
        alpha: float = 0.01,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.values, self.names = np.asarray(values, dtype=np.float64), tuple(names)
        if not np.isfinite(self.values).all():
            raise EngineError("the series lacks values", subject="PCMCI", remedy="Use --engine var")
        self.lags = tuple(sorted({lag for lag in lags or (1,) if lag > 0})) or (1,)
        self.n_bootstrap, self.rng, self.alpha, self.progress = n_bootstrap, rng, alpha, progress

    def discover(self) -> Discovery:
        """Return the links that PCMCI finds, at lag 1 to the longest."""
        results = self._links(self.values)
        sign = np.sign(results["val_matrix"])
        linked = results["graph"] != ""
        again = np.zeros(linked.shape)
        generator, rows = np.random.default_rng(self.rng), len(self.values)
        for done in range(1, self.n_bootstrap + 1):
            found = self._links(self._resample(generator, rows))
            again += (found["graph"] != "") & (np.sign(found["val_matrix"]) == sign)
            if self.progress is not None:
                self.progress(done, self.n_bootstrap, 0.0)
        return Discovery.from_tigramite(
            results, self.names, tau_min=1, stability=again / self.n_bootstrap, n=rows
        )

    def _resample(self, generator: np.random.Generator, rows: int) -> npt.NDArray[np.float64]:
        """Return blocks of the series, of the cube root of its length, one after the other."""
        length = max(max(self.lags) + 1, round(rows ** (1 / 3)))
        starts = generator.integers(0, rows, -(-rows // length))
        at = (starts[:, None] + np.arange(length)).ravel()[:rows] % rows
        return np.asarray(self.values[at])

    def _links(self, values: npt.NDArray[np.float64]) -> dict[str, Any]:
        """Return what PCMCI says of a series."""
        from tigramite.data_processing import DataFrame
        from tigramite.independence_tests.parcorr import ParCorr
        from tigramite.pcmci import PCMCI

        frame = DataFrame(values, var_names=list(self.names))
        pcmci = PCMCI(dataframe=frame, cond_ind_test=ParCorr(), verbosity=0)
        found: dict[str, Any] = pcmci.run_pcmci(
            tau_min=1, tau_max=max(self.lags), alpha_level=self.alpha
        )
        return found
