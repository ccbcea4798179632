"""Provide what the coordinator's flows share.

These are a runner for rehearsals, the instant that a run stands for, and a name for the run in the
UI's list.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect import get_client, runtime

from blocks import CoordinatorKeys, DropBox
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.storage.rehearsal import RehearsalStore
from tasks.coordinator import Coordinator

__all__ = ["rehearsing", "rename_run", "scheduled"]


@contextmanager
def rehearsing(coordinator: Coordinator) -> Iterator[RoundRunner]:
    """Yield a runner whose writes stay in memory; what it appends is nobody's ledger."""
    box = DropBox.load(coordinator.drop_box)
    key_pair = CoordinatorKeys.load(coordinator.coordinator_keys).load_keys()
    store, fingerprint = RehearsalStore(box.open()), box.fingerprint or None
    yield RoundRunner(store, key_pair=key_pair, now=coordinator.now, fingerprint=fingerprint)


def scheduled(now: datetime | None, runner: RoundRunner) -> datetime:
    """Return the instant that this run stands for.

    It is the rehearsed clock, or when the run was scheduled, which a Retry does not change.
    """
    planned = now or runtime.flow_run.scheduled_start_time or runner.now
    # a worker's run gives pendulum's datetime, whose differences do not divide by a timedelta
    return datetime.fromtimestamp(planned.timestamp(), UTC)


def rename_run(name: str) -> None:
    """Give the run a name that says how the round went, for the UI's list of runs."""
    run = runtime.flow_run.id
    if run:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, name=name)
