"""Add up the votes of one key range, and how far each client votes with the totals.

It computes what `merge.ballots` does where a row's pair is its client, to the same bytes.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from hyperfed.kernels.loops.signatures import read_only, types

__all__ = ["agreement"]

Array = npt.NDArray[Any]
_TYPES: Any = [
    types.UniTuple(types.float64[::1], 2)(
        *read_only(segment, types.float64, types.int64, types.float64),
        *(types.int64, types.float64),
    )
    for segment in (types.int32, types.uint16)
]


@numba.njit(_TYPES, nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def agreement(
    segment: Array, vote: Array, rows: Array, factor: Array, keys: int, units: float
) -> Any:
    """Return `ballots.key_totals`, and the sums by client of `ballots.times_totals`.

    They are float64[keys] and float64[clients]. The arguments are those of `ballots.agreement`.
    """
    total, dot = np.zeros(keys), np.zeros(len(rows))
    begin = np.uint64(0)
    for client in range(len(rows)):
        client_factor, end = factor[client], begin + np.uint64(rows[client])
        for row in range(begin, end):
            total[np.uint32(segment[row])] += client_factor * vote[row]
        begin = end
    scaled = total * units
    begin = np.uint64(0)
    for client in range(len(rows)):
        end, with_all = begin + np.uint64(rows[client]), 0.0
        for row in range(begin, end):
            with_all += np.rint(scaled[np.uint32(segment[row])] * vote[row])
        dot[client], begin = with_all, end
    return total, dot
