"""Packs: what their bytes are, how they are filled, and how what a freeze counts is read from them
(R-66).
"""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.codec import pack
from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox import accepted
from hyperfed.dropbox.accepted import Accepted
from hyperfed.errors import RoundError, SchemaError, TransportError
from hyperfed.operations.audit import audit
from hyperfed.packets import Update
from hyperfed.protocol.documents import COORDINATOR, sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze
from hyperfed.protocol.packs import is_pack, make_pack, read_pack
from hyperfed.storage.memory import MemoryStore
from hyperfed.tables.tables import DeltaTable
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

pytestmark = pytest.mark.unit

SMALL = Limits(pack_bytes=2600)  # two of the small federation's updates


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


# -- the bytes -------------------------------------------------------------------------------------


def test_what_is_read_is_a_view_of_the_packs_bytes() -> None:
    one = make_pack([(name(1), bytes(600)), (name(2), bytes(1 << 16))])
    found = read_pack(one.data, subject="pack")
    assert all(envelope.obj is one.data for envelope in found.values())
    assert one.data == pack([1, [[name(1), bytes(600)], [name(2), bytes(1 << 16)]]]), (
        "the canonical form"
    )
    assert is_pack(one.data)
    fed = SmallFederation(clients=1)
    fed.open()
    assert not is_pack(fed.envelope("site-01"))


@pytest.mark.parametrize(
    ("data", "rule", "problem"),
    [
        (b"", "R-10", "truncated"),
        (pack([2, [], []]), "R-12", "pack version 2; this library reads up to 1"),
        (pack([0, [[name(1), b"x"]]]), "R-66", "not \\[1,"),
        (pack([1, []]), "R-66", "holds no update"),
        (pack([1, [[name(1), b"x"], [name(1), b"y"]]]), "R-66", "one twice"),
        (pack([1, [[b"short", b"x"]]]), "R-66", "not \\[1,"),
        (pack([1, [[name(1), "text"]]]), "R-66", "not \\[1,"),
        (pack([1, [[name(1), b"x"]]]) + b"\0", "R-10", "after the end"),
        (pack([1, [[name(1), b"x"]]])[:-1], "R-10", "truncated"),
        (b"\x92\x01\xdc\x00\x01\x92\xc4\x20" + name(1) + b"\xc4\x01x", "R-10", "shortest form"),
    ],
)
def test_bytes_that_are_no_pack_are_refused(data: bytes, rule: str, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem) as caught:
        read_pack(data, subject="here")
    assert (caught.value.rule, caught.value.subject) == (rule, "here")


# -- what a freeze says ----------------------------------------------------------------------------


def frozen(fed: SmallFederation, round_id: int = 1) -> Freeze:
    found = fed.reader().freeze(round_id)
    assert found is not None
    return found.value


def test_a_freeze_names_the_pack_of_each_counted_update_and_no_other() -> None:
    fed = SmallFederation(clients=7, limits=SMALL)
    fed.open(1)
    fed.submit_all(but=["site-04"])
    fed.put(fed.envelope("site-04", sequence=1), "site-04", slot=0)
    # refused: it has no place in a pack
    fed.put(fed.envelope("site-04", sequence=1), "site-04", slot=1)
    fed.run(1)
    freeze, there = frozen(fed), fed.accepted(1)
    assert len(freeze.counted) == 6
    assert {c.digest: Keys.accepted(1, freeze.lies_in(c)) for c in freeze.counted} == there
    assert freeze.in_pack == (0, 0, 1, 1, 2, 2)
    assert len(freeze.packs) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"in_pack": (0, 0)},
        {"in_pack": (1, 0, 0)},
        {"in_pack": (0, 0, 2)},
        {"in_pack": (0, 0, 0)},
        {"in_pack": (0, 0, -1)},
        {"packs": ()},
        {"packs": (b"a" * 32, b"a" * 32)},
        {"packs": (b"a" * 32, b"b")},
    ],
)
def test_a_freeze_that_does_not_say_where_its_updates_lie_is_none(wrong: dict[str, Any]) -> None:
    fed = SmallFederation(limits=SMALL)
    fed.play(1)
    assert frozen(fed).in_pack == (0, 0, 1)
    with pytest.raises(SchemaError, match="each counted update lies in one pack"):
        replace(frozen(fed), **wrong)


# -- reading ---------------------------------------------------------------------------------------


