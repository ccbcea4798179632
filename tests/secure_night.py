"""A small federation whose rounds sum statistics under masks, with its helpers' visits."""

import contextlib
import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.helper_night import HelperNight, HelperVisit
from hyperfed.client.session import Submitted
from hyperfed.client_agent import statistics_update
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.errors import QuorumMissed
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.statistics import statistics_of
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

NAMES = ("heat", "load", "wear")
VOCABULARY = Vocabulary.of(*NAMES, domain="plant")
POLICY = PolicyPack(
    payload="statistics",
    lags=(1,),
    strategy="mean",
    max_staleness=0,
    trust_min=0.0,
    organisation_cap=0.0,
    vote_min=0.5,
    aggregation="secure-sum",
    statistics=SumsPolicy(short_bias="kept"),
)
MEMBERS = ("ward-1", "ward-2", "ward-3", "ward-4")
HELPERS = ("help-1", "help-2", "help-3", "help-4")


def rows(seed: int, count: int = 60) -> np.ndarray:
    """Return a series in which heat drives load, and load drives wear."""
    rng = np.random.default_rng(seed)
    y = np.zeros((count + 10, 3))
    for t in range(1, len(y)):
        y[t] = rng.normal(size=3) + 0.3 * y[t - 1]
        y[t, 1] += 0.6 * y[t - 1, 0]
        y[t, 2] += 0.6 * y[t - 1, 1]
    return y[10:] + 10 * rng.normal(size=3)


