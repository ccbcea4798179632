"""Run a whole federation in memory, for tests of the protocol and of attacks on it.

1. Everything follows from the arguments: keys come from their owners' names, and instants from
   genesis. Only nonces and seals are random.
2. What an honest party does goes through the library (`submit`, `run`, `reader`). What an attacker
   does is built by hand (`envelope`, `put`): every part of the envelope can be replaced, and any
   key can sign it.
3. `decided` returns what the federation has decided so far. If it is the same before and after an
   attack, nothing moved.

    fed = SmallFederation()                    # three clients, one root, four variables
    fed.open(1)
    for client in fed.clients:
        fed.submit(client)
    stage = fed.run(1)                         # Stage(why=COMMITTED, counted=3, ...)

What it does not do: keep a secret (anyone can compute its keys), or wait.
"""

import hashlib
import secrets
from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client.session import Submitted
from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.runner import Stage
from hyperfed.crypto.envelope import Header, PacketType, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body, seal_body
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.dropbox.registries import load_registry, publish_registry
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.protocol.packs import read_pack
from hyperfed.protocol.receipt_objects import (
    Receipt,
)
from hyperfed.registry.registry import (
    Budget,
    ClientRecord,
    KeyRecord,
    Registry,
    root_fingerprint,
    sign_registry,
)
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.validator.admission import Admission