class Watched(MemoryStore):
    """Counts what is read of `accepted/`."""

    def __init__(self) -> None:
        super().__init__()
        self.got = Counter[str]()

    def read(self, key: str, *, max_bytes: int) -> bytes:
        data = super().read(key, max_bytes=max_bytes)
        self.got[key] += "/accepted/" in key
        return data


def late_night(clients: int = 8) -> tuple[SmallFederation, Watched]:
    """Round 2, frozen: every other client is late, so that freeze and packs are in different
    orders.
    """
    store = Watched()
    fed = SmallFederation(clients=clients, store=store, limits=SMALL)
    late = fed.clients[::2]
    fed.open(1, quorum=1)
    fed.submit_all(but=late)
    fed.run(1)
    fed.open(2)
    for client in late:
        fed.submit(client, round_id=1)
    fed.submit_all(round_id=2, but=late)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    store.got.clear()
    return fed, store


def test_each_pack_is_read_once_whatever_the_order_of_its_clients() -> None:
    fed, store = late_night()
    freeze = frozen(fed, 2)
    assert list(freeze.in_pack) != sorted(freeze.in_pack), "the late ones' packs come first"
    sets = fed.runner(2).frozen
    found = list(sets.read(freeze, freeze.counted))
    assert sorted(c.client for c, _ in found) == list(fed.clients)
    assert all(admitted.client == c.client for c, admitted in found)
    assert all(admitted.data is None for _, admitted in found), (
        "no pack is kept for the sake of one of its updates"
    )
    assert +store.got == Counter({Keys.accepted(2, digest): 1 for digest in freeze.packs})
    assert fed.runner(2).conclude(2).counted == 8


def test_a_night_in_another_order_comes_to_the_same_model() -> None:
    """Where an update lies is nothing that its merge depends on."""
    models = []
    for pack_bytes in (1, 2000, 1 << 20):
        fed = SmallFederation(clients=5, limits=Limits(pack_bytes=pack_bytes))
        fed.play(1)
        result = fed.reader().result(1)
        assert result is not None
        models.append(result.value.edges)  # type: ignore[union-attr]
    assert models[0] == models[1] == models[2]


def changes(base: bytes, effect: float = 0.25) -> Update:
    one = np.ones(1)
    deltas = DeltaTable(
        source=np.zeros(1, np.uint32),
        target=np.ones(1, np.uint32),
        lag=np.ones(1, np.uint16),
        weight_delta=effect * one,
        ci_low_delta=effect * one,
        ci_high_delta=effect * one,
        hits_delta=np.ones(1, np.int32),
    )
    return Update(measured=np.arange(4, dtype=np.uint32), deltas=deltas, base=base)


def nights_of_changes(nights: int, *, store: MemoryStore) -> SmallFederation:
    """A first night of tables, and then only changes; the last night is open and submitted."""
    fed = SmallFederation(clients=9, store=store, limits=Limits(pack_bytes=2500))
    fed.open(1)
    base = {s.key.split("/")[2]: s.digest for s in fed.submit_all()}
    fed.run(1)
    for r in range(2, nights + 1):
        fed.open(r)
        base = {
            client: fed.submit(client, changes(digest), round_id=r).digest
            for client, digest in base.items()
        }
        if r < nights:
            assert fed.run(r).counted == 9
    return fed


def test_a_night_of_changes_reads_each_pack_of_its_bases_once() -> None:
    """Changes upon changes go back through all nights; clients ascend, and so do packs."""
    store = Watched()
    fed = nights_of_changes(4, store=store)
    store.got.clear()
    assert fed.run(4).counted == 9
    bases = {Keys.accepted(r, digest): 1 for r in (1, 2, 3) for digest in frozen(fed, r).packs}
    assert len(bases) > 3
    assert +store.got == Counter(bases)


def test_packs_of_bases_are_let_go_where_they_would_be_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Watched()
    fed = nights_of_changes(3, store=store)
    monkeypatch.setattr(accepted, "_KEPT_BYTES", 1)
    sets = fed.runner(3).frozen
    base = fed.runner(3).base_state(3)
    assert base is not None
    store.got.clear()
    for client in fed.clients:
        counted = frozen(fed, 2).of(client)
        assert counted is not None
        assert sets.base_update(base.value, client, counted.digest) is not None
        assert len(sets.accepted._kept) == 1, "the one that was read last"
    assert max(store.got.values()) > 1
    sets.accepted.forget()
    assert not sets.accepted._kept


