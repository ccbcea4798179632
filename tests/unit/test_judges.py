"""Other processes judge what this one would, to the same bytes; they end with the judging, and one that dies blames nobody."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.admission import Admission, Arrival, joined
from hyperfed.codec import PayloadCodec
from hyperfed.coordinator import intake
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.inbox import read_arrivals
from hyperfed.errors import ConfigError, RoundError, TransientError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.judging import MOST, Judges, judges, worth
from hyperfed.judging.line import receive, send
from hyperfed.merge.electorate import PairElectorate
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.spool import Spool, Spooled
from hyperfed.packets import PolicyPack, Update
from hyperfed.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator import Desk, PacketValidator
from hyperfed.vocabulary import Vocabulary

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Batches of two clients, and judges that are there before the first; the processes that were started, all of which have to be over."""

    class Prompt(ThreadPoolExecutor):
        def submit(self, work: Any, *arguments: Any) -> Any:  # type: ignore[override]
            future = super().submit(work, *arguments)
            if work.__name__ == "begin":
                wait([future])
            return future

    monkeypatch.setattr(judges, "ThreadPoolExecutor", Prompt)
    monkeypatch.setattr(judges, "_BATCH_CLIENTS", 2)
    begun: list[Any] = []
    popen = judges.subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        begun.append(popen(*args, **options))
        return begun[-1]

    monkeypatch.setattr(judges.subprocess, "Popen", start)
    yield begun
    assert all(process.poll() is not None for process in begun), "a judging process was left behind"


def changed(base: Update, digest: bytes) -> Update:
    """Changes against a client's last update."""
    assert base.edges is not None
    moved = replace(base.edges, effect=base.edges.effect + 0.125, ci_low=base.edges.ci_low + 0.125, ci_high=base.edges.ci_high + 0.125)
    deltas = HypergraphStore(edges=base.edges, measured=base.measured).diff(HypergraphStore(edges=moved, measured=base.measured)).deltas
    return Update(measured=base.measured, deltas=deltas, base=digest)


def second_night() -> SmallFederation:
    """Nine clients in their second round: changes, one with a base that is not its own, late ones, a correction, an equivocation, a forgery, noise."""
    federation = SmallFederation(clients=9)
    federation.play(1, but=["site-08"])
    federation.open(2)
    frozen = federation.reader().freeze(1)
    assert frozen is not None
    digests = {c.client: c.digest for c in frozen.value.counted}
    for client in ("site-01", "site-04"):
        update = changed(federation.update(client), digests[client])
        federation.put(federation.envelope(client, round_id=2, update=update), client, round_id=2)
    federation.put(federation.envelope("site-05", round_id=2, update=changed(federation.update("site-05"), b"?" * 32)), "site-05", round_id=2)
    for client in ("site-02", "site-03", "site-06", "site-07"):
        federation.submit(client, round_id=2)
    federation.submit("site-02", federation.update("site-02", effect=0.7), round_id=2)
    federation.put(federation.envelope("site-08", round_id=1), "site-08", round_id=1)
    federation.put(federation.envelope("site-06", round_id=2, sequence=2), "site-06", round_id=2, slot=1)
    federation.put(federation.envelope("site-03", round_id=2, keys=federation.keys["site-04"], sequence=9), "site-03", round_id=2, slot=1)
    for i in range(70):
        federation.store.put_if_absent(f"inbox/00000002/Nobody-{i:02d}/0", b"?")
    return federation


