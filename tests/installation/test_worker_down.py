"""An upgrade while a worker is down over a window's end: a real server, a real worker, the real
clock, windows of a minute.

The worker stops in the middle of a window, the window ends, `hyperfed service install` runs again,
and a worker starts: the merge that is late runs, and the round is committed. A machine so slow that
the round's `close_by` passes meanwhile has seen no such night: then the next round is tried.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from tests.installation.sites import WINDOW_S, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROUNDS = 5


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_a_merge_that_became_late_while_the_worker_was_down_runs_after_an_upgrade(
    site: Site,
) -> None:
    installed = site.install(
        "--variables", ",".join(site.federation.vocabulary.names), "--poll", "1s"
    )
    assert installed["schedules"] == {"open-round": True, "federation-round": True}
    assert installed["aggregation_delay_s"] == WINDOW_S / 4, "the default fits a window of a minute"
    federation, windows = site.federation, site.federation.registry.windows
    worker, end = site.start_worker(), None
    for _ in range(ROUNDS):
        number = site.until(lambda: _opened(site), "a round is opened")
        for client in federation.clients:
            federation.submit(client, round_id=number, now=datetime.now(UTC))
        site.until(site.quiet, "nothing runs")
        if datetime.now(UTC) >= windows.deadline(number) - timedelta(seconds=5):
            continue  # this round's own worker merges it
        worker.stop()
        time.sleep(max(0.0, (windows.deadline(number) - datetime.now(UTC)).total_seconds()) + 1)
        late = site.until(
            lambda n=number: _both(site, windows.deadline(n)), "merge and opening are due"
        )
        site.install("--aggregation-delay", f"{10 + number}s")
        assert late.items() <= site.overdue().items(), "an install keeps what is late"
        worker = site.start_worker()
        end = site.until(lambda n=number: site.end_of(n), "the round ends")
        plan = site.reader().plan(number)
        assert plan is not None
        if end is EntryKind.COMMIT:
            break
        assert datetime.now(UTC) >= plan.value.close_by, "void before its time"
    assert end is EntryKind.COMMIT
    frozen = site.reader().freeze(number)
    assert frozen is not None
    assert [c.client for c in frozen.value.counted] == list(federation.clients)
    site.until(
        lambda: site.reader().plan(number + 1),
        "the next round, whose opening was late too, is open",
    )
    assert site.federation.store.head(Keys.plan(number + 1)) is not None


def _opened(site: Site) -> int | None:
    """The running round, where it is open, none of its updates is in, and half of its window is
    left.
    """
    now = datetime.now(UTC)
    windows = site.federation.registry.windows
    if now < windows.genesis or now >= windows.opens(number := windows.round_at(now)) + timedelta(
        seconds=WINDOW_S / 2
    ):
        return None
    waits = site.reader().plan(number) is not None and not any(
        site.federation.store.list(Keys.inbox(number))
    )
    return number if waits else None


def _both(site: Site, due: datetime) -> dict[str, str] | None:
    """The overdue merge and opening of an instant, once both are there."""
    stamp = due.strftime("%Y-%m-%dT%H:%M:%S")
    found = {run: what for run, what in site.overdue().items() if stamp in what}
    return found if len(found) == 2 else None
