"""What the coordinator writes, as values: plan, freeze, result or tombstone, state, receipt, ledger entry (DESIGN section 3).

Each is one signed, create-only object. Freeze is all that the computation depends on; result, state and receipts follow from freeze,
base state and ledger, so that every coordinator writes the same bytes (but for noise, which is drawn once).

What it does not do: order them (`protocol.machine`), sign them (`protocol.documents`).
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from hyperfed.basket import Basket
from hyperfed.codec.versions import since
from hyperfed.errors import SchemaError
from hyperfed.packets import PolicyPack
from hyperfed.rounds import Keys
from hyperfed.vocabulary import Vocabulary

__all__ = [
    "REMEMBERED",
    "ClientState",
    "Counted",
    "EntryKind",
    "Fate",
    "Freeze",
    "LedgerEntry",
    "Mechanism",
    "Plan",
    "Receipt",
    "ReceiptPage",
    "Refused",
    "RoundState",
    "SealedReceipt",
    "Tombstone",
]

REMEMBERED = 32
"""For how many rounds a state remembers whom they counted, whatever the policy of the night: a later policy may reach back further (R-94)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A round as announced. cohort: the clients invited; quorum: how many must be counted; deadline: the window's end; close_by: until when it may be retried.

    newest_commit_round, newest_commit: the round and ledger digest of the newest commit when the plan was made (0 and empty: none).
    organisations: (client, organisation), ascending, of everyone the registry names, revoked clients too; baskets: the groups, where the policy has any.
    """

    federation: str
    round: int
    registry_version: int
    registry_digest: bytes
    newest_commit_round: int
    newest_commit: bytes
    policy: PolicyPack
    vocabulary: Vocabulary
    cohort: tuple[str, ...]
    quorum: int
    opens: datetime
    deadline: datetime
    close_by: datetime
    organisations: tuple[tuple[str, str], ...] = ()
    baskets: tuple[Basket, ...] = ()

    def __post_init__(self) -> None:
        named = [client for client, _ in self.organisations]
        if named != sorted(set(named)):
            raise SchemaError("organisations ascend by client, each once", subject=f"plan of round {self.round}")
        members = [client for basket in self.baskets for client in basket.members]
        if len(members) != len(set(members)) or not set(members) <= set(self.cohort):
            raise SchemaError("a client of the cohort is in at most one basket", subject=f"plan of round {self.round}")
        if self.round < 1 or not self.opens < self.deadline <= self.close_by:
            raise SchemaError("a round starts at 1, opens before its deadline, and closes not before it", subject=f"plan of round {self.round}")
        if list(self.cohort) != sorted(set(self.cohort)):
            raise SchemaError("the cohort ascends, each client once", subject=f"plan of round {self.round}")
        if not 1 <= self.quorum <= max(1, len(self.cohort)):
            raise SchemaError(f"quorum {self.quorum} of {len(self.cohort)} clients", subject=f"plan of round {self.round}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An update that a freeze counts: its client, the round it was made for, the inbox slot it lay in, its sequence and its digest."""

    client: str
    made_for: int
    slot: int
    sequence: int
    digest: bytes

    @property
    def key(self) -> str:
        """Where it lay in the inbox."""
        return Keys.inbox(self.made_for, self.client, self.slot)

    @property
    def leaf(self) -> bytes:
        return f"counted/{self.client}/{self.made_for}/{self.sequence}/{self.digest.hex()}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An object of the inbox that is not counted, and why. digest is empty where it could not be read as a packet; sequence is -1 there."""

    key: str
    client: str
    made_for: int
    sequence: int
    digest: bytes
    rule: str
    reason: str
    remedy: str = ""

    @property
    def leaf(self) -> bytes:
        return f"refused/{self.client}/{self.made_for}/{self.sequence}/{self.digest.hex()}/{self.key}/{self.rule}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """What counts in a round and what was refused; everything the computation depends on.

    base_round, base_state: the last committed round before this one and the digest of its state (0 and empty: none).
    claim_sequence, claim_digest: the newest ledger entry that an admitted update has seen. time: when; signed objects after it take theirs from it.
    packs: the packs of `accepted/` that counted updates lie in, by the SHA-256 of their bytes, in the order in which `counted` first needs them; in_pack: for
    each counted update the index of its pack. Both are empty in a freeze of schema version 1, whose updates lie in `accepted/` one an object.
    """

    federation: str
    round: int
    plan: bytes
    registry_version: int
    registry_digest: bytes
    base_round: int
    base_state: bytes
    counted: tuple[Counted, ...]
    refused: tuple[Refused, ...]
    excluded: tuple[str, ...]
    claim_sequence: int
    claim_digest: bytes
    merkle_head: bytes
    time: datetime
    packs: tuple[bytes, ...] = field(default=(), metadata=since(2))
    in_pack: tuple[int, ...] = field(default=(), metadata=since(2))

    def __post_init__(self) -> None:
        clients = [c.client for c in self.counted]
        if sorted(set(clients)) != clients:
            raise SchemaError("counted updates ascend by client, one for each", subject=f"freeze of round {self.round}")
        if any(not 0 < c.made_for <= self.round for c in self.counted):
            raise SchemaError("an update is counted in its own round or a later one", subject=f"freeze of round {self.round}")
        if self.packs or self.in_pack:
            self._check_packs()

    def _check_packs(self) -> None:
        used = list(dict.fromkeys(self.in_pack))
        each_once = len(set(self.packs)) == len(self.packs) and all(len(digest) == 32 for digest in self.packs)
        if not each_once or len(self.in_pack) != len(self.counted) or used != list(range(len(self.packs))):
            raise SchemaError("each counted update lies in one pack, and packs are named once, as they are needed", subject=f"freeze of round {self.round}")

    @property
    def leaves(self) -> list[bytes]:
        """The Merkle tree's leaves in order: counted, then refused."""
        return [c.leaf for c in self.counted] + [r.leaf for r in self.refused]

    def of(self, client: str) -> Counted | None:
        """What is counted of a client."""
        at = self._place(client)
        return None if at is None else self.counted[at]

    def lies_in(self, counted: Counted) -> bytes:
        """The digest that names the object of `accepted/` which holds a counted update: its pack's; its own in a freeze without packs."""
        at = self._place(counted.client) if self.packs else None
        return counted.digest if at is None else self.packs[self.in_pack[at]]

    def _place(self, client: str) -> int | None:
        at = bisect_left(self.counted, client, key=lambda c: c.client)
        return at if at < len(self.counted) and self.counted[at].client == client else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """The end of a round that has no result. Its budget is refunded, its updates may be late for the next."""

    federation: str
    round: int
    rule: str
    reason: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """What is carried from round to round about one client.

    highest_sequence: of its counted updates; windows: the recent rounds its updates were counted for; last_round, last_digest: where its last
    counted update lies (`last_round`'s freeze names its pack); alpha, beta, rounds_seen, rounds_missed: its reputation (`trust_scorer`); weight and
    agreement: bounded trust in this round (1 and 0 where it was not counted).
    """

    client: str
    highest_sequence: int
    windows: tuple[int, ...]
    last_round: int
    last_digest: bytes
    alpha: float
    beta: float
    rounds_seen: int
    rounds_missed: int
    weight: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """Trust and sequences after a round: a pure function of its freeze and its base state."""

    federation: str
    round: int
    freeze: bytes
    result: bytes
    base_state: bytes
    clients: tuple[ClientState, ...]

    def __post_init__(self) -> None:
        clients = [c.client for c in self.clients]
        if sorted(set(clients)) != clients:
            raise SchemaError("clients ascend, each once", subject=f"state of round {self.round}")

    def of(self, client: str) -> ClientState | None:
        at = bisect_left(self.clients, client, key=lambda c: c.client)
        return self.clients[at] if at < len(self.clients) and self.clients[at].client == client else None


