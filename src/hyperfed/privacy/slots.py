"""List the public vocabulary as slots: every edge that could exist, whether or not it was found.

1. A slot is (source, target, lag) with a lag that the policy allows; source and target differ where
   lag is 0. Slots ascend as in an edge table.
2. Noising every slot is what makes presence private: an edge that nobody has gets noise like any
   other, and what is shown is decided on noised values.

What it does not do: choose slots by looking at data (`release.slots_of` does, and pays for it).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.errors import PrivacyError
from hyperfed.privacy.clipping import MAX_SLOTS
from hyperfed.tables.tables import EdgeTable, pack_keys

__all__ = ["check_slots", "dense", "public_slots", "slot_count"]

Keys = npt.NDArray[np.uint64]


def slot_count(variables: int, lags: Sequence[int]) -> int:
    """Return how many slots a vocabulary has at these lags, each named once."""
    return len(lags) * variables * variables - (variables if 0 in lags else 0)


def check_slots(variables: int, lags: Sequence[int]) -> int:
    """Return `slot_count`. Raises PrivacyError for no slots, or for more than can be noised."""
    count = slot_count(variables, lags)
    if not 1 <= count <= MAX_SLOTS:
        raise PrivacyError(
            f"{variables} variables at {len(lags)} lags make {count} possible edges; 1 to "
            f"{MAX_SLOTS} can be noised",
            subject="public vocabulary",
            remedy="Name fewer lags, take fewer variables, or let edges be discovered: policy "
            "discovery = 'selected'",
        )
    return count


def public_slots(variables: int, lags: Sequence[int]) -> Keys:
    """Return uint64[slots]: the slots' keys, ascending (`tables.pack_keys`).

    Raises PrivacyError as `check_slots` does.
    """
    check_slots(variables, lags)
    source, target, lag = np.meshgrid(
        np.arange(variables), np.arange(variables), np.array(lags), indexing="ij"
    )
    keep = (source != target) | (lag > 0)
    return np.sort(
        pack_keys(
            source[keep].astype(np.uint32),
            target[keep].astype(np.uint32),
            lag[keep].astype(np.uint16),
        )
    )


def dense(edges: EdgeTable, slots: Keys) -> npt.NDArray[np.float64]:
    """Return float64[slots]: the effects of a table, 0 where it has no row.

    Rows that no slot is for are left out.
    """
    values = np.zeros(len(slots))
    keys = edges.keys
    at = np.minimum(np.searchsorted(slots, keys), max(len(slots) - 1, 0))
    has_slot = slots[at] == keys if len(slots) else np.zeros(len(keys), dtype=bool)
    values[at[has_slot]] = edges.effect[has_slot]
    return values
