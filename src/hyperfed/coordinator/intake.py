"""`Intake`: what was listed in an inbox is read, verified, judged and copied to `accepted/` (step 2 of the round), whole or in shards.

1. Content stays out of what is returned: keys, digests (also of the pack that each admitted update lies in) and reasons. What was read and copied is remembered
   for the merge of the same process only.
2. A shard is the updates of some clients. All that admission compares (sequences, nonces, corrections) is compared within one client, so shards judge
   apart what one batch would judge together, and `combined` gives the same admission, byte for byte. Objects of nobody's go with the first shard.
3. Shards that were judged under different registries or base states are not combined: the stage is tried again.
4. An admitted update that has seen a ledger entry which is not there ends the stage (R-73). Nothing was decided then: copies decide nothing.
5. Where it is worth it, other processes of this machine judge beside this one (`judging`); this one alone reads, copies and remembers.
6. A client's objects are judged before the next client's are taken, and what is admitted waits until its pack is full: a stage holds the pack that is being
   filled and those on their way, and what it holds does not grow with the bytes of its messages. It returns when all of them are there.

What it does not do: list (`inbox`), wait (`stragglers`), decide who counts (`protocol.choose`).
"""

import os
from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial

from hyperfed.admission import Admission, Admitted, joined
from hyperfed.compiled import ROWS, machine_code
from hyperfed.config import Limits
from hyperfed.coordinator.accepted import copy_packs, packed
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.inbox import Arrivals, Judged, is_inbox_key, read_arrivals
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import ConfigError, LedgerError, RoundError, TransientError
from hyperfed.judging import HEAVY_BYTES, MOST, Judges, seconds_of, worth
from hyperfed.keys import KeyPair
from hyperfed.protocol.ledger import check_claim
from hyperfed.protocol.objects import EntryKind, Plan, RoundState
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore
from hyperfed.validator import RoundContext, policy_digest

__all__ = ["Intake", "combined", "shards_of"]

_WORTH_LOADING_S = 0.25  # of judging, from which machine code is worth the tenth of a second that loading it takes


