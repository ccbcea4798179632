"""The audit: a whole drop-box read again, offline, by somebody who believes nothing in it but the root fingerprint.

What is checked, in this order; the first broken object is the first finding:
1. Registry: every version, its signatures and chain (R-23, R-24).
2. Ledger: signatures, chain, grammar, no hole (R-71, R-74); the budget at every prefix (R-72).
3. Each round: the plan follows from its registry (R-52); the freeze follows from plan, registry and the state of the round committed before it; its
   Merkle head; every counted update lies in the pack of `accepted/` that the freeze names, with its client's signature and its digest (R-66); nobody is
   counted twice for one window (R-94), no sequence falls (R-89); every claim is in the ledger (R-73).
4. Result, state and ledger name each other (R-61, R-67); receipts are what freeze and ledger give (R-68, R-70); those in pages (R-44) with keys that open them.
5. What a private result says of its privacy is what plan, registry and ledger give, and its reserve is what the plan spends (R-64): without any key.
6. With keys that open the bodies (a coordinator's or an auditor's): every result without noise and every state is computed again and must be the
   same, byte for byte in the canonical form. A noised result cannot be: nobody can say from outside that its noise was drawn.
7. Whatever lies at a key where nothing belongs.

What it does not do: write, or judge what was refused: that needs the inbox as it was. A receipt that is missing is a remark, no finding: a rerun
of the round writes it. So are packs that no freeze names, which a stage leaves that was tried again: nothing was decided from them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator.budget import accountant_of
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import HyperfedError, PrivacyBudgetExhausted, RoundError, TransientError
from hyperfed.global_model import GlobalModel
from hyperfed.keys import KeyPair
from hyperfed.privacy.policy import misstated, night_of
from hyperfed.protocol import merkle
from hyperfed.protocol.ledger import Chained, check_claim
from hyperfed.protocol.links import verify_links
from hyperfed.protocol.objects import Counted, EntryKind, Freeze, LedgerEntry, Plan, Receipt, RoundState, Tombstone
from hyperfed.protocol.receipt_pages import open_page
from hyperfed.protocol.receipts import receipts_of
from hyperfed.protocol.reputation import next_states
from hyperfed.retention import FOLDER as PRUNED
from hyperfed.retention import read_pruned, scratch_of
from hyperfed.rounds import Keys, is_client_id
from hyperfed.signing import PacketType, open_envelope, verify_envelope
from hyperfed.store import ObjectStore

__all__ = ["AuditReport", "Finding", "audit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken object: its key, what is wrong, the rule it breaks, what to do."""

    key: str
    problem: str
    rule: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (f" [{self.rule}]" if self.rule else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """checked: how many of each kind held; findings: what did not, in the order of the module's rules; remarks: what is no forgery, but worth knowing."""

    federation: str
    checked: dict[str, int]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def first_broken(self) -> str | None:
        """The first broken object's key."""
        return self.findings[0].key if self.findings else None


def audit(store: ObjectStore, fingerprint: str | None, keys: KeyPair | None = None, *, limits: Limits = DEFAULT_LIMITS) -> AuditReport:
    """Read everything and report. fingerprint: of the registry's roots, compared out of band. Raises TransportError where the store cannot be read."""
    return _Audit(store, fingerprint, keys, limits).run()


@dataclass(slots=True)
class _History:
    """What the rounds before say: committed states and models, and who was counted for which window in which round."""

    states: dict[int, Stored[RoundState]] = field(default_factory=dict)
    models: dict[int, GlobalModel] = field(default_factory=dict)
    windows: dict[tuple[str, int], int] = field(default_factory=dict)


class _Audit:
    def __init__(self, store: ObjectStore, fingerprint: str | None, keys: KeyPair | None, limits: Limits) -> None:
        self.store, self.keys, self.limits = store, keys, limits
        self.reader = DropBoxReader(store, fingerprint=fingerprint, limits=limits)
        self.sets = FrozenSets(store=store, reader=self.reader, keys=keys, limits=limits)
        self.checked: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.remarks: list[str] = []
        self.ledger: list[Chained] = []
        self.history = _History()

    def run(self) -> AuditReport:
        listed = [info.key for info in self.store.list("")]
        federation = ""
        with self._finding(Keys.registry(1)):
            federation = self.reader.registry.federation
        if federation:
            self._numbered(listed, "registry", self.reader.registry.version, Keys.registry, "registry versions")
            self._ledger(listed)
            for round_id in sorted({r for key in listed if (r := _round_of(key))}):
                self._round(round_id, [key for key in listed if _round_of(key) == round_id])
            self._pruned([key for key in listed if key.startswith(f"{PRUNED}/")])
        for key in listed:
            if not _belongs(key):
                self._broken(key, "no such object belongs into a drop-box", "R-2")
        if federation and not self.keys:
            pages = ", and receipts in pages were not opened" if self.checked["receipt pages"] else ""
            self.remarks.append(f"no key was given: results and states were not computed again{pages}")
        return AuditReport(federation=federation, checked=dict(self.checked), findings=tuple(self.findings), remarks=tuple(self.remarks))

    # -- saying what is wrong ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _finding(self, key: str, counts: str = "") -> Iterator[None]:
        """What fails inside is a finding about `key`, or about the object that the error names; else `counts` goes up by one."""
        try:
            yield
        except TransientError:
            raise
        except HyperfedError as error:
            subject = error.subject.split(" ")[0].removeprefix("memory:")
            self._broken(subject if _belongs(subject) else key, error.problem, error.rule, error.remedy)
        else:
            if counts:
                self.checked[counts] += 1

    def _broken(self, key: str, problem: str, rule: str = "", remedy: str = "") -> None:
        self.findings.append(Finding(key=key, problem=problem, rule=rule, remedy=remedy))

    def _require(self, holds: bool, key: str, problem: str, rule: str) -> None:
        if not holds:
            raise RoundError(problem, subject=key, rule=rule)

    def _pruned(self, listed: list[str]) -> None:
        """What housekeeping has erased, by its signed records."""
        for key in listed:
            with self._finding(key, "records of pruning"):
                ((_, record),) = read_pruned(self.reader, [key])
                size = sum(record.sizes)
                self.remarks.append(f"{len(record.keys)} old objects ({size:,} bytes) were pruned on {record.time:%Y-%m-%d}, after round {record.round}: {key}")

    # -- registry and ledger -------------------------------------------------------------------------------------------------------

    def _numbered(self, listed: list[str], folder: str, count: int, key_of: Callable[[int], str], name: str) -> None:
        """Numbers 1 to `count` were verified; what lies beyond them was not reached."""
        self.checked[name] += count
        expected = {key_of(n + 1) for n in range(count)}
        beyond = [key for key in listed if key.startswith(f"{folder}/") and key not in expected and _belongs(key)]
        if beyond:
            self._broken(key_of(count + 1), f"is missing, though {beyond[0]} exists", "R-71" if folder == "ledger" else "R-23")

    def _ledger(self, listed: list[str]) -> None:
        failed = len(self.findings)
        with self._finding(Keys.ledger(1)):
            self.ledger = self.reader.ledger()
        if len(self.findings) > failed:
            self.ledger = self.reader.verified_entries()
            self.checked["ledger entries"] += len(self.ledger)
            return
        self._numbered(listed, "ledger", len(self.ledger), Keys.ledger, "ledger entries")
        for n, chained in enumerate(self.ledger, 1):
            if chained.entry.kind is EntryKind.RESERVE:
                with self._finding(Keys.ledger(n), "budget checks"):
                    self._afforded(self.ledger[:n], chained.entry)

    def _afforded(self, prefix: list[Chained], entry: LedgerEntry) -> None:
        """R-72: by the budget in force when it was frozen, which is the tightest since the first charge. Raises PrivacyError where that was loosened."""
        if not entry.mechanisms:
            return
        frozen = self.reader.freeze(entry.round)
        version = frozen.value.registry_version if frozen else 1
        why = accountant_of(self.reader, prefix[:-1], version=version).why_not(entry.mechanisms)
        if why is not None:
            raise PrivacyBudgetExhausted(f"more than the budget of registry version {version}: {why}", subject=Keys.ledger(entry.sequence), rule="R-72")

    # -- a round -------------------------------------------------------------------------------------------------------------------

    def _round(self, r: int, keys: list[str]) -> None:
        lines = [c for c in self.ledger if c.entry.round == r]
        end = next((c for c in lines if c.entry.kind is not EntryKind.RESERVE), None)
        before = lines[0].entry.sequence - 1 if lines else len(self.ledger)
        plan: Stored[Plan] | None = None
        self._links(r, [key for key in keys if key.startswith(Keys.links(r, ""))])
        if any(key.startswith(Keys.scratch(r)) for key in keys):
            left = scratch_of(self.store, r)
            self.remarks.append(f"round {r} left {len(left)} sealed scratch objects ({sum(i.size for i in left):,} bytes), which housekeeping erases")
        with self._finding(Keys.plan(r), "plans"):
            plan = self.reader.plan(r)
            self._require(plan is not None, Keys.plan(r), "is missing", "R-60")
        if plan is None:
            return
        frozen = self._freeze(plan, before, end)
        if frozen is not None and frozen.value.packs:
            self._unnamed(frozen.value, keys)
        result = self._result(plan, frozen, lines, end)
        self._state(plan.value, frozen, result, end)
        if end is None:
            last = max((c.entry.round for c in self.ledger if c.entry.kind is not EntryKind.RESERVE), default=0)
            self.remarks.append(f"round {r} {'was skipped' if last > r else 'has not ended'}")
        else:
            self._receipts(plan.value, frozen if end.entry.freeze else None, result, end, keys)

    def _links(self, r: int, keys: list[str]) -> None:
        """Whose they are and who signed them; what is in them only their clients can open."""
        registry = self.reader.registry
        for key in keys:
            with self._finding(key, "links"):
                data = self.store.read(key, max_bytes=self.limits.max_object_bytes)
                client = key.rpartition("/")[2]
                verify_links(data, federation=registry.federation, client=client, coordinator_key=registry.coordinator_key, round_id=r, subject=key)

    def _freeze(self, plan: Stored[Plan], before: int, end: Chained | None) -> Stored[Freeze] | None:
        r = plan.value.round
        key, frozen = Keys.freeze(r), None
        with self._finding(key):
            frozen = self.reader.freeze(r)
        if frozen is None:
            if end is not None and end.entry.freeze:
                self._broken(key, "is missing, and the ledger names it", "R-63")
            return None
        if end is not None and frozen.digest != end.entry.freeze:
            if end.entry.freeze:
                self._broken(key, "is not the freeze that the ledger names", "R-63", "Restore the bucket from its versions")
                return None
            self.remarks.append(f"{key} was written after its round was void, and decides nothing")
            return None
        with self._finding(key, "freezes"):
            self._check_freeze(key, frozen.value, plan, before)
        committed = end is not None and end.entry.kind is EntryKind.COMMIT
        self._updates(frozen.value)
        for counted in frozen.value.counted if committed else ():
            earlier = self.history.windows.setdefault((counted.client, counted.made_for), r)
            if earlier != r:
                self._broken(key, f"counts {counted.client} for round {counted.made_for}, as round {earlier} did", "R-94")
        return frozen

    def _updates(self, freeze: Freeze) -> None:
        """R-66, for all that a freeze counts; an object that cannot be read is one finding, whatever lies in it."""
        lost: set[str] = set()
        for counted, key, envelope in self.sets.accepted.read(freeze, freeze.counted):
            if isinstance(envelope, RoundError):
                if key not in lost:
                    self._broken(key, envelope.problem, envelope.rule, envelope.remedy)
                lost.add(key)
                continue
            with self._finding(key, "updates"):
                self._update(freeze, counted, key, envelope)

    def _unnamed(self, freeze: Freeze, keys: list[str]) -> None:
        there = {key for key in keys if key.startswith(Keys.accepted(freeze.round, b""))}
        if left := len(there - {Keys.accepted(freeze.round, digest) for digest in freeze.packs}):
            self.remarks.append(
                f"round {freeze.round} has {left} packs that its freeze does not need: a stage that was tried again left them, or nothing in them counts"
            )

    def _check_freeze(self, key: str, freeze: Freeze, plan: Stored[Plan], before: int) -> None:
        _, digest = self.reader.registry_version(freeze.registry_version)
        self._require((freeze.plan, freeze.registry_digest) == (plan.digest, digest), key, "is of another plan or registry", "R-63")
        self._require(freeze.registry_version >= plan.value.registry_version, key, "goes back to an older registry", "R-63")
        self._require(freeze.merkle_head == merkle.head(freeze.leaves), key, "its Merkle head is not that of what it counts and refuses", "R-70")
        commits = [c.entry for c in self.ledger[:before] if c.entry.kind is EntryKind.COMMIT and c.entry.round < freeze.round]
        base = (commits[-1].round, commits[-1].state) if commits else (0, b"")
        if any(c.entry.round == freeze.round for c in self.ledger):  # else it may have become stale
            tombstone = self.reader.result(freeze.round)
            stale = tombstone is not None and isinstance(tombstone.value, Tombstone)
            self._require(stale or (freeze.base_round, freeze.base_state) == base, key, f"builds on round {freeze.base_round}, not on {base[0]}", "R-69")
        self._require(len(freeze.counted) >= plan.value.quorum, key, "is below quorum", "R-62")
        check_claim(self.ledger, sequence=freeze.claim_sequence, digest=freeze.claim_digest, by=key)
        state = self.history.states.get(freeze.base_round)
        for counted in freeze.counted:
            self._require(counted.client in plan.value.cohort, key, f"counts {counted.client}, who was not invited", "R-96")
            self._require(counted.client not in freeze.excluded, key, f"counts {counted.client} and excludes it", "R-95")
            self._require(freeze.round - counted.made_for <= plan.value.policy.max_staleness, key, f"counts {counted.client} too late", "R-84")
            known = state.value.of(counted.client) if state else None
            self._require(known is None or counted.sequence > known.highest_sequence, key, f"{counted.client}'s sequence falls", "R-89")

    def _update(self, freeze: Freeze, counted: Counted, key: str, data: bytes | memoryview) -> None:
        """R-66: the update that was frozen, signed by its client with a key of the round it was made for. key: of the object it lies in."""
        signing = self.reader.registry_at(freeze.registry_version).signing_keys(counted.made_for)
        envelope = open_envelope(data, subject=key)
        signed = verify_envelope(envelope, expect=PacketType.UPDATE, key_of=lambda k: signing[k][1] if k in signing else None, subject=key)
        header, owner = signed.header, signing.get(signed.header.key_id, ("", b""))[0]
        self._require(signed.digest == counted.digest, key, f"{counted.client}'s update in it is not the one that was frozen", "R-66")
        said = (owner, header.sender, header.round, header.sequence, header.federation)
        named = (counted.client, counted.client, counted.made_for, counted.sequence, freeze.federation)
        self._require(said == named, key, f"is {header.sender}'s for round {header.round}, signed by {owner or 'nobody'}", "R-82")
        check_claim(self.ledger, sequence=header.ledger_sequence, digest=header.ledger_digest, by=key)

    def _result(
        self, plan: Stored[Plan], frozen: Stored[Freeze] | None, lines: list[Chained], end: Chained | None
    ) -> Stored[GlobalModel] | Stored[Tombstone] | None:
        r = plan.value.round
        key = Keys.result(r)
        result: Stored[GlobalModel] | Stored[Tombstone] | None = None
        with self._finding(key):
            result = self.reader.result(r)
            digest = result.digest if result else b""
            self._require(end is None or end.entry.result == digest, key, "is not the one the ledger names" if result else "is missing", "R-61")
            if result is not None and isinstance(result.value, Tombstone):
                self._require(end is None or end.entry.kind is EntryKind.VOID, key, "is a tombstone, and the ledger commits it", "R-67")
                self.checked["tombstones"] += 1
            elif result is not None:
                self._require(end is None or end.entry.kind is EntryKind.COMMIT, key, "can be read, and the ledger voids it", "R-67")
                self._require(any(c.entry.kind is EntryKind.RESERVE for c in lines), key, "can be read, and nothing was reserved for it", "R-64")
                self._require(frozen is not None and result.value.freeze == frozen.digest, key, "is not of the round's freeze", "R-66")
                self.checked["results"] += 1
        if frozen is not None and result is not None and isinstance(result.value, GlobalModel):
            with self._finding(key, "" if plan.value.policy.privacy == "none" else "privacy statements"):
                self._stated(plan.value, frozen.value, result.value, lines)
        return result

    def _stated(self, plan: Plan, freeze: Freeze, model: GlobalModel, lines: list[Chained]) -> None:
        """R-64: what was reserved is what plan and registry ask for, and what the result says of its privacy is what plan, registry and ledger give."""
        budget = self.reader.registry_at(freeze.registry_version).budget
        night = night_of(plan.policy, plan.vocabulary, budget)
        key, said = Keys.result(plan.round), model.privacy
        reserves = [c.entry for c in lines if c.entry.kind is EntryKind.RESERVE]
        if not reserves:
            return  # said elsewhere
        wanted = () if night is None else night.mechanisms
        self._require(reserves[-1].mechanisms == wanted, Keys.ledger(reserves[-1].sequence), "does not reserve what the plan spends", "R-64")
        self._require(night is not None or said is None, key, "claims a privacy that its plan does not ask for", "R-64")
        if night is None:
            return
        if said is None:
            self._broken(key, "says nothing of the privacy that its plan asks for", "R-64")
            return
        after = accountant_of(self.reader, self.ledger[: reserves[-1].sequence], version=freeze.registry_version)
        wrong = misstated(said, plan.policy, night, vocabulary=plan.vocabulary, after=after)
        self._require(not wrong, key, f"states another {', '.join(wrong)} than plan, registry and ledger give", "R-64")
        self._require(model.statement == said.sentences, key, "says in words what its fields do not say", "R-64")

    def _state(self, plan: Plan, frozen: Stored[Freeze] | None, result: Stored[GlobalModel] | Stored[Tombstone] | None, end: Chained | None) -> None:
        r = plan.round
        key, state = Keys.state(r), None
        committed = end is not None and end.entry.kind is EntryKind.COMMIT
        with self._finding(key):
            state = self.reader.state(r)
            self._require(state is not None or not committed, key, "is missing", "R-67")
            self._require(state is None or not committed or state.digest == end.entry.state, key, "is not the one the ledger names", "R-67")  # type: ignore[union-attr]
            if state is not None:
                binds = (state.value.freeze, state.value.result) == (frozen.digest if frozen else b"", result.digest if result else b"")
                self._require(binds, key, "is of another freeze or result", "R-67")
                self.checked["states"] += 1
        if state is None or frozen is None or result is None or not isinstance(result.value, GlobalModel):
            return
        if self.keys is not None:
            if self._opens(self.keys.key_id, plan, frozen.value):
                self._recompute(plan, frozen, result.value, state)
            else:
                self.remarks.append(f"round {r} was sealed to other keys than {self.keys.key_id}: its result and state were not computed again")
        if committed:
            self.history.states[r], self.history.models[r] = state, result.value

    def _opens(self, key_id: str, plan: Plan, freeze: Freeze) -> bool:
        """Whether the updates had to be sealed to this key: a key that came after a round, as a new coordinator's does, opens none of it."""
        registry = self.reader.registry_at(plan.registry_version)
        return not plan.policy.sealed or all(key_id in {k.key_id for k in registry.sealing_keys(c.made_for)} for c in freeze.counted)

    def _recompute(self, plan: Plan, frozen: Stored[Freeze], model: GlobalModel, state: Stored[RoundState]) -> None:
        """Rule 6 of the module."""
        codec, noised = PayloadCodec(limits=self.limits), plan.policy.privacy != "none"
        coordinator = None
        models = [self.history.models[r] for r in sorted(self.history.models, reverse=True) if r <= frozen.value.base_round]
        with self._finding(Keys.result(plan.round), "" if noised else "results recomputed"):
            coordinator = self.sets.coordinator(plan, frozen, models=lambda: models)
            if noised:
                coordinator.weigh()
            else:
                same = codec.encode(coordinator.aggregate()) == codec.encode(model)
                self._require(same, Keys.result(plan.round), "is not what the frozen updates give", "R-66")
        if coordinator is None or coordinator.reconciliation is None:
            return
        with self._finding(state.key, "states recomputed"):
            base = self.history.states.get(frozen.value.base_round)
            clients = next_states(
                base.value if base else None,
                frozen.value,
                plan=plan,
                reconciliation=coordinator.reconciliation,
                stores=dict(zip(coordinator.clients, coordinator.stores(), strict=True)),
                last_models=models,
                accuracy=None if coordinator.elsewhere is None else coordinator.elsewhere.accuracy,
            )
            self._require(clients == state.value.clients, state.key, "is not what freeze and base state give", "R-67")

    def _receipts(
        self, plan: Plan, frozen: Stored[Freeze] | None, result: Stored[GlobalModel] | Stored[Tombstone] | None, end: Chained, keys: list[str]
    ) -> None:
        if end.entry.freeze and frozen is None:
            return  # said already
        tombstone = result.value if result is not None and isinstance(result.value, Tombstone) else None
        expected = {r.client: r for r in receipts_of(plan, frozen.value if frozen else None, end, tombstone=tombstone)}
        folder, pages = Keys.receipt(plan.round, ""), Keys.receipt_page(plan.round)
        told: set[str] = set()
        for key in keys:
            if key.startswith(folder):
                client = key.removeprefix(folder)
                told.add(client)
                with self._finding(key, "receipts"):
                    found = self.reader.own_receipt(plan.round, client)
                    same = found is not None and found.value == expected.get(client)
                    self._require(same, key, "is not what freeze and ledger give", "R-68")
            elif key.startswith(pages) and _belongs(key):
                with self._finding(key, "receipt pages"):
                    told |= self._receipt_page(plan.round, int(key.removeprefix(pages), 16), expected)
        if missing := len(expected.keys() - told):
            self.remarks.append(f"round {plan.round} lacks {missing} of {len(expected)} receipts: run it again")

    def _receipt_page(self, round_id: int, number: int, expected: Mapping[str, Receipt]) -> set[str]:
        """Whom a page tells; what it tells them is compared where it was sealed to these keys too."""
        page = self.reader.receipt_page(round_id, number)
        if page is None:
            return set()
        told = {entry.client for entry in page.value.receipts}
        self._require(told <= expected.keys(), page.key, "holds receipts of nobody's in this round", "R-68")
        if self.keys is not None and self.keys.key_id in dict(page.value.boxes):
            for client, receipt in open_page(page.value, self.keys, subject=page.key).items():
                self._require(receipt == expected[client], page.key, f"holds a receipt for {client} that is not what freeze and ledger give", "R-68")
            self.checked["receipts"] += len(told)
        return told


def _round_of(key: str) -> int:
    """The round whose folder a key lies in; 0 for none."""
    parts = key.split("/")
    return int(parts[1]) if parts[0] == "rounds" and len(parts) > 2 and parts[1].isdecimal() else 0


def _belongs(key: str) -> bool:
    """Whether the protocol has such a key. The inbox is its clients' own, and judged at admission."""
    parts = key.split("/")
    match parts:
        case ["inbox" | "probe", *_]:
            return len(parts) > 1
        case ["prefect", "stages", *_]:  # what the flows remember; the coordinator's own, and no part of the protocol
            return len(parts) > 2
        case ["pruned", number]:
            return len(number) == 6 and number.isdecimal()
        case ["registry", number] if number.isdecimal():
            return key == Keys.registry(int(number))
        case ["ledger", number] if number.isdecimal():
            return key == Keys.ledger(int(number))
        case ["rounds", number, "plan" | "freeze" | "result" | "state" as name] if number.isdecimal():
            return key == f"rounds/{int(number):08d}/{name}"
        case ["rounds", number, "accepted", digest] if number.isdecimal():
            return len(number) == 8 and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        case ["rounds", number, "scratch", *names] if number.isdecimal():  # sealed by and for the coordinator, and gone with the next housekeeping
            return len(number) == 8 and len(names) > 2
        case ["rounds", number, "receipt-pages", page] if number.isdecimal():
            return len(number) == 8 and len(page) == 2 and set(page) <= set("0123456789abcdef")
        case ["rounds", number, "receipts" | "links", client] if number.isdecimal():
            return len(number) == 8 and is_client_id(client)
    return False
