"""Test independence on correlations: Fisher's z, as causal-learn's searches ask for it.

1. A test of x and y given S takes the correlations of the sum, and the rows of the pair with the
   fewest among x, y and S: its degrees of freedom, and one for the mean. Of one client, or where
   all measured everything, it is causal-learn's own test on all centred rows.
2. Noise on the correlations (a private round) adds its variance to that of z.
3. A pair whose ends no client measured together is taken as independent, and gets no edge.

Source: Fisher 1924; Kalisch & Buehlmann 2007, JMLR 8.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.causal_learn import module_of_causal_learn
from hyperfed.statistics.noise import partial_noise

__all__ = ["TEST", "independence_p", "register"]

TEST = "hyperfed-sums"
"""The name under which causal-learn finds the test."""
_WHOLE = 1.0 - 2.0**-52

Floats = npt.NDArray[np.float64]


def independence_p(
    correlation: Floats,
    effective: Floats,
    x: int,
    y: int,
    given: list[int],
    noise: Floats | None = None,
) -> float:
    """Return the p-value of x and y being independent given others.

    noise: float64[variables, variables]: the standard deviation of the noise on each correlation.
    """
    if effective[x, y] <= 0:
        return 1.0
    columns = [x, y, *given]
    inverse = np.linalg.inv(correlation[columns][:, columns])
    r = -inverse[0, 1] / math.sqrt(abs(inverse[0, 0] * inverse[1, 1]))
    z = math.atanh(min(abs(r), _WHOLE))
    part = effective[columns][:, columns]
    rows = float(part[part > 0].min()) + 1.0
    free = rows - len(given) - 3.0
    if free <= 0:
        return 1.0
    variance = 1.0 / free
    if noise is not None:
        variance += partial_noise(np.asarray(inverse, np.float64), noise[columns][:, columns])
    return math.erfc(z / math.sqrt(2.0 * variance))


@cache
def register() -> None:
    """Make the test known to causal-learn. Raises ConfigError where it is not installed."""
    library = module_of_causal_learn("utils.cit")

    class SumsTest(library.CIT_Base):  # type: ignore[name-defined, misc]
        """Answers causal-learn's searches from correlations; the data it is given are empty."""

        def __init__(
            self,
            data: Any,
            *,
            correlation: Floats,
            effective: Floats,
            noise: Floats | None = None,
        ) -> None:
            super().__init__(data)
            self.method = "fisherz"
            self.correlation, self.effective, self.noise = correlation, effective, noise
            self.answered: dict[str, float] = {}

        def __call__(self, x: int, y: int, condition_set: Any = None) -> float:
            (x,), (y,), given, key = self.get_formatted_XYZ_and_cachekey(x, y, condition_set)
            if key not in self.answered:
                self.answered[key] = independence_p(
                    self.correlation, self.effective, x, y, given, self.noise
                )
            return self.answered[key]

    library.register_ci_test(TEST, SumsTest)
