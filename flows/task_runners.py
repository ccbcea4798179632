"""Choose where a round's shards run: the deployment's environment names it in HYPERFED_TASK_RUNNER.

    threads (the default), threads:8     in this process, at most so many at once
    dask, dask:4                         two or so many processes of this machine, for the run
    dask:tcp://scheduler:8786            a Dask cluster that is there (extra `dask`)
    ray, ray:ray://head:10001            Ray, here or on a cluster that is there (extra `ray`)

Workers run from a checkout like this one, with Prefect's settings, and find blocks and keys by name
as this process does. A scheduler sees keys of objects, digests and counts, never an array, a secret
or a store.
"""

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from hyperfed.errors import ConfigError

__all__ = ["VARIABLE", "task_runner"]

VARIABLE = "HYPERFED_TASK_RUNNER"
"""The environment variable that names the task runner."""
_TRIM = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
_THREADS = 4
_WORKERS = 2


def task_runner(choice: str | None = None) -> TaskRunner[Any]:
    """Return the task runner that `choice` names, by default the environment's.

    Raises ConfigError for an unknown one, and where its extra is not installed.
    """
    wanted = os.environ.get(VARIABLE, "threads") if choice is None else choice
    kind, _, where = wanted.partition(":")
    try:
        if kind == "threads":
            return ThreadPoolTaskRunner(max_workers=int(where or _THREADS))
        if kind == "dask":
            from prefect_dask.task_runners import DaskTaskRunner

            if where and not where.isdecimal():
                return DaskTaskRunner(address=where)
            import dask

            # Dask has its workers give back every 64 kB that is free. The next array then finds
            # no page of memory ready: a third of a shard's CPU.
            dask.config.set({_TRIM: None})
            cluster = {
                "n_workers": int(where or _WORKERS),
                "threads_per_worker": 1,
                "host": "127.0.0.1",
                "dashboard_address": None,
            }
            return DaskTaskRunner(cluster_kwargs=cluster)
        if kind == "ray":
            from prefect_ray import RayTaskRunner

            # Here without its dashboard: nine processes that nobody asked for, and a port by which
            # any user of this machine could run code.
            own = None if where else {"include_dashboard": False, "num_cpus": _WORKERS}
            runner: TaskRunner[Any] = RayTaskRunner(address=where or None, init_kwargs=own)
            return runner
    except ImportError as exc:
        raise ConfigError(
            f"{kind} is not installed here",
            subject=VARIABLE,
            remedy=f"pip install prefect-{kind}; or set it to threads",
        ) from exc
    except ValueError:
        pass
    raise ConfigError(
        f"{wanted!r:.60} names no task runner",
        subject=VARIABLE,
        remedy="Name one of threads, threads:N, dask, dask:N, dask:tcp://..., ray, ray:ray://...",
    )
