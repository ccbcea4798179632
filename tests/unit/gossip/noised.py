"""Noised vectors for these tests, made the only way there is."""

import numpy as np
import numpy.typing as npt

from hyperfed.gossip import GossipPlan, NoisedVector
from hyperfed.packets import Claims, Update
from hyperfed.privacy.slots import public_slots
from hyperfed.tables.tables import EdgeTable, unpack_keys

LENGTH = len(public_slots(2, (0, 1)))


def message(values: npt.NDArray[np.float64] | float, **changes: object) -> Update:
    """A noised message of two variables at one lag; `changes` replace columns or the claims."""
    source, target, lag = unpack_keys(public_slots(2, (0, 1)))
    columns: dict[str, object] = {
        "source": source,
        "target": target,
        "lag": lag,
        "effect": np.broadcast_to(np.asarray(values, dtype=np.float64), LENGTH),
        "confidence": 1.0,
        "stability": 1.0,
        "hits": 1,
        "n": 0,
    }
    claims = changes.pop("claims", Claims(clip_norm=1.0))
    edges = EdgeTable.build(**(columns | changes))  # type: ignore[arg-type]
    return Update(measured=np.arange(2, dtype=np.uint32), edges=edges, claims=claims)  # type: ignore[arg-type]


def vector(values: npt.NDArray[np.float64] | float) -> NoisedVector:
    return NoisedVector.of_message(message(values), variables=2, lags=(0, 1))


def plan_of(count: int, **changes: object) -> GossipPlan:
    fields: dict[str, object] = {
        "clients": tuple(f"c{i:03d}" for i in range(count)),
        "round": 5,
        "seed": b"s" * 32,
        "length": LENGTH,
        "norm_bound": 10.0,
    }
    return GossipPlan(**(fields | changes))  # type: ignore[arg-type]
