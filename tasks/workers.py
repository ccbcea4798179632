"""Share a stage's work out among the workers of the flow's task runner, as plain calls.

1. A stage is one run of a task, in the flow's process, and its parts are no task runs of Prefect:
   one costs 0.1 s of CPU, between flow, worker and server (ADR 0087). The stage logs a line for
   each part instead.
2. What a worker is sent may be seen by whoever sees the scheduler: names, digests, counts, and the
   address of Prefect's API. A login comes from the worker's own settings.
3. A worker that nothing bounds does nothing for a run that came from a deployment (R-140).
4. Every part is awaited before the first failure is raised, so that a stage that is tried again
   does not meet its own parts.

What it does not do: it neither repeats a part (the stage's retries do) nor keeps its result.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from prefect import runtime
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks.bounds import bounds

__all__ = ["shared_out"]

R = TypeVar("R")
Call = Callable[[], R]

_THREADS = 4


def shared_out(
    function: Callable[..., R], parts: Sequence[tuple[Any, ...]], *, kept: bool = False
) -> list[R]:
    """Call a function of a module with each part's arguments, where there are workers.

    Returns the results in order. kept: whether a worker keeps something from one part to the next
    of the same number; on Dask such parts prefer one worker. Raises the first part's failure that
    failed.
    """
    running = FlowRunContext.get()
    runner = running.task_runner if running else None
    about = (PREFECT_API_URL.value(), runtime.deployment.id is not None)
    calls = [partial(_there, *about, function, *arguments) for arguments in parts]
    kind = type(runner).__name__
    if kind == "DaskTaskRunner":
        outcomes = _on_dask(runner, calls, kept=kept)
    elif kind == "RayTaskRunner":
        outcomes = _on_ray(calls)
    else:
        outcomes = _on_threads(runner, calls)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _there(api: str | None, deployed: bool, function: Callable[..., R], *arguments: Any) -> R:
    """Do one part, in a worker: with the flow's API, and within the worker's bounds."""
    bounds(deployed=deployed)
    if api == PREFECT_API_URL.value():
        return function(*arguments)
    with temporary_settings({PREFECT_API_URL: api}):
        return function(*arguments)


def _outcome(get: Call[R], *unwrapped: type[BaseException]) -> R | BaseException:
    """Return a part's result or failure; of the types named, the failure they carry as `cause`."""
    try:
        return get()
    except unwrapped as failure:
        cause: BaseException = getattr(failure, "cause", failure)
        return cause
    except Exception as failure:
        return failure


def _on_threads(runner: Any, calls: Sequence[Call[R]]) -> list[R | BaseException]:
    """Do the parts in threads of this process, at most as many at once as the runner's."""
    most = min(getattr(runner, "_max_workers", _THREADS), len(calls))
    with ThreadPoolExecutor(max(1, most)) as pool:
        futures = [pool.submit(copy_context().run, call) for call in calls]
        return [_outcome(future.result) for future in futures]


def _on_dask(runner: Any, calls: Sequence[Call[R]], *, kept: bool) -> list[R | BaseException]:
    """Do the parts on a Dask cluster.

    A part that prefers a worker is done by another where that one is gone.
    """
    client = runner.client
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"]) if kept else []
    results: list[Call[R]] = []
    for number, call in enumerate(calls):
        wish: dict[str, Any] = {}
        if workers:
            wish = {"workers": [workers[number % len(workers)]], "allow_other_workers": True}
        results.append(client.submit(call, pure=False, **wish).result)
    return [_outcome(result) for result in results]


def _on_ray(calls: Sequence[Call[R]]) -> list[R | BaseException]:
    """Do the parts on the Ray cluster that the flow's task runner has connected to."""
    import ray

    function: Callable[[Call[R]], R] = _called
    remote = ray.remote(function)
    futures = [remote.remote(call) for call in calls]

    def outcome(future: "ray.ObjectRef[R]") -> R | BaseException:
        return _outcome(lambda: ray.get(future), ray.exceptions.RayTaskError)

    return [outcome(future) for future in futures]


def _called(call: Call[R]) -> R:
    return call()