class Fate(StrEnum):
    """What became of a client's update in a round."""

    COUNTED = "counted"
    LATE = "late"
    REFUSED = "refused"
    EXCLUDED = "excluded"
    NOT_SEEN = "not seen"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one client's update; late: counted, but made for an earlier round.

    index, size, path: the Merkle proof that `leaf` lies under `merkle_head`, the head that the ledger's entry `ledger_sequence` carries.
    """

    federation: str
    round: int
    client: str
    fate: Fate
    made_for: int
    sequence: int
    digest: bytes
    rule: str
    reason: str
    remedy: str
    leaf: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    merkle_head: bytes
    ledger_sequence: int
    ledger_digest: bytes
    result: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedReceipt:
    """A receipt that its own client can open. boxes: (key id, SealedBox of its key), ascending; commitment: to that key and the nonce; sealed: nonce and
    ciphertext."""

    client: str
    boxes: tuple[tuple[str, bytes], ...]
    commitment: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptPage:
    """Some clients' receipts of one round (`receipt_pages`). page: its number, 0 to 255; boxes: (key id, SealedBox of the page's key) of coordinators and
    auditors, ascending."""

    federation: str
    round: int
    page: int
    boxes: tuple[tuple[str, bytes], ...]
    receipts: tuple[SealedReceipt, ...]

    def __post_init__(self) -> None:
        clients = [r.client for r in self.receipts]
        if sorted(set(clients)) != clients:
            raise SchemaError("clients ascend, each once", subject=f"receipt page {self.page} of round {self.round}", rule="R-44")

    def of(self, client: str) -> SealedReceipt | None:
        at = bisect_left(self.receipts, client, key=lambda r: r.client)
        return self.receipts[at] if at < len(self.receipts) and self.receipts[at].client == client else None


class EntryKind(StrEnum):
    RESERVE = "reserve"
    COMMIT = "commit"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One use of the budget: (epsilon, delta), and for "gaussian" the noise itself, by which nights compose more tightly.

    kind: "basic", known only as (epsilon, delta); "gaussian", integer discrete Gaussian noise of standard deviation `sigma` on a vector that one
    unit moves by at most `sensitivity` (L2), both in units of one grid. place: "central", added by the coordinator to the sum, or "local", by each
    client to its own message. relation: what one unit may change ("zero-out": its contribution becomes zero); unit: "client" or "record".
    selection_delta: what the choice of the released rows may cost beyond the noise (partition selection); part of `delta`.
    """

    kind: str
    epsilon: Decimal
    delta: Decimal
    sigma: int = 0
    sensitivity: int = 0
    place: str = ""
    relation: str = ""
    unit: str = ""
    selection_delta: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        numbers = (self.epsilon, self.delta, self.selection_delta)
        if self.kind not in ("basic", "gaussian") or not all(n.is_finite() and n >= 0 for n in numbers) or self.delta >= 1:
            raise SchemaError("a mechanism is 'basic' or 'gaussian' with epsilon >= 0 and delta in [0, 1)", subject="mechanism")
        noise = (self.sigma, self.sensitivity, self.place, self.relation, self.unit, self.selection_delta)
        if self.kind == "basic" and any(noise):
            raise SchemaError("a basic mechanism is known as (epsilon, delta) only", subject="mechanism")
        if self.kind == "gaussian" and not (
            0 < self.sigma < 1 << 32
            and 0 < self.sensitivity < 1 << 32
            and self.place in ("central", "local")
            and self.relation == "zero-out"
            and self.unit in ("client", "record")
            and self.selection_delta <= self.delta
        ):
            raise SchemaError("a gaussian mechanism has sigma, sensitivity, place, relation and unit", subject="mechanism")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger, chained by `previous`, the digest of the entry before it (empty in the first).

    id: derived from (federation, round, freeze digest) in a reserve; of the reserve that a void refunds; empty otherwise.
    freeze, result, state, merkle_head: digests that a commit binds (a void: the tombstone's).
    """

    federation: str
    sequence: int
    previous: bytes
    kind: EntryKind
    round: int
    id: bytes
    mechanisms: tuple[Mechanism, ...] = field(default_factory=tuple)
    freeze: bytes = b""
    result: bytes = b""
    state: bytes = b""
    merkle_head: bytes = b""
    time: datetime
