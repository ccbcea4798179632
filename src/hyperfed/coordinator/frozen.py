"""What a freeze names, verified by the process that merges it: all that a merge may work on (R-66).

1. Each update is the one that was frozen: same client, round and digest; anything else ends the stage, naming the object.
2. What this process has judged and itself copied to `accepted/` is taken as it was judged, under the freeze's own registry: a digest names the body too, and an
   object is never changed. Everything else is read from there, pack by pack, and its signature and digest are verified again.
3. An update that carries changes is resolved against its sender's last counted update, which lies in the freeze of an earlier round; along at most
   32 such steps. Where one is gone there is no base, and the answer is "send the whole table" (R-97).

What it does not do: decide who counts, write.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hyperfed.config import Limits
from hyperfed.coordinator.accepted import Accepted
from hyperfed.coordinator.budget import accountant_of
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.streamed import Streamed, Streaming, may_stream
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import RoundError
from hyperfed.keys import KeyPair
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.spool import Spool, Spooled
from hyperfed.packets import Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.protocol.objects import Counted, EntryKind, Freeze, Plan, RoundState
from hyperfed.protocol.reputation import Judge, trust_of
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore
from hyperfed.validator import Admitted, PacketValidator

__all__ = ["FrozenSets"]

_MAX_DELTA_CHAIN = 32
_KEPT_BYTES = 512 << 20


@dataclass(slots=True, kw_only=True)
class FrozenSets:
    """Reads frozen sets. keys: open sealed bodies (a coordinator's or an auditor's; None where nothing is sealed)."""

    store: ObjectStore
    reader: DropBoxReader
    keys: KeyPair | None
    limits: Limits
    accepted: Accepted = field(init=False)
    _pending: dict[bytes, Admitted] = field(default_factory=dict)  # judged here, and not yet copied
    _known: dict[bytes, Admitted] = field(default_factory=dict)
    _streaming: Streaming | None = None
    _judged_under: int = 0  # the registry's version
    _left: int = 0
    _validators: dict[int, PacketValidator] = field(default_factory=dict)  # by registry version: each maps every client's keys

    def __post_init__(self) -> None:
        self.accepted = Accepted(self.store, limits=self.limits)

    def begin(self, *, registry_version: int, plan: Plan, expected: int = 1) -> None:
        """Forget what was remembered: a round is judged (again), under this version of the registry. expected: how many updates will come, a guess."""
        self._pending.clear()
        self._known.clear()
        self._streaming = Streaming(expected=expected, variables=len(plan.vocabulary)) if may_stream(plan.policy) else None
        self._judged_under, self._left = registry_version, _KEPT_BYTES

    @property
    def spool(self) -> Spool | None:
        """Where the edges of what is remembered go, None where the round is not streamed."""
        return None if self._streaming is None else self._streaming.spool

    def remember(self, item: Admitted, edges: PackedTable | Spooled | None = None) -> None:
        """Keep what validation has read and judged. Once it lies in `accepted/` (`copied`), the merge of the same process need not read it again.

        Its edges go into a spool where the round is streamed; else at most 512 MB of columns are kept, and what goes beyond is read again, and verified.
        edges: the update's, packed or where they are spooled, where it has none itself.
        """
        if item.update is None:
            return
        if self._streaming is not None:
            add = self._streaming
            small = add.add(item.digest, item.update) if edges is None else add.add_packed(item.digest, item.update, edges)
            self._pending[item.digest] = item.kept(update=small.update)
            return
        self._left -= item.update.nbytes
        if self._left >= 0:
            self._pending[item.digest] = item.kept(update=item.update)

    def copied(self, digests: Iterable[bytes]) -> None:
        """What of this was remembered lies in `accepted/`: this process has created its pack there, or has compared what lay there."""
        for digest in digests:
            if digest in self._pending:
                self._known[digest] = self._pending.pop(digest)

    def coordinator(
        self,
        plan: Plan,
        frozen: Stored[Freeze],
        *,
        keys: KeyPair | None = None,
        empty: bool = False,
        models: Callable[[], Sequence[Judge]] | None = None,
    ) -> FederationCoordinator:
        """A coordinator that holds exactly the frozen set; empty: nothing yet. keys: to sign with. Raises RoundError where one is gone or changed (R-66).

        models: the last committed ones, newest first; where they are given, edges are streamed if the policy lets them be: the coordinator's stores have none.
        """
        freeze = frozen.value
        budget = self.reader.registry_at(freeze.registry_version).budget
        coordinator = FederationCoordinator(plan=plan, keys=keys, freeze=frozen.digest, time=freeze.time, budget=budget)
        if plan.policy.privacy != "none":
            coordinator.reserved = self._reserved(freeze)
        base = self.state_before(freeze)
        if base is not None and plan.policy.weigh_by == "reputation":
            coordinator.reputation = {client: trust_of(base, client) for client in plan.cohort}
        if empty:
            return coordinator
        if models is not None and may_stream(plan.policy):
            self._stream(coordinator, freeze, models, variables=len(plan.vocabulary))
        else:
            for counted, admitted in self.read(freeze, freeze.counted):
                coordinator.handle_update(counted.client, admitted)
        self._pending.clear()
        self._known.clear()
        self._streaming = None
        self.accepted.forget()
        return coordinator

    def _stream(self, coordinator: FederationCoordinator, freeze: Freeze, models: Callable[[], Sequence[Judge]], *, variables: int) -> None:
        """Give the coordinator what is small of each counted update; the edges of those that were not judged here follow the others' into the spool."""
        streaming = self._streaming or Streaming(expected=len(freeze.counted), variables=variables)
        judged = self._judged(freeze, freeze.counted) if self._streaming is not None else {}
        held = {c.client: streaming.small[c.digest] for c in freeze.counted if c.digest in judged}
        for counted, admitted in self.read(freeze, [c for c in freeze.counted if c.digest not in judged]):
            if admitted.update is not None:
                held[counted.client] = streaming.add(counted.digest, admitted.update)
        for counted in freeze.counted:
            coordinator.hold(counted, held[counted.client].update)
        coordinator.elsewhere = Streamed(spool=streaming.spool, held=held, models=models)

    def _judged(self, freeze: Freeze, some: Sequence[Counted]) -> dict[bytes, Admitted]:
        """What of it was judged here, under the freeze's own registry, by digest."""
        if freeze.registry_version != self._judged_under:
            return {}
        found = ((c, self._known.get(c.digest)) for c in some)
        return {c.digest: known for c, known in found if known is not None and (known.client, known.made_for) == (c.client, c.made_for)}

    def read(self, freeze: Freeze, some: Sequence[Counted]) -> Iterator[tuple[Counted, Admitted]]:
        """Some of what a freeze counts, each verified and resolved: what was judged here, which is not read again, then the others in the order of their
        packs. Raises RoundError where an object is gone or changed (R-66)."""
        base = self.state_before(freeze)
        judged = self._judged(freeze, some) if self._streaming is None else {}  # what is streamed has left its edges in the spool
        for counted in some:
            if counted.digest in judged:
                yield counted, judged[counted.digest]
        for counted, key, envelope in self.accepted.read(freeze, [c for c in some if c.digest not in judged]):
            if isinstance(envelope, RoundError):
                raise envelope
            yield counted, self._reopen(freeze, counted, envelope, key, lambda client, digest: self.base_update(base, client, digest))

    def _reserved(self, freeze: Freeze) -> PrivacyAccountant:
        """The accountant of the ledger up to and with the round's reserve, by the registry it was frozen under: as the release's statement tells it, and as
        anybody can compute it again."""
        ledger = self.reader.ledger()
        until = max((c.entry.sequence for c in ledger if c.entry.round == freeze.round and c.entry.kind is EntryKind.RESERVE), default=len(ledger))
        return accountant_of(self.reader, ledger[:until], version=freeze.registry_version)

    def base_update(self, base: RoundState | None, client: str, digest: bytes) -> Update | None:
        """The client's last counted update, its own deltas resolved; None where it is gone or not the last counted one."""
        state = base.of(client) if base else None
        if state is None or state.last_digest != digest:
            return None
        return self._counted_update(state.last_round, client, digest, depth=0)

    def _counted_update(self, round_id: int, client: str, digest: bytes, *, depth: int) -> Update | None:
        frozen = self.reader.freeze(round_id)
        counted = frozen.value.of(client) if frozen else None
        if frozen is None or counted is None or counted.digest != digest:
            return None
        envelope = self.accepted.one(frozen.value, counted)
        if envelope is None:
            return None
        base = self.state_before(frozen.value)

        def earlier(client: str, digest: bytes) -> Update | None:
            state = base.of(client) if base else None
            if depth >= _MAX_DELTA_CHAIN or state is None or state.last_digest != digest:
                return None
            return self._counted_update(state.last_round, client, digest, depth=depth + 1)

        key = Keys.accepted(round_id, frozen.value.lies_in(counted))
        return self._reopen(frozen.value, counted, envelope, key, earlier).update

    def state_before(self, freeze: Freeze) -> RoundState | None:
        if not freeze.base_round:
            return None
        found = self.reader.state(freeze.base_round)
        return found.value if found is not None and found.digest == freeze.base_state else None

    def _reopen(self, freeze: Freeze, counted: Counted, envelope: bytes | memoryview, key: str, base_of: Callable[[str, bytes], Update | None]) -> Admitted:
        """A frozen update from its envelope in `accepted/`, its signature and digest verified again. key: of the object it lies in."""
        version = freeze.registry_version
        if version not in self._validators:
            self._validators[version] = PacketValidator(self.reader.registry_at(version), limits=self.limits)
        validator, about = self._validators[version], f"{key} ({counted.client})"
        admitted = validator.reopen(envelope, key=about, client=counted.client, made_for=counted.made_for, keys=self.keys, base_of=base_of)
        if admitted.digest != counted.digest:
            remedy = "Restore the bucket from its versions; run `hyperfed audit`"
            raise RoundError("is not the update that was frozen", subject=about, rule="R-66", remedy=remedy)
        return admitted
