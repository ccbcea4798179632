"""Start the coordinator's worker, which runs the flows of its own checkout and nothing else.

Whoever may use Prefect's API can give a run another command, give a deployment another entrypoint
or pull steps that are shell scripts, and change the pool's job template. Prefect's own worker does
what they say. This one takes from the server which deployment is meant, the parameters, and no more
(R-140).

1. The flow is the one that deployments/prefect.yaml of the checkout has under the deployment's
   entrypoint. An entrypoint that the file does not have is refused, and the run crashes with that
   reason.
2. Command, environment and working directory are the worker's own: `flows.service.engine` in this
   Python, in the checkout. What server, pool or run say about them is not read.
3. Hooks of a flow are not run in the worker's process, since Prefect would load the flow for them
   as the server says.
4. HYPERFED_WORKER names the hyperfed.toml that bounds what blocks and parameters may say
   (`blocks.bounds`).
5. The worker waits for a Prefect server that does not answer, however long: the runs that go on
   here are not ended, and those that became late begin when it is back.
6. A run whose process did not start, or ended before the run had begun, has done nothing: it begins
   again, a few times. The usual reason is a server that went away, or is too busy.
7. A run that is cancelled on the server is ended, and so are all where the worker is. Its process
   sends heartbeats, by whose silence the server notices that its machine died.

What it does not do: protect from a server that refuses to run anything, or that runs what the
deployments allow as often as it likes. Running a round again is harmless.
"""

import asyncio
import os
import signal
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import anyio
import anyio.abc
import httpx
import yaml
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Cancelled
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from blocks.bounds import VARIABLE
from flows.again import pause_s
from flows.server import check_authentication, check_server
from flows.service.install import PREFECT_FILE
from flows.service.pool import HEARTBEATS, POOL, make_pool
from hyperfed.config import no_telemetry
from hyperfed.errors import AccessDenied

__all__ = ["CheckoutWorker", "end_by_sigterm", "entrypoints_of", "run_worker"]

_GRACE_S = 30.0
_BEGINNINGS = 5  # how often a run is begun whose process ends before
_FIRST_PAUSE_S = 10.0
_CHECKOUT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def entrypoints_of(checkout: Path) -> dict[str, str]:
    """Return the entrypoints that a checkout deploys, each with its absolute form."""
    document = yaml.safe_load((checkout / PREFECT_FILE).read_text(encoding="utf-8"))
    relative = {deployment["entrypoint"] for deployment in document["deployments"]}
    return {entrypoint: f"{checkout}/{entrypoint}" for entrypoint in relative}


