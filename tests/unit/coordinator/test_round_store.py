"""The runner where objects are missing, changed or in the way, where the store does not do its
work, and how many requests a round makes of it.

Every refusal is asserted together with "nothing moved": `decided` is the same before and after.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from hyperfed.config import Limits
from hyperfed.coordinator.runner import Why
from hyperfed.crypto.proofs import proof_of
from hyperfed.errors import LedgerError, RoundError, TransientError, TransportError
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.faults import FaultStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

# -- objects that are missing or changed -----------------------------------------------------------


def _frozen(fed: SmallFederation) -> tuple[str, str]:
    """Freeze round 1; the keys of its two packs."""
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    first, second = fed.objects("rounds/00000001/accepted/")
    return first, second


@pytest.mark.parametrize("how", ["gone", "swapped", "flipped"])
def test_a_frozen_update_that_is_gone_or_changed_ends_the_stage_and_releases_nothing(
    how: str,
) -> None:
    fed = SmallFederation(limits=Limits(pack_bytes=2600))
    key, other = _frozen(fed)
    objects = fed.store._objects  # type: ignore[attr-defined]
    kept = objects.pop(key)
    if how == "swapped":
        objects[key] = objects[other]
    elif how == "flipped":
        objects[key] = damaged(kept)
    with pytest.raises(Exception, match=key.rsplit("/", 1)[1][:16]):
        fed.run(1)
    assert fed.objects(Keys.result(1)) == {}
    objects[key] = kept
    assert fed.run(1).why is Why.COMMITTED


def test_a_copy_that_somebody_else_put_first_is_noticed_before_anything_is_decided() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    fed.judge()
    (key,) = fed.objects("rounds/00000001/accepted/")
    fed.store._objects[key] = b"garbage"  # type: ignore[attr-defined]
    with pytest.raises(RoundError, match="holds something else"):
        fed.run(1)
    assert fed.decided() == {}


def test_on_a_ledger_that_lost_its_tail_nothing_is_written() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    cut = {key: fed.store._objects.pop(key) for key in (Keys.ledger(1), Keys.ledger(2))}  # type: ignore[attr-defined]
    before = fed.objects()
    with pytest.raises(LedgerError):
        fed.run(2)
    assert fed.objects() == before
    fed.store._objects.update(cut)  # type: ignore[attr-defined]
    assert fed.run(2).why is Why.COMMITTED


def test_a_commit_that_was_lost_is_appended_again_byte_for_byte() -> None:
    fed = SmallFederation()
    fed.play(1)
    commit = fed.store._objects.pop(Keys.ledger(2))  # type: ignore[attr-defined]
    fed.open(2)
    fed.submit_all(round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert fed.objects()[Keys.ledger(2)] == commit


def test_what_a_client_has_seen_must_be_in_the_ledger() -> None:
    """The ledger lost its tail before the round was opened: only the clients know."""
    fed = SmallFederation()
    fed.play(1)
    fed.session("site-01").pull(now=fed.night(1))
    proof = proof_of(fed.objects()[Keys.ledger(2)])
    for key in [k for k in fed.objects() if k.startswith(("rounds/", "ledger/"))]:
        del fed.store._objects[key]  # type: ignore[attr-defined]
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-01"])
    seen = fed.memories["site-01"].marks
    fed.put(
        fed.envelope(
            "site-01",
            round_id=2,
            ledger_sequence=seen.ledger_sequence,
            ledger_digest=bytes.fromhex(seen.ledger_digest),
            ledger_proof=proof,
        ),
        "site-01",
        round_id=2,
    )
    with pytest.raises(LedgerError, match="has seen entry 2") as info:
        fed.run(2)
    assert info.value.rule == "R-73"
    assert fed.decided() == {}


def test_litter_in_the_inbox_is_neither_read_nor_floods_the_freeze() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    for i in range(50):
        fed.store.put_if_absent(f"inbox/00000001/site-01/junk-{i}", b"x")
        fed.store.put_if_absent(f"inbox/00000001/Not_A_Client/{i}", b"x")
    reads = Counting(fed.store)
    fed.runner(1, store=reads).run(1)
    assert not [key for _, key in reads.log if "junk" in key]
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert len(frozen.value.refused) <= 2 + 4
    assert not fed.objects("rounds/00000001/receipts/Not_A_Client")
    receipt = fed.receipt("site-01", 1)
    assert receipt is not None
    assert (receipt.fate, receipt.rule) == (Fate.COUNTED, "")


# -- a store that does not do its work -------------------------------------------------------------


class NoWrites(MemoryStore):
    """Loses every freeze, one way or the other."""

    refuse = False

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if key.endswith("/freeze"):
            if self.refuse:
                return False
            raise TransientError("no answer", subject=key)
        return super().put_if_absent(key, data)


@pytest.mark.parametrize("refuse", [False, True])
def test_a_store_that_never_takes_a_write_ends_the_stage(refuse: bool) -> None:
    store = NoWrites()
    store.refuse = refuse
    fed = SmallFederation(store=store)
    fed.open(1)
    fed.submit_all()
    with pytest.raises(TransientError, match="refused or lost"):
        fed.run(1)


def test_a_plan_whose_write_was_lost_is_no_plan() -> None:
    fed = SmallFederation()
    runner = fed.runner(1, store=NoPlans(fed.store))
    with pytest.raises(TransientError, match="its write was lost"):
        runner.open_round(1, policy=fed.policy, vocabulary=fed.vocabulary)
    assert fed.objects(Keys.plan(1)) == {}


class NoPlans(FaultStore):
    """Loses what is written to a plan."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if key.endswith("/plan"):
            raise TransientError("no answer", subject=key)
        return super().put_if_absent(key, data)


