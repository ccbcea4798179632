"""Say which failures of a task are worth another try.

Passing faults of the store are, and so is a quorum that has not been reached yet. A bad signature
never is.
"""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun

from hyperfed.errors import QuorumPending, TransientError

__all__ = ["is_pending_or_transient", "is_transient"]


def _failure(state: State[Any]) -> BaseException | None:
    try:
        state.result()
    except BaseException as error:
        return error
    return None


def is_transient(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether the object store may answer the next time, for `retry_condition_fn`."""
    return isinstance(_failure(state), TransientError)


def is_pending_or_transient(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Return whether collect is worth another try, for `retry_condition_fn`.

    Stragglers are awaited by such retries.
    """
    return isinstance(_failure(state), TransientError | QuorumPending)
