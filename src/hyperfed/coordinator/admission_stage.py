"""Read, verify and judge what was listed in an inbox: step 2 of a round (`AdmissionStage`).

The stage takes a listing whole or in shards, and copies what it admits to `accepted/`.

1. What is returned holds no content, but keys, digests (also of the pack that each admitted update
   lies in) and reasons. What was read and copied is remembered for the merge of the same process
   only.
2. A shard is the updates of some clients. All that admission compares (sequences, nonces,
   corrections) is compared within one client, so shards judge apart what one batch would judge
   together, and `combined` gives the same admission, byte for byte. Objects that belong to no
   client go with the first shard.
3. Shards that were judged under different registries or base states are not combined: the stage is
   tried again.
4. An update that proves that its sender has seen a ledger entry or a registry version which is not
   there ends the stage (R-73, R-121). Nothing is decided then: copies decide nothing. An update
   that only claims so is refused (R-120).
5. One loop takes what the store reads ahead of it, judges it, and gives what is admitted to the
   spool and to the packs. Each of these queues is bounded, so what a stage holds does not grow with
   the bytes of its messages. Objects are judged in the order of their keys, and a client's updates
   go on as soon as its last object has been judged.
6. However the stage ends, no thread that it began goes on working. It returns when all packs are
   written; where it does not, nothing is remembered.

What it does not do: it does not list (`collecting`), wait (`stragglers`), or decide who counts
(`choose`).
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from hyperfed.config import Limits
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.timing import check_not_behind
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.claims import Claim, check_claims
from hyperfed.dropbox.inbox import Arrivals, Judged, read_arrivals
from hyperfed.dropbox.pack_writer import PackWriter
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, RefusedError, RoundError, TransientError
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys, client_of
from hyperfed.protocol.objects import (
    Plan,
    RoundState,
)
from hyperfed.protocol.sequences import highest_by_key
from hyperfed.storage.store import ObjectStore
from hyperfed.validator.admission import (
    Admission,
    Admitted,
    RoundContext,
    joined,
    refused_as,
)
from hyperfed.validator.batch import Batch
from hyperfed.validator.validator import PacketValidator

__all__ = ["AdmissionStage", "combined", "shards_of"]


def shards_of(arrivals: Arrivals, count: int) -> tuple[Arrivals, ...]:
    """Return the arrivals in at most `count` shards of about equally many bytes.

    A client's objects stay together. There is one shard where there is nothing to share out.
    """
    sizes = Counter[str]()
    for key, size in arrivals.keys:
        sizes[client_of(key)] += size
    del sizes[""]
    total, before, place = max(1, sum(sizes.values())), 0, dict[str, int]()
    for client in sorted(sizes):
        # the shard in which the middle of its bytes lies
        place[client] = min(count - 1, (2 * before + sizes[client]) * count // (2 * total))
        before += sizes[client]
    place[""] = min(place.values(), default=0)
    used = sorted(set(place.values()))
    return tuple(
        replace(
            arrivals,
            keys=tuple(entry for entry in arrivals.keys if place[client_of(entry[0])] == shard),
        )
        for shard in used
    )


def combined(parts: Sequence[Judged]) -> Judged:
    """Return the judgement of a whole batch from those of its shards.

    Raises TransientError where they were judged under different registries or base states.
    """
    if len({(part.registry_version, part.base_state) for part in parts}) != 1:
        raise TransientError(
            "shards were judged under different registries or base states",
            subject="validate",
            remedy="Nothing to do: the stage is tried again, and judges the round anew",
        )
    return Judged(
        admitted=tuple(
            sorted(
                (a for part in parts for a in part.admitted), key=lambda a: (a.client, a.made_for)
            )
        ),
        refused=tuple(sorted((r for part in parts for r in part.refused), key=lambda r: r.key)),
        registry_version=parts[0].registry_version,
        base_state=parts[0].base_state,
    )


class AdmissionStage:
    """Judges what lies in inboxes, as a coordinator at one instant.

    Args:
        store: The drop-box.
        reader: Reads the drop-box's other objects and verifies them.
        frozen: Remembers what was read here, for the merge of the same process.
        keys: The coordinator's key pair, which opens sealed bodies.
        now: The instant, which the caller has read from the clock once.
        limits: The limits of what is read and written.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        reader: DropBoxReader,
        frozen: FrozenSets,
        key_pair: KeyPair,
        now: datetime,
        limits: Limits,
    ) -> None:
        self.store, self.reader, self.frozen, self.key_pair, self.now, self.limits = (
            store,
            reader,
            frozen,
            key_pair,
            now,
            limits,
        )

    def judge(self, plan: Plan, arrivals: Arrivals, *, keep: bool = True) -> Judged:
        """Read, verify and judge what was listed, and copy what is admitted (step 2).

        keep: whether this process will merge what it judges; otherwise it remembers nothing. Raises
        LedgerError where an admitted update proves to have seen a ledger entry that is not there
        (R-73), RegistryError where it has seen such a registry version (R-121),
        RoundError where the base state is missing or another (R-67) or this machine's clock is
        behind (R-117), TransportError where the store fails.
        """
        self.reader.ledger()
        base = self.base_state(plan.round)
        context = self._context(plan, base)
        self.frozen.begin(
            registry_version=context.registry.version, plan=plan, expected=len(arrivals.keys)
        )
        try:
            admission = self._admit(plan, arrivals, context, keep=keep)
        except BaseException:
            self.frozen.forget()
            raise
        check_not_behind(admission, plan, self.now)
        return Judged(
            admitted=admission.admitted,
            refused=admission.refused,
            registry_version=context.registry.version,
            base_state=base.digest if base else b"",
        )

    def _admit(
        self, plan: Plan, arrivals: Arrivals, context: RoundContext, *, keep: bool
    ) -> Admission:
        """Judge the arrivals as they are read, and spool and copy what is admitted.

        This is the loop of the stage. The store's threads read ahead of it, and threads of the
        spool and of the packs write behind it.
        """
        batch = Batch(
            PacketValidator(context=context),
            last_keys={client_of(key): key for key, _ in sorted(arrivals.keys)},
        )
        parts: list[Admission] = []
        with (
            PackWriter(self.store, plan.round, limits=self.limits) as packs,
            closing(read_arrivals(self.store, arrivals, limits=self.limits)) as reading,
        ):
            for arrival in reading:
                part = batch.take(arrival)
                if part is not None:
                    parts.append(self._copied(part, packs, keep=keep))
            parts.append(self._copied(batch.rest(), packs, keep=keep))
            pack_of = packs.finish()
        admission = joined(parts)
        return Admission(
            admitted=tuple([item.kept(pack=pack_of[item.digest]) for item in admission.admitted]),
            refused=admission.refused,
        )

    def _copied(self, part: Admission, packs: PackWriter, *, keep: bool) -> Admission:
        """Hand on what some clients' objects come to, and return it without bytes and content."""
        admitted, refused = list[Admitted](), list(part.refused)
        for item in part.admitted:
            claim = Claim() if item.header is None else Claim.of(item.header)
            try:
                check_claims(self.reader, claim, by=f"{item.client} ({item.key})")
            except RefusedError as error:
                refused.append(refused_as(item.key, error, item))
                continue
            if keep:
                self.frozen.remember(item)
            packs.add(item.digest, item.data or b"")
            admitted.append(item.kept())
        refused.sort(key=lambda r: r.key)
        return Admission(admitted=tuple(admitted), refused=tuple(refused))

    def base_state(self, round_id: int, *, fresh: bool = False) -> Stored[RoundState] | None:
        """Return the state of the last round committed before this one; None where there is none.

        fresh: whether the ledger is read again; otherwise the ledger as it was read last decides.
        Raises RoundError where the state is missing or not the one that the ledger names (R-67).
        """
        entries = (
            self.reader.ledger()
            if fresh
            else self.reader.verified_entries() or self.reader.ledger()
        )
        commits = [
            c.entry
            for c in entries
            if c.entry.kind is EntryKind.COMMIT and c.entry.round < round_id
        ]
        if not commits:
            return None
        last = commits[-1]
        state = self.reader.state(last.round)
        if state is None or state.digest != last.state:
            raise RoundError(
                "is not the state that the ledger names" if state else "is missing",
                subject=Keys.state(last.round),
                rule="R-67",
                remedy=RESTORE_BUCKET,
            )
        return state

    def _context(self, plan: Plan, base: Stored[RoundState] | None) -> RoundContext:
        """Return what the validator needs to know of the round."""
        policies = {}
        for r in range(max(1, plan.round - plan.policy.max_staleness), plan.round):
            earlier = self.reader.plan(r, or_none=True)
            if earlier is not None:
                policies[r] = policy_digest(earlier.value.policy)
        registry = self.reader.refresh_registry()
        return RoundContext(
            registry=registry,
            plan=plan,
            now=self.now,
            policies=policies | {plan.round: policy_digest(plan.policy)},
            highest=highest_by_key(base.value if base else None, registry),
            key_pair=self.key_pair,
            base_of=lambda client, digest: self.frozen.base_update(
                base.value if base else None, client, digest
            ),
            limits=self.limits,
        )
