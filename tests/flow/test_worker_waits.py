"""The worker waits for its server, however long, and says so once; it takes no refusal for that. A
run whose process ended before the run had begun begins again.
"""

import logging
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending, Running, State
from prefect.utilities.services import critical_service_loop
from prefect.workers.process import ProcessWorker

from flows.service.pool import job_template
from flows.service.worker import CheckoutWorker, _environment, end_by_sigterm

pytestmark = pytest.mark.flow

REQUEST = httpx.Request("GET", "http://server/api")


def answers(*outcomes: Exception | str) -> Callable[[], Awaitable[str]]:
    """A question to a server that gives these answers, one each time."""
    left = list(outcomes)

    async def ask() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return ask


def refusal(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("x", request=REQUEST, response=httpx.Response(status))


def test_a_silence_and_its_end_are_each_said_once(caplog: pytest.LogCaptureFixture) -> None:
    worker = CheckoutWorker(work_pool_name="hyperfed")
    away = [httpx.ConnectError("refused", request=REQUEST), refusal(503), httpx.ReadTimeout("x")]
    ask = answers("there", *away, "there again", "and again")
    with caplog.at_level(logging.WARNING):
        said = [anyio.run(worker._while_away, ask) for _ in range(6)]
    assert said == ["there", None, None, None, "there again", "and again"]
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "does not answer" in text]) == 1
    assert len([text for text in texts if "answers again" in text]) == 1


def test_a_login_that_is_refused_still_ends_the_worker() -> None:
    worker = CheckoutWorker(work_pool_name="hyperfed")
    with pytest.raises(httpx.HTTPStatusError):
        anyio.run(worker._while_away, answers(refusal(401)))


def test_prefects_own_loop_would_end_and_ours_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred failures in a row, without its pauses; then the loop is ended from outside."""
    worker, asked = CheckoutWorker(work_pool_name="hyperfed"), 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        if asked > 100:
            raise KeyboardInterrupt
        raise httpx.ConnectError("refused", request=REQUEST)

    async def at_once(seconds: float) -> None: ...

    monkeypatch.setattr("prefect.utilities.services.anyio.sleep", at_once)

    async def loop(ask: Callable[[], Awaitable[object]]) -> None:
        await critical_service_loop(ask, interval=1, backoff=4, printer=lambda *_: None)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="threshold"):
        anyio.run(loop, ask)
    assert asked == 12
    with pytest.raises(KeyboardInterrupt):
        anyio.run(loop, lambda: worker._while_away(ask))
    assert asked == 101


class Server:
    """A server that is away for the first question, and says that a run is in `state`."""

    def __init__(self, state: State[Any]) -> None:
        self.run = FlowRun(id=uuid4(), flow_id=uuid4(), state=state)
        self.asked, self.set = 0, list[State[Any]]()

    async def read_flow_run(self, run_id: object) -> FlowRun:
        self.asked += 1
        if self.asked == 1:
            raise httpx.ConnectError("refused", request=REQUEST)
        assert run_id == self.run.id
        return self.run

    async def set_flow_run_state(self, run_id: object, state: State[Any], *, force: bool) -> None:
        assert (run_id, force) == (self.run.id, True)
        self.set.append(state)


@pytest.fixture
def ended_early(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """A function that ends a run's process so often, and says each time whether the run begins
    again; a worker's questions follow each other at once.
    """

    told = list[FlowRun]()

    async def at_once(seconds: float) -> None: ...

    async def crash(self: object, run: FlowRun, message: str) -> None:
        told.append(run)

    def end(server: Server, times: int, *, refused: bool = False) -> list[bool]:
        worker: Any = CheckoutWorker(work_pool_name="hyperfed")
        worker._client = server
        worker._refused = {server.run.id} if refused else set()
        monkeypatch.setattr("flows.service.worker.anyio.sleep", at_once)
        monkeypatch.setattr(ProcessWorker, "_propose_crashed_state", crash)
        again = []
        for _ in range(times):
            told.clear()
            anyio.run(worker._propose_crashed_state, server.run, "exit code 1")
            again.append(not told)
        return again

    return end


def test_a_run_that_had_not_begun_when_its_process_ended_begins_again_a_few_times(
    ended_early: Callable[..., list[bool]],
) -> None:
    server = Server(Pending())
    assert ended_early(server, 6) == [True] * 4 + [False] * 2
    assert {state.name for state in server.set} == {"AwaitingRetry"}
    now = datetime.now(UTC)
    pauses = [(state.state_details.scheduled_time - now).total_seconds() for state in server.set]  # type: ignore[operator]
    assert pauses == pytest.approx([10, 20, 40, 80], abs=5)


def test_a_run_that_had_begun_is_left_to_be_told_as_a_crash(
    ended_early: Callable[..., list[bool]],
) -> None:
    server = Server(Running())
    assert ended_early(server, 1) == [False]
    assert server.set == []


def test_a_run_that_is_not_for_this_checkout_crashes_at_once(
    ended_early: Callable[..., list[bool]],
) -> None:
    server = Server(Pending())
    assert ended_early(server, 1, refused=True) == [False]
    assert (server.asked, server.set) == (0, [])


def test_a_runs_process_sends_heartbeats_as_often_as_the_worker_says_or_every_half_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, run = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", FlowRun(id=uuid4(), flow_id=uuid4())
    monkeypatch.delenv(name, raising=False)
    assert _environment(run, "flows/open_round.py:open_round")[name] == "30"
    monkeypatch.setenv(name, "60")
    assert _environment(run, "flows/open_round.py:open_round")[name] == "60"
    assert job_template()["job_configuration"]["env"][name] == "30"


def test_sigterm_ends_a_worker_that_a_shell_started_in_the_background() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_by_sigterm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