# -- requests --------------------------------------------------------------------------------------


class Counting(ObjectStore):
    """Counts requests as a store with an HTTP interface would see them."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.log: list[tuple[str, str]] = []

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self.log.append(("put", key))
        return self.inner.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.log.append(("get", key))
        data = self.inner.read(key, max_bytes=max_bytes)
        self.log.append(("got", key))
        return data

    def head(self, key: str) -> ObjectInfo | None:
        self.log.append(("head", key))
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.log.append(("list", prefix))
        return self.inner.list(prefix)

    def read_many(
        self, keys: Iterable[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        return super().read_many(keys, max_bytes=max_bytes)

    def take(self) -> Counter[str]:
        found = Counter(name for name, _ in self.log)
        self.log.clear()
        return found


def _requests(clients: int) -> dict[str, Counter[str]]:
    fed = SmallFederation(clients=clients)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    store = Counting(fed.store)
    found = {}
    arrivals = fed.runner(2, store=store).collect(2)
    found["collect"] = store.take()
    admission = fed.runner(2, store=store).validate(arrivals)
    found["validate"] = store.take()
    fed.runner(2, store=store).freeze(2, admission)
    found["freeze"] = store.take()
    for stage in ("reserve", "release", "conclude"):
        getattr(fed.runner(2, store=store), stage)(2)
        found[stage] = store.take()
    return found


def test_a_stage_makes_at_most_one_request_an_update_and_a_few_more() -> None:
    """Judging reads each update, and the round's end writes each receipt; what is copied, and read
    again by other processes, goes by the pack.
    """
    few, more = _requests(3), _requests(9)
    each = {
        stage: {
            verb: (more[stage][verb] - few[stage][verb]) / 6
            for verb in ("get", "put", "list", "head")
        }
        for stage in few
    }
    assert each == {
        "collect": {"get": 0, "put": 0, "list": 0, "head": 0},
        "validate": {"get": 1, "put": 0, "list": 0, "head": 0},
        "freeze": {"get": 0, "put": 0, "list": 0, "head": 0},
        "reserve": {"get": 0, "put": 0, "list": 0, "head": 0},
        "release": {"get": 0, "put": 0, "list": 0, "head": 0},
        "conclude": {"get": 0, "put": 1, "list": 0, "head": 0},
    }
    assert few["validate"]["put"] == 1
    assert all(few[stage]["get"] - 3 * each[stage]["get"] <= 26 for stage in few), few
    assert all(few[stage]["list"] <= 4 for stage in few), few


def test_nothing_is_read_twice_in_one_process_but_what_it_created() -> None:
    """What the store said it created is read back once (R-114)."""
    fed = SmallFederation()
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    store = Counting(fed.store)
    fed.runner(2, store=store).run(2)
    got = Counter(key for verb, key in store.log if verb == "got")
    assert {key: n for key, n in got.items() if n > 1} == dict.fromkeys(
        (Keys.freeze(2), Keys.ledger(3), Keys.result(2), Keys.state(2), Keys.ledger(4)), 2
    )
    assert sum(verb == "get" for verb, _ in store.log) < 55, (
        "what is not there yet is asked for a few times"
    )
