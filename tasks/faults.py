"""Which failures of a task are worth another try: passing faults of the store, and a quorum that is not there yet. A bad signature never is."""

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
    """For `retry_condition_fn`: the object store may answer the next time."""
    return isinstance(_failure(state), TransientError)


def is_pending_or_transient(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """For `retry_condition_fn` of collect: stragglers are awaited by retries."""
    return isinstance(_failure(state), TransientError | QuorumPending)
