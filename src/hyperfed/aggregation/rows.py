"""Read clients' vectors as one matrix (`Rows`), in column chunks that fit the processor's cache.

All rules share it.

1. Non-finite numbers are refused, never averaged. Every pass over the matrix would carry them into
   what it computes, and is checked there.
2. Extra memory stays below a tenth of the matrix: a pass holds one chunk of its columns and the
   answer.
3. Sums over clients run in the clients' order, one addition after the other. Inner products come
   from BLAS, which adds in an order of its own. They decide only who is near whom, and the vectors
   are then added in order.
4. A pre-aggregation is a matrix: row i of the mixed matrix is sum_j mix[i, j] x_j. It is applied
   chunk by chunk and never stored.
5. Squared distances come from one Gram matrix, which BLAS reads where the rows lie. Distances that
   cancel there (between rows much nearer to each other than to 0) are computed again around the
   most central row. Those that still cancel are computed from the differences themselves.
6. Inner products are scale-free. Where the squares of most rows would underflow, or those of one
   overflow, they are computed of the rows over a power of two (`unit`). That is near the median
   row's largest number, or is 2**-490 of the largest of all where that is more, so that nothing
   overflows. Decisions about who is near whom are the same at every scale. The vectors are then
   added as they are.

What it does not do: it knows no rule. The source is DESIGN section 5, "Dense vectors".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError

__all__ = ["Rows"]

Matrix = npt.NDArray[Any]  # float32 or float64
Floats = npt.NDArray[np.float64]

_CHUNK = 1 << 14  # columns: with 50 rows of float32 3 MiB, measured best among 2**12 ... 2**16
_SHARE = 16  # a chunk is at most this part of the columns
# a squared distance below this part of the two squared norms has lost too many digits
_CANCELS = {"float32": 1e-2, "float64": 1e-6}
_LARGEST = 1e150  # beyond it a number is refused where it stands in the way
_SMALL, _LARGE = 1e-200, 1e200  # squared norms outside are computed again, over a unit
_NARROWER = 4  # a chunk that is copied to float64 takes thrice the room
# binary digits: numbers that much larger than the unit can still be squared and summed
_REACH = 490


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Gives the rows that a rule works on: the clients' vectors, or mixtures of them."""

    matrix: Matrix
    """The clients' vectors, float32 or float64[clients, d]."""
    mix: Floats | None = None
    """How much of each client is in each row, float64[rows, clients], or None where the rows are
    the clients.
    """

    @classmethod
    def of(cls, updates: npt.ArrayLike, *, subject: str) -> "Rows":
        """Return the rows of `updates`, without a copy where these are one float matrix.

        Raises AggregationError where they are no matrix of numbers.
        """
        try:
            matrix = np.asarray(updates)
        except ValueError as exc:
            raise AggregationError(
                f"the updates are no matrix: {exc}",
                subject=subject,
                remedy="Give every client's vector the same length",
            ) from exc
        if matrix.dtype not in (np.float32, np.float64):
            if matrix.dtype.kind not in "iuf" or matrix.dtype.itemsize > 8:
                raise AggregationError(
                    f"the updates are {matrix.dtype}; numbers are needed", subject=subject
                )
            matrix = matrix.astype(np.float64)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise AggregationError(
                f"the updates have shape {matrix.shape}; clients and coordinates are needed",
                subject=subject,
            )
        return cls(matrix)

    def __len__(self) -> int:
        return len(self.matrix) if self.mix is None else len(self.mix)

    @property
    def width(self) -> int:
        """The number of coordinates."""
        return int(self.matrix.shape[1])

    def mixed(self, mix: Floats) -> "Rows":
        """Return the rows sum_j mix[i, j] x_j of these rows.

        `mix` is float64[new rows, rows].
        """
        return Rows(self.matrix, mix if self.mix is None else mix @ self.mix)

    # -- passes ------------------------------------------------------------------------------------

    def chunks(self, parts: int = 1) -> Iterator[tuple[slice, Matrix]]:
        """Yield (columns, float[rows, columns]) from left to right.

        The caller may use the buffer until the next chunk. `parts` says how many times narrower
        than usual a chunk is. Raises AggregationError where a client has a non-finite number.
        """
        rows, dtype = len(self), self.matrix.dtype
        step = max(1, min(_CHUNK, self.width // _SHARE) // parts)
        buffer, ones = np.empty((rows, step), dtype), np.ones(step, dtype)
        mix = None if self.mix is None else self.mix.astype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, self.width, step):
                at = slice(first, min(first + step, self.width))
                part = buffer[:, : at.stop - at.start]
                if mix is None:
                    part[:rows] = self.matrix[:, at]
                else:
                    np.matmul(mix, self.matrix[:, at], out=part[:rows])
                if not np.isfinite(part[:rows] @ ones[: part.shape[1]]).all():
                    self.refuse_non_finite()
                yield at, part

    def by_columns(
        self, compute: Callable[[Matrix], Matrix], chosen: Sequence[int] | None = None
    ) -> Matrix:
        """Return float[d]: the results of `compute` on each chunk, side by side.

        A chunk is float[rows + 1, columns], which `compute` may change. Its last row is work space.
        `chosen` says which rows are in it, all where it is None.
        """
        out = np.empty(self.width, self.matrix.dtype)
        which = np.arange(len(self)) if chosen is None else np.asarray(chosen)
        step = max(1, min(_CHUNK, self.width // _SHARE))
        buffer, ones = (
            np.empty((len(which) + 1, step), self.matrix.dtype),
            np.ones(step, self.matrix.dtype),
        )
        mix = None if self.mix is None else self.mix[which].astype(self.matrix.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, self.width, step):
                block = self.matrix[:, first : first + step]
                part = buffer[:, : block.shape[1]]
                if mix is not None:
                    np.matmul(mix, block, out=part[:-1])
                elif chosen is None:
                    part[:-1] = block
                else:
                    for row, client in zip(part, chosen, strict=False):
                        row[:] = block[client]
                if not np.isfinite(part[:-1] @ ones[: block.shape[1]]).all():
                    self.refuse_non_finite()
                result = compute(part)
                wide = ~np.isfinite(result)
                # a sum on the way overflowed, where the result itself need not
                if wide.any():
                    small = self._columns(block[:, wide], which) * self.matrix.dtype.type(2.0**-16)
                    result[wide] = compute(np.vstack([small, small[:1]])) * self.matrix.dtype.type(
                        2.0**16
                    )
                out[first : first + step] = result
        return out

    def _columns(self, block: Matrix, which: Any) -> Matrix:
        """Return the chosen rows of these columns of the matrix, float[chosen rows, columns]."""
        return np.asarray(
            block[which] if self.mix is None else self.mix[which].astype(block.dtype) @ block
        )

    def combine(self, weights: Floats, *, every: bool = False) -> Matrix:
        """Return float[d]: sum_i weights[i] row_i, added in the clients' order.

        With `every`, rows of weight 0 are read too, so that their numbers are checked. Raises
        AggregationError where the sum is not finite.
        """
        whole = weights if self.mix is None else weights @ self.mix
        used = [(i, w) for i, w in enumerate(whole.tolist()) if w != 0 or every]
        out = np.zeros(self.width, self.matrix.dtype)
        step = min(2 * _CHUNK, self.width)
        scaled = np.empty(step, self.matrix.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if used and all(w == used[0][1] for _, w in used):  # equal weights: add, and scale once
                for first in range(0, self.width, step):
                    sums = out[first : first + step]
                    for i, _ in used:
                        np.add(sums, self.matrix[i, first : first + step], out=sums)
                    np.multiply(sums, used[0][1], out=sums)
                if np.isfinite(out.sum()):
                    return out
                out[:] = 0
            for first in range(0, self.width, step):
                sums = out[first : first + step]
                room = scaled[: len(sums)]
                for i, weight in used:
                    np.multiply(self.matrix[i, first : first + step], weight, out=room)
                    np.add(sums, room, out=sums)
            if not np.isfinite(out.sum()):
                self.refuse_non_finite()
                if not np.isfinite(out).all():
                    raise AggregationError(
                        "the sum is beyond the largest number of its kind",
                        subject=str(self.matrix.dtype),
                        remedy="Use float64",
                    )
        return out

    def refuse_non_finite(self) -> None:
        """Raise AggregationError where a number is not finite or is beyond 1e150.

        The error names the first such client.
        """
        for client, row in enumerate(self.matrix):
            sound = np.isfinite(row)
            if not sound.all():
                at = int(np.argmin(sound))
                raise AggregationError(
                    f"holds {row[at]} at position {at}",
                    subject=f"update {client}",
                    remedy="Leave the client out: non-finite numbers are refused",
                )
            if float(np.abs(row).max()) > _LARGEST:
                raise AggregationError(
                    f"holds a number beyond {_LARGEST:g}",
                    subject=f"update {client}",
                    remedy="Leave the client out",
                )

    # -- inner products ----------------------------------------------------------------------------

    def gram(self, origin: Matrix | None = None) -> tuple[Floats, float]:
        """Return inner products over the square of a unit, float64[rows, rows], and that unit.

        They are of the rows minus `origin`, float[d], which is 0 where it is None. The unit is a
        power of two.
        """
        return self._gram(
            None if origin is None else (lambda part, at: np.subtract(part, origin[at], out=part))
        )

    def gram_around(self, row: int) -> Floats:
        """Return inner products of the rows minus one of them, float64[rows, rows].

        They are over the square of a unit. Each is accurate relative to the norms of its two rows.
        """
        return self._gram(
            lambda part, at: np.subtract(part, part[row].copy(), out=part), precise=True
        )[0]

    def distances(self) -> Floats:
        """Return squared Euclidean distances over the square of a unit, float64[rows, rows].

        They are exactly symmetric, 0 on the diagonal, and accurate where rows lie far from 0, too.
        """
        cancels = _CANCELS[self.matrix.dtype.name]
        gram, unit = self._gram(None)
        squared, doubtful = _from_gram(gram, cancels)
        if doubtful.any():
            central = int(np.argmin(np.sort(squared, axis=1)[:, : len(self) // 2 + 1].sum(axis=1)))
            around, of_around = self._gram(
                lambda part, at: np.subtract(part, part[central].copy(), out=part)
            )
            again, still = _from_gram(around, cancels)
            squared = np.where(
                doubtful & ~still, again * (of_around / unit) * (of_around / unit), squared
            )
            np.fill_diagonal(squared, 0.0)
            for i, j in zip(*np.nonzero(np.triu(doubtful & still, 1)), strict=True):
                squared[i, j] = squared[j, i] = self._distance(int(i), int(j), unit)
        return squared

    def _gram(
        self, centre: Callable[[Matrix, slice], Any] | None, *, precise: bool = False
    ) -> tuple[Floats, float]:
        """Return inner products over the square of a unit, and the unit.

        With `precise`, they are computed in float64 whatever type the rows have.
        """
        wide = np.dtype(np.float64)
        total = self._gram_in(wide if precise else self.matrix.dtype, centre)
        if (
            self.matrix.dtype == np.float32
            and not precise
            and not 1e-25 < _usual(total) <= float(total.diagonal().max()) < np.inf
        ):
            # squares beyond float32's range, or rows that are all the same
            self.refuse_non_finite()
            total = self._gram_in(wide, centre)
        if _SMALL < _usual(total) <= float(total.diagonal().max()) < _LARGE:
            return total, 1.0
        self.refuse_non_finite()
        unit = self._unit(centre)
        return (total, 1.0) if unit == 1.0 else (self._gram_in(wide, centre, unit), unit)

    def _unit(self, centre: Callable[[Matrix, slice], Any] | None) -> float:
        """Return a power of two near the median of the rows' largest numbers.

        Rows of zeros do not count. The unit is larger where one row's number is far beyond the
        median.
        """
        largest = np.zeros(len(self))
        for at, part in self.chunks(_NARROWER):
            wide = part.astype(np.float64)
            if centre is not None:
                centre(wide, at)
            np.maximum(largest, np.abs(wide).max(axis=1), out=largest)
        some = np.sort(largest[largest > 0])
        if not len(some):
            return 1.0
        usual, most = (int(np.frexp(some[at])[1]) for at in ((len(some) - 1) // 2, -1))
        return float(2.0 ** max(usual, most - _REACH, -1000))

    def _gram_in(
        self, dtype: np.dtype[Any], centre: Callable[[Matrix, slice], Any] | None, unit: float = 1.0
    ) -> Floats:
        """Return inner products over the square of `unit`, computed in `dtype`."""
        total = np.zeros((len(self), len(self)))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if (
                centre is None
                and self.mix is None
                and dtype == self.matrix.dtype
                and self.matrix.flags.c_contiguous
                and unit == 1.0
            ):
                for first in range(0, self.width, _CHUNK):
                    block = self.matrix[:, first : first + _CHUNK]
                    total += block @ block.T
                return total  # whatever is not finite shows on the diagonal
            for at, part in self.chunks(
                _NARROWER if dtype != self.matrix.dtype or unit != 1.0 else 1
            ):
                wide = part.astype(dtype, copy=False)
                if centre is not None:
                    centre(wide, at)
                if unit != 1.0:
                    wide = wide / unit
                total += wide @ wide.T
        return total

    def _distance(self, i: int, j: int, unit: float) -> float:
        """Return the squared distance of two rows, computed from their differences.

        It is over the square of `unit`.
        """
        total = 0.0
        step = max(1, min(_CHUNK, self.width // _SHARE))
        for first in range(0, self.width, step):
            block = self.matrix[:, first : first + step]
            gap = (
                block[i].astype(np.float64) - block[j]
                if self.mix is None
                else (self.mix[i] - self.mix[j]) @ block
            )
            gap = gap / unit
            total += float(gap @ gap)
        return total


def _usual(gram: Floats) -> float:
    """Return the lower median of the squared norms."""
    return float(np.sort(gram.diagonal())[(len(gram) - 1) // 2])


def _from_gram(gram: Floats, cancels: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the squared distances, and which of them have lost too many digits."""
    norms = gram.diagonal()
    sums = norms[:, None] + norms[None, :]
    squared = sums - gram - gram.T
    np.fill_diagonal(squared, 0.0)
    doubtful = squared < cancels * sums
    np.fill_diagonal(doubtful, False)
    return np.maximum(squared, 0.0), doubtful