with warnings.catch_warnings():
    # Prefect says that the type "process" is taken; in this process it is meant to be
    warnings.simplefilter("ignore", UserWarning)

    class CheckoutWorker(ProcessWorker):
        """A worker of the pool that starts only what this checkout deploys."""

        type = "process"

        _away = False
        """Whether the server has stopped answering, and that was logged."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            self._begun: dict[UUID, int] = {}  # how often a run was begun in vain
            self._refused: set[UUID] = set()  # runs that are not for this checkout

        async def get_and_submit_flow_runs(self) -> list[FlowRun]:
            """Look for runs that are due; while the server does not answer there are none."""
            return await self._while_away(super().get_and_submit_flow_runs) or []

        async def sync_with_backend(self) -> None:
            """Tell the server that this worker is there, where the server is there."""
            await self._while_away(super().sync_with_backend)

        async def _while_away(self, ask: Callable[[], Awaitable[T]]) -> T | None:
            """Return what `ask` returns, or None where the server does not answer.

            Prefect's own worker ends itself and its runs after some minutes of that. The first
            silence and its end are logged, each once.
            """
            try:
                answer = await ask()
            except (httpx.TransportError, httpx.HTTPStatusError) as exc:
                if isinstance(exc, httpx.HTTPStatusError) and exc.response.status_code < 500:
                    raise
                if not self._away:
                    self._logger.warning(
                        "The Prefect server does not answer (%s); runs go on, it is asked again",
                        type(exc).__name__,
                    )
                self._away = True
                return None
            if self._away:
                self._logger.warning("The Prefect server answers again")
            self._away = False
            return answer

        async def _once_there(self, ask: Callable[[], Awaitable[T]]) -> T:
            """Return what `ask` returns, however long the server has to be waited for."""
            while (answer := await self._while_away(ask)) is None:
                await anyio.sleep(get_current_settings().worker.query_seconds)
            return answer

        async def run(
            self,
            flow_run: FlowRun,
            configuration: ProcessJobConfiguration,
            task_status: "anyio.abc.TaskStatus[int] | None" = None,
        ) -> ProcessWorkerResult:
            """Run the flow in a child process. Raises AccessDenied for what is not deployed here.

            `configuration` is what the server says about the process. It is not used.
            """
            entrypoint = await self._entrypoint(flow_run)
            child = await anyio.open_process(
                [sys.executable, "-m", "flows.service.engine", str(flow_run.id)],
                stdin=None,
                stdout=None,
                stderr=None,
                cwd=_CHECKOUT,
                env=_environment(flow_run, entrypoint),
            )
            if task_status is not None:
                task_status.started(child.pid)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._end_when_cancelled, flow_run, child)
                    status = await child.wait()
                    group.cancel_scope.cancel()
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(child)
            return ProcessWorkerResult(status_code=status, identifier=str(child.pid))

        async def _propose_crashed_state(
            self, flow_run: FlowRun, message: str, *args: Any, **options: Any
        ) -> None:
            """Report a crash, unless the run had not begun: it then begins again.

            Prefect's worker calls this for a child that failed, and where it could not start one.
            """
            if flow_run.id in self._refused or not await self._begins_again(flow_run):
                await super()._propose_crashed_state(flow_run, message, *args, **options)

        async def _begins_again(self, flow_run: FlowRun) -> bool:
            """Schedule a run again that has never begun, and return whether it was.

            The server is waited for, since its absence is the usual reason. A run that has begun
            may have done something, and its crash is told.
            """
            now = await self._once_there(partial(self.client.read_flow_run, flow_run.id))
            tried = self._begun.get(flow_run.id, 0) + 1
            if now.state is None or not now.state.is_pending() or tried >= _BEGINNINGS:
                return False
            self._begun[flow_run.id] = tried
            pause = timedelta(seconds=pause_s(tried, _FIRST_PAUSE_S / 2))
            state: State[None] = AwaitingRetry(
                scheduled_time=datetime.now(UTC) + pause,
                message="its process ended before the run had begun; the worker's log says why",
            )
            await self.client.set_flow_run_state(flow_run.id, state, force=True)
            self._logger.warning("Flow run %s had not begun; it begins again", flow_run.id)
            return True

        async def _entrypoint(self, flow_run: FlowRun) -> str:
            """Return the entrypoint in the checkout of the deployment that the run names."""
            known = entrypoints_of(_CHECKOUT)
            said = None
            if flow_run.deployment_id is not None:
                read = partial(self.client.read_deployment, flow_run.deployment_id)
                said = (await self._once_there(read)).entrypoint
            if said is None or said not in known:
                self._refused.add(flow_run.id)
                raise AccessDenied(
                    f"wants {said!r:.120}, which {PREFECT_FILE} of this worker does not have",
                    subject=f"flow run {flow_run.id}",
                    rule="R-140",
                    remedy=(
                        "Find out who made it; `hyperfed service install` restores our deployments"
                    ),
                )
            return known[said]

        async def _end_when_cancelled(self, flow_run: FlowRun, child: "anyio.abc.Process") -> None:
            """End the child once the server says that the run is being cancelled."""
            while True:
                await anyio.sleep(get_current_settings().worker.query_seconds)
                state = None
                with suppress(Exception):  # the server may be away for a while
                    state = (await self.client.read_flow_run(flow_run.id)).state
                if state is not None and state.is_cancelling():
                    await _end(child)
                    await self.client.set_flow_run_state(flow_run.id, Cancelled(), force=True)
                    return


def _environment(flow_run: FlowRun, entrypoint: str) -> Mapping[str, str]:
    """Return the child's environment: this process's own, and what Prefect's engine reads."""
    return {
        **HEARTBEATS,
        **os.environ,
        **no_telemetry(os.environ),
        **get_current_settings().to_environment_variables(exclude_unset=True),
        "PREFECT__FLOW_RUN_ID": str(flow_run.id),
        "PREFECT__FLOW_ENTRYPOINT": entrypoint,
        "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
    }


async def _end(child: "anyio.abc.Process") -> None:
    """End a child that runs: it has a while to end by itself."""
    with suppress(ProcessLookupError):
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            with anyio.move_on_after(_GRACE_S):
                await child.wait()
        if child.returncode is None:
            child.kill()
            await child.wait()


def end_by_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, also where a shell has this process ignore Ctrl-C.

    Shells do that with what they start in the background.
    """
    interrupted = signal.getsignal(signal.SIGINT)
    handler = interrupted if callable(interrupted) else signal.default_int_handler
    signal.signal(signal.SIGTERM, handler)


def run_worker(
    settings_file: Path,
    *,
    pool: str = POOL,
    name: str | None = None,
    limit: int | None = None,
    once: bool = False,
    without_login: bool = False,
) -> None:
    """Work until SIGTERM or SIGINT, bounded by the hyperfed.toml at `settings_file`.

    pool: the work pool, which is made where it is missing. name: the worker's name on the server.
    limit: how many runs at the same time. once: whether to look for runs only once, and to end with
    them. Raises what `check_server` raises, and AccessDenied for a server that answers without a
    login.
    """
    url = check_server()
    if not without_login:
        check_authentication(url)
    make_pool(pool)
    os.environ[VARIABLE] = str(settings_file.resolve())
    worker: Any = CheckoutWorker(
        work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False
    )
    end_by_sigterm()
    with suppress(KeyboardInterrupt):
        asyncio.run(worker.start(run_once=once))
