"""Read what a freeze names and verify it: a merge may work on nothing else (R-66).

1. Each update must be the one that was frozen: it has the same client, round and digest. Anything
   else ends the stage, and the error names the object.
2. What this process has judged under the freeze's own registry, and itself copied to `accepted/`,
   is taken as it was judged: its digest names its body too, and an object is never changed.
   Everything else is read from `accepted/`, pack by pack, and its signature and digest are verified
   again.
3. An update that carries changes is resolved against its sender's last counted update, which lies
   in the freeze of an earlier round. At most 32 such steps are followed. Where one of those updates
   is gone there is no base, and the answer is "send the whole table" (R-97).

What it does not do: it does not decide who counts, and writes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hyperfed.config import Limits
from hyperfed.coordinator.elsewhere import may_lie_elsewhere
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.reputation import trust_of
from hyperfed.coordinator.streamed import Streaming, streamed
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.accepted import Accepted
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.dropbox.nights import shares_of
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, RoundError
from hyperfed.packets import Update
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Counted,
    Freeze,
    Plan,
    RoundState,
)
from hyperfed.storage.store import ObjectStore
from hyperfed.trust_scorer import AccuracyModel
from hyperfed.validator.admission import Admitted
from hyperfed.validator.validator import PacketValidator

__all__ = ["FrozenSets"]

_MAX_DELTA_CHAIN = 32
_KEPT_BYTES = 512 << 20


@dataclass(slots=True, kw_only=True)
class FrozenSets:
    """Reads frozen sets."""

    store: ObjectStore
    """The drop-box."""
    reader: DropBoxReader
    """Reads the drop-box's other objects and verifies them."""
    key_pair: KeyPair | None
    """Opens sealed bodies: the coordinator's or an auditor's; None where nothing is sealed."""
    limits: Limits
    """The limits of what is read."""
    accepted: Accepted = field(init=False)
    """Reads the packs under `accepted/`."""
    _known: dict[bytes, Admitted] = field(default_factory=dict)
    """What this process has judged, by digest. Where it is not copied to `accepted/`, it is
    forgotten.
    """
    _streaming: Streaming | None = None
    """Takes the edges of what is judged; None where the round is not streamed."""
    _judged_under: int = 0
    """The registry version under which this process has judged."""
    _left: int = 0
    """How many more bytes of columns may be kept."""
    _validators: dict[int, PacketValidator] = field(default_factory=dict)
    """The validators by registry version: each maps every client's keys."""

    def __post_init__(self) -> None:
        self.accepted = Accepted(self.store, limits=self.limits)

    def begin(self, *, registry_version: int, plan: Plan, expected: int = 1) -> None:
        """Forget what was remembered, before a round is judged or judged again.

        registry_version: the version of the registry under which it is judged. expected: a guess
        at how many updates will come.
        """
        self.forget()
        self._streaming = (
            Streaming(expected=expected, variables=len(plan.vocabulary))
            if may_lie_elsewhere(plan.policy)
            else None
        )
        self._judged_under, self._left = registry_version, _KEPT_BYTES

    def remember(self, item: Admitted) -> None:
        """Keep what validation has read and judged, and is copying to `accepted/`.

        So the merge of the same process need not read it again. Where the round is streamed, its
        edges go into a spool. Otherwise at most 512 MB of columns are kept, and what goes beyond
        that is read and verified again. Whoever fails to copy it calls `forget`.
        """
        if item.update is None:
            return
        if self._streaming is not None:
            small = self._streaming.add(item.digest, item.update)
            self._known[item.digest] = item.kept(update=small.update)
            return
        self._left -= item.update.nbytes
        if self._left >= 0:
            self._known[item.digest] = item.kept(update=item.update)

    def forget(self) -> None:
        """Drop what was remembered, and close the spool."""
        self._known.clear()
        if self._streaming is not None:
            self._streaming.spool.close()
        self._streaming = None
        self.accepted.forget()

    def coordinator(
        self,
        plan: Plan,
        frozen: Stored[Freeze],
        *,
        key_pair: KeyPair | None = None,
        empty: bool = False,
        models: Callable[[], Sequence[AccuracyModel]] | None = None,
    ) -> FederationCoordinator:
        """Return a coordinator that holds exactly the frozen set.

        key_pair: the coordinator signs with it. empty: whether the coordinator is to hold nothing
        yet. models: returns the last committed models, newest first; where it is given, edges are
        streamed if the policy allows it, and the coordinator's stores have none. Raises RoundError
        where an update is gone or changed (R-66).
        """
        freeze = frozen.value
        budget = self.reader.registry_at(freeze.registry_version).budget
        coordinator = FederationCoordinator(
            plan=plan, key_pair=key_pair, freeze=frozen.digest, time=freeze.time, budget=budget
        )
        if plan.policy.privacy != "none":
            coordinator.reserved = self._reserved(freeze)
            coordinator.shares = shares_of(self.reader, plan, freeze)
        base = self.state_before(freeze)
        if base is not None and plan.policy.weigh_by == "reputation":
            coordinator.reputation = {client: trust_of(base, client) for client in plan.cohort}
        if empty:
            return coordinator
        if models is not None and may_lie_elsewhere(plan.policy):
            self._stream(coordinator, freeze, models, variables=len(plan.vocabulary))
            self._streaming = None  # the coordinator has it
        else:
            for counted, admitted in self.read(freeze, freeze.counted):
                coordinator.handle_update(counted.client, admitted)
        self.forget()
        return coordinator

    def _stream(
        self,
        coordinator: FederationCoordinator,
        freeze: Freeze,
        models: Callable[[], Sequence[AccuracyModel]],
        *,
        variables: int,
    ) -> None:
        """Give the coordinator the small parts of each counted update, and the spool of all edges.

        The edges of updates that were not judged here are appended to the spool.
        """
        streaming = self._streaming or Streaming(expected=len(freeze.counted), variables=variables)
        judged = self._judged(freeze, freeze.counted) if self._streaming is not None else {}
        for counted, admitted in self.read(
            freeze, [c for c in freeze.counted if c.digest not in judged]
        ):
            if admitted.update is not None:
                streaming.add(counted.digest, admitted.update)
        for counted in freeze.counted:
            coordinator.hold(counted, streaming.held[counted.digest].update)
        digests = {counted.client: counted.digest for counted in freeze.counted}
        coordinator.elsewhere = streamed(streaming, digests, models)

    def _judged(self, freeze: Freeze, some: Sequence[Counted]) -> dict[bytes, Admitted]:
        """Return those of `some` that were judged here under the freeze's registry, by digest."""
        if freeze.registry_version != self._judged_under:
            return {}
        pairs = ((c, self._known.get(c.digest)) for c in some)
        return {
            c.digest: judged
            for c, judged in pairs
            if judged is not None and (judged.client, judged.made_for) == (c.client, c.made_for)
        }

    def read(self, freeze: Freeze, some: Sequence[Counted]) -> Iterator[tuple[Counted, Admitted]]:
        """Yield some of the updates that a freeze counts, each verified and resolved.

        What was judged here comes first and is not read again; the others follow in the order of
        their packs. Raises RoundError where an object is gone or changed (R-66).
        """
        base = self.state_before(freeze)
        # what is streamed has left its edges in the spool
        judged = self._judged(freeze, some) if self._streaming is None else {}
        for counted in some:
            if counted.digest in judged:
                yield counted, judged[counted.digest]
        for counted, key, envelope in self.accepted.read(
            freeze, [c for c in some if c.digest not in judged]
        ):
            if isinstance(envelope, RoundError):
                raise envelope
            yield (
                counted,
                self._reopen(
                    freeze,
                    counted,
                    envelope,
                    key,
                    lambda client, digest: self.base_update(base, client, digest),
                ),
            )

    def _reserved(self, freeze: Freeze) -> PrivacyAccountant:
        """Return the accountant of the ledger up to and including the round's reserve.

        The registry that the round was frozen under gives its budget. The release's statement says
        the same, and anybody can compute it again.
        """
        ledger = self.reader.ledger()
        until = max(
            (
                c.entry.sequence
                for c in ledger
                if c.entry.round == freeze.round and c.entry.kind is EntryKind.RESERVE
            ),
            default=len(ledger),
        )
        return accountant_of(self.reader, ledger[:until], version=freeze.registry_version)

    def base_update(self, base: RoundState | None, client: str, digest: bytes) -> Update | None:
        """Return the client's last counted update, its own changes resolved.

        Returns None where it is gone, or where `digest` is not that of the last counted update.
        """
        state = base.of(client) if base else None
        if state is None or state.last_digest != digest:
            return None
        return self._counted_update(state.last_round, client, digest, depth=0)

    def _counted_update(
        self, round_id: int, client: str, digest: bytes, *, depth: int
    ) -> Update | None:
        frozen = self.reader.freeze(round_id)
        counted = frozen.value.of(client) if frozen else None
        if frozen is None or counted is None or counted.digest != digest:
            return None
        envelope = self.accepted.one(frozen.value, counted)
        if envelope is None:
            return None
        base = self._state_before(frozen.value)

        def earlier(client: str, digest: bytes) -> Update | None:
            state = base.of(client) if base else None
            if depth >= _MAX_DELTA_CHAIN or state is None or state.last_digest != digest:
                return None
            return self._counted_update(state.last_round, client, digest, depth=depth + 1)

        key = Keys.accepted(round_id, frozen.value.lies_in(counted))
        return self._reopen(frozen.value, counted, envelope, key, earlier).update

    def state_before(self, freeze: Freeze) -> RoundState | None:
        """Return the state that a freeze builds on, or None where the freeze is the first.

        Raises RoundError where the state is gone or another one lies there (R-67): a merge without
        it would forget trust and windows.
        """
        state = self._state_before(freeze)
        if state is None and freeze.base_round:
            raise RoundError(
                f"is not the state that {Keys.freeze(freeze.round)} builds on",
                subject=Keys.state(freeze.base_round),
                rule="R-67",
                remedy=RESTORE_BUCKET,
            )
        return state

    def _state_before(self, freeze: Freeze) -> RoundState | None:
        """Return the same as `state_before`, but None where the state is gone or another."""
        state = self.reader.state(freeze.base_round) if freeze.base_round else None
        return state.value if state is not None and state.digest == freeze.base_state else None

    def _reopen(
        self,
        freeze: Freeze,
        counted: Counted,
        envelope: bytes | memoryview,
        key: str,
        base_of: Callable[[str, bytes], Update | None],
    ) -> Admitted:
        """Return a frozen update from its envelope, its signature and digest verified again.

        key: the key of the object under `accepted/` that the envelope lies in. Raises RoundError
        where it is not the update that was frozen (R-66).
        """
        version = freeze.registry_version
        if version not in self._validators:
            self._validators[version] = PacketValidator(
                self.reader.registry_at(version), limits=self.limits
            )
        validator, about = self._validators[version], f"{key} ({counted.client})"
        admitted = validator.reopen(
            envelope,
            key=about,
            client=counted.client,
            made_for=counted.made_for,
            key_pair=self.key_pair,
            base_of=base_of,
        )
        if admitted.digest != counted.digest:
            raise RoundError(
                "is not the update that was frozen",
                subject=about,
                rule="R-66",
                remedy=RESTORE_BUCKET,
            )
        return admitted
