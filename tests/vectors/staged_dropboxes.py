"""Make drop-boxes of rounds that sum statistics, open secure sums or gossip, left at every stage.

1. `sums` adds up statistics: with votes in round 1, alone in round 2.
2. `secure` opens sums by four helpers, without noise; `shares` does so with noise in shares, as
   `effects` of effects; `central` with the coordinator's noise and sealed answers.
3. `gossip` is a night of edges beside which the clients of a basket gossip on their own share.
4. Objects are created once. A drop-box at an earlier stage is therefore the first objects of the
   same one at the last stage: an entry's place in the file says at which stage it was there.
5. Helpers and peers go on from their own disks, whose files lie in dropboxes/disks/NAME.zip, a
   folder for each stage.

A form that is added here is a function like these, and a line of `STAGED`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.helper_night import HelperNight
from hyperfed.client_agent import statistics_update
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.runner import Stage
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import QuorumMissed
from hyperfed.gossip.terms import EPOCHS
from hyperfed.packets import Claims, PolicyPack, SumsPolicy, Update
from hyperfed.privacy.moments import plan_moments
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Budget
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.statistics import statistics_of
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

NAMES = ("heat", "load", "wear")
VOCABULARY = Vocabulary.of(*NAMES, domain="plant")
HELPERS = ("help-1", "help-2", "help-3", "help-4")
PENDING = 2
SUMS = PolicyPack(payload="statistics", lags=(1,), vote_min=0.5)
SECURE = replace(
    SUMS,
    strategy="mean",
    max_staleness=0,
    trust_min=0.0,
    organisation_cap=0.0,
    aggregation="secure-sum",
    statistics=SumsPolicy(short_bias="kept"),
)
SHARES = replace(
    SECURE,
    privacy="shares",
    privacy_epsilon=Decimal(20),
    noise_shares=4,
    statistics=SumsPolicy(row_norm=3.0),
)
EFFECTS = replace(SHARES, payload="edges", record_bound=0.02, statistics=SumsPolicy())
CENTRAL = replace(SHARES, privacy="central", noise_shares=0)


@dataclass(kw_only=True)
class Staged:
    """A drop-box with its stages, and with the disks of helpers and peers at each."""

    federation: SmallFederation
    folder: Path
    helpers: tuple[str, ...] = ()
    gossips: bool = False
    pending: int = PENDING
    objects: dict[str, bytes] = field(default_factory=dict)
    """All objects of the last stage, those of earlier stages first."""
    stages: dict[str, int] = field(default_factory=dict)
    """How many of them were there, by stage."""
    disks: dict[str, bytes] = field(default_factory=dict)
    """stage/file -> bytes."""

    def __post_init__(self) -> None:
        if self.gossips:
            self.federation.memories = {
                client: memory_of(self.folder, client) for client in self.federation.clients
            }

    def left_at(self, stage: str) -> None:
        """Note what is there now."""
        there = self.federation.objects()
        self.objects |= {key: there[key] for key in sorted(there.keys() - self.objects.keys())}
        self.stages[stage] = len(self.objects)
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and not file.name.endswith((".lock", ".ledger.bin")):
                self.disks[f"{stage}/{file.relative_to(self.folder)}"] = file.read_bytes()

    def visit(self, now: datetime, helpers: Iterable[str] | None = None) -> None:
        for helper in self.helpers if helpers is None else helpers:
            memory = HelperMemory(self.folder / helper)
            HelperNight(self.federation.session(helper), memory).visit(now=now)

    def gossip(self, hours: float, clients: Iterable[str] | None = None) -> None:
        """Let clients run one epoch of the pending round's gossip."""
        fed, now = self.federation, self.federation.opens(PENDING) + timedelta(hours=hours)
        for client in fed.clients if clients is None else clients:
            discover = _found(fed.update(client))
            GossipAtDropBox(fed.session(client)).exchange(discover, now=now, round_id=PENDING)


def _found(update: Update) -> Any:
    return lambda plan: update


def memory_of(folder: Path, client: str) -> ClientMemory:
    return ClientMemory(folder / client / "memory.json")


