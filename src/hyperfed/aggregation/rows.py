"""`Rows`: clients' vectors as one matrix, read in column chunks that fit the processor's cache; all that the rules share.

1. Non-finite numbers are refused, never averaged: every pass over the matrix would carry them into what it computes, and is checked there.
2. Extra memory stays below a tenth of the matrix: a pass holds one chunk of its columns and the answer.
3. Sums over clients run in the clients' order, one addition after the other. Inner products come from BLAS, which adds in an order of its own:
   they decide (who is near whom), and what they decide about is then added in order.
4. A pre-aggregation is a matrix: row i of the mixed matrix is sum_j mix[i, j] x_j. It is applied chunk by chunk and never stored.
5. Squared distances come from one Gram matrix, read by BLAS where the rows lie. What cancels there (rows much nearer to each other than to 0) is
   computed again around the most central row, and what still cancels from the differences themselves.

It knows no rule. Source: DESIGN section 5, "Dense vectors".
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
_CANCELS = {"float32": 1e-2, "float64": 1e-6}  # a squared distance below this part of the two squared norms has lost too many digits
_LARGEST = 1e150  # its square is still a float64


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """matrix: float32 or float64[clients, d]; mix: float64[rows, clients] or None for the clients themselves."""

    matrix: Matrix
    mix: Floats | None = None

    @classmethod
    def of(cls, updates: npt.ArrayLike, *, subject: str) -> "Rows":
        """The rows of `updates`, without a copy where these are one float matrix. Raises AggregationError."""
        try:
            matrix = np.asarray(updates)
        except ValueError as exc:
            raise AggregationError(f"the updates are no matrix: {exc}", subject=subject, remedy="Every client's vector has the same length") from exc
        if matrix.dtype not in (np.float32, np.float64):
            if matrix.dtype.kind not in "iuf" or matrix.dtype.itemsize > 8:
                raise AggregationError(f"the updates are {matrix.dtype}; numbers are needed", subject=subject)
            matrix = matrix.astype(np.float64)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise AggregationError(f"the updates have shape {matrix.shape}; clients and coordinates are needed", subject=subject)
        return cls(matrix)

    def __len__(self) -> int:
        return len(self.matrix) if self.mix is None else len(self.mix)

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def mixed(self, mix: Floats) -> "Rows":
        """The rows sum_j mix[i, j] x_j of these. mix: float64[new rows, rows]."""
        return Rows(self.matrix, mix if self.mix is None else mix @ self.mix)

    # -- passes ----------------------------------------------------------------------------------------------------------------------

    def chunks(self) -> Iterator[tuple[slice, Matrix]]:
        """(columns, float[rows, columns]) from left to right. The buffer is the caller's until the next one.

        Raises AggregationError where a client has a non-finite number.
        """
        rows, dtype = len(self), self.matrix.dtype
        step = max(1, min(_CHUNK, self.width // _SHARE))
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

    def by_columns(self, compute: Callable[[Matrix], Matrix], chosen: Sequence[int] | None = None) -> Matrix:
        """float[d]: what `compute` makes of each chunk float[rows + 1, columns], which it may change; the last row is work space. chosen: which rows, all
        where None."""
        out = np.empty(self.width, self.matrix.dtype)
        which = np.arange(len(self)) if chosen is None else np.asarray(chosen)
        step = max(1, min(_CHUNK, self.width // _SHARE))
        buffer, ones = np.empty((len(which) + 1, step), self.matrix.dtype), np.ones(step, self.matrix.dtype)
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
                out[first : first + step] = compute(part)
        return out

    def combine(self, weights: Floats, *, every: bool = False) -> Matrix:
        """float[d]: sum_i weights[i] row_i, added in the clients' order. every: touch rows of weight 0 too, so that their numbers are checked.

        Raises AggregationError where the sum is not finite.
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
                    raise AggregationError("the sum is beyond the largest number of its kind", subject=str(self.matrix.dtype), remedy="Use float64")
        return out

    def refuse_non_finite(self) -> None:
        """Raises AggregationError naming the first client with a non-finite number or one beyond 1e150; else does nothing."""
        for client, row in enumerate(self.matrix):
            sound = np.isfinite(row)
            if not sound.all():
                at = int(np.argmin(sound))
                raise AggregationError(
                    f"holds {row[at]} at position {at}", subject=f"update {client}", remedy="Non-finite numbers are refused: leave the client out"
                )
            if float(np.abs(row).max()) > _LARGEST:
                raise AggregationError(f"holds a number beyond {_LARGEST:g}", subject=f"update {client}", remedy="Leave the client out")

    # -- inner products --------------------------------------------------------------------------------------------------------------

    def gram(self, origin: Matrix | None = None) -> Floats:
        """float64[rows, rows]: inner products of the rows minus `origin` (float[d]; None: 0)."""
        return self._gram(None if origin is None else (lambda part, at: np.subtract(part, origin[at], out=part)))

    def distances(self) -> Floats:
        """float64[rows, rows]: squared Euclidean distances, exactly symmetric, 0 on the diagonal; accurate also where rows lie far from 0."""
        cancels = _CANCELS[self.matrix.dtype.name]
        squared, doubtful = _from_gram(self._gram(None), cancels)
        if doubtful.any():
            central = int(np.argmin(np.sort(squared, axis=1)[:, : len(self) // 2 + 1].sum(axis=1)))
            again, still = _from_gram(self._gram(lambda part, at: np.subtract(part, part[central].copy(), out=part)), cancels)
            squared = np.where(doubtful & ~still, again, squared)
            np.fill_diagonal(squared, 0.0)
            for i, j in zip(*np.nonzero(np.triu(doubtful & still, 1)), strict=True):
                squared[i, j] = squared[j, i] = self._distance(int(i), int(j))
        return squared

    def _gram(self, centre: Callable[[Matrix, slice], Any] | None) -> Floats:
        total = self._gram_in(self.matrix.dtype, centre)
        if self.matrix.dtype == np.float32 and not 1e-25 < float(total.diagonal().max(initial=0.0)) < np.inf:
            self.refuse_non_finite()  # squares beyond float32's range, or rows that are all the same
            total = self._gram_in(np.dtype(np.float64), centre)
        if not np.isfinite(total).all():
            self.refuse_non_finite()
        return total

    def _gram_in(self, dtype: np.dtype[Any], centre: Callable[[Matrix, slice], Any] | None) -> Floats:
        total = np.zeros((len(self), len(self)))
        with np.errstate(over="ignore", invalid="ignore"):
            if centre is None and self.mix is None and dtype == self.matrix.dtype and self.matrix.flags.c_contiguous:
                for first in range(0, self.width, _CHUNK):
                    block = self.matrix[:, first : first + _CHUNK]
                    total += block @ block.T
                return total  # what is not finite is so on the diagonal
            for at, part in self.chunks():
                wide = part.astype(dtype, copy=False)
                if centre is not None:
                    centre(wide, at)
                total += wide @ wide.T
        return total

    def _distance(self, i: int, j: int) -> float:
        """The squared distance of two rows from their differences."""
        total = 0.0
        step = max(1, min(_CHUNK, self.width // _SHARE))
        for first in range(0, self.width, step):
            block = self.matrix[:, first : first + step]
            gap = block[i].astype(np.float64) - block[j] if self.mix is None else (self.mix[i] - self.mix[j]) @ block
            total += float(gap @ gap)
        return total


def _from_gram(gram: Floats, cancels: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(squared distances, which of them have lost too many digits)."""
    norms = gram.diagonal()
    sums = norms[:, None] + norms[None, :]
    squared = sums - gram - gram.T
    np.fill_diagonal(squared, 0.0)
    doubtful = squared < cancels * sums
    np.fill_diagonal(doubtful, False)
    return np.maximum(squared, 0.0), doubtful
