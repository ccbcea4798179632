"""Place tasks where one worker has an advantage for them."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect.context import FlowRunContext

__all__ = ["same_place"]


def same_place(number: int) -> AbstractContextManager[Any]:
    """Return a context in which tasks of one number are submitted to the same Dask worker.

    That worker has kept what it read. This is a wish and not a need: other workers may take the
    tasks, and on other task runners nothing happens.
    """
    running = FlowRunContext.get()
    client = getattr(running.task_runner, "client", None) if running else None
    if not hasattr(client, "scheduler_info"):
        return nullcontext()
    import dask

    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    if not workers:
        return nullcontext()
    wish: AbstractContextManager[Any] = dask.annotate(
        workers=[workers[number % len(workers)]], allow_other_workers=True
    )
    return wish
