"""Where a round's shards run: the task runner that the deployment names in its environment, HYPERFED_TASK_RUNNER.

    threads (the default), threads:8     in this process, at most so many at once
    dask, dask:4                         a Dask cluster of this machine for the run, of two or so many worker processes
    dask:tcp://scheduler:8786            a Dask cluster that is there (extra `dask`)
    ray, ray:ray://head:10001            Ray, on this machine or a cluster that is there (pip install prefect-ray)

Workers run from a checkout like this one, with Prefect's settings, and find blocks and keys by name as this process does: a scheduler sees keys of
objects, digests and counts, never an array, a secret or a store.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from hyperfed.errors import ConfigError

__all__ = ["VARIABLE", "from_the_flow", "same_place", "task_runner"]

VARIABLE = "HYPERFED_TASK_RUNNER"
_THREADS = 4
_WORKERS = 2


def task_runner(choice: str | None = None) -> TaskRunner[Any]:
    """The task runner of that name, by default of the environment's. Raises ConfigError for an unknown one, and where its extra is not installed."""
    wanted = os.environ.get(VARIABLE, "threads") if choice is None else choice
    kind, _, where = wanted.partition(":")
    try:
        if kind == "threads":
            return ThreadPoolTaskRunner(max_workers=int(where or _THREADS))
        if kind == "dask":
            from prefect_dask import DaskTaskRunner

            if where and not where.isdecimal():
                return DaskTaskRunner(address=where)
            cluster = {"n_workers": int(where or _WORKERS), "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
            return DaskTaskRunner(cluster_kwargs=cluster)
        if kind == "ray":
            from prefect_ray import RayTaskRunner

            runner: TaskRunner[Any] = RayTaskRunner(address=where or None)
            return runner
    except ImportError as exc:
        raise ConfigError(f"{kind} is not installed here", subject=VARIABLE, remedy=f"pip install 'prefect-{kind}'; or set it to threads") from exc
    except ValueError:
        pass
    raise ConfigError(
        f"{wanted!r:.60} names no task runner", subject=VARIABLE, remedy="One of threads, threads:N, dask, dask:N, dask:tcp://..., ray, ray:ray://..."
    )


@contextmanager
def from_the_flow() -> Iterator[None]:
    """Tasks that are submitted inside are the flow's, though a task submits them: with what a task submits Prefect sends that task's own parameters, and the
    release's is a coordinator with its store and its key."""
    inside = TaskRunContext.__var__.set(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        TaskRunContext.__var__.reset(inside)


def same_place(number: int) -> AbstractContextManager[Any]:
    """Tasks of one number that are submitted inside run, on Dask, on the same worker if it is there: it has kept what it read. A wish, not a need."""
    running = FlowRunContext.get()
    client = getattr(running.task_runner, "client", None) if running else None
    if not hasattr(client, "scheduler_info"):
        return nullcontext()
    import dask

    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    if not workers:
        return nullcontext()
    wish: AbstractContextManager[Any] = dask.annotate(workers=[workers[number % len(workers)]], allow_other_workers=True)
    return wish