def _rows(seed: int, count: int) -> np.ndarray:
    """A series in which heat drives load, and load drives wear."""
    rng = np.random.default_rng(seed)
    y = np.zeros((count + 10, len(NAMES)))
    for t in range(1, len(y)):
        y[t] = rng.normal(size=len(NAMES)) + 0.3 * y[t - 1]
        y[t, 1:] += 0.6 * y[t - 1, :-1]
    return y[10:] + rng.normal(size=len(NAMES))


def _statistics(seed: int, policy: PolicyPack) -> Update:
    data: dict[str, Any] = {"names": NAMES, "vocabulary": VOCABULARY, "lags": policy.lags}
    if policy.privacy == "none":
        return statistics_update(statistics_of(_rows(seed, 60), **data))
    clipped = clipped_statistics(
        _rows(seed, 800),
        row_norm=policy.statistics.row_norm,
        grid=plan_moments(policy, len(NAMES)).bound,
        centring=policy.statistics.centring,
        **data,
    )
    return statistics_update(clipped)


def _left_to_its_end(made: Staged) -> None:
    """Leave the pending round frozen, reserved and released."""
    runner = made.federation.runner(PENDING)
    runner.freeze(PENDING, runner.validate(runner.collect(PENDING)))
    made.left_at("frozen")
    runner.reserve(PENDING)
    made.left_at("reserved")
    runner.release(PENDING)
    made.left_at("released")


def sums(folder: Path) -> Staged:
    fed = SmallFederation(clients=5, name="sums", policy=SUMS, vocabulary=VOCABULARY, auditors=1)
    made = Staged(federation=fed, folder=folder)
    fed.open(1, payload="both")
    for seed, client in enumerate(fed.clients[:4]):
        summed = _statistics(seed, SUMS).statistics
        assert summed is not None
        votes = replace(fed.update(client), lags=SUMS.lags)
        fed.submit(client, statistics_update(summed, beside=votes))
    fed.run(1)
    fed.open(PENDING)
    for seed, client in enumerate(fed.clients):
        fed.submit(client, _statistics(10 + seed, SUMS), round_id=PENDING)
    made.left_at("collected")
    _left_to_its_end(made)
    return made


def _masked(
    name: str, policy: PolicyPack, members: tuple[str, ...], terms: SecureSums, folder: Path
) -> Staged:
    """Rounds of secure sums: the first to its end, the second to its result."""
    fed = SmallFederation(
        clients=(*members, *HELPERS),
        name=name,
        policy=policy,
        vocabulary=VOCABULARY,
        auditors=1,
        budget=Budget(epsilon=Decimal(200), unit="record"),
    )
    fed.amend(secure_sums=terms)
    made = Staged(federation=fed, folder=folder, helpers=HELPERS)

    def opened_and_sent(number: int) -> None:
        made.visit(fed.opens(number) + timedelta(minutes=1))
        fed.open(number, quorum=3)
        for seed, client in enumerate(members):
            if policy.payload == "edges":
                claims = Claims(record_bound=policy.record_bound)
                update = replace(fed.update(client), lags=policy.lags, claims=claims)
            else:
                update = _statistics(10 * number + seed, policy)
            fed.submit(client, update, round_id=number)

    opened_and_sent(1)
    about = _about(made)
    end(fed.store, about, made.folder, number=1, now=fed.night(1))
    opened_and_sent(PENDING)
    made.left_at("collected")
    now, runner = fed.night(PENDING), fed.runner(PENDING)
    made.visit(now)
    runner.freeze(PENDING, runner.validate(runner.collect(PENDING)))
    made.left_at("frozen")
    runner.reserve(PENDING)
    try:
        runner.open_sum(PENDING)
    except QuorumMissed:  # the manifest lies there, and nobody has answered it
        made.visit(now, HELPERS[:1])
    made.left_at("reserved")
    made.visit(now)
    made.left_at("opened")
    runner = fed.runner(PENDING)
    runner.open_sum(PENDING)
    runner.release(PENDING)
    made.left_at("released")
    return made


def _in_a_block(name: str, policy: PolicyPack, folder: Path) -> Staged:
    """Rounds whose cohort is one public block."""
    members = tuple(f"ward-{i}" for i in range(1, 5))
    helpers = tuple(HelperRecord(client_id=name) for name in HELPERS)
    terms = SecureSums(helpers=helpers, together=3, blocks=(members,))
    return _masked(name, policy, members, terms, folder)