def shards_of(arrivals: Arrivals, count: int) -> tuple[Arrivals, ...]:
    """The arrivals in at most `count` shards of about equally many bytes, a client's objects together; one where there is nothing to share out."""
    sizes = {client: sum(own) for client, own in _sizes(arrivals).items()}
    total, before, place = max(1, sum(sizes.values())), 0, dict[str, int]()
    for client in sorted(sizes):
        place[client] = min(count - 1, (2 * before + sizes[client]) * count // (2 * total))  # where its middle lies
        before += sizes[client]
    place[""] = min(place.values(), default=0)
    used = sorted(set(place.values()))
    return tuple(replace(arrivals, keys=tuple(entry for entry in arrivals.keys if place[_owner(entry[0])] == shard)) for shard in used)


def _owner(key: str) -> str:
    """The client of an inbox key; "" for a key that is nobody's."""
    return key.split("/")[2] if is_inbox_key(key) else ""


def _sizes(arrivals: Arrivals) -> dict[str, list[int]]:
    """The bytes of each client's objects."""
    sizes: dict[str, list[int]] = {}
    for key, size in arrivals.keys:
        sizes.setdefault(_owner(key), []).append(size)
    sizes.pop("", None)
    return sizes


def _heavy(arrivals: Arrivals) -> frozenset[str]:
    """The clients whose objects are several and come to more than HEAVY_BYTES, or are one of more than four times that."""
    return frozenset(client for client, own in _sizes(arrivals).items() if sum(own) > HEAVY_BYTES * (1 if len(own) > 1 else 4))


def combined(parts: Sequence[Judged]) -> Judged:
    """What the shards of one batch say together. Raises TransientError where they were judged under different registries or base states."""
    if len({(part.registry_version, part.base_state) for part in parts}) != 1:
        raise TransientError("shards were judged under different registries or base states", subject="validate", remedy="The round is judged again")
    return Judged(
        admitted=tuple(sorted((a for part in parts for a in part.admitted), key=lambda a: (a.client, a.made_for))),
        refused=tuple(sorted((r for part in parts for r in part.refused), key=lambda r: r.key)),
        registry_version=parts[0].registry_version,
        base_state=parts[0].base_state,
    )


class Intake:
    """A coordinator's intake at one instant. Arguments as `RoundRunner`'s; frozen: where the merge looks for what was read here."""

    def __init__(self, store: ObjectStore, *, reader: DropBoxReader, frozen: FrozenSets, keys: KeyPair, now: datetime, limits: Limits) -> None:
        self.store, self.reader, self.frozen, self.keys, self.now, self.limits = store, reader, frozen, keys, now, limits

    def judge(self, plan: Plan, arrivals: Arrivals, *, keep: bool = True) -> Judged:
        """Step 2: read, verify, and copy what is admitted. keep: whether the merge will be this process'; else nothing is remembered, and nobody else judges.

        Raises LedgerError (R-73), RoundError, TransportError.
        """
        self.reader.ledger()
        base = self.base_state(plan.round)
        context = self._context(plan, base)
        self.frozen.begin(registry_version=context.registry.version, plan=plan, expected=len(arrivals.keys))
        spool = self.frozen.spool if keep else None
        if seconds_of([size for _, size in arrivals.keys]) > _WORTH_LOADING_S:
            machine_code(ROWS)
        heavy = _heavy(arrivals)
        judges = Judges(context=context, others=0 if spool is None else self._others(arrivals, heavy), spool=spool, heavy=heavy)
        judging = judges.parts(read_arrivals(self.store, arrivals, limits=self.limits), last={_owner(key): key for key, _ in sorted(arrivals.keys)})
        parts: list[Admission] = []

        def admitted() -> Iterator[tuple[bytes, bytes]]:
            for part in judging:
                for item in part.admission.admitted:
                    self._check_claim(item)
                    if keep:
                        self.frozen.remember(item, part.edges.get(item.digest))
                    yield item.digest, item.data or b""
                small = tuple([item.kept() for item in part.admission.admitted])
                parts.append(Admission(admitted=small, refused=part.admission.refused))

        lies: dict[bytes, bytes] = {}
        with closing(judging):
            for pack in copy_packs(self.store, plan.round, packed(admitted(), limits=self.limits), limits=self.limits):
                lies |= dict.fromkeys(pack.holds, pack.digest)
                self.frozen.copied(pack.holds)
        admission = joined(parts)
        return Judged(
            admitted=tuple([item.kept(pack=lies[item.digest]) for item in admission.admitted]),
            refused=admission.refused,
            registry_version=context.registry.version,
            base_state=base.digest if base else b"",
        )

    def _others(self, arrivals: Arrivals, heavy: Set[str]) -> int:
        """How many other processes judge: as many as are worth it, or as HYPERFED_JUDGES says. heavy: clients that they do not judge."""
        given = os.environ.get("HYPERFED_JUDGES", "")
        if given and not given.isdecimal():
            raise ConfigError(
                f"is {given!r:.40}; a number of processes is needed", subject="HYPERFED_JUDGES", remedy="0 judges in one process; unset it for the default"
            )
        return min(int(given), MOST) if given else worth([size for key, size in arrivals.keys if _owner(key) not in heavy])

    def _check_claim(self, item: Admitted) -> None:
        """R-73, by the ledger as it was read last and, where that is not enough, as it is now. Raises LedgerError."""
        check = partial(check_claim, sequence=item.claim_sequence, digest=item.claim_digest, by=f"{item.client} ({item.key})")
        try:
            check(self.reader.verified_entries())
        except LedgerError:
            check(self.reader.ledger())

    def base_state(self, round_id: int) -> Stored[RoundState] | None:
        """The state of the last round committed before this one, as of when the ledger was read last.

        Raises RoundError where it is missing or not the one the ledger names.
        """
        entries = self.reader.verified_entries() or self.reader.ledger()
        commits = [c.entry for c in entries if c.entry.kind is EntryKind.COMMIT and c.entry.round < round_id]
        if not commits:
            return None
        last = commits[-1]
        found = self.reader.state(last.round)
        if found is None or found.digest != last.state:
            raise RoundError(
                "is not the state that the ledger names" if found else "is missing",
                subject=Keys.state(last.round),
                rule="R-67",
                remedy="Restore the bucket from its versions; run `hyperfed audit`",
            )
        return found

    def _context(self, plan: Plan, base: Stored[RoundState] | None) -> RoundContext:
        policies = {}
        for r in range(max(1, plan.round - plan.policy.max_staleness), plan.round):
            earlier = self.reader.plan(r)
            if earlier is not None:
                policies[r] = policy_digest(earlier.value.policy)
        return RoundContext(
            registry=self.reader.refresh_registry(),
            plan=plan,
            now=self.now,
            policies=policies | {plan.round: policy_digest(plan.policy)},
            highest={c.client: c.highest_sequence for c in base.value.clients} if base else {},
            keys=self.keys,
            base_of=lambda client, digest: self.frozen.base_update(base.value if base else None, client, digest),
            limits=self.limits,
        )
