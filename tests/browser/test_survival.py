"""Power cuts in mid-round: whatever was killed, the round is committed afterwards, by itself or by
one Retry, and never twice.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hyperfed.dev import Recorded
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from tests.browser.conftest import Site
from tests.waiting import eventually

pytestmark = [pytest.mark.seaweedfs, pytest.mark.timeout(600)]


def children(pid: int) -> Iterator[int]:
    """All processes below `pid`, deepest last."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from children(child)


def flow_process(site: Site) -> Recorded:
    """The process in which the worker runs the flow: the one below it that has no children of its
    own.
    """
    below = [
        pid
        for pid in children(site.stack.worker.record.pid)
        if b"flows.service.engine" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert below, "the worker runs no flow"
    return Recorded.of(below[-1])


def awaits(site: Site, key: str) -> None:
    """Until an object is there; as closely as a store can be watched."""
    eventually(
        lambda: site.federation.store.head(key),
        lambda: f"{key}; worker: {site.stack.worker.log_end()}",
        every_s=0.01,
    )


def waits_for_stragglers(site: Site, run_id: str) -> None:
    """Until the run's collect has looked once and will look again."""
    eventually(
        lambda: (
            {"AwaitingRetry", "Retrying"} & {state for _, state in site.states_of_tasks(run_id)}
        ),
        lambda: f"collect waits; worker: {site.stack.worker.log_end()}",
    )


def straggling(site: Site, round_id: int, *, delay_s: float) -> str:
    """A run that waits for one of three clients; its id."""
    site.federation.open(round_id)
    site.federation.submit_all(round_id=round_id, but=("site-02",))
    now = site.federation.night(round_id).isoformat()
    return site.start("federation-round", round_id=round_id, now=now, aggregation_delay_s=delay_s)


def retried(site: Site, run_id: str) -> None:
    """What the button posts."""
    site.api(
        f"/flow_runs/{run_id}/set_state",
        {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True},
    )
    time.sleep(1)


def reported_twice(site: Site, run_id: str, *, timeout_s: float = 20) -> None:
    """A crash is reported twice, by the flow's runner and by the worker, seconds later: a Retry
    between the two would be crashed by the second.
    """
    over = time.monotonic() + timeout_s
    while time.monotonic() < over:
        states = site.api(f"/flow_run_states/?flow_run_id={run_id}")
        if sum(state["type"] == "CRASHED" for state in states) > 1:
            return
        time.sleep(0.5)


def morning(site: Site, run_id: str, round_id: int, *, once_more: bool = False) -> int:
    """The round is committed, once; how many Retries it took. once_more: and one more Retry changes
    nothing.
    """
    presses = 0
    found = site.ended(run_id)
    if found["state_type"] != "COMPLETED":
        presses = 1
        reported_twice(site, run_id)
        retried(site, run_id)
        found = site.ended(run_id)
    assert found["state_type"] == "COMPLETED", found["state"]
    entries = [c.entry for c in site.federation.reader().ledger() if c.entry.round == round_id]
    assert [e.kind for e in entries] == [EntryKind.RESERVE, EntryKind.COMMIT]
    result = site.federation.reader().result(round_id)
    assert result is not None
    assert entries[1].result == result.digest
    if once_more:
        before = site.federation.objects()
        retried(site, run_id)
        assert site.ended(run_id)["state"]["message"].startswith("already committed")
        assert site.federation.objects() == before
    return presses


@pytest.mark.parametrize(("round_id", "last"), [(11, "freeze"), (12, "reserve"), (13, "result")])
def test_the_flow_is_killed_after(site: Site, round_id: int, last: str) -> None:
    """What was decided when it was killed is what the morning's round is made of."""
    reserve = Keys.ledger(len(site.federation.reader().ledger()) + 1)
    key = {"freeze": Keys.freeze(round_id), "reserve": reserve, "result": Keys.result(round_id)}[
        last
    ]
    site.ready(round_id)
    run_id = site.start_night(round_id)
    awaits(site, key)
    flow = flow_process(site)
    flow.signal(signal.SIGSTOP)  # at once: what follows takes milliseconds
    decided = site.federation.objects(f"rounds/{round_id:08d}/") | site.federation.objects(
        "ledger/"
    )
    flow.signal(signal.SIGKILL)
    assert key in decided
    morning(site, run_id, round_id)
    assert decided.items() <= site.federation.objects().items()


def test_the_object_store_is_killed_while_stragglers_are_awaited(site: Site) -> None:
    run_id = straggling(site, 14, delay_s=20)
    waits_for_stragglers(site, run_id)
    address = site.stack.store.endpoint_url
    os.kill(site.stack.store.pid, signal.SIGKILL)
    time.sleep(3)
    site.stack.store.start()
    assert site.stack.store.endpoint_url == address
    morning(site, run_id, 14)
    assert len(site.federation.reader().freeze(14).value.counted) == 2  # type: ignore[union-attr]


def test_the_prefect_server_is_killed_while_stragglers_are_awaited(site: Site) -> None:
    run_id = straggling(site, 15, delay_s=15)
    waits_for_stragglers(site, run_id)
    site.stack.server.kill()
    time.sleep(2)
    site.stack.server.start()
    site.stack.wait_for_server()
    site.stack.tend()
    morning(site, run_id, 15)


def test_the_store_and_the_server_are_killed_right_after_the_freeze(site: Site) -> None:
    """The stages behind the freeze write at once: the store is gone between two of them, and the
    server with it.
    """
    site.ready(16)
    run_id = site.start_night(16)
    awaits(site, Keys.freeze(16))
    flow = flow_process(site)
    flow.signal(signal.SIGSTOP)
    os.kill(site.stack.store.pid, signal.SIGKILL)
    site.stack.server.kill()
    flow.signal(signal.SIGCONT)
    time.sleep(2)
    site.stack.tend()
    site.stack.wait_for_server()
    site.stack.tend()
    morning(site, run_id, 16, once_more=True)


def sooner(site: Site, automation: str, *, within_s: int) -> None:
    """The automation as it is deployed, but for its patience: a minute and a half is long for a
    test.
    """
    (found,) = site.api("/automations/filter", {"automations": {"name": {"any_": [automation]}}})
    assert found["trigger"]["within"] == 90
    wanted = {
        name: found[name]
        for name in (
            "name",
            "description",
            "enabled",
            "actions",
            "actions_on_trigger",
            "actions_on_resolve",
        )
    }
    site.api(
        f"/automations/{found['id']}",
        wanted | {"trigger": found["trigger"] | {"within": within_s}},
        method="PUT",
    )


def test_worker_and_flow_are_killed_and_the_zombie_automation_gives_retry_back(site: Site) -> None:
    sooner(site, "hyperfed zombie runs", within_s=45)
    run_id = straggling(site, 17, delay_s=600)
    waits_for_stragglers(site, run_id)
    time.sleep(5)
    flow = flow_process(site)
    site.stack.worker.kill()
    for pid in (flow, *map(Recorded.of, children(site.stack.worker.record.pid))):
        pid.signal(signal.SIGKILL)
    site.stack.worker.start()
    site.federation.submit("site-02", round_id=17)
    crashed = site.ended(run_id)
    assert crashed["state_type"] == "CRASHED"
    assert "no heartbeat for 90 s" in crashed["state"]["message"]
    assert morning(site, run_id, 17) == 1
    assert len(site.federation.reader().freeze(17).value.counted) == 3  # type: ignore[union-attr]


def test_the_servers_scheduler_has_made_the_nights_to_come(site: Site) -> None:
    """Its loop once failed in silence, with a newer sqlalchemy: no run was ever created, and no
    test saw it.
    """
    assert {name for name, runs in site.scheduled.items() if runs} == {
        "open-round",
        "federation-round",
        "audit",
        "housekeeping",
    }
    windows = site.federation.registry.windows
    for run in site.scheduled["federation-round"]:
        moment = datetime.fromisoformat(run["expected_start_time"].replace("Z", "+00:00"))
        assert moment == windows.deadline(windows.ended_at(moment))
