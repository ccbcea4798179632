"""Issue links: decide which URLs a client without a cloud account gets, and for how long.

`links.bundle` says what a bundle is.

1. A bundle reaches these objects and no others (R-53):
   - every registry version and ledger entry there is, and those that may come while it lives;
   - plans and results of the last rounds and the next ones;
   - the client's own inbox slots, receipts and links;
   - in a federation with secure sums, its own boxes and rebuttals, the helpers' round keys and what
     they confirm; for a helper, also its own keys, confirmations, answers and refusals, and what it
     checks before it answers: the openings of the last rounds, and plan and freeze of each round
     that was ever reserved;
   - what `mail` names: another transport's messages, or gossip with the client's peers.
   It does not reach `accepted/`, `freeze` or `state`, or anybody else's folder.
2. The next rounds' links are reached one by one for a week of nights, and then in doubling steps.
   So a client that was away for any part of a bundle's life finds the newest bundle in a few
   requests, however short the rounds are.
3. Any process that opens the round makes the same bundle; the second one adopts what the first one
   wrote (create-only). Only an S3 store makes URLs.

The URLs carry the rights of the access key that signs them, and end with it. Give the coordinator a
key that lives longer than they do.

What it does not do: decide who gets links (the Drop-Box block, the operator), or follow them
(`links.following`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, cast

from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import ConfigError, RegistryError
from hyperfed.links.bundle import MAX_LIFETIME_S, Link, Links, LinksFile, seal_links, split_url
from hyperfed.protocol.documents import Write
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import reserved_rounds
from hyperfed.protocol.object_keys import SLOTS, Keys
from hyperfed.protocol.receipts import receipt_keys
from hyperfed.registry.registry import Registry
from hyperfed.storage.clock import check_clock
from hyperfed.storage.store import ObjectStore

__all__ = ["Issued", "LinkIssuer", "Mail", "MailBox", "Presigner", "issue_links", "presigner_of"]

_REGISTRIES_AHEAD = 4
_ENTRIES_AHEAD = 64  # a reader asks for that many entries at once beyond the end
_RECEIPTS_BACK = 64  # a client without memory looks that far back for its sequence
_ROUNDS_AHEAD = 7
_ROUNDS_BACK = 7
_SLOT_ROUNDS = (-1, 0, 1, 2)  # the round before may still count late
_HELP_ROUNDS = (-2, -1, 0, 1, 2)  # a round may wait for its helpers until its close_by
_HELPED = (Keys.helper_key, Keys.confirmation, Keys.opening, Keys.helper_refusal)


class Presigner(Protocol):
    """Makes presigned URLs for a store, such as `storage.s3.S3Store`."""

    def presign_get(self, key: str, *, expires_s: int) -> str: ...
    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str: ...


def presigner_of(store: ObjectStore) -> Presigner:
    """Return the part of a store that makes URLs, also behind a `RetryingStore`.

    Raises ConfigError where there is none.
    """
    candidate: object = store
    while candidate is not None and not hasattr(candidate, "presign_put_if_absent"):
        candidate = getattr(candidate, "inner", None)
    if candidate is None:
        raise ConfigError(
            "this store makes no presigned URLs",
            subject="links",
            rule="R-53",
            remedy=(
                "Use an S3 store for links. A share is mounted by its clients, or they carry a "
                "stick"
            ),
        )
    return cast("Presigner", candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Holds the outcome of issuing links for one round."""

    round: int
    """Number of the round."""
    written: tuple[str, ...] = ()
    """Clients whose links were written now."""
    there: tuple[str, ...] = ()
    """Clients whose links were there already."""
    refused: tuple[tuple[str, str], ...] = ()
    """Clients whose links were not made, each with the reason."""


