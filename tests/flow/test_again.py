"""A run that a passing fault has ended is scheduled again by itself, at its own time or later; what
needs a person fails at once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Pause

from flows.again import MOST_S, TRIES, pause_s
from flows.federation_round import federation_round
from hyperfed.errors import ClockError, HyperfedError, QuorumMissed, TransientError
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.flow

Found = Callable[..., tuple[SmallFederation, str]]


def test_pauses_double_up_to_five_minutes_and_all_of_them_outlast_an_hour() -> None:
    pauses = [pause_s(tried, 30.0) for tried in range(1, TRIES + 1)]
    assert pauses[:4] == [60, 120, 240, MOST_S]
    assert sum(pauses) > 3600
    assert sum(pause_s(tried, 1.0) for tried in range(1, TRIES + 1)) > 3600
    assert pause_s(10_000, 30.0) == MOST_S


def newest() -> FlowRun:
    """The run of the flow that began last; other tests' schedules have runs that never do."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["federation-round"])),
            flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False)),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )[0]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A function that makes the runs of this process those of a deployment of this machine."""

    def make(federation: SmallFederation, name: str, *, run_count: int = 1) -> None:
        (tmp_path / "hyperfed.toml").write_text(
            f'[store]\nurl = "file://{tmp_path}/drop-box"\n[federation]\nfingerprint = '
            f'"{federation.fingerprint}"\n[coordinator]\nkey = "{name}.key"\n'
        )
        monkeypatch.setenv("HYPERFED_WORKER", str(tmp_path / "hyperfed.toml"))
        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "ours")
        monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(run_count))

    return make


def failing(error: HyperfedError) -> Callable[..., Any]:
    def read(self: FilesystemStore, key: str, *, max_bytes: int) -> bytes:
        raise error

    return read


@pytest.mark.parametrize("kind", [TransientError, ClockError])
@pytest.mark.parametrize("deployed", [True, False])
def test_a_store_that_is_away_ends_a_deployed_run_for_a_while_and_any_other_one_for_good(
    found: Found,
    deploy: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    deployed: bool,
    kind: type[HyperfedError],
) -> None:
    federation, name = found()
    names = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    away = kind("does not answer", subject="the store")
    monkeypatch.setattr(FilesystemStore, "read", failing(away))
    if deployed:
        deploy(federation, name)
    began = datetime.now(UTC)
    with pytest.raises(Pause if deployed else kind):
        federation_round(now=federation.night(1), **names)
    run = newest()
    assert run.state is not None
    assert run.state.name == ("AwaitingRetry" if deployed else "Failed")
    if deployed:
        assert run.next_scheduled_start_time is not None
        assert run.next_scheduled_start_time > began
        assert "does not answer" in str(run.state.message)
    assert federation.objects("rounds/") == {}


def test_below_quorum_and_after_the_last_try_a_run_fails_and_is_told(
    found: Found, deploy: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, name = found()
    names = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    deploy(federation, name)
    with pytest.raises(QuorumMissed):
        federation_round(now=federation.night(1), **names)
    deploy(federation, name, run_count=TRIES + 1)
    monkeypatch.setattr(FilesystemStore, "read", failing(TransientError("does not answer")))
    with pytest.raises(TransientError):
        federation_round(now=federation.night(1), **names)
    assert newest().state_name == "Failed"
