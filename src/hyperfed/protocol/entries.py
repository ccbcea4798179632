"""Define the ledger's entries (reserve, commit and void), and what a reserve charges."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from hyperfed.codec.versions import since
from hyperfed.errors import SchemaError

__all__ = ["EntryKind", "LedgerEntry", "Mechanism"]


class EntryKind(StrEnum):
    """Names the kind of a ledger entry."""

    RESERVE = "reserve"
    COMMIT = "commit"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """Describes one use of the budget.

    It is known as (epsilon, delta). A "gaussian" one states the noise itself too, so that nights
    compose more tightly. Raises SchemaError where the fields contradict each other.
    """

    kind: str
    """"basic": known only as (epsilon, delta); or "gaussian": integer discrete Gaussian noise on a
    vector.
    """
    epsilon: Decimal
    """Epsilon of this use, 0 or more."""
    delta: Decimal
    """Delta of this use, in [0, 1)."""
    sigma: int = 0
    """Standard deviation of the noise, in units of one grid; 0 where `kind` is "basic"."""
    sensitivity: int = 0
    """How far one unit moves the vector at most (L2), in units of the same grid."""
    place: str = ""
    """"central": the coordinator adds the noise to the sum; or "local": each client adds it to its
    own message.
    """
    relation: str = ""
    """What one unit may change. "zero-out": its contribution becomes zero."""
    unit: str = ""
    """"client" or "record"."""
    selection_delta: Decimal = Decimal(0)
    """What the choice of the released rows may cost beyond the noise (partition selection). It is a
    part of `delta`.
    """

    def __post_init__(self) -> None:
        numbers = (self.epsilon, self.delta, self.selection_delta)
        if (
            self.kind not in ("basic", "gaussian")
            or not all(n.is_finite() and n >= 0 for n in numbers)
            or self.delta >= 1
        ):
            raise SchemaError(
                "a mechanism is 'basic' or 'gaussian' with epsilon >= 0 and delta in [0, 1)",
                subject="mechanism",
            )
        noise = (
            self.sigma,
            self.sensitivity,
            self.place,
            self.relation,
            self.unit,
            self.selection_delta,
        )
        if self.kind == "basic" and any(noise):
            raise SchemaError(
                "a basic mechanism is known as (epsilon, delta) only", subject="mechanism"
            )
        if self.kind == "gaussian" and not (
            0 < self.sigma < 1 << 32
            and 0 < self.sensitivity < 1 << 32
            and self.place in ("central", "local")
            and self.relation == "zero-out"
            and self.unit in ("client", "record")
            and self.selection_delta <= self.delta
        ):
            raise SchemaError(
                "a gaussian mechanism has sigma, sensitivity, place, relation and unit",
                subject="mechanism",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Holds one entry of the ledger."""

    federation: str
    """The federation's name."""
    sequence: int
    """The entry's number, from 1."""
    previous: bytes
    """Packet digest of the entry before it, empty in the first."""
    kind: EntryKind
    """Whether it is a reserve, a commit or a void."""
    round: int
    """The round that the entry is about."""
    id: bytes
    """In a reserve it is derived from federation, round and freeze digest. In a void it is the id
    of the reserve that is refunded. It is empty otherwise.
    """
    mechanisms: tuple[Mechanism, ...] = field(default_factory=tuple)
    """What a reserve asks of the budget; empty otherwise."""
    freeze: bytes = b""
    """Packet digest of the round's freeze, empty where there is none."""
    result: bytes = b""
    """Packet digest of the result that a commit binds, or of a void's tombstone; empty in a
    reserve.
    """
    state: bytes = b""
    """Packet digest of the state that a commit binds; empty otherwise."""
    merkle_head: bytes = b""
    """Head of the Merkle tree of the round's freeze; the empty tree's where there is no freeze."""
    time: datetime
    """When the entry was made, as the round's freeze, result or tombstone says."""
    noise: bytes = field(default=b"", metadata=since(2))
    """In a reserve the packet digest of the round's noise, where the coordinator adds some (R-110);
    empty otherwise, and in reserves of an earlier version.
    """
    final: bool = field(default=False, metadata=since(2))
    """In a reserve, whether no void may refund it (R-112): true wherever something is charged,
    except for reserves of an earlier version.
    """

    def __post_init__(self) -> None:
        if len(self.noise) not in (0, 32) or (
            (self.noise or self.final) and self.kind is not EntryKind.RESERVE
        ):
            raise SchemaError(
                "names noise that is no digest of 32 bytes, or says in a commit or void what "
                "only a reserve says",
                subject="ledger entry",
                rule="R-110",
            )