class Mail(Protocol):
    """Names what a bundle reaches besides rounds and inbox; `MailBox` is one."""

    def written(self, client: str) -> list[str]:
        """Return the keys that `client` may write."""

    def read(self, client: str) -> list[str]:
        """Return the keys that `client` may read, with those that it writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailBox:
    """Names the mail that a bundle reaches besides the drop-box (`HTTPTransport`)."""

    prefix: str
    """Folder in which the mail lies."""
    peers: tuple[str, ...]
    """Parties with which the client exchanges mail."""
    count: int = 16
    """Number of messages each way between the client and each peer."""

    def written(self, client: str) -> list[str]:
        """Return the keys that `client` may write."""
        return [
            f"{self.prefix}/{peer}/{client}/{number:012d}"
            for peer in self.peers
            for number in range(self.count)
        ]

    def read(self, client: str) -> list[str]:
        """Return the keys that `client` may read.

        They are those of its peers' messages, and those of its own, to compare after a lost reply.
        """
        return [
            f"{self.prefix}/{client}/{peer}/{number:012d}"
            for peer in self.peers
            for number in range(self.count)
        ] + self.written(client)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """The part of a bundle that is the same for every client of a round."""

    gets: tuple[Link, ...]
    """URLs to read."""
    ended: tuple[int, ...]
    """Rounds with an end in the ledger, newest first."""
    reserved: tuple[int, ...]
    """Rounds with a reserve in the ledger, ascending, those that the roots have annulled too."""


@dataclass(slots=True, kw_only=True)
class LinkIssuer:
    """Makes the bundles of one round.

    Raises ConfigError where `lifetime_s` is outside 1 to `MAX_LIFETIME_S`, where the key is not the
    coordinator's in the round, or where the store makes no URLs.
    """

    store: ObjectStore
    """Store of the drop-box, which must make URLs."""
    reader: DropBoxReader
    """Reader of the same drop-box."""
    key_pair: KeyPair
    """The coordinator's key pair."""
    round_id: int
    """Round for which the links are made."""
    now: datetime
    """Instant from which they live."""
    lifetime_s: int = MAX_LIFETIME_S
    """Seconds for which they live."""
    mail: Mail | None = None
    """What else a client may reach: mail, or its peers' gossip."""
    _origin: str = ""
    _reach: _Reach | None = None
    _presigner: Presigner = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.lifetime_s <= MAX_LIFETIME_S:
            raise ConfigError(
                f"links live for 1 to {MAX_LIFETIME_S} seconds, not {self.lifetime_s}",
                subject="links",
                rule="R-53",
            )
        if self.reader.registry.coordinator_key(self.key_pair.key_id, self.round_id) is None:
            raise ConfigError(
                f"key {self.key_pair.key_id} is not the coordinator's in round {self.round_id}",
                subject="links",
                rule="R-81",
                remedy="Use one that the registry names",
            )
        self._presigner = presigner_of(self.store)

    def bundle(self, client: str) -> Write:
        """Return one client's links as an object to write.

        Raises RegistryError where no key of the client holds any more, ConfigError where the
        store's URLs are at several hosts, and SchemaError where one of them is malformed.
        """
        registry = self.reader.registry
        recipients, since = _keys_of(registry, client, self.round_id)
        reach = self._shared()
        slots = [
            Keys.inbox(r, client, slot) for r in self._rounds(_SLOT_ROUNDS) for slot in range(SLOTS)
        ]
        ahead = range(self.round_id, self.round_id + _ROUNDS_AHEAD + 1)
        rounds = {
            r
            for r in (*reach.ended[:_RECEIPTS_BACK], *self._rounds(range(-_ROUNDS_BACK, 0)), *ahead)
            if r >= since
        }
        receipts = {
            key
            for r in rounds
            for key in receipt_keys(
                r, client, clients=len(registry.clients), limits=self.reader.limits
            )
        }
        boxes = self._boxes(client)
        help_keys, to_help = self._help(client)
        client_keys = [
            *slots,
            *boxes,
            *self._round_keys(),
            *to_help,
            *sorted(receipts),
            *(Keys.links(r, client) for r in self._next_bundles()),
        ]
        written = [*slots, *boxes, *help_keys, *(self.mail.written(client) if self.mail else ())]
        client_keys += self.mail.read(client) if self.mail else ()
        shared = {link.key for link in reach.gets}
        client_keys = [key for key in client_keys if key not in shared]
        links = Links(
            federation=registry.federation,
            round=self.round_id,
            client=client,
            since=since,
            origin=self._origin,
            issued=self.now,
            expires=self.now + timedelta(seconds=self.lifetime_s),
            gets=_sorted((*reach.gets, *self._get(dict.fromkeys(client_keys)))),
            puts=_sorted(self._put(written)),
        )
        return seal_links(links, recipients=recipients, key_pair=self.key_pair)

    def _boxes(self, client: str) -> list[str]:
        """Return where a client leaves its seeds for helpers, and answers who refuses them.

        There is none where nobody helps.
        """
        if self.reader.registry.secure_sums is None:
            return []
        return [
            *(Keys.boxes(r, client) for r in self._rounds(_HELP_ROUNDS)),
            *(Keys.rebuttal(r, client) for r in self._rounds(_HELP_ROUNDS)),
        ]

    def _round_keys(self) -> list[str]:
        """Return where helpers publish the keys that a client seals to, and what they confirm."""
        named = self.reader.registry.secure_sums
        return [
            key_of(r, helper.client_id)
            for r in self._rounds(_HELP_ROUNDS)
            for helper in (() if named is None else named.helpers)
            for key_of in (Keys.helper_key, Keys.confirmation)
        ]

    def _help(self, client: str) -> tuple[list[str], list[str]]:
        """Return what a helper writes, and what it reads; nothing for who is none."""
        named = self.reader.registry.secure_sums
        helpers = [] if named is None else [helper.client_id for helper in named.helpers]
        if client not in helpers:
            return [], []
        own: list[str] = []
        read: list[str] = []
        for r in self._rounds(_HELP_ROUNDS):
            own += (keys_of(r, client) for keys_of in _HELPED)
            read += (keys_of(r, helper) for keys_of in _HELPED for helper in helpers)
            read += (Keys.boxes(r, one) for one in self.reader.registry.clients_in(r))
            read += (Keys.freeze(r), Keys.manifest(r))
        reserved = self._shared().reserved  # whose sums may have been opened before
        read += (key_of(r) for r in reserved for key_of in (Keys.plan, Keys.freeze))
        return own, read

    def file(self, client: str) -> bytes:
        """Return one client's links as a file to hand over.

        It brings the registry's versions along, so that it can be verified where it is opened.
        """
        limit = self.reader.limits.max_object_bytes
        versions = range(1, self.reader.registry.version + 1)
        registries = tuple(self.store.read(Keys.registry(v), max_bytes=limit) for v in versions)
        return LinksFile(registries=registries, envelope=self.bundle(client).data).to_bytes()

    def _shared(self) -> _Reach:
        if self._reach is None:
            entries = [c.entry for c in self.reader.ledger()]
            ended = sorted(
                {e.round for e in entries if e.kind is not EntryKind.RESERVE}, reverse=True
            )
            reserved = reserved_rounds(self.reader.ledger())
            commits = [e.round for e in entries if e.kind is EntryKind.COMMIT]
            rounds = [*self._rounds(range(-_ROUNDS_BACK, _ROUNDS_AHEAD + 1))]
            keys = [
                Keys.registry(v)
                for v in range(1, self.reader.registry.version + _REGISTRIES_AHEAD + 1)
            ]
            # a reserve and an end for each round
            to_come = 2 * (min(self._last() - self.round_id, _ENTRIES_AHEAD) + 2)
            keys += [Keys.ledger(s) for s in range(1, len(entries) + _ENTRIES_AHEAD + to_come + 1)]
            keys += [Keys.plan(r) for r in rounds] + [
                Keys.result(r) for r in sorted({*rounds, *commits[-1:]})
            ]
            self._reach = _Reach(gets=tuple(self._get(keys)), ended=tuple(ended), reserved=reserved)
        return self._reach

    def _rounds(self, offsets: Iterable[int]) -> Iterator[int]:
        return (self.round_id + i for i in offsets if self.round_id + i >= 1)

    def _last(self) -> int:
        """Return the last round that opens while the bundle lives."""
        registry = self.reader.registry
        return max(
            self.round_id,
            registry.windows.round_at(
                max(self.now, registry.genesis) + timedelta(seconds=self.lifetime_s)
            ),
        )

    def _next_bundles(self) -> list[int]:
        """Return the rounds to come whose links the bundle reaches (rule 2)."""
        steps = [
            *range(1, _ROUNDS_AHEAD + 1),
            *(1 << i for i in range(_ROUNDS_AHEAD.bit_length(), 32)),
        ]
        return [
            self.round_id + step
            for step in steps
            if self.round_id + step <= max(self._last(), self.round_id + 1)
        ]

    def _get(self, keys: Iterable[str]) -> Iterator[Link]:
        return (
            self._link(key, self._presigner.presign_get(key, expires_s=self.lifetime_s))
            for key in keys
        )

    def _put(self, keys: Iterable[str]) -> Iterator[Link]:
        return (
            self._link(key, self._presigner.presign_put_if_absent(key, expires_s=self.lifetime_s))
            for key in keys
        )

    def _link(self, key: str, url: str) -> Link:
        origin, target = split_url(url)
        if origin != (self._origin or origin):
            raise ConfigError(
                "the store's URLs are at several hosts",
                subject="links",
                rule="R-53",
                remedy="Use an endpoint with path addressing",
            )
        self._origin = origin
        return Link(key=key, target=target)