@pytest.mark.parametrize("how", ["gone", "changed", "another pack", "too large"])
def test_a_pack_that_is_gone_or_changed_is_said_for_each_way_of_reading(how: str) -> None:
    fed = SmallFederation(limits=SMALL)
    fed.play(1)
    freeze, objects = frozen(fed), fed.store._objects  # type: ignore[attr-defined]
    first, second = (Keys.accepted(1, digest) for digest in freeze.packs)
    large = bytes(fed.limits.max_pack_bytes + 1)
    there = {
        "changed": damaged(objects[first]),
        "another pack": objects[second],
        "too large": large,
    }.get(how)
    objects.pop(first)
    if there is not None:
        objects[first] = there
    reading = Accepted(fed.store, limits=fed.limits)
    answers = {
        counted.client: answer for counted, key, answer in reading.read(freeze, freeze.counted)
    }
    assert [client for client, answer in answers.items() if isinstance(answer, RoundError)] == [
        "site-01",
        "site-02",
    ]
    problem = answers["site-01"]
    assert isinstance(problem, RoundError)
    assert (problem.subject, problem.rule) == (first, "R-66")
    assert problem is answers["site-02"]
    if how == "gone":
        assert reading.one(freeze, freeze.counted[0]) is None
    else:
        with pytest.raises((RoundError, TransportError)):
            reading.one(freeze, freeze.counted[0])
    assert reading.one(freeze, freeze.counted[2]) is not None
    with pytest.raises(RoundError, match="does not hold site-03's update"):
        reading.one(freeze, replace(freeze.counted[2], digest=b"?" * 32))


# -- freezes from before there were packs ----------------------------------------------------------


def without_packs(fed: SmallFederation, round_id: int) -> None:
    """Make a round that is frozen one that was frozen before there were packs: an object for each
    update, and a freeze that names none.
    """
    freeze, objects = frozen(fed, round_id), fed.store._objects  # type: ignore[attr-defined]
    for digest, key in fed.accepted(round_id).items():
        objects[Keys.accepted(round_id, digest)] = bytes(
            read_pack(objects[key], subject=key)[digest]
        )
    for digest in freeze.packs:
        del objects[Keys.accepted(round_id, digest)]
    key = Keys.freeze(round_id)
    old = replace(freeze, packs=(), in_pack=(), formula=1)
    objects[key] = sign_object(
        key, PacketType.FREEZE, old, key_pair=fed.coordinator, time=old.time, audience=COORDINATOR
    ).data


def test_a_freeze_from_before_there_were_packs_is_merged_audited_and_built_upon() -> None:
    fed = SmallFederation(clients=4, auditors=1)
    fed.open(1)
    base = fed.submit_all()[0].digest
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    without_packs(fed, 1)
    assert b"in_pack" not in fed.objects()[Keys.freeze(1)]
    assert fed.runner(1).conclude(1).counted == 4
    assert frozen(fed).packs == ()
    fed.open(2)
    fed.submit("site-01", changes(base), round_id=2)
    fed.submit_all(round_id=2, but=["site-01"])
    assert fed.run(2).counted == 4
    assert len(frozen(fed, 2).packs) == 1
    found = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert (found.findings, found.remarks) == ((), ())
    assert (found.checked["updates"], found.checked["results recomputed"]) == (8, 2)
    twin = SmallFederation(clients=4)
    twin.play(1)
    ours, theirs = fed.reader().result(1), twin.reader().result(1)
    assert ours is not None
    assert theirs is not None
    assert ours.value.edges == theirs.value.edges  # type: ignore[union-attr]


def test_an_update_of_such_a_freeze_that_is_gone_or_changed_is_named() -> None:
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    without_packs(fed, 1)
    first, second, _ = frozen(fed).counted
    objects = fed.store._objects  # type: ignore[attr-defined]
    key, honest = Keys.accepted(1, first.digest), objects[Keys.accepted(1, first.digest)]
    other = fed.envelope("site-01", sequence=first.sequence)
    for there in (
        objects[Keys.accepted(1, second.digest)],
        damaged(honest),
        other,
    ):
        objects[key] = there
        with pytest.raises(Exception, match=first.digest.hex()):
            fed.runner(1).release(1)
        assert audit(fed.store, fed.fingerprint).first_broken == key
    objects[key] = honest
    assert fed.runner(1).conclude(1).counted == 3
