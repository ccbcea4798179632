"""Other processes judge what this one would, to the same bytes; they end with the judging, and one that dies blames nobody."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperfed.admission import Admission, Arrival, joined
from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.inbox import read_arrivals
from hyperfed.errors import ConfigError, RoundError, TransientError
from hyperfed.hypergraph import HypergraphStore
from hyperfed.judging import MOST, Judges, judges, worth
from hyperfed.judging.line import receive, send
from hyperfed.packets import Update
from hyperfed.testing.federation import SmallFederation

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


def judged_by(federation: SmallFederation, *, others: int, **context: Any) -> Iterator[Any]:
    runner = federation.runner()
    arrivals = runner.collect(1)
    known = replace(runner.intake._context(federation.plan(), None), **context)
    last = {key.split("/")[2]: key for key, _ in sorted(arrivals.keys)}
    return Judges(context=known, others=others).parts(read_arrivals(federation.store, arrivals, limits=federation.limits), last=last)


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
    assert worth([150_000] * 1000) == 0  # its edges do not wait for the interpreter: what crosses a line costs more than it brings
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