def _sorted(links: Iterable[Link]) -> tuple[Link, ...]:
    return tuple(sorted(links, key=lambda link: link.key))


def _keys_of(registry: Registry, client: str, round_id: int) -> tuple[list[PublicKeys], int]:
    """Return (the keys a bundle is sealed to, the first round in which any key holds).

    Raises RegistryError where no key of the client holds in the round or later.
    """
    record = registry.client(client)
    holding = [r.keys for r in record.keys if r.valid_until >= round_id]
    if not holding:
        raise RegistryError(
            f"no key holds in round {round_id} or later",
            subject=f"client {client}",
            rule="R-53",
            remedy="Enrol the client with a new key: its own was revoked, and it gets no links",
        )
    return holding, max(1, min(r.valid_from for r in record.keys))


def issue_links(
    store: ObjectStore,
    clients: Sequence[str],
    *,
    round_id: int,
    now: datetime,
    key_pair: KeyPair,
    fingerprint: str | None,
    reader: DropBoxReader | None = None,
    lifetime_s: int = MAX_LIFETIME_S,
    mail: Mail | None = None,
) -> Issued:
    """Create rounds/{round}/links/{client} for each of `clients` that has none.

    It is safe to run again. `mail` says what the bundles reach besides rounds and inbox. A client
    that is unknown or revoked is named in the outcome, and does not stop the others.

    Raises TransportError, and ConfigError where the store makes no URLs, the key is not the
    coordinator's, or the clocks differ by more than the federation tolerates.
    """
    if not clients:
        return Issued(round=round_id)
    issuer = LinkIssuer(
        store=store,
        reader=reader or DropBoxReader(store, fingerprint=fingerprint),
        key_pair=key_pair,
        round_id=round_id,
        now=now,
        lifetime_s=lifetime_s,
        mail=mail,
    )
    here = {info.key for info in store.list(Keys.links(round_id, ""))}
    check_clock(store, most_s=issuer.reader.limits.clock_skew_s)
    written: list[str] = []
    there: list[str] = []
    refused: list[tuple[str, str]] = []
    for client in sorted(set(clients)):
        try:
            _keys_of(issuer.reader.registry, client, round_id)
        except RegistryError as error:
            refused.append((client, str(error)))
            continue
        if Keys.links(round_id, client) in here:
            there.append(client)
            continue
        write = issuer.bundle(client)
        (written if store.put_if_absent(write.key, write.data) else there).append(client)
    return Issued(
        round=round_id, written=tuple(written), there=tuple(there), refused=tuple(refused)
    )
