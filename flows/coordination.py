"""Provide what the coordinator's flows share.

These are a runner for rehearsals, the instant that a run stands for and waits for, and a name for
the run in the UI's list.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect import get_client, runtime

from blocks import CoordinatorKeys, DropBox
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import ClockError
from hyperfed.storage.rehearsal import RehearsalStore
from tasks.coordinator import Coordinator

__all__ = ["MOST_EARLY_S", "await_instant", "rehearsing", "rename_run", "scheduled"]

MOST_EARLY_S = 5.0
"""How long a run waits in its process for the instant that it was scheduled for, in seconds."""


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


def await_instant() -> None:
    """Wait until the instant that this run was scheduled for, where it begins a little before it.

    Prefect's server rounds the time that is left to whole seconds, and so lets a run begin up to
    half a second early, when its window is still open. Raises ClockError where more than
    `MOST_EARLY_S` are left: then the server's clock is ahead of this machine's.
    """
    planned = runtime.flow_run.scheduled_start_time
    if planned is None:
        return
    early_s = planned.timestamp() - time.time()
    if early_s > MOST_EARLY_S:
        raise ClockError(
            f"this run begins {early_s:.0f} s before the instant that it was scheduled for",
            subject="this machine's clock",
            rule="R-115",
            remedy="Set the clock here and on the Prefect server (timedatectl set-ntp true). "
            "Nothing was signed",
        )
    time.sleep(max(0.0, early_s))


def rename_run(name: str) -> None:
    """Give the run a name that says how the round went, for the UI's list of runs."""
    run = runtime.flow_run.id
    if run:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, name=name)
