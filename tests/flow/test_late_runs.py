"""Runs at the wrong moment: a little before their instant, or when a later round has ended."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest
from prefect.runtime import flow_run

from flows.coordination import MOST_EARLY_S, await_instant
from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.errors import ClockError, RoundPassed
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.flow

Found = Callable[..., tuple[SmallFederation, str]]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """A function that says for when this process' runs were scheduled."""

    def plan(instant: datetime) -> None:
        monkeypatch.setitem(flow_run.FIELDS, "scheduled_start_time", lambda: instant)

    return plan


def test_a_run_that_begins_a_moment_early_waits_for_its_instant(
    planned: Callable[[datetime], None],
) -> None:
    """Prefect's server rounds half a second down, and the window would still be open."""
    instant = datetime.now(UTC) + timedelta(seconds=0.4)
    planned(instant)
    await_instant()
    assert 0 <= time() - instant.timestamp() < 0.3
    began = time()
    await_instant()
    assert time() - began < 0.1, "one that is late does not wait"


def test_a_run_that_begins_long_before_its_instant_says_whose_clock_is_wrong(
    planned: Callable[[datetime], None],
) -> None:
    planned(datetime.now(UTC) + timedelta(seconds=MOST_EARLY_S + 60))
    began = time()
    with pytest.raises(ClockError, match=r"6[45] s before the instant that it was scheduled for"):
        await_instant()
    assert time() - began < 0.1


@pytest.mark.parametrize("flow", [open_round, federation_round])
def test_a_run_of_a_round_that_a_later_one_has_passed_ends_well_and_changes_nothing(
    found: Found, monkeypatch: pytest.MonkeyPatch, flow: Any
) -> None:
    federation, name = found(genesis=datetime(2026, 1, 1, tzinfo=UTC))
    blocks = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    open_round(now=federation.opens(2), **blocks)
    federation.submit_all(round_id=2)
    assert federation_round(now=federation.night(2), return_state=True, **blocks).is_completed()
    before = federation.objects("rounds/") | federation.objects("ledger/")
    # the clock says that night 2 is over, and the run was scheduled for round 1
    late = federation.opens(1) if flow is open_round else federation.night(1)
    monkeypatch.setattr(f"flows.{flow.name.replace('-', '_')}.scheduled", lambda *_: late)
    moment = federation.night(2) + timedelta(minutes=1)
    state = flow(now=moment, return_state=True, **blocks)
    assert (state.name, state.is_completed()) == ("Skipped", True)
    assert "round 1: cannot be opened any more: round 2 stands in the ledger" in state.message
    assert state.result()["round"] == 1
    with pytest.raises(RoundPassed):  # who names it is told that it cannot be done
        flow(round_id=1, now=moment, **blocks)
    assert federation.objects("rounds/") | federation.objects("ledger/") == before
