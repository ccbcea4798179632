"""`SmallFederation`: a whole federation in memory, for tests of what is built on the protocol and of what attacks it.

1. Everything follows from the arguments: keys come from their owners' names, instants from genesis. Only nonces and seals are random.
2. What an honest party does goes through the library (`submit`, `run`, `pull`); what an attacker does is built by hand (`envelope`, `put`), with every
   part of the envelope replaceable and signed by whichever key is given.
3. `decided` is what the federation has decided so far: the same before and after means that nothing moved.

    fed = SmallFederation()                    # three clients, one root, one coordinator, four variables
    fed.open(1)
    for client in fed.clients:
        fed.submit(client)
    stage = fed.run(1)                         # Stage(why=COMMITTED, counted=3, ...)

What it does not do: keep a secret (its keys can be computed by anyone), or wait.
"""

import hashlib
import secrets
from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from hyperfed.adapters.memory import MemoryStore
from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client.session import Submitted
from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.runner import Stage
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.encryption import bind_body, seal_body
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.objects import Plan, Receipt
from hyperfed.protocol.packs import read_pack
from hyperfed.registry import (
    Budget,
    ClientRecord,
    KeyRecord,
    Registry,
    load_registry,
    publish_registry,
    root_fingerprint,
    sign_registry,
)
from hyperfed.rounds import Keys
from hyperfed.signing import Header, PacketType, sign_envelope
from hyperfed.store import ObjectStore
from hyperfed.tables import EdgeTable
from hyperfed.validator import Admission, policy_digest
from hyperfed.vocabulary import Vocabulary

__all__ = ["GENESIS", "SmallFederation", "key_of"]

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)


def key_of(name: str) -> KeyPair:
    """The key pair that belongs to `name`: always the same, known to everybody."""
    return KeyPair(hashlib.sha256(b"hyperfed/testing/" + name.encode()).digest())