def holed(table: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Return a table in which a share of the cells is missing."""
    at = np.random.default_rng(1000 + seed).random(table.shape) < share
    return np.where(at, np.nan, table)


def series_csv(seed: int) -> str:
    """Return the rows as a file."""
    lines = [",".join(NAMES), *(",".join(map(str, row)) for row in rows(seed).tolist())]
    return "\n".join(lines) + "\n"


def update(seed: int, *, holes: float = 0.0) -> Update:
    data = holed(rows(seed), seed, holes)
    return statistics_update(statistics_of(data, names=NAMES, vocabulary=VOCABULARY, lags=(1,)))


@dataclass
class SecureNight:
    """A federation of wards in blocks and of helpers."""

    members: tuple[str, ...] = MEMBERS
    blocks: tuple[tuple[str, ...], ...] = (MEMBERS,)
    together: int = 3
    store: ObjectStore | None = None
    helpers: tuple[str, ...] = HELPERS
    memories: dict[str, HelperMemory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.federation = SmallFederation(
            clients=(*self.members, *self.helpers),
            policy=POLICY,
            vocabulary=VOCABULARY,
            store=self.store,
        )
        self.federation.amend(
            secure_sums=SecureSums(
                helpers=tuple(HelperRecord(client_id=name) for name in self.helpers),
                together=self.together,
                blocks=self.blocks,
            )
        )
        for helper in self.helpers:
            self.memories.setdefault(helper, HelperMemory())

    def at_another(self, objects: Mapping[str, bytes]) -> "SecureNight":
        """Return the same night at a drop-box of these objects, with copies of all disks."""
        night = copy.copy(self)
        night.federation = copy.copy(self.federation)
        night.federation.store = MemoryStore()
        night.federation.memories = copy.deepcopy(self.federation.memories)
        night.memories = copy.deepcopy(self.memories)
        for key, data in objects.items():
            night.federation.store.put_if_absent(key, data)
        return night

    def visit(self, helper: str, *, now: datetime) -> HelperVisit:
        """Let a helper do what is due."""
        night = HelperNight(self.federation.session(helper), self.memories[helper])
        return night.visit(now=now)

    def visits(self, *, now: datetime, but: tuple[str, ...] = ()) -> list[HelperVisit]:
        """Let all helpers but some do what is due."""
        return [self.visit(helper, now=now) for helper in self.helpers if helper not in but]

    def opens(self, round_id: int = 1, **policy: Any) -> None:
        """Open a round once its helpers have published their keys."""
        fed = self.federation
        self.visits(now=fed.opens(round_id) + timedelta(minutes=1))
        fed.open(round_id, quorum=3, **policy)

    def submit(
        self, client: str, round_id: int = 1, *, seed: int | None = None, holes: float = 0.0
    ) -> Submitted:
        """Submit a client's statistics, of a series in which cells may be missing."""
        seed = self.members.index(client) if seed is None else seed
        return self.federation.submit(client, update(seed, holes=holes), round_id=round_id)

    def update_of(self, client: str) -> Update:
        """Return a member's update, as it is made."""
        return update(self.members.index(client))

    def submit_all(self, round_id: int = 1, *, but: tuple[str, ...] = ()) -> None:
        """Submit for every member but some."""
        for client in self.members:
            if client not in but:
                self.federation.submit(client, self.update_of(client), round_id=round_id)

    def confirmed(self, round_id: int = 1, *, but: tuple[str, ...] = ()) -> None:
        """Let clients submit and helpers confirm."""
        self.opens(round_id)
        self.submit_all(round_id)
        self.visits(now=self.federation.night(round_id), but=but)


def signed_plan(night: SecureNight, **changes: Any) -> bytes:
    """Return round 1's plan with some fields changed, as a thief of the coordinator's key signs."""
    fed = night.federation
    twin = night.at_another(fed.objects())
    twin.federation.open(1, quorum=3)
    plan = replace(twin.federation.plan(1), **changes)
    return sign_object(
        Keys.plan(1),
        PacketType.PLAN,
        plan,
        key_pair=fed.coordinator,
        time=plan.opens,
        policy=policy_digest(plan.policy),
        vocabulary=plan.vocabulary.digest,
    ).data


def later(night: SecureNight) -> datetime:
    return night.federation.night(1) + timedelta(minutes=5)


NewNight = Callable[[], SecureNight]


def before_submit(new: NewNight = SecureNight) -> SecureNight:
    night = new()
    night.opens()
    return night


def before_confirmation(new: NewNight = SecureNight) -> SecureNight:
    night = before_submit(new)
    night.submit_all()
    return night


def before_freeze(new: NewNight = SecureNight) -> SecureNight:
    night = before_confirmation(new)
    night.visits(now=night.federation.night(1))
    return night


def before_answer(new: NewNight = SecureNight) -> SecureNight:
    night = before_freeze(new)
    with contextlib.suppress(QuorumMissed):  # it waits for its helpers
        night.federation.run(1)
    return night


def before_result(new: NewNight = SecureNight) -> SecureNight:
    night = before_answer(new)
    night.visits(now=later(night))
    return night


def finish(night: SecureNight) -> None:
    """Let everybody come who is still due in round 1: clients, helpers and the coordinator."""
    fed = night.federation
    sent = {info.key for info in fed.store.list(Keys.inbox(1))}
    night.submit_all(but=tuple(c for c in night.members if Keys.inbox(1, c, 0) in sent))
    night.visits(now=fed.night(1))
    with contextlib.suppress(QuorumMissed):  # it waits for its helpers
        fed.run(1, now=later(night))
    night.visits(now=later(night))
    fed.run(1, now=later(night))


def shape(objects: dict[str, bytes], *, drawn: Collection[str] = ()) -> dict[str, bytes]:
    """The drop-box's objects; of what is drawn anew (masks, seals, keys) only that it is there.

    drawn: what kinds of objects are drawn anew beside these.
    """
    anew = {"inbox", "openings", "accepted", "receipts", "receipt-pages", *drawn}
    return {
        key if parse_key(key).kind != "accepted" else "accepted": (
            b"" if parse_key(key).kind in anew else data
        )
        for key, data in objects.items()
    }


def named(night: SecureNight, round_id: int = 1) -> None:
    """Run a round until its manifest lies there."""
    with pytest.raises(QuorumMissed, match="helpers have answered"):
        night.federation.run(round_id)


def openings(night: SecureNight, round_id: int = 1) -> OpeningReader:
    reader = night.federation.reader()
    plan = reader.plan(round_id)
    assert plan is not None
    return OpeningReader(reader, plan)


def replaced(night: SecureNight, key: str, data: bytes) -> None:
    """Put other bytes at a key, as whoever runs the bucket can."""
    store = MemoryStore()
    for name, old in night.federation.objects().items():
        store.put_if_absent(name, data if name == key else old)
    if key not in night.federation.objects():
        store.put_if_absent(key, data)
    night.federation.store = store
