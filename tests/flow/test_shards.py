"""A round in shards decides what a round in one piece decides, all but in which packs its updates
lie; and wherever the same shards run, on threads or on two processes of a Dask cluster, they decide
the same byte for byte.
"""

import importlib
import os
import re
import shutil
import signal
import sys
import time
import typing
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cloudpickle  # noqa: TID251  # a cluster is sent what it makes of a part
import pytest
from prefect import Task
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

import tasks
from flows.federation_round import federation_round
from flows.open_round import open_round
from flows.task_runners import task_runner
from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.remote import remote
from hyperfed.coordinator.remote.remote import Ask, merging
from hyperfed.coordinator.remote.shuffle import Shuffle
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.crypto.envelope import open_envelope
from hyperfed.dropbox.inbox import Arrivals
from hyperfed.errors import ConfigError, TransientError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.objects import (
    Freeze,
    RoundState,
)
from hyperfed.protocol.packs import read_pack
from hyperfed.protocol.receipt_objects import (
    Receipt,
)
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.admission import Admission
from tasks import workers
from tasks.coordinator import Coordinator

pytestmark = pytest.mark.flow

Found = Callable[..., tuple[SmallFederation, str]]


def names(name: str) -> dict[str, Any]:
    return {"drop_box": name, "coordinator_keys": name, "federation_policy": name}


def messages(federation: SmallFederation) -> dict[str, bytes]:
    """A night's inbox: corrections, a forged signature, a foreign object; the same bytes for every
    federation that is asked.
    """
    for client in federation.clients:
        federation.submit(client)
    federation.submit("site-02", federation.update("site-02", effect=0.7))
    forged = federation.envelope("site-03", key_pair=federation.keys["site-04"], sequence=9)
    federation.put(forged, "site-03", slot=1)
    federation.store.put_if_absent("inbox/00000001/site-01/notes.txt", b"hello")
    return federation.objects("inbox/")


@pytest.fixture
def one_night(found: Found, tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """A function that plays the same night by the given flow and options; everything that it
    decided.
    """
    sent: dict[str, bytes] = {}

    def play(flow: Any, **options: Any) -> dict[str, bytes]:
        # the same federation, founded anew
        shutil.rmtree(tmp_path / "drop-box", ignore_errors=True)
        federation, name = found(clients=8)
        assert open_round(
            now=federation.opens(1) + timedelta(minutes=1), return_state=True, **names(name)
        ).is_completed()
        if not sent:
            sent.update(messages(federation))
        for key, data in sent.items():
            federation.store.put_if_absent(key, data)
        state = flow(now=federation.night(1), return_state=True, **names(name), **options)
        assert state.is_completed(), state.message
        assert state.result()["counted"] == 8
        return federation.decided() | federation.objects("rounds/00000001/accepted/")

    return play


def said(objects: dict[str, bytes]) -> dict[str, Any]:
    """What a night's objects say, without where updates lie: without packs, and without digests of
    what names them.
    """
    codec, found = PayloadCodec(), dict[str, Any]()
    for key, data in objects.items():
        if "/accepted/" in key:
            found |= {
                digest.hex(): bytes(envelope)
                for digest, envelope in read_pack(data, subject=key).items()
            }
            continue
        body = open_envelope(data).body
        kind, without = _SAID[codec.kind_of(body)]
        found[key] = codec.encode(replace(codec.decode(body, kind), **without))
    return found


_SAID: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "Freeze": (Freeze, {"packs": (), "in_pack": ()}),
    "GlobalModel": (GlobalModel, {"freeze": b""}),
    "RoundState": (RoundState, {"freeze": b"", "result": b""}),
    "Receipt": (Receipt, {"ledger_digest": b"", "result": b""}),
    "LedgerEntry": (
        LedgerEntry,
        {"previous": b"", "id": b"", "freeze": b"", "result": b"", "state": b""},
    ),
}