def _in_shares(name: str, policy: PolicyPack, folder: Path) -> Staged:
    """Rounds whose clients add noise in shares."""
    members = tuple(f"ward-{i}" for i in range(1, 7))
    helpers = tuple(HelperRecord(client_id=name) for name in HELPERS)
    terms = SecureSums(helpers=helpers, together=3, colluding_clients=1)
    return _masked(name, policy, members, terms, folder)


def gossip(folder: Path) -> Staged:
    share = Budget(gossip_epsilon=Decimal(8), gossip_delta=Decimal("0.00001"))
    policy = PolicyPack(lags=(1,))
    fed = SmallFederation(clients=4, name="gossip", policy=policy, budget=share, auditors=1)
    made = Staged(federation=fed, folder=folder, gossips=True)
    fed.play(1)
    fed.open(PENDING)
    fed.submit_all(round_id=PENDING)
    made.gossip(2)
    made.left_at("collected")
    made.gossip(4, fed.clients[:1])
    runner = fed.runner(PENDING)
    runner.freeze(PENDING, runner.validate(runner.collect(PENDING)))
    made.left_at("frozen")
    made.gossip(6)
    runner.reserve(PENDING)
    made.left_at("reserved")
    made.gossip(8, fed.clients[2:])
    runner.release(PENDING)
    made.left_at("released")
    return made


def _alone(make: Callable[[Path], Staged]) -> Staged:
    """Make a drop-box with a folder of its own for the disks."""
    with TemporaryDirectory() as folder:
        return make(Path(folder))


STAGED: dict[str, Callable[[], Staged]] = {
    name: partial(_alone, make)
    for name, make in (
        ("sums", sums),
        ("secure", partial(_in_a_block, "secure", SECURE)),
        ("shares", partial(_in_shares, "shares", SHARES)),
        ("effects", partial(_in_shares, "effects", EFFECTS)),
        ("central", partial(_in_a_block, "central", CENTRAL)),
        ("gossip", gossip),
    )
}


def _about(made: Staged) -> dict[str, Any]:
    fed = made.federation
    return {
        "fingerprint": fed.fingerprint,
        "coordinator": fed.coordinator._seed.hex(),
        "clients": {client: keys._seed.hex() for client, keys in fed.keys.items()},
        "helpers": list(made.helpers),
    }


def _session(
    store: ObjectStore, about: Mapping[str, Any], client: str, memory: ClientMemory | None = None
) -> ClientSession:
    return ClientSession(
        store,
        client_id=client,
        key_pair=KeyPair(bytes.fromhex(about["clients"][client])),
        fingerprint=about["fingerprint"],
        memory=memory,
    )


def end(
    store: ObjectStore,
    about: Mapping[str, Any],
    disks: Path | None,
    *,
    number: int,
    now: datetime,
    limits: Limits = DEFAULT_LIMITS,
) -> Stage:
    """End a round, as its coordinator and its helpers, from their disks. Return its stage."""
    for attempt in range(3):  # helpers confirm, answer, and erase
        for helper in about.get("helpers", ()):
            assert disks is not None, "its helpers go on from their disks"
            memory = HelperMemory(disks / helper)
            HelperNight(_session(store, about, helper), memory).visit(now=now)
        runner = RoundRunner(
            store,
            key_pair=KeyPair(bytes.fromhex(about["coordinator"])),
            now=now,
            fingerprint=about["fingerprint"],
            limits=limits,
        )
        try:
            stage = runner.run(number)
        except QuorumMissed:
            if attempt == 2:
                raise
    return stage


def averages(store: ObjectStore, about: Mapping[str, Any], disks: Path) -> dict[str, list[float]]:
    """Gossip to the pending round's last epoch, and return what each client has then."""
    night, number = datetime.fromisoformat(about["night"]), about["pending"]
    sessions = [_session(store, about, c, memory_of(disks, c)) for c in about["clients"]]
    for hour in range(1, EPOCHS + 1):
        for session in sessions:
            now = night + timedelta(hours=hour)
            GossipAtDropBox(session).exchange(_unasked, now=now, round_id=number)
    now = night + timedelta(hours=EPOCHS + 1)
    return {
        session.client_id: GossipAtDropBox(session).average(now=now).values.tolist()
        for session in sessions
    }


def _unasked(plan: Plan) -> Update:
    raise AssertionError(f"looked at the data of round {plan.round} again")
