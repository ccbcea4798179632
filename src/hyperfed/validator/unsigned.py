"""Judge what nobody signed: the object of a packet, or the bytes of a document.

1. An object is of a packet's kind, and its own checks hold when they are made again: a frozen
   object can still be built around them (R-11).
2. It can be encoded within the limits.
3. An update object is held to the policy of the round's plan, where there is one (R-90, R-91).
4. A document names a packet's kind, and can be decoded within the limits (R-12).

What it does not do: it does not open envelopes, or say who made a packet (`validator`).
"""

from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.config import Limits
from hyperfed.errors import BoundsError, HyperfedError, PacketError, SchemaError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.protocol.objects import Plan
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.validator.policy import check_against_policy

__all__ = ["check_document", "check_object"]

_PACKETS: tuple[type, ...] = (
    PathPack,
    EdgeDelta,
    PolicyPack,
    CausalSemanticPack,
    Claims,
    Update,
    EdgeTable,
    DeltaTable,
    HyperedgeTable,
)


def check_object(packet: Any, *, limits: Limits, plan: Plan | None) -> None:
    """Check a packet object, and an update also by the policy of `plan`. Raises PacketError."""
    if not isinstance(packet, _PACKETS):
        raise SchemaError(
            f"a {type(packet).__name__} is no packet",
            rule="R-11",
            remedy=f"Packets are {', '.join(k.__name__ for k in _PACKETS[:4])}, Update, or "
            "their bytes",
        )
    try:
        # check again: a frozen object can still be built around its checks
        packet.__post_init__()  # type: ignore[attr-defined]
        PayloadCodec(limits=limits).encode(packet)
    except PacketError:
        raise
    except HyperfedError as exc:
        raise BoundsError(
            exc.problem,
            subject=exc.subject or type(packet).__name__,
            rule=exc.rule or "R-11",
            remedy=exc.remedy,
        ) from exc
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
        raise SchemaError(
            f"is not a whole one: {exc}"[:200],
            subject=type(packet).__name__,
            rule="R-11",
            remedy="Make it by its constructor",
        ) from exc
    if plan is not None and isinstance(packet, Update) and packet.deltas is None:
        check_against_policy(packet, plan, subject="packet")


def check_document(data: bytes, *, limits: Limits, no_envelope: SchemaError) -> None:
    """Check a document's bytes, or those of a batch. Raises PacketError.

    `no_envelope` says why the bytes are no envelope. It is raised where they are no document
    either, but well formed.
    """
    codec = PayloadCodec(limits=limits)
    try:
        name = codec.kind_of(data)
    except SchemaError:
        # it is well formed, but neither a document nor an envelope: say what an envelope lacks
        if no_envelope.rule == "R-30":
            raise no_envelope from None
        raise
    # an empty batch names no kind, and every kind can read it
    kinds = {kind.__name__: kind for kind in _PACKETS} | {"": PathPack}
    batch = name.startswith("list[")
    kind = kinds.get(name.removeprefix("list[").removesuffix("]") if batch else name or "none")
    if kind is None:
        raise SchemaError(f"a {name!r:.60} is no packet", rule="R-12")
    codec.decode(data, list[kind] if batch else kind)  # type: ignore[valid-type]
