"""What a freeze names, verified by the process that merges it: all that a merge may work on (R-66).

1. Each update is the one that was frozen: same client, round and digest; anything else ends the stage, naming the object.
2. What this process has judged and itself copied to `accepted/` is taken as it was judged, under the freeze's own registry: a digest names the body too, and an
   object is never changed. Everything else is read from there, and its signature and digest are verified again.
3. An update that carries changes is resolved against its sender's last counted update, which lies in the freeze of an earlier round; along at most
   32 such steps. Where one is gone there is no base, and the answer is "send the whole table" (R-97).

What it does not do: decide who counts, write.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hyperfed.config import Limits
from hyperfed.coordinator.budget import accountant_of
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import HyperfedError, ObjectNotFound, RoundError, TransientError
from hyperfed.keys import KeyPair
from hyperfed.packets import Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.protocol.objects import Counted, EntryKind, Freeze, Plan, RoundState
from hyperfed.protocol.reputation import trust_of
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
    _known: dict[bytes, Admitted] = field(default_factory=dict)
    _judged_under: int = 0  # the registry's version
    _left: int = 0
    _validators: dict[int, PacketValidator] = field(default_factory=dict)  # by registry version: each maps every client's keys

    def begin(self, *, registry_version: int) -> None:
        """Forget what was remembered: a round is judged (again), under this version of the registry."""
        self._known.clear()
        self._judged_under, self._left = registry_version, _KEPT_BYTES

    def remember(self, item: Admitted) -> None:
        """Keep what validation has read and copied to `accepted/` (created there, or compared): the merge of the same process need not read it again.

        At most 512 MB of columns; what goes beyond is read again, and verified.
        """
        if item.update is not None:
            self._left -= item.update.nbytes
            if self._left >= 0:
                self._known[item.digest] = replace(item, data=None)

    def coordinator(self, plan: Plan, frozen: Stored[Freeze], *, keys: KeyPair | None = None, empty: bool = False) -> FederationCoordinator:
        """A coordinator that holds exactly the frozen set; empty: nothing yet. keys: to sign with. Raises RoundError where one is gone or changed (R-66)."""
        freeze = frozen.value
        budget = self.reader.registry_at(freeze.registry_version).budget
        coordinator = FederationCoordinator(plan=plan, keys=keys, freeze=frozen.digest, time=freeze.time, budget=budget)
        if plan.policy.privacy != "none":
            coordinator.reserved = self._reserved(freeze)
        base = self.state_before(freeze)
        if base is not None and plan.policy.weigh_by == "reputation":
            coordinator.reputation = {client: trust_of(base, client) for client in plan.cohort}
        for counted, admitted in () if empty else self.read(freeze, freeze.counted):
            coordinator.handle_update(counted.client, admitted)
        self._known.clear()
        return coordinator

    def read(self, freeze: Freeze, some: Sequence[Counted]) -> Iterator[tuple[Counted, Admitted]]:
        """Some of what a freeze counts, in the order given, each verified and resolved; what was judged here is not read again. Raises RoundError where an
        object is gone or changed (R-66)."""
        base = self.state_before(freeze)
        judged: dict[bytes, Admitted] = {}
        if freeze.registry_version == self._judged_under:
            found = ((c, self._known.get(c.digest)) for c in some)
            judged = {c.digest: known for c, known in found if known is not None and (known.client, known.made_for) == (c.client, c.made_for)}
        keys = [Keys.accepted(freeze.round, c.digest) for c in some if c.digest not in judged]
        reading = self.store.read_many(keys, max_bytes=self.limits.max_update_bytes)
        for counted in some:
            if counted.digest in judged:
                yield counted, judged[counted.digest]
                continue
            key, data = next(reading)
            if isinstance(data, TransientError):
                raise data
            if isinstance(data, HyperfedError):
                raise RoundError(f"cannot be read: {data}", subject=key, rule="R-66", remedy="Restore the bucket from its versions") from data
            yield (
                counted,
                self._reopen(freeze, counted.made_for, counted.client, counted.digest, data, lambda client, digest: self.base_update(base, client, digest)),
            )

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
        try:
            data = self.store.read(Keys.accepted(round_id, digest), max_bytes=self.limits.max_update_bytes)
        except ObjectNotFound:
            return None
        frozen = self.reader.freeze(round_id)
        counted = frozen.value.of(client) if frozen else None
        if frozen is None or counted is None or counted.digest != digest:
            return None
        base = self.state_before(frozen.value)

        def earlier(client: str, digest: bytes) -> Update | None:
            state = base.of(client) if base else None
            if depth >= _MAX_DELTA_CHAIN or state is None or state.last_digest != digest:
                return None
            return self._counted_update(state.last_round, client, digest, depth=depth + 1)

        return self._reopen(frozen.value, counted.made_for, client, digest, data, earlier).update

    def state_before(self, freeze: Freeze) -> RoundState | None:
        if not freeze.base_round:
            return None
        found = self.reader.state(freeze.base_round)
        return found.value if found is not None and found.digest == freeze.base_state else None

    def _reopen(self, freeze: Freeze, made_for: int, client: str, digest: bytes, data: bytes, base_of: Callable[[str, bytes], Update | None]) -> Admitted:
        """A frozen update from its bytes in `accepted/`, its signature and digest verified again."""
        key = Keys.accepted(freeze.round, digest)
        version = freeze.registry_version
        if version not in self._validators:
            self._validators[version] = PacketValidator(self.reader.registry_at(version), limits=self.limits)
        admitted = self._validators[version].reopen(data, key=key, client=client, made_for=made_for, keys=self.keys, base_of=base_of)
        if admitted.digest != digest:
            raise RoundError("is not the update that was frozen", subject=key, rule="R-66", remedy="Restore the bucket from its versions; run `hyperfed audit`")
        return admitted
