"""Hold the second moments of one client's centred rows: what it sends in place of votes.

1. A row is the values of all variables at one time, and at the lags before it: one block of columns
   for lag 0 and one for each longer lag (`block_lags`). Without lags it is a row of a table.
2. The moments are sums over rows of products of two columns, after each client has taken away its
   own means. Sums of clients are then the moments of all their centred rows: what a regression with
   an intercept for each client needs (fixed effects), so that a difference between sites is no
   effect.
3. Only the upper triangle travels, so that a matrix is symmetric by construction. It is float64,
   row by row: 1.7 kB for 20 variables, 91 kB for 50 with two lags.
4. Where cells are missing, a pair's moment comes from the rows that have both, centred on their
   own means, and `counts` says how many these are.
5. Scale and centre of a column are public (`making.Scaling`), so that clients' sums can be added.

Source: Wooldridge, Econometric Analysis of Cross Section and Panel Data, 10.5 (within estimation).

What it does not do: it does not make moments (`making`), nor add them (`sums`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_SAMPLES, MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.tables.columns import all_finite, as_column
from hyperfed.tables.tables import MAX_LAG

__all__ = ["FORMS", "NOISED_FORMS", "Statistics", "block_lags", "triangle", "whole"]

FORMS = ("values", "ranks")
"""What the moments are of: the scaled values, or their normal scores within the client."""
NOISED_FORMS = ("clipped", "noised")
"""The forms of private rounds: moments of clipped rows on a grid (`clipped`), or those with noise.

They are no rows' moments: what is truncated or noised need not be positive semidefinite.
"""
_SUBJECT = "Statistics"
_ROUNDING = 1e-9  # for each column: how far below 0 rounding takes the smallest eigenvalue

Floats = npt.NDArray[np.float64]


def block_lags(lags: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lags of the blocks of columns: 0, and those of `lags` above it."""
    return (0, *(lag for lag in lags if lag > 0))


def triangle(matrix: npt.NDArray[np.float64]) -> Floats:
    """Return the upper triangle of a symmetric matrix, row by row, float64[m (m + 1) / 2]."""
    return np.ascontiguousarray(matrix[np.triu_indices(len(matrix))], dtype=np.float64)