__all__ = ["GENESIS", "SmallFederation", "key_of"]

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first window opens unless the caller says otherwise."""


def key_of(name: str) -> KeyPair:
    """Return the key pair that belongs to `name`. It is always the same, and known to everybody."""
    return KeyPair(hashlib.sha256(b"hyperfed/testing/" + name.encode()).digest())


class SmallFederation:
    """Runs a small federation with all its keys.

    The attributes `store`, `registry`, `fingerprint`, `policy`, `vocabulary`, `limits` and
    `clients` (ids, ascending) are what their names say. `roots`, `coordinator` and `auditors` are
    key pairs. `keys` and `memories` hold the key pair and the memory of each client.

    Args:
        clients: The ids of the clients, or their number.
        name: The federation's name.
        store: The drop-box; None: one in memory.
        policy: The policy that `open` puts into its plans; None: the default.
        vocabulary: The vocabulary that `open` puts into its plans; None: four variables of a plant.
        roots: The number of root keys.
        threshold: The number of root signatures that a registry needs.
        auditors: The number of auditors.
        window_s: The length of a window in seconds.
        budget: The privacy budget; None: the default.
        genesis: When the first window opens.
        limits: The limits of everything that is read.
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
        ids = (
            [f"site-{i + 1:02d}" for i in range(clients)]
            if isinstance(clients, int)
            else sorted(clients)
        )
        self.clients: tuple[str, ...] = tuple(ids)
        self.store: ObjectStore = store if store is not None else MemoryStore()
        self.policy = policy or PolicyPack()
        self.vocabulary = vocabulary or Vocabulary.of(
            "heat", "load", "wear", "faults", domain="plant"
        )
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
            clients=tuple(
                ClientRecord(
                    client_id=c,
                    organisation=f"{c} ltd",
                    keys=(KeyRecord(keys=self.keys[c].public),),
                )
                for c in self.clients
            ),
            budget=budget or Budget(),
        )
        self.fingerprint = root_fingerprint(registry.roots, threshold)
        self.registry = registry
        publish_registry(self.store, sign_registry(registry, self.roots))

    # -- the registry ------------------------------------------------------------------------------

    def amend(self, **changes: Any) -> Registry:
        """Publish the next version of the registry with these fields changed, signed by `roots`."""
        changed = replace(
            self.registry,
            **{"version": self.registry.version + 1, "previous": self.registry_digest, **changes},
        )
        publish_registry(self.store, sign_registry(changed, self.roots))
        self.registry = changed
        return changed

    @property
    def registry_digest(self) -> bytes:
        """The digest of the newest registry version in the drop-box."""
        return load_registry(self.store, fingerprint=self.fingerprint)[1]

    def revoke(self, client: str, *, from_round: int) -> Registry:
        """Publish a version in which no key of `client` is valid from `from_round` on."""
        revoked = self.registry.revoke(
            client,
            from_round=from_round,
            previous=self.registry_digest,
            issued=self.registry.issued,
        )
        return self.amend(clients=revoked.clients)

    def rotate(
        self, client: str, key_pair: KeyPair, *, from_round: int, overlap: int = 1
    ) -> Registry:
        """Publish a version in which `key_pair` is the client's from `from_round` on.

        Its old keys stay valid for the first `overlap` rounds from there.
        """
        record = self.registry.client(client)
        old = tuple(
            replace(r, valid_until=min(r.valid_until, from_round + overlap - 1))
            for r in record.keys
        )
        new = replace(record, keys=(*old, KeyRecord(keys=key_pair.public, valid_from=from_round)))
        self.keys[client] = key_pair
        return self.amend(clients=tuple(new if c is record else c for c in self.registry.clients))

    # -- an honest round ---------------------------------------------------------------------------

    def opens(self, round_id: int) -> datetime:
        """Return when the round's window opens."""
        return self.registry.windows.opens(round_id)

    def night(self, round_id: int) -> datetime:
        """Return when the round is run: a minute after its window's end."""
        return self.registry.windows.deadline(round_id) + timedelta(minutes=1)

    def open(self, round_id: int = 1, *, quorum: int | None = None, **policy: Any) -> Stored[Plan]:
        """Open a round. Keyword arguments change fields of the policy."""
        runner = self.runner(round_id, now=self.opens(round_id))
        return runner.open_round(
            round_id,
            policy=replace(self.policy, **policy),
            vocabulary=self.vocabulary,
            quorum=quorum,
        )

    def plan(self, round_id: int = 1) -> Plan:
        """Return the round's plan. Raises RoundError where the round was not opened."""
        return self.runner(round_id).plan(round_id).value

    def update(self, client: str | None = None, *, effect: float = 0.5) -> Update:
        """Return what a client found: a chain over the vocabulary.

        The effects are a little different at each client.
        """
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
        """Return a session of the client, at `store` or at the federation's drop-box."""
        return ClientSession(
            store or self.store,
            client_id=client,
            key_pair=self.keys[client],
            fingerprint=self.fingerprint,
            memory=self.memories[client],
            limits=self.limits,
        )

    def submit(
        self,
        client: str,
        update: Update | None = None,
        *,
        round_id: int = 1,
        now: datetime | None = None,
    ) -> Submitted:
        """Submit an update as the honest client does.

        `update` is `self.update(client)` unless given, and `now` an hour after the window opened.
        """
        session = self.session(client)
        return session.submit(
            update or self.update(client),
            now=now or self.opens(round_id) + timedelta(hours=1),
            plan=session.plan(round_id),
        )

    def submit_all(self, *, round_id: int = 1, but: Sequence[str] = ()) -> list[Submitted]:
        """Submit for every client but those in `but`."""
        return [
            self.submit(client, round_id=round_id) for client in self.clients if client not in but
        ]

    def runner(
        self,
        round_id: int = 1,
        *,
        now: datetime | None = None,
        store: ObjectStore | None = None,
        key_pair: KeyPair | None = None,
    ) -> RoundRunner:
        """Return the coordinator's runner, by default a minute after the round's window ends.

        `store` and `key_pair` replace the federation's drop-box and the coordinator's key pair.
        """
        return RoundRunner(
            store or self.store,
            key_pair=key_pair or self.coordinator,
            now=now or self.night(round_id),
            fingerprint=self.fingerprint,
            limits=self.limits,
        )

    def judge(self, round_id: int = 1, *, now: datetime | None = None) -> Admission:
        """Collect and validate the round, and return what may count. Nothing is decided."""
        runner = self.runner(round_id, now=now)
        return runner.validate(runner.collect(round_id))

    def run(self, round_id: int = 1, *, now: datetime | None = None) -> Stage:
        """Run the round as the coordinator does, and return how far it came."""
        return self.runner(round_id, now=now).run(round_id)

    def play(self, round_id: int = 1, *, but: Sequence[str] = ()) -> Stage:
        """Open a round, let every client but those in `but` submit, and run it."""
        self.open(round_id)
        self.submit_all(round_id=round_id, but=but)
        return self.run(round_id)

    def reader(self) -> DropBoxReader:
        """Return a new reader of the drop-box."""
        return DropBoxReader(self.store, fingerprint=self.fingerprint, limits=self.limits)

    def receipt(self, client: str, round_id: int = 1) -> Receipt | None:
        """Return the client's receipt of a round, or None where there is none."""
        return self.session(client).receipt(round_id)

    # -- by hand -----------------------------------------------------------------------------------

    def header(self, client: str, *, round_id: int = 1, **changes: Any) -> Header:
        """Return the header that an honest client would write, with any field changed.

        The header takes the client's next sequence unless `sequence` is given.
        """
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
        key_pair: KeyPair | None = None,
        type_: PacketType = PacketType.UPDATE,
        sealed: bool | None = None,
        compression: str | None = "zstd",
        **header: Any,
    ) -> bytes:
        """Return a signed envelope in which everything can differ from an honest client's.

        Args:
            client: The client whose header is written.
            round_id: The round that the header names.
            update: The content; None: what the client would send.
            body: The body before it is sealed, in place of `update`.
            keys: The key pair that signs; None: the client's.
            type_: The type of packet.
            sealed: Whether the body is sealed; None: as the plan asks.
            compression: How the body is compressed; None: not at all.
            **header: Fields of the header to change.
        """
        key_pair = key_pair or self.keys[client]
        head = self.header(client, round_id=round_id, **({"key_id": key_pair.key_id} | header))
        body = (
            PayloadCodec(compression=compression).encode(update or self.update(client))
            if body is None
            else body
        )
        if self.plan(round_id).policy.sealed if sealed is None else sealed:
            head, body = seal_body(head, body, self.registry.sealing_keys(round_id))
        else:
            head = bind_body(head, body)
        return sign_envelope(type_, head, body, [key_pair])

    def put(self, data: bytes, client: str, *, round_id: int = 1, slot: int = 0) -> str:
        """Write bytes into an inbox slot, as anyone with the client's write access can.

        The key of the slot is returned. Raises KeyError where the slot is taken.
        """
        key = Keys.inbox(round_id, client, slot)
        if not self.store.put_if_absent(key, data):
            raise KeyError(f"{key} is taken")
        return key

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return the bytes of every object under `prefix`, by key."""
        return {
            info.key: self.store.read(info.key, max_bytes=self.limits.max_object_bytes)
            for info in self.store.list(prefix)
        }

    def twin(self, store: ObjectStore | None = None) -> "SmallFederation":
        """Return the same federation at another drop-box, with a copy of all objects.

        What is done to one does not change the other. `store` is the other drop-box; None: one in
        memory.
        """
        twin = copy(self)
        twin.store = store if store is not None else MemoryStore()
        twin.memories, twin.keys = deepcopy(self.memories), dict(self.keys)
        for key, data in self.objects().items():
            twin.store.put_if_absent(key, data)
        return twin

    def accepted(self, round_id: int = 1) -> dict[bytes, str]:
        """Return the key of the pack that holds each update of `accepted/`, by packet digest.

        The updates come pack by pack.
        """
        return {
            digest: key
            for key, data in self.objects(f"rounds/{round_id:08d}/accepted/").items()
            for digest in read_pack(data, subject=key)
        }

    def decided(self) -> dict[str, bytes]:
        """Return what nobody can take back, by key: ledger, freezes, results, states and receipts.

        The inbox, plans, the registry and the copies in `accepted/` do not belong to it.
        """
        kinds = ("ledger", "freeze", "result", "state", "receipts", "receipt-pages")
        return {key: data for key, data in self.objects().items() if parse_key(key).kind in kinds}
