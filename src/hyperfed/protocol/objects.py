"""Define what the coordinator writes, as values (DESIGN section 3).

1. These are plan, freeze, result or tombstone, state, receipt and ledger entry. Each is one signed,
   create-only object.
2. The freeze is all that the computation depends on. Result, state and receipts follow from freeze,
   base state and ledger, so that every coordinator writes the same bytes. Only noise differs, which
   is drawn once.

What it does not do: order these objects (`protocol.machine`), or sign them (`protocol.documents`).
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime

from hyperfed.codec.versions import since
from hyperfed.errors import SchemaError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.baskets import Basket
from hyperfed.protocol.object_keys import Keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "REMEMBERED",
    "ClientState",
    "Counted",
    "Freeze",
    "Plan",
    "Refused",
    "RoundState",
    "Tombstone",
]

REMEMBERED = 32
"""Rounds for which a state remembers which clients they counted. It does not depend on the policy
of the night, since a later policy may reach back further (R-94).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Holds a round as it was announced.

    Raises SchemaError where a list does not ascend, where a time is out of order, or where the
    quorum cannot be met.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number, from 1."""
    registry_version: int
    """Version of the registry that the plan was made with."""
    registry_digest: bytes
    """Packet digest of that registry."""
    newest_commit_round: int
    """Round of the newest commit when the plan was made, 0 for none."""
    newest_commit: bytes
    """Ledger digest of the newest commit when the plan was made, empty for none."""
    policy: PolicyPack
    """What clients share, how it is merged, and what noise keeps it private."""
    vocabulary: Vocabulary
    """The variables that updates may name."""
    cohort: tuple[str, ...]
    """Ids of the clients that are invited, ascending."""
    quorum: int
    """Clients that must be counted."""
    opens: datetime
    """When the round's window opens."""
    deadline: datetime
    """When the window ends."""
    close_by: datetime
    """Until when the round may be retried; not before the deadline."""
    organisations: tuple[tuple[str, str], ...] = ()
    """(client, organisation), ascending by client, of every client that the registry names, revoked
    ones too.
    """
    baskets: tuple[Basket, ...] = ()
    """The groups of clients; empty where the policy has none."""
    domains: tuple[tuple[str, str], ...] = field(default=(), metadata=since(3))
    """(client, basket), ascending by client, of the cohort as the registry has it; empty where all
    are of one basket. Clients of a basket are judged among themselves first.
    """

    def __post_init__(self) -> None:
        named = [client for client, _ in self.organisations]
        if named != sorted(set(named)):
            raise SchemaError(
                "organisations ascend by client, each once", subject=f"plan of round {self.round}"
            )
        members = [client for basket in self.baskets for client in basket.members]
        if len(members) != len(set(members)) or not set(members) <= set(self.cohort):
            raise SchemaError(
                "a client of the cohort is in at most one basket",
                subject=f"plan of round {self.round}",
            )
        labelled = [client for client, _ in self.domains]
        if labelled != sorted(set(labelled)) or not set(labelled) <= set(self.cohort):
            raise SchemaError(
                "domains are of the cohort and ascend by client, each once",
                subject=f"plan of round {self.round}",
            )
        if self.round < 1 or not self.opens < self.deadline <= self.close_by:
            raise SchemaError(
                "a round starts at 1, opens before its deadline, and closes not before it",
                subject=f"plan of round {self.round}",
            )
        if list(self.cohort) != sorted(set(self.cohort)):
            raise SchemaError(
                "the cohort ascends, each client once", subject=f"plan of round {self.round}"
            )
        if not 1 <= self.quorum <= max(1, len(self.cohort)):
            raise SchemaError(
                f"quorum {self.quorum} of {len(self.cohort)} clients",
                subject=f"plan of round {self.round}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Holds an update that a freeze counts."""

    client: str
    """The client that sent it."""
    made_for: int
    """The round it was made for."""
    slot: int
    """The slot of the client's inbox that it lay in."""
    sequence: int
    """The sequence that its header states."""
    digest: bytes
    """Its packet digest, 32 bytes."""

    @property
    def key(self) -> str:
        """The key at which the update lay in the inbox."""
        return Keys.inbox(self.made_for, self.client, self.slot)

    @property
    def leaf(self) -> bytes:
        """The leaf of the Merkle tree that stands for the update."""
        return f"counted/{self.client}/{self.made_for}/{self.sequence}/{self.digest.hex()}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Holds an object of the inbox that is not counted, and why."""

    key: str
    """The object's key."""
    client: str
    """The client whose folder it lies in; empty where no client writes there."""
    made_for: int
    """The round whose folder it lies in, 0 where no client writes there."""
    sequence: int
    """The sequence that its header states, -1 where it could not be read as a packet."""
    digest: bytes
    """Its packet digest; empty where it could not be read as a packet."""
    rule: str
    """Id of the rule that it breaks."""
    reason: str
    """What is wrong with it."""
    remedy: str = ""
    """What to do about it."""

    @property
    def leaf(self) -> bytes:
        """The leaf of the Merkle tree that stands for the object."""
        update = f"{self.client}/{self.made_for}/{self.sequence}/{self.digest.hex()}"
        return f"refused/{update}/{self.key}/{self.rule}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Holds what counts in a round and what was refused: all that the computation depends on.

    Raises SchemaError where the fields contradict each other.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number."""
    plan: bytes
    """Packet digest of the round's plan."""
    registry_version: int
    """Version of the registry by which updates were judged."""
    registry_digest: bytes
    """Packet digest of that registry."""
    base_round: int
    """The last committed round before this one, 0 for none."""
    base_state: bytes
    """Packet digest of that round's state, empty for none."""
    counted: tuple[Counted, ...]
    """The updates that count, ascending by client, at most one for each."""
    refused: tuple[Refused, ...]
    """The objects that were refused."""
    excluded: tuple[str, ...]
    """Clients of the cohort that are left out because of low trust (R-95)."""
    claim_sequence: int
    """Number of the newest ledger entry that the sender of an admitted update has seen."""
    claim_digest: bytes
    """Digest of that entry."""
    merkle_head: bytes
    """Head of the Merkle tree over `leaves`."""
    time: datetime
    """When the freeze was made. Signed objects after it take their time from it."""
    packs: tuple[bytes, ...] = field(default=(), metadata=since(2))
    """The packs of `accepted/` that counted updates lie in, by the SHA-256 of their bytes, in the
    order in which `counted` first needs them. It is empty in a freeze of schema version 1, whose
    updates lie in `accepted/` one in each object.
    """
    in_pack: tuple[int, ...] = field(default=(), metadata=since(2))
    """For each counted update, the index of its pack in `packs`. It is empty in a freeze of schema
    version 1.
    """
    formula: int = field(default=1, metadata=since(3))
    """Version of what the merge computes (`merge.pooling.FORMULA`). A freeze that does not name it
    was made under 1.
    """
    signed_by: tuple[int, ...] = field(default=(), metadata=since(4))
    """For each counted update, the place of the key that signed it among its client's keys in the
    registry that the freeze names. It is empty where every client signed with its first key.
    """

    helpers: tuple[str, ...] = field(default=(), metadata=since(8))
    """In a round of secure sums, the helpers that have confirmed all counted clients, ascending."""

    def __post_init__(self) -> None:
        if self.formula < 1:
            raise SchemaError(
                f"formula {self.formula}; versions count from 1",
                subject=f"freeze of round {self.round}",
            )
        clients = [c.client for c in self.counted]
        if sorted(set(clients)) != clients:
            raise SchemaError(
                "counted updates ascend by client, one for each",
                subject=f"freeze of round {self.round}",
            )
        if any(not 0 < c.made_for <= self.round for c in self.counted):
            raise SchemaError(
                "an update is counted in its own round or a later one",
                subject=f"freeze of round {self.round}",
            )
        if self.packs or self.in_pack:
            self._check_packs()
        if self.signed_by and (
            len(self.signed_by) != len(self.counted)
            or not any(self.signed_by)
            or min(self.signed_by) < 0
        ):
            raise SchemaError(
                "each counted update has one place of a key, and where all are 0 none is named",
                subject=f"freeze of round {self.round}",
            )

    def _check_packs(self) -> None:
        used = list(dict.fromkeys(self.in_pack))
        each_once = len(set(self.packs)) == len(self.packs) and all(
            len(digest) == 32 for digest in self.packs
        )
        if (
            not each_once
            or len(self.in_pack) != len(self.counted)
            or used != list(range(len(self.packs)))
        ):
            raise SchemaError(
                "each counted update lies in one pack, and packs are named once, as they are "
                "needed",
                subject=f"freeze of round {self.round}",
            )

    @property
    def leaves(self) -> list[bytes]:
        """The leaves of the Merkle tree: counted updates first, then refused objects."""
        return [c.leaf for c in self.counted] + [r.leaf for r in self.refused]

    def of(self, client: str) -> Counted | None:
        """Return what is counted of a client, or None."""
        at = self._place(client)
        return None if at is None else self.counted[at]

    def lies_in(self, counted: Counted) -> bytes:
        """Return the digest that names the object of `accepted/` which holds a counted update.

        It is the digest of the update's pack. In a freeze without packs it is the update's own.
        """
        at = self._place(counted.client) if self.packs else None
        return counted.digest if at is None else self.packs[self.in_pack[at]]

    def _place(self, client: str) -> int | None:
        at = bisect_left(self.counted, client, key=lambda c: c.client)
        return at if at < len(self.counted) and self.counted[at].client == client else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Ends a round that has no result.

    The round's budget is refunded, and its updates may count late in the next rounds.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number."""
    rule: str
    """Id of the rule by which the round ended."""
    reason: str
    """Why the round ended without a result."""
    time: datetime
    """When it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """Holds what is carried from round to round about one client."""

    client: str
    """The client's id."""
    highest_sequence: int
    """Highest sequence of its counted updates, whichever key signed them."""
    windows: tuple[int, ...]
    """The recent rounds for which its updates were counted."""
    last_round: int
    """The round that last counted an update of it, 0 for none. That round's freeze names the
    update's pack.
    """
    last_digest: bytes
    """Packet digest of that update, empty for none."""
    alpha: float
    """First number of its reputation (`trust_scorer`)."""
    beta: float
    """Second number of its reputation (`trust_scorer`)."""
    rounds_seen: int
    """Rounds in which it was observed."""
    rounds_missed: int
    """Rounds in which it was absent."""
    weight: float
    """Its trust in this round, by what the policy weighs clients by; 1 where it was not counted."""
    agreement: float
    """Its agreement with the others in this round, 0 where it was not counted."""
    sequences: tuple[tuple[str, int], ...] = field(default=(), metadata=since(2))
    """(key id, highest sequence counted under that key), ascending by key id. It is empty in a
    state of schema version 1, whose `highest_sequence` holds for every key of its time.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """Holds trust and sequences after a round: a pure function of its freeze and base state.

    Raises SchemaError where clients do not ascend.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number."""
    freeze: bytes
    """Packet digest of the round's freeze."""
    result: bytes
    """Packet digest of the round's result."""
    base_state: bytes
    """Packet digest of the state that the round began with, empty for none."""
    clients: tuple[ClientState, ...]
    """The clients' states, ascending by client."""

    def __post_init__(self) -> None:
        clients = [c.client for c in self.clients]
        if sorted(set(clients)) != clients:
            raise SchemaError("clients ascend, each once", subject=f"state of round {self.round}")

    def of(self, client: str) -> ClientState | None:
        """Return a client's state, or None where the state has none."""
        at = bisect_left(self.clients, client, key=lambda c: c.client)
        return (
            self.clients[at]
            if at < len(self.clients) and self.clients[at].client == client
            else None
        )
