"""The public vocabulary as slots: every edge that could exist, whether or not anybody found it.

1. A slot is (source, target, lag) with lag 0..max_lag, source and target different where lag is 0; ascending as in an edge table.
2. Noising every slot is what makes presence private: an edge that nobody has gets noise like any other, and what is shown is decided on noised values.

What it does not do: choose slots by looking at data (`selection` does, and pays for it).
"""

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.privacy.clipping import MAX_SLOTS
from hyperfed.tables import EdgeTable, pack_keys

__all__ = ["check_slots", "dense", "public_slots", "slot_count"]

Keys = npt.NDArray[np.uint64]


def slot_count(variables: int, max_lag: int) -> int:
    """How many slots a vocabulary has up to a lag."""
    return variables * (variables - 1) + max_lag * variables * variables


def check_slots(variables: int, max_lag: int) -> int:
    """`slot_count`. Raises PrivacyError for none, or for more than can be noised."""
    count = slot_count(variables, max_lag)
    if not 1 <= count <= MAX_SLOTS:
        raise PrivacyError(
            f"{variables} variables and lags up to {max_lag} make {count} possible edges; 1 to {MAX_SLOTS} can be noised",
            subject="public vocabulary",
            remedy="Lower max_lag, take fewer variables, or let edges be discovered: policy discovery = 'selected'",
        )
    return count


def public_slots(variables: int, max_lag: int) -> Keys:
    """uint64[slots], ascending keys (`tables.pack_keys`). Raises PrivacyError as `check_slots`."""
    check_slots(variables, max_lag)
    source, target, lag = np.meshgrid(np.arange(variables), np.arange(variables), np.arange(max_lag + 1), indexing="ij")
    keep = (source != target) | (lag > 0)
    return np.sort(pack_keys(source[keep].astype(np.uint32), target[keep].astype(np.uint32), lag[keep].astype(np.uint16)))


def dense(edges: EdgeTable, slots: Keys) -> npt.NDArray[np.float64]:
    """float64[slots]: the effects of a table, 0 where it has no row; rows that no slot is for are left out."""
    values = np.zeros(len(slots))
    keys = edges.keys
    at = np.minimum(np.searchsorted(slots, keys), max(len(slots) - 1, 0))
    known = slots[at] == keys if len(slots) else np.zeros(len(keys), dtype=bool)
    values[at[known]] = edges.effect[known]
    return values
