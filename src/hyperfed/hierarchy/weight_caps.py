"""Limit how much one party may weigh: an organisation with several clients, or a large basket.

1. R-104, `organisation_weights`: the clients of one organisation together weigh at most as much as
   `cap` clients do. With a cap of 1 an organisation gains nothing by splitting into several
   clients; with 0 there is no cap.
2. `capped_shares`: no share of a whole is above `cap`; what is cut off goes to the others in
   proportion. Where there are too few parties for the cap, all get the same share.

It knows neither trust nor votes. Source: DESIGN section 5; Douceur 2002 (The Sybil Attack):
identities are only as scarce as whoever issues them keeps them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hyperfed.errors import AggregationError

__all__ = ["capped_shares", "organisation_weights"]

Floats = npt.NDArray[np.float64]


def organisation_weights(
    clients: Sequence[str], organisation_of: Mapping[str, str], *, cap: float
) -> Floats:
    """Return float64[clients] in (0, 1]: the factor of each client's weight (R-104).

    organisation_of: each client's organisation; a client without one is an organisation of its own.
    cap: how many clients' weight an organisation may have; 0: no cap. Raises AggregationError for a
    negative or non-finite cap.
    """
    if not (np.isfinite(cap) and cap >= 0):
        raise AggregationError(
            f"the cap is {cap!r}; 0 (none) or more is needed", subject="organisations"
        )
    factor = np.ones(len(clients))
    if cap == 0:
        return factor
    names = [
        f"organisation {organisation_of[c]}" if c in organisation_of else f"client {c}"
        for c in clients
    ]
    counts = Counter(names)
    return np.array([min(1.0, cap / counts[name]) for name in names])


def capped_shares(weights: Sequence[float] | Floats, *, cap: float) -> Floats:
    """Return float64[parties]: shares in proportion to weights, as far as the cap allows.

    They sum to 1, and none is above max(cap, 1 / parties). Parties of weight 0 have the share 0 and
    are not counted in that bound. weights: finite, at least 0, and some above 0. cap: in (0, 1].
    Raises AggregationError for other values.
    """
    share = np.asarray(weights, dtype=np.float64)
    if not 0 < cap <= 1:
        raise AggregationError(
            f"the cap is {cap!r}; a share in (0, 1] is needed", subject="influence"
        )
    if share.ndim != 1 or not (np.isfinite(share) & (share >= 0)).all() or not share.sum() > 0:
        raise AggregationError(
            "weights must be finite, at least 0, and some above 0", subject="influence"
        )
    positive = int((share > 0).sum())
    limit = max(cap, 1.0 / positive)
    share = share / share.sum()
    is_capped = np.zeros(len(share), dtype=bool)
    for _ in range(len(share)):
        over = (share > limit * (1 + 1e-12)) & ~is_capped
        if not over.any():
            break
        is_capped |= over
        share[is_capped] = limit
        free = ~is_capped & (share > 0)
        if free.any():
            share[free] *= (1.0 - limit * is_capped.sum()) / share[free].sum()
    return np.asarray(share / share.sum())