class SmallFederation:
    """A federation whose drop-box is `store` (by default in memory).

    clients: their ids, or how many; roots, threshold, auditors: of the registry; policy, vocabulary: what `open` puts into its plans.
    Attributes: store, registry, fingerprint, roots, coordinator and auditors (key pairs), keys (by client), memories (by client), clients.
    """

    def __init__(
        self,
        *,
        clients: int | Sequence[str] = 3,
        name: str = "small-fed",
        store: ObjectStore | None = None,
        policy: PolicyPack | None = None,
        vocabulary: Vocabulary | None = None,
        roots: int = 1,
        threshold: int = 1,
        auditors: int = 0,
        window_s: int = 86_400,
        budget: Budget | None = None,
        genesis: datetime = GENESIS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        ids = [f"site-{i + 1:02d}" for i in range(clients)] if isinstance(clients, int) else sorted(clients)
        self.clients: tuple[str, ...] = tuple(ids)
        self.store: ObjectStore = store if store is not None else MemoryStore()
        self.policy = policy or PolicyPack()
        self.vocabulary = vocabulary or Vocabulary.of("heat", "load", "wear", "faults", domain="plant")
        self.limits = limits
        self.roots = [key_of(f"{name}/root/{i}") for i in range(roots)]
        self.coordinator = key_of(f"{name}/coordinator")
        self.auditors = [key_of(f"{name}/auditor/{i}") for i in range(auditors)]
        self.keys = {client: key_of(f"{name}/{client}") for client in self.clients}
        self.memories = {client: ClientMemory() for client in self.clients}
        registry = Registry(
            federation=name,
            version=1,
            previous=b"",
            issued=genesis,
            genesis=genesis,
            window_s=window_s,
            roots=tuple(r.public for r in self.roots),
            threshold=threshold,
            coordinators=(KeyRecord(keys=self.coordinator.public),),
            auditors=tuple(KeyRecord(keys=a.public) for a in self.auditors),
            clients=tuple(ClientRecord(client_id=c, organisation=f"{c} ltd", keys=(KeyRecord(keys=self.keys[c].public),)) for c in self.clients),
            budget=budget or Budget(),
        )
        self.fingerprint = root_fingerprint(registry.roots, threshold)
        self.registry = registry
        publish_registry(self.store, sign_registry(registry, self.roots))

    # -- the registry --------------------------------------------------------------------------------------------------------------

    def amend(self, **changes: Any) -> Registry:
        """Publish the next version of the registry with these fields changed, signed by all roots known here."""
        changed = replace(self.registry, **{"version": self.registry.version + 1, "previous": self.registry_digest, **changes})
        publish_registry(self.store, sign_registry(changed, self.roots))
        self.registry = changed
        return changed

    @property
    def registry_digest(self) -> bytes:
        """The digest of the newest version in the drop-box."""
        known = load_registry(self.store, fingerprint=self.fingerprint)
        return known[1] if known else b""

    def revoke(self, client: str, *, from_round: int) -> Registry:
        """Publish a version in which no key of `client` holds from `from_round` on."""
        revoked = self.registry.revoke(client, from_round=from_round, previous=self.registry_digest, issued=self.registry.issued)
        return self.amend(clients=revoked.clients)

    def rotate(self, client: str, keys: KeyPair, *, from_round: int, overlap: int = 1) -> Registry:
        """Publish a version in which `keys` are the client's from `from_round` on; its old ones hold for `overlap` rounds more."""
        record = self.registry.client(client)
        old = tuple(replace(r, valid_until=min(r.valid_until, from_round + overlap - 1)) for r in record.keys)
        new = replace(record, keys=(*old, KeyRecord(keys=keys.public, valid_from=from_round)))
        self.keys[client] = keys
        return self.amend(clients=tuple(new if c is record else c for c in self.registry.clients))

    # -- an honest night -----------------------------------------------------------------------------------------------------------

    def opens(self, round_id: int) -> datetime:
        return self.registry.windows.opens(round_id)

    def night(self, round_id: int) -> datetime:
        """When the round is run: a minute after its window's end."""
        return self.registry.windows.deadline(round_id) + timedelta(minutes=1)

    def open(self, round_id: int = 1, *, quorum: int | None = None, **policy: Any) -> Stored[Plan]:
        """Open a round; keyword arguments change the policy."""
        runner = self.runner(round_id, now=self.opens(round_id))
        return runner.open_round(round_id, policy=replace(self.policy, **policy), vocabulary=self.vocabulary, quorum=quorum)

    def plan(self, round_id: int = 1) -> Plan:
        return self.runner(round_id).plan(round_id).value

    def update(self, client: str | None = None, *, effect: float = 0.5) -> Update:
        """What a client found: a chain over the vocabulary, its effects a little different at each client."""
        n = len(self.vocabulary)
        shift = 0.01 * (self.clients.index(client) if client in self.clients else 0)
        edges = EdgeTable.build(
            source=np.arange(n - 1),
            target=np.arange(1, n),
            lag=np.ones(n - 1, np.uint16),
            effect=effect + shift + 0.1 * np.arange(n - 1),
            ci_low=effect + shift + 0.1 * np.arange(n - 1) - 0.2,
            ci_high=effect + shift + 0.1 * np.arange(n - 1) + 0.2,
            confidence=0.9,
            stability=0.8,
            hits=20,
            n=100,
        )
        return Update(measured=np.arange(n, dtype=np.uint32), edges=edges)

    def session(self, client: str, *, store: ObjectStore | None = None) -> ClientSession:
        return ClientSession(
            store or self.store, client_id=client, keys=self.keys[client], fingerprint=self.fingerprint, memory=self.memories[client], limits=self.limits
        )

    def submit(self, client: str, update: Update | None = None, *, round_id: int = 1, now: datetime | None = None) -> Submitted:
        """The honest client submits, an hour into the round's window unless told otherwise."""
        session = self.session(client)
        return session.submit(update or self.update(client), now=now or self.opens(round_id) + timedelta(hours=1), plan=session.plan(round_id))

    def submit_all(self, *, round_id: int = 1, but: Sequence[str] = ()) -> list[Submitted]:
        return [self.submit(client, round_id=round_id) for client in self.clients if client not in but]

    def runner(self, round_id: int = 1, *, now: datetime | None = None, store: ObjectStore | None = None, keys: KeyPair | None = None) -> RoundRunner:
        return RoundRunner(
            store or self.store, keys=keys or self.coordinator, now=now or self.night(round_id), fingerprint=self.fingerprint, limits=self.limits
        )

    def judge(self, round_id: int = 1, *, now: datetime | None = None) -> Admission:
        """What collecting and validating the round say, before anything is decided."""
        runner = self.runner(round_id, now=now)
        return runner.validate(runner.collect(round_id))

    def run(self, round_id: int = 1, *, now: datetime | None = None) -> Stage:
        return self.runner(round_id, now=now).run(round_id)

    def play(self, round_id: int = 1, *, but: Sequence[str] = ()) -> Stage:
        """Open, let every client but these submit, run."""
        self.open(round_id)
        self.submit_all(round_id=round_id, but=but)
        return self.run(round_id)

    def reader(self) -> DropBoxReader:
        return DropBoxReader(self.store, fingerprint=self.fingerprint, limits=self.limits)

    def receipt(self, client: str, round_id: int = 1) -> Receipt | None:
        return self.session(client).receipt(round_id)

    # -- by hand -------------------------------------------------------------------------------------------------------------------

    def header(self, client: str, *, round_id: int = 1, **changes: Any) -> Header:
        """The header an honest client would write now, with any field changed. Takes the client's next sequence unless `sequence` is given."""
        plan = self.plan(round_id)
        if "sequence" not in changes:
            self.memories[client].raise_to(sequence=self.memories[client].marks.sequence + 1)
        created = self.opens(round_id) + timedelta(hours=1)
        honest: dict[str, Any] = {
            "federation": plan.federation,
            "round": round_id,
            "sender": client,
            "key_id": self.keys[client].key_id,
            "audience": "coordinator",
            "sequence": self.memories[client].marks.sequence,
            "nonce": secrets.token_bytes(16),
            "created": created,
            "expires": created + timedelta(days=7),
            "policy": policy_digest(plan.policy),
            "vocabulary": plan.vocabulary.digest,
        }
        return Header(**(honest | changes))

    def envelope(
        self,
        client: str,
        *,
        round_id: int = 1,
        update: Update | None = None,
        body: bytes | None = None,
        keys: KeyPair | None = None,
        type_: PacketType = PacketType.UPDATE,
        sealed: bool | None = None,
        compression: str | None = "zstd",
        **header: Any,
    ) -> bytes:
        """A signed envelope in which everything can be other than an honest client's: body (before sealing), signer, type, any header field."""
        keys = keys or self.keys[client]
        head = self.header(client, round_id=round_id, **({"key_id": keys.key_id} | header))
        body = PayloadCodec(compression=compression).encode(update or self.update(client)) if body is None else body
        if self.plan(round_id).policy.sealed if sealed is None else sealed:
            head, body = seal_body(head, body, self.registry.sealing_keys(round_id))
        else:
            head = bind_body(head, body)
        return sign_envelope(type_, head, body, [keys])

    def put(self, data: bytes, client: str, *, round_id: int = 1, slot: int = 0) -> str:
        """Drop bytes into an inbox slot, as whoever holds the client's write access can; the key."""
        key = Keys.inbox(round_id, client, slot)
        if not self.store.put_if_absent(key, data):
            raise KeyError(f"{key} is taken")
        return key

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Every object under `prefix`."""
        return {info.key: self.store.read(info.key, max_bytes=self.limits.max_object_bytes) for info in self.store.list(prefix)}

    def twin(self, store: ObjectStore | None = None) -> "SmallFederation":
        """The same federation at another drop-box (by default in memory), which gets a copy of its objects; what is done to one the other does not see."""
        twin = copy(self)
        twin.store = store if store is not None else MemoryStore()
        twin.memories, twin.keys = deepcopy(self.memories), dict(self.keys)
        for key, data in self.objects().items():
            twin.store.put_if_absent(key, data)
        return twin

    def accepted(self, round_id: int = 1) -> dict[bytes, str]:
        """packet digest -> the key of the pack it lies in, of every update in `accepted/`, pack by pack."""
        return {digest: key for key, data in self.objects(f"rounds/{round_id:08d}/accepted/").items() for digest in read_pack(data, subject=key)}

    def decided(self) -> dict[str, bytes]:
        """Ledger, freezes, results, states, receipts: what nobody can take back. Not the inbox, plans, the registry, or copies in `accepted/`."""
        names = ("freeze", "result", "state", "receipts")
        return {key: data for key, data in self.objects().items() if key.startswith("ledger/") or (key.startswith("rounds/") and key.split("/")[2] in names)}
