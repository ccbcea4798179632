"""Define what clients send each other: noised vectors, and shares of them.

1. `NoisedVector` is the only thing an exchange can begin with. It is made from the message of a
   round of local noise, which the client's guard has charged, and from nothing else: the type keeps
   a client's exact numbers out of every later epoch.
2. It is drawn once and sent again as it was drawn.
3. A `Share` is a part of a client's vector with the same part of its weight. On the wire it is a
   canonical array; what does not read strictly is refused.
4. What is received is shortened to the plan's norm bound, and its weight is bounded by four times
   an honest one. So a peer that lies pulls the average no further than its shares reach. What an
   honest client holds above that, where many late shares came at once, is lost with its weight.

What it does not do: sign. In a drop-box the envelope around a share does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.codec import pack, unpack
from hyperfed.errors import PrivacyError, RefusedError, SchemaError
from hyperfed.gossip.plan import GossipPlan
from hyperfed.packets import Update
from hyperfed.privacy.slots import dense, public_slots

__all__ = ["LARGEST_WEIGHT", "NoisedVector", "Share", "believed", "decode_share", "encode_share"]

_VERSION = 1
LARGEST_WEIGHT = 4.0
"""The largest weight that is believed, in weights that a client has where nobody is missing."""


class NoisedVector:
    """Holds a client's numbers after their noise, float64[n], read-only.

    There is no way to make one from exact numbers: `of_message` reads a message of local noise.
    """

    __slots__ = ("values",)

    values: npt.NDArray[np.float64]
    """The noised numbers, float64[n]."""

    def __init__(self) -> None:
        raise PrivacyError(
            "is made from a message of local noise only",
            subject="NoisedVector",
            remedy="Call NoisedVector.of_message with what `noised` returned",
        )

    @classmethod
    def of_message(cls, message: Update, *, variables: int, lags: Sequence[int]) -> "NoisedVector":
        """Return the vector of a noised message, one number for each possible edge.

        `message` is what `hyperfed.client.noised.noised` returned. Raises PrivacyError for an
        update that carries anything beside noised effects, as one that was not noised does.
        """
        slots, edges = public_slots(variables, lags), message.edges
        if (
            edges is None
            or message.claims.clip_norm is None
            or not np.array_equal(edges.keys, slots)
            or edges.n.any()
            or not (edges.confidence == 1.0).all()
            or not (edges.stability == 1.0).all()
            or edges.ci_low is not None
        ):
            raise PrivacyError(
                "is not a message of local noise: it has fewer edges than are possible, or carries "
                "more than effects",
                subject="gossip",
                remedy="Noise the update first; an exchange begins with what a local round sends",
            )
        vector = object.__new__(cls)
        vector.values = dense(edges, slots)
        vector.values.flags.writeable = False
        return vector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """Holds a part of a client's vector, on its way to a peer."""

    round: int
    """The federation round."""
    epoch: int
    """The epoch in which it was sent."""
    sender: str
    """Who sent it."""
    weight: float
    """Which part of the basket's weight it carries, above 0."""
    values: npt.NDArray[np.float64]
    """The sender's numbers times `weight`, float64[n]."""


def encode_share(share: Share) -> bytes:
    """Return the canonical bytes of a share."""
    return pack(
        [
            _VERSION,
            share.round,
            share.epoch,
            share.sender,
            share.weight,
            np.ascontiguousarray(share.values, dtype="<f8").tobytes(),
        ]
    )


def decode_share(data: bytes) -> Share:
    """Return the share in `data`. Raises SchemaError for what `encode_share` does not write."""
    plain = unpack(data)
    fields = plain if isinstance(plain, list) else []
    kinds = [type(value) for value in fields]
    if kinds[:5] != [int, int, int, str, float] or kinds[5:] not in ([bytes], [memoryview]):
        raise SchemaError("is not a share of an exchange", subject="gossip message")
    version, round_number, epoch, sender, weight, values = fields
    if version != _VERSION or len(values) % 8:
        raise SchemaError(
            f"has version {version} and {len(values)} bytes of numbers; this version reads "
            f"version {_VERSION} and whole numbers of 8 bytes",
            subject="gossip message",
        )
    return Share(
        round=round_number,
        epoch=epoch,
        sender=sender,
        weight=weight,
        values=np.frombuffer(values, dtype="<f8").astype(np.float64),
    )


def believed(share: Share, plan: GossipPlan, receiver: str) -> Share:
    """Return a share as far as it is believed: no longer, and no heavier, than the plan allows.

    Raises RefusedError where it is of another round, of an epoch that the plan does not have, from
    one who does not send to `receiver` in that epoch, of another length, or not finite.
    """
    subject = f"share of {share.sender} in epoch {share.epoch}"
    if share.round != plan.round or not 0 <= share.epoch < plan.epochs:
        raise RefusedError(
            f"is of round {share.round}; the plan is of round {plan.round} and has "
            f"{plan.epochs} epochs",
            subject=subject,
        )
    if share.sender not in plan.neighbours(share.epoch, receiver):
        raise RefusedError(f"does not send to {receiver} then", subject=subject)
    if len(share.values) != plan.length or not np.isfinite(share.values).all():
        raise RefusedError(
            f"has {len(share.values)} numbers, or some that are not finite; {plan.length} finite "
            "numbers are needed",
            subject=subject,
        )
    if not (math.isfinite(share.weight) and share.weight > 0):
        raise RefusedError(f"has a weight of {share.weight}", subject=subject)
    largest = LARGEST_WEIGHT / (plan.peers + 1)
    weight = min(share.weight, largest)
    with np.errstate(over="ignore"):
        average = share.values / share.weight
    if not np.isfinite(average).all():
        raise RefusedError("has a weight that does not fit its numbers", subject=subject)
    norm = float(np.linalg.norm(average))
    shortened = average * min(1.0, plan.norm_bound / norm) if norm > 0 else average
    return Share(
        round=share.round,
        epoch=share.epoch,
        sender=share.sender,
        weight=weight,
        values=shortened * weight,
    )