def whole(column: npt.NDArray[np.float64] | npt.NDArray[np.uint64], width: int) -> Floats:
    """Return the symmetric matrix of an upper triangle, float64[width, width]."""
    matrix = np.zeros((width, width))
    at = np.triu_indices(width)
    matrix[at] = column
    matrix.T[at] = column
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """Holds one client's second moments.

    Raises BoundsError where columns do not fit each other, a number is not finite, a moment is
    larger than its diagonal allows, or the matrix of a client without missing cells is not positive
    semidefinite within rounding. The last two are not asked of `NOISED_FORMS`.
    """

    # without an annotation, which would make it a field
    COLUMNS = MappingProxyType({"variables": np.uint32, "moments": np.float64, "counts": np.uint64})

    variables: npt.NDArray[np.uint32]
    """uint32[d], strictly ascending: the variables, as indices of the round's vocabulary."""
    lags: tuple[int, ...]
    """The lags looked at, ascending."""
    n: int
    """The number of rows, at least 2: the times at which all lags can be looked at."""
    moments: Floats
    """float64[m (m + 1) / 2]: the upper triangle, m = d * len(block_lags(lags)), scaled publicly.

    Column b * d + i is variable i at the lag of block b.
    """
    counts: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """uint64[m (m + 1) / 2]: the rows behind each moment; empty where no cell is missing."""
    intervened: tuple[int, ...] = ()
    """The variables that the client's experiment set, ascending, as indices of the vocabulary."""
    form: str = "values"
    """What the moments are of, one of `FORMS` or `NOISED_FORMS`; those of different forms do not
    add.
    """

    def __post_init__(self) -> None:
        variables = as_column(self.variables, np.uint32, "Statistics.variables")
        if not len(variables) or (variables[1:] <= variables[:-1]).any():
            raise BoundsError("variables are strictly ascending, at least one", subject=_SUBJECT)
        if int(variables[-1]) >= MAX_VARIABLES:
            raise BoundsError(f"variables are below {MAX_VARIABLES}", subject=_SUBJECT)
        lags = tuple(self.lags)
        if (
            not lags
            or any(type(lag) is not int or not 0 <= lag <= MAX_LAG for lag in lags)
            or list(lags) != sorted(set(lags))
        ):
            raise BoundsError(f"lags is {lags!r:.80}; ascending lags are needed", subject=_SUBJECT)
        if type(self.n) is not int or not 2 <= self.n <= MAX_SAMPLES:
            raise BoundsError(f"n is {self.n!r:.40}; at least 2 rows are needed", subject=_SUBJECT)
        if self.form not in (*FORMS, *NOISED_FORMS):
            raise BoundsError(
                f"form is {self.form!r:.40}; one of {', '.join((*FORMS, *NOISED_FORMS))} is needed",
                subject=_SUBJECT,
            )
        set_here = tuple(self.intervened)
        if list(set_here) != sorted(set(set_here)) or not set(set_here) <= set(variables.tolist()):
            raise BoundsError(
                "intervened names variables that were measured, ascending", subject=_SUBJECT
            )
        moments = as_column(self.moments, np.float64, "Statistics.moments")
        counts = as_column(self.counts, np.uint64, "Statistics.counts")
        width = len(variables) * len(block_lags(lags))
        size = width * (width + 1) // 2
        if len(moments) != size or len(counts) not in (0, size):
            raise BoundsError(
                f"{len(moments)} moments and {len(counts)} counts of {width} columns; {size} "
                "belong, and as many counts or none",
                subject=_SUBJECT,
            )
        if not all_finite(moments):
            raise BoundsError("moments must be finite", subject=_SUBJECT)
        for name, column in (("variables", variables), ("moments", moments), ("counts", counts)):
            view = column.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        object.__setattr__(self, "lags", lags)
        object.__setattr__(self, "intervened", set_here)
        if self.form not in NOISED_FORMS:
            self._check_matrix()

    def _check_matrix(self) -> None:
        """Raise BoundsError where no rows can have these moments."""
        matrix, rows = self.matrix, self.rows
        diagonal, own = matrix.diagonal(), rows.diagonal()
        if len(self.counts) and (
            int(self.counts.max()) > self.n
            or (rows > np.minimum(own[:, None], own[None, :])).any()
            or (matrix[rows < 2] != 0).any()
        ):
            raise BoundsError(
                f"counts do not fit {self.n} rows: a pair has more of them than either end, or a "
                "moment where there are fewer than 2",
                subject=_SUBJECT,
            )
        if (diagonal <= 0).any():
            at = int(np.argmax(diagonal <= 0)) % len(self.variables)
            raise BoundsError(
                f"variable {int(self.variables[at])} does not vary",
                subject=_SUBJECT,
                remedy="Leave it out: it explains nothing",
            )
        root = np.sqrt(diagonal)
        scaled = matrix / root[:, None] / root[None, :]
        # Cauchy and Schwarz, who hold for a pair's own rows too
        sound = bool((np.abs(scaled) <= 1.0 + _ROUNDING).all())
        if sound and not len(self.counts):
            try:
                np.linalg.cholesky(scaled + _ROUNDING * len(scaled) * np.eye(len(scaled)))
            except np.linalg.LinAlgError:
                sound = False
        if not sound:
            raise BoundsError(
                "the moments are not positive semidefinite: no rows have them", subject=_SUBJECT
            )

    @property
    def width(self) -> int:
        """The number of columns of a row, over all blocks."""
        return len(self.variables) * len(block_lags(self.lags))

    @property
    def matrix(self) -> Floats:
        """The moments as a symmetric matrix, float64[m, m]."""
        return whole(self.moments, self.width)

    @property
    def rows(self) -> Floats:
        """The rows behind each moment, float64[m, m]."""
        if not len(self.counts):
            return np.full((self.width, self.width), float(self.n))
        return whole(self.counts, self.width)

    def without(self, variables: Sequence[int]) -> Self:
        """Return the statistics without some variables. Raises BoundsError where none is left."""
        stays = ~np.isin(self.variables, list(variables))
        if stays.all():
            return self
        columns = np.flatnonzero(np.concatenate([stays] * len(block_lags(self.lags))))
        at = np.ix_(columns, columns)
        return replace(
            self,
            variables=self.variables[stays],
            moments=triangle(self.matrix[at]),
            counts=triangle(self.rows[at]).astype(np.uint64) if len(self.counts) else self.counts,
            intervened=tuple(one for one in self.intervened if one not in set(variables)),
        )

    @property
    def nbytes(self) -> int:
        """The number of bytes of its columns."""
        return int(self.variables.nbytes + self.moments.nbytes + self.counts.nbytes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        mine = (self.lags, self.n, self.intervened, self.form)
        return mine == (other.lags, other.n, other.intervened, other.form) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]
