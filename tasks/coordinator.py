"""Find the coordinator that a task speaks as by names: neither a store nor a key is a parameter.

1. A task is given a `Coordinator`: the names of two blocks, and the flow's clock. Names may be sent
   anywhere, stored and shown. What they stand for is opened where the task runs.
2. The tasks of one flow run share one runner in the flow's process (`coordinating`), so that the
   merge finds what validation has read. In another process a task makes its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from prefect import runtime
from prefect.context import SyncClientContext

from blocks import CoordinatorKeys, DropBox
from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.remote.shuffle import Shuffle
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.dropbox.ledger_copy import LedgerCopy
from tasks.code import code_digest

__all__ = ["Coordinator", "coordinating", "new_runner", "runner_of", "shuffle_of"]


class Coordinator(NamedTuple):
    """Holds the names by which a task finds its coordinator."""

    drop_box: str
    """Name of the Hyperfed Drop-Box block."""
    coordinator_keys: str
    """Name of the Hyperfed Coordinator Keys block."""
    now: datetime
    """The flow's clock, read once."""


_shared: dict[tuple[str, Coordinator], RoundRunner] = {}


def _key(coordinator: Coordinator) -> tuple[str, Coordinator]:
    return str(runtime.flow_run.id), coordinator


@contextmanager
def coordinating(coordinator: Coordinator) -> Iterator[RoundRunner]:
    """Share one runner among this flow run's tasks in this process, while the context lasts."""
    key = _key(coordinator)
    _shared[key] = new_runner(coordinator)
    try:
        yield _shared[key]
    finally:
        _shared.pop(key, None)


def runner_of(coordinator: Coordinator) -> RoundRunner:
    """Return the flow run's runner, or one made here where the flow is in another process."""
    return _shared.get(_key(coordinator)) or new_runner(coordinator)


def new_runner(coordinator: Coordinator) -> RoundRunner:
    """Open the blocks and return a runner of its own, as shards need it side by side.

    Raises ConfigError where a key file cannot be used, and ValueError for a block that is not
    there.
    """
    with SyncClientContext.get_or_create():  # one client for both blocks
        box = DropBox.load(coordinator.drop_box)
        keys = CoordinatorKeys.load(coordinator.coordinator_keys)
    copy = LedgerCopy.in_state(box.fingerprint)
    fingerprint = box.fingerprint or None
    runner = RoundRunner(
        box.open(),
        key_pair=keys.load_keys(),
        now=coordinator.now,
        fingerprint=fingerprint,
        copy=copy,
        marks=ReleaseMarks.in_state(fingerprint),
    )
    runner.merge.code = code_digest()
    return runner


@lru_cache(maxsize=4)
def shuffle_of(coordinator: Coordinator, round_id: int) -> Shuffle:
    """Return the shuffle of a frozen round, kept in a worker's process.

    It can be kept, since registry, freeze and layout never change, and it saves time, since a merge
    asks for it a dozen times.
    """
    return new_runner(coordinator).merge.shuffle(round_id)