def test_shards_on_threads_decide_what_one_piece_decides(
    one_night: Callable[..., dict[str, bytes]],
) -> None:
    whole, parts = one_night(federation_round), one_night(federation_round, shards=3)
    assert [len([k for k in night if "/accepted/" in k]) for night in (whole, parts)] == [1, 3]
    assert len([k for k in said(whole) if len(k) == 64]) == 8
    assert said(parts) == said(whole)
    assert one_night(federation_round, shards=3) == parts


def test_a_sharded_merge_leaves_sealed_scratch_and_its_steps_run_as_tasks(
    one_night: Callable[..., dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(self: object, *args: object, **options: object) -> None:
        raise AssertionError("merged from whole stores in the flow's own process")

    monkeypatch.setattr(StoreReconciler, "merge", whole)
    one_night(federation_round, shards=4)
    names = [
        path.relative_to(tmp_path / "drop-box").as_posix().split("/")
        for path in (tmp_path / "drop-box").rglob("*")
        if path.is_file()
    ]
    scratch = [name for name in names if name[2:3] == ["scratch"]]
    assert {name[5] for name in scratch} == {"layout", "clients", "blocks", "steps"}
    assert len([name for name in scratch if name[5] == "clients"]) == 4


def test_a_scheduler_sees_neither_the_coordinator_nor_a_login(
    one_night: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the cluster's scheduler reads what a part is sent as."""
    sent: list[bytes] = []

    def noted(runner: Any, calls: Sequence[Any]) -> list[Any]:
        sent.extend(cloudpickle.dumps(call) for call in calls)
        return on_threads(runner, calls)

    on_threads = workers._on_threads
    monkeypatch.setattr(workers, "_on_threads", noted)
    monkeypatch.setattr(remote, "ROWS_HERE", 0)
    login = {PREFECT_API_AUTH_STRING: "coordinator:ea7c1f"}
    with temporary_settings(login):
        one_night(federation_round, shards=2)
    for function in (b"_judge", b"_spread", b"_answer"):
        assert any(function in part for part in sent)
    for part in sent:
        assert re.search(rb"KeyPair|RoundRunner|FilesystemStore|ea7c1f|drop-box/", part) is None


def test_a_worker_without_bounds_does_nothing_for_a_deployment_s_run(
    one_night: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may use Prefect's API begins such runs; where they run is bounded (R-140)."""
    called: list[int] = []
    monkeypatch.delenv("HYPERFED_WORKER", raising=False)
    assert workers._there(None, False, called.append, 1) is None
    with pytest.raises(ConfigError, match="R-140"):
        workers._there(None, True, called.append, 2)
    assert called == [1]


def test_every_part_is_awaited_before_the_first_failure_is_raised() -> None:
    done: list[int] = []

    def part(number: int) -> int:
        if number < 2:
            raise TransientError(f"part {number}", subject="store")
        time.sleep(0.05)
        done.append(number)
        return number

    with pytest.raises(TransientError, match="part 0"):
        workers.shared_out(part, [(number,) for number in range(4)])
    assert sorted(done) == [2, 3]
    assert workers.shared_out(part, [(3,), (2,)]) == [3, 2]


def test_a_part_that_fails_in_passing_is_done_again_with_its_stage(
    one_night: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failed = one_night(federation_round, shards=2), list[int]()
    spread = Shuffle.spread

    def once(self: Shuffle, shard: int) -> int:
        if shard == 1 and not failed:
            failed.append(shard)
            raise TransientError("was away", subject="store")
        return spread(self, shard)

    monkeypatch.setattr(Shuffle, "spread", once)
    assert one_night(federation_round, shards=2) == whole
    assert failed == [1]


def test_a_retry_does_not_judge_shards_again(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, name = found(clients=4)
    now = federation.opens(1) + timedelta(minutes=1)
    assert open_round(now=now, return_state=True, **names(name)).is_completed()
    federation.submit_all()
    judged: list[int] = []
    validate = RoundRunner.validate

    def counted(self: RoundRunner, arrivals: Arrivals, **options: Any) -> Any:
        judged.append(len(arrivals.keys))
        return validate(self, arrivals, **options)

    def failing(*arguments: object) -> None:
        raise ConfigError("is full", subject="disk")

    def play() -> Any:
        night = federation.night(1)
        return federation_round(now=night, shards=2, return_state=True, **names(name))

    monkeypatch.setattr(RoundRunner, "validate", counted)
    with monkeypatch.context() as broken:
        broken.setattr(Shuffle, "spread", failing)
        assert play().is_failed()
    assert play().is_completed()
    assert judged == [2, 2]


def test_tasks_take_names_and_values_only() -> None:
    """Not one takes a runner, a store, a key or an array: what a task takes may be stored and
    shown.
    """
    folder = Path(tasks.__file__).parent
    found = {}
    for path in sorted(folder.glob("*.py")):
        module = importlib.import_module(
            f"tasks.{path.stem}" if path.stem != "__init__" else "tasks"
        )
        found |= {name: value for name, value in vars(module).items() if isinstance(value, Task)}
    assert len(found) == 12
    for task in found.values():
        hints = typing.get_type_hints(task.fn)
        hints.pop("return")
        assert set(map(str, hints.values())) <= _TAKEN, task.name


_TAKEN = {
    str(kind)
    for kind in (
        *(Coordinator, Arrivals, Admission, int, float, Sequence[tuple[str, float]], str),
        *(int | None, datetime | None, dict[str, Any]),  # gossip's round, clock and data options
    )
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_of_a_dask_cluster_decide_what_threads_decide(
    one_night: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = one_night(federation_round, shards=2)
    monkeypatch.setattr(remote, "ROWS_HERE", 0)

    def elsewhere(self: RoundRunner, arrivals: object) -> None:
        raise AssertionError("judged in the flow's own process")

    def not_here(*args: object) -> None:
        raise AssertionError("merged in the flow's own process")

    monkeypatch.setattr(RoundRunner, "validate", elsewhere)
    monkeypatch.setattr(Shuffle, "rows_of", not_here)
    monkeypatch.setattr(StoreReconciler, "merge", not_here)
    assert (
        one_night(federation_round.with_options(task_runner=task_runner("dask:2")), shards=2)
        == threads
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_between_map_and_reduce_costs_time_and_no_byte(
    one_night: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = one_night(federation_round, shards=2)
    killed: list[int] = []

    def after_a_death(ask: Ask) -> Any:
        def bereaved(address: str, portions: Sequence[int]) -> None:
            if not killed:
                running = FlowRunContext.get()
                assert running is not None
                killed.append(min(running.task_runner.client.run(os.getpid).values()))  # type: ignore[attr-defined]
                os.kill(killed[0], signal.SIGKILL)
            ask(address, portions)

        return merging(bereaved)

    monkeypatch.setattr(sys.modules["tasks.reconcile"], "merging", after_a_death)
    assert (
        one_night(federation_round.with_options(task_runner=task_runner("dask:2")), shards=2)
        == threads
    )
    assert killed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_decides_what_threads_decide(one_night: Callable[..., dict[str, bytes]]) -> None:
    ray = pytest.importorskip("ray")
    threads = one_night(federation_round, shards=2)
    try:
        there = one_night(federation_round.with_options(task_runner=task_runner("ray")), shards=2)
    finally:
        ray.shutdown()  # a night that failed leaves a gigabyte of processes
    assert there == threads


@pytest.mark.parametrize("choice", ["spark", "threads:many", "dask:", ""])
def test_the_environment_names_a_task_runner(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERFED_TASK_RUNNER", choice)
    if choice == "dask:":
        assert type(task_runner()).__name__ == "DaskTaskRunner"
    else:
        with pytest.raises(ConfigError, match="task runner"):
            task_runner()
