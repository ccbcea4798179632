"""The worker waits for its server, however long, and says so once; it takes no refusal for that."""

import logging
import os
import signal
from collections.abc import Awaitable, Callable

import anyio
import httpx
import pytest
from prefect.utilities.services import critical_service_loop

from flows.service.worker import CheckoutWorker, end_by_sigterm

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