def test_a_night_is_the_same_whoever_judges(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    federation = second_night()
    runner = federation.runner(2)
    monkeypatch.setenv("HYPERFED_JUDGES", "0")
    expected = runner.validate(runner.collect(2))
    assert not started
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    judged = runner.validate(runner.collect(2))
    assert len(started) == 1
    assert judged == expected
    assert {(r.client, r.rule) for r in judged.refused if r.client} == {("site-02", "R-93"), ("site-03", "R-82"), ("site-05", "R-97"), ("site-06", "R-92")}
    assert [a.client for a in judged.admitted] == ["site-01", "site-02", "site-03", "site-04", "site-07", "site-08"]
    runner.freeze(2, judged)
    assert runner.conclude(2).counted == 6
    # a coordinator that reads everything from accepted/ comes to the same model
    frozen, result = federation.reader().freeze(2), federation.reader().result(2)
    assert frozen is not None and result is not None  # noqa: PT018
    again = federation.runner(2).frozen.coordinator(federation.plan(2), frozen, models=list)
    assert PayloadCodec().encode(again.aggregate()) == PayloadCodec().encode(result.value)


def test_others_judge_and_their_updates_are_remembered(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges come packed from where they were judged: the merge reads nothing again."""
    federation = SmallFederation(clients=8)
    federation.open()
    federation.submit_all()
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    remembered: list[Any] = []
    remember = FrozenSets.remember
    monkeypatch.setattr(FrozenSets, "remember", lambda self, item, edges=None: (remembered.append((item, edges)), remember(self, item, edges)))
    read: list[str] = []
    read_many = federation.store.read_many
    monkeypatch.setattr(federation.store, "read_many", lambda keys, **limits: read_many([read.append(key) or key for key in keys], **limits))
    assert federation.run().counted == 8
    assert sum(edges is not None for _, edges in remembered) >= 6, "three batches of two wait at the other process before this one judges"
    assert [key for key in read if key.startswith(("inbox/", "rounds/00000001/accepted/"))] == sorted(key for key in federation.objects("inbox/"))


def wide(client: int, *, variables: int = 12) -> Update:
    """Every pair of the vocabulary, with effects and floats' type of the client's own."""
    rng, pairs = np.random.default_rng(client), np.arange(client, variables**2)
    dtype = np.float64 if client == 3 else np.float32
    effect = (np.sin(pairs) + 0.1 * rng.normal(size=len(pairs))).astype(dtype)
    table = EdgeTable(
        source=(pairs // variables).astype(np.uint32),
        target=(pairs % variables).astype(np.uint32),
        lag=np.ones(len(pairs), np.uint16),
        effect=effect,
        confidence=np.full(len(pairs), 0.9, dtype),
        stability=(0.5 + 0.5 * rng.random(len(pairs))).astype(dtype),
        hits=np.full(len(pairs), 3, np.uint32),
        n=np.full(len(pairs), 50 + client, np.uint64),
    )
    return Update(measured=np.arange(variables, dtype=np.uint32), edges=table)


def wide_night(*, clients: int = 12) -> SmallFederation:
    federation = SmallFederation(
        clients=clients, policy=PolicyPack(n_proposals=200, max_staleness=1), vocabulary=Vocabulary.of(*(f"v{i:02d}" for i in range(12)))
    )
    federation.open()
    for i, client in enumerate(federation.clients):
        federation.submit(client, wide(i))
    return federation


def released(federation: SmallFederation) -> bytes:
    result = federation.reader().result(1)
    assert result is not None
    return PayloadCodec().encode(result.value)


def merged_by_one(federation: SmallFederation) -> bytes:
    """What a process that reads everything from accepted/ comes to."""
    frozen = federation.reader().freeze(1)
    assert frozen is not None
    return PayloadCodec().encode(federation.runner().frozen.coordinator(federation.plan(), frozen, models=list).aggregate())


BOUNDS = wide(0).edges.keys[10::10].copy()  # fifteen ranges


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Spool]]:
    """Spools of blocks of a few clients, cut before the first one; descriptors, of which none may be left when they are closed."""
    open_before = {*Path("/proc/self/fd").iterdir()}
    made: list[Spool] = []

    def make(**sizes: Any) -> Spool:
        made.append(Spool(bounds=BOUNDS, **{"block_bytes": 15_000, "memory_bytes": 0, "ballots_bytes": 0} | sizes))
        return made[-1]

    monkeypatch.setattr("hyperfed.coordinator.streamed.Spool", make)
    yield made
    for spool in made:
        spool.close()
    assert {*Path("/proc/self/fd").iterdir()} <= open_before


def test_a_merge_is_the_same_whoever_has_written_the_rows(started: list[Any], spools: list[Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few clients each, of three writers, not consecutive; nothing of a client's edges comes over the line."""
    came: list[Any] = []
    judged = judges._Judge.judge

    answered = threading.Event()

    def judge(self: Any, batch: Any) -> Any:
        came.append(judged(self, batch))
        answered.set()
        return came[-1]

    class Patient(PacketValidator):
        def admit_clients(self, arrivals: Any, *, last: Any) -> Any:
            if last:
                answered.wait(10)  # so that the next batch goes to the one that has answered
                answered.clear()
            return super().admit_clients(arrivals, last=last)

    monkeypatch.setattr(judges._Judge, "judge", judge)
    monkeypatch.setattr(judges, "PacketValidator", Patient)
    monkeypatch.setattr(judges, "_AHEAD", 1)
    for others in (1, 2):
        federation = wide_night(clients=24)
        monkeypatch.setenv("HYPERFED_JUDGES", str(others))
        assert federation.run().counted == 24
        assert released(federation) == merged_by_one(federation)
        spool = spools[2 * others - 2]
        assert sum(bool(entries) for entries in spool._lent.values()) == others, "all have written"
        assert len(spool.bounds) == 14
        assert len({block.file for block in spool._blocks}) == others + 1
        assert len(spool._blocks) > 3
        assert any((np.diff(block.entries) > 1).any() for block in spool._blocks)
    edges = [edges for part in came for edges in part.edges.values()]
    assert len(edges) >= 12
    assert all(isinstance(table, Spooled) for table in edges)


def test_edges_come_back_until_it_is_known_where_ranges_are_cut(started: list[Any], spools: list[Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first block, which may hold what came back."""
    remembered: list[Any] = []
    remember = FrozenSets.remember
    monkeypatch.setattr(FrozenSets, "remember", lambda self, item, edges=None: (remembered.append(edges), remember(self, item, edges)))
    monkeypatch.setattr("hyperfed.coordinator.streamed.Spool", lambda: spools.append(Spool(rows_a_range=100, block_bytes=1, memory_bytes=0)) or spools[-1])
    monkeypatch.setattr(judges, "_HELD", 1)  # batches: the first is taken before the last is given
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    federation = wide_night(clients=24)
    assert federation.run().counted == 24
    assert [type(edges) for edges in remembered if edges is not None][:2] == [PackedTable] * 2
    assert Spooled in map(type, remembered)
    assert len(spools[0].bounds) > 5
    assert released(federation) == merged_by_one(federation)


def test_a_shard_remembers_nothing_and_starts_nobody(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    federation = SmallFederation(clients=4)
    federation.open()
    federation.submit_all()
    monkeypatch.setenv("HYPERFED_JUDGES", "2")
    runner = federation.runner()
    judged = runner.validate(runner.collect(1), keep=False)
    assert len(judged.admitted) == 4
    assert not started
    assert not runner.frozen._known


def judged_by(federation: SmallFederation, *, others: int, spool: Spool | None = None, **context: Any) -> Iterator[Any]:
    runner = federation.runner()
    arrivals = runner.collect(1)
    known = replace(runner.intake._context(federation.plan(), None), **context)
    last = {key.split("/")[2]: key for key, _ in sorted(arrivals.keys)}
    return Judges(context=known, others=others, spool=spool).parts(read_arrivals(federation.store, arrivals, limits=federation.limits), last=last)


def small() -> SmallFederation:
    federation = SmallFederation(clients=8)
    federation.open()
    federation.submit_all()
    return federation


def test_a_judge_that_dies_ends_the_stage_for_another_try(started: list[Any]) -> None:
    federation = small()

    def kills(client: str, digest: bytes) -> Update | None:
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait()
        return None

    federation.put(federation.envelope("site-01", update=changed(federation.update("site-01"), b"?" * 32)), "site-01", slot=1)
    with pytest.raises(
        TransientError, match=r"a judging process.*has ended with -9 while it judged 3 objects from inbox/00000001/site-01/0.*HYPERFED_JUDGES=0"
    ):
        list(judged_by(federation, others=1, base_of=kills))
    assert len(federation.judge().admitted) == 8, "nothing was lost"


def test_one_that_dies_with_what_it_has_to_write_ends_the_stage(started: list[Any], spools: list[Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is judged; what it had gathered is gone with it, and the spool is not taken for whole."""
    federation = wide_night()
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    settle = judges._Judge.settle

    def dead(self: Any) -> Any:
        started[0].kill()
        started[0].wait()
        return settle(self)

    monkeypatch.setattr(judges._Judge, "settle", dead)
    with pytest.raises(TransientError, match=r"a judging process.*has ended with -9 while it wrote what it had judged"):
        federation.judge()
    with pytest.raises(TransientError, match="less than it was given"):
        spools[0].ranges([0], PairElectorate([np.arange(12, dtype=np.uint32)]))
    monkeypatch.undo()
    assert len(federation.judge().admitted) == 12, "nothing was lost"


@pytest.mark.parametrize("block_bytes", [1, 1 << 30], ids=["meanwhile", "at the end"])
def test_what_another_process_cannot_write_ends_the_stage(block_bytes: int, started: list[Any], spools: list[Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    federation = wide_night()
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - the spool closes it
    monkeypatch.setattr("hyperfed.merge.spool.nameless", lambda owner: full)
    monkeypatch.setattr("hyperfed.coordinator.streamed.Spool", lambda: spools.append(Spool(bounds=BOUNDS, block_bytes=block_bytes)) or spools[-1])
    with pytest.raises(OSError, match="No space left"):
        federation.judge()
    assert started
    assert not federation.objects("rounds/00000001/freeze")
    monkeypatch.undo()
    assert len(federation.judge().admitted) == 12, "nothing was lost"


def test_one_that_cannot_begin_says_so(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges.sys, "executable", "/bin/false")
    with pytest.raises(TransientError, match="has ended with 1 before it had begun"):
        list(judged_by(small(), others=1))


def test_who_stops_listening_ends_the_judges(started: list[Any]) -> None:
    parts = judged_by(small(), others=2)
    next(parts)
    assert len(started) == 2
    parts.close()  # type: ignore[attr-defined]
    assert [process.poll() for process in started] == [0, 0], "they end of their own accord"


def test_what_fails_elsewhere_is_raised_here(started: list[Any]) -> None:
    """A base that cannot be read is a fault of the store, not of the client; anything else is said with its kind."""
    federation = small()
    federation.put(federation.envelope("site-01", update=changed(federation.update("site-01"), b"?" * 32)), "site-01", slot=1)

    def fails(client: str, digest: bytes) -> Update | None:
        raise TransientError("does not answer", subject=f"the store, asked for {client}")

    def breaks(client: str, digest: bytes) -> Update | None:
        raise ZeroDivisionError("a mistake")

    with pytest.raises(TransientError, match="asked for site-01"):
        list(judged_by(federation, others=1, base_of=fails))
    with pytest.raises(RoundError, match="ZeroDivisionError: a mistake"):
        list(judged_by(federation, others=1, base_of=breaks))
    assert len(started) == 2


def test_together_they_say_what_one_says() -> None:
    federation = small()
    one, two = (joined(part.admission for part in judged_by(federation, others=others)) for others in (0, 2))

    def plain(admission: Admission) -> list[Any]:
        return [(a.key, a.digest, a.data, a.update and a.update.measured.tolist()) for a in admission.admitted]

    assert plain(one) == plain(two)


def test_parts_come_in_the_order_of_the_clients() -> None:
    federation = small()
    assert [a.client for part in judged_by(federation, others=2) for a in part.admission.admitted] == list(federation.clients)


def test_small_nights_are_judged_alone_and_those_of_many_clients_on_every_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert worth([10_000] * 300) == 0
    assert worth([150_000] * 1000) == 0
    assert worth([150_000] * 2000) == 1
    assert worth([15_000] * 10_000) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert worth([15_000] * 100_000) == MOST
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert worth([15_000] * 100_000) == 0


def test_how_many_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = small()
    monkeypatch.setenv("HYPERFED_JUDGES", "two")
    with pytest.raises(ConfigError, match=r"HYPERFED_JUDGES.*'two'"):
        federation.judge()


def test_a_line_carries_arrays_beside_the_message_and_says_when_it_ends() -> None:
    here, there = socket.socketpair()
    large = np.arange(1 << 16, dtype=np.float64)
    message = {"large": large, "small": np.arange(3), "none": np.zeros(0), "arrival": Arrival(key="k", size=3, data=b"abc")}
    sender = threading.Thread(target=send, args=(here, message))
    with here, there:
        sender.start()
        got = receive(there)
        sender.join()
        assert got["arrival"] == message["arrival"]
        assert all(np.array_equal(got[name], message[name]) for name in ("large", "small", "none"))
        with pytest.raises(ValueError, match="read-only"):
            got["large"][0] = 1.0
        here.close()
        with pytest.raises(EOFError):
            receive(there)


def test_a_machine_that_starts_no_process_judges_by_those_that_are_there(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    popen = judges.subprocess.Popen
    expected = joined(part.admission for part in judged_by(small(), others=0))
    for may in (0, 1):
        left = [may]

        def start(*args: Any, left: list[int] = left, **options: Any) -> Any:
            if not left[0]:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            left[0] -= 1
            return popen(*args, **options)

        monkeypatch.setattr(judges.subprocess, "Popen", start)
        before = len(started)
        assert joined(part.admission for part in judged_by(small(), others=2)).refused == expected.refused
        assert len(started) - before == may


def test_a_client_that_sends_much_is_judged_here_an_object_at_a_time(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects are not held until the last of them has come, and the night is the same."""
    federation = second_night()
    runner = federation.runner(2)
    monkeypatch.setenv("HYPERFED_JUDGES", "0")
    expected = runner.validate(runner.collect(2))
    keys = runner.collect(2).keys
    sizes = {client: sum(size for key, size in keys if f"/{client}/" in key) for client in federation.clients}
    monkeypatch.setattr(intake, "HEAVY_BYTES", sorted(sizes.values())[-3] - 1)
    given: list[set[str]] = []
    judge = judges._Judge.judge
    monkeypatch.setattr(judges._Judge, "judge", lambda self, batch: (given.append({a.key.split("/")[2] for a in batch}), judge(self, batch))[1])
    monkeypatch.setenv("HYPERFED_JUDGES", "1")
    heavy: list[str] = []
    take = Desk.take

    def taken(self: Desk, arrival: Arrival) -> Admission | None:
        assert len(heavy) < len(arrived), "before the next one is asked for"
        heavy.append(arrival.key.split("/")[2])
        return take(self, arrival)

    arrived: list[str] = []
    monkeypatch.setattr(intake, "read_arrivals", lambda *a, **o: (arrived.append(x.key) or x for x in read_arrivals(*a, **o)))
    monkeypatch.setattr(judges, "Desk", type("Watched", (Desk,), {"take": taken}))
    assert runner.validate(runner.collect(2)) == expected
    assert set(heavy) == {"site-02", "site-03", "site-06"}, "who has two objects"
    assert given
    assert not set(heavy) & set().union(*given)
