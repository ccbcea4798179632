"""`hyperfed round retry N` finds the run that it is about, also one that was killed before it had
its round's name, and no other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from prefect import flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL
from prefect.states import Crashed, Scheduled

from flows.service import retry_round
from hyperfed.cli import app
from hyperfed.errors import ConfigError
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
Killed = Callable[..., UUID]
ROOT = Path(__file__).parents[2]
NIGHTS_AGO = 3

pytestmark = pytest.mark.flow


@pytest.fixture
def federation_and_blocks(found: Found) -> tuple[SmallFederation, dict[str, str]]:
    """A federation whose newest window, the third, ended twelve hours ago; its blocks' names."""
    federation, name = found(genesis=datetime.now(UTC) - timedelta(days=NIGHTS_AGO, hours=12))
    names = ("drop_box", "coordinator_keys", "federation_policy")
    return federation, dict.fromkeys(names, name)


@pytest.fixture
def killed(federation_and_blocks: tuple[SmallFederation, dict[str, str]]) -> Iterator[Killed]:
    """A function that leaves a run whose process was killed before it knew its round; its id."""
    federation, blocks = federation_and_blocks
    left: list[UUID] = []

    @flow(name="federation-round")
    def federation_round() -> None: ...

    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            flow_id=client.create_flow(federation_round),
            name=blocks["drop_box"],
            parameter_openapi_schema={},
        )

    def leave(night: int, *, name: str = "cheerful-otter", **parameters: Any) -> UUID:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(
                deployment,
                name=name,
                parameters=blocks | parameters,
                state=Scheduled(scheduled_time=federation.registry.windows.deadline(night)),
            )
            client.set_flow_run_state(run.id, Crashed(), force=True)
        left.append(run.id)
        return run.id

    yield leave
    with get_client(sync_client=True) as client:  # the server is the session's
        for run_id in left:
            client.delete_flow_run(run_id)
        client.delete_deployment(deployment)


def state_of(client: SyncPrefectClient, run: UUID) -> str:
    state = client.read_flow_run(run).state
    assert state is not None
    return str(state.name)


def states(*runs: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        return [state_of(client, run) for run in runs]


def test_a_run_without_a_name_is_found_by_the_window_that_had_ended_when_it_was_scheduled(
    killed: Killed,
) -> None:
    """Whoever kills a run in its first second would have it out of reach; another night's run would
    finish another round.
    """
    nights = [killed(night) for night in (1, 2, 3)]
    answer = retry_round(2)
    assert (answer["run"], answer["state"]) == (str(nights[1]), "AwaitingRetry")
    assert states(*nights) == ["Crashed", "AwaitingRetry", "Crashed"]
    with pytest.raises(ConfigError, match="its run 'cheerful-otter' is AwaitingRetry"):
        retry_round(2)


def test_a_run_without_a_name_is_found_by_the_round_that_it_was_asked_for(killed: Killed) -> None:
    asked, other = killed(3, round_id=2), killed(3)
    assert retry_round(2)["run"] == str(asked)
    assert states(asked, other) == ["AwaitingRetry", "Crashed"]


def test_the_newest_of_several_is_retried_and_a_named_one_before_them(killed: Killed) -> None:
    """The name needs no drop-box, and an operator's machine may not be let to it."""
    older, newer = killed(2, round_id=2), killed(3, round_id=2)
    assert retry_round(2)["run"] == str(newer)
    named = killed(1, name="round 2, 2026-01-02", drop_box="nobody-saved-this")
    assert retry_round(2)["run"] == str(named)
    assert states(older, newer, named) == ["Crashed", "AwaitingRetry", "AwaitingRetry"]


@pytest.mark.parametrize(
    "run",
    [
        {"dry_run": True},
        {"dry_run": True, "name": "round 2, 2026-01-02, dry run"},
        {"round_id": 3},
        {"now": "2026-01-03T00:01:00+00:00"},
        {"drop_box": "nobody-saved-this"},
        {"name": "round 3, 2026-01-02"},
        {"name": "round 22, 2026-01-22"},
    ],
)
def test_what_is_not_the_rounds_run_is_left_alone(killed: Killed, run: dict[str, Any]) -> None:
    other = killed(2, **run)
    with pytest.raises(ConfigError, match="has no run") as refused:
        retry_round(2)
    assert refused.value.remedy == "Start one: hyperfed round run 2"
    assert states(other) == ["Crashed"]


@pytest.mark.slow
def test_a_run_killed_before_it_had_a_name_is_retried_and_commits_its_round(
    federation_and_blocks: tuple[SmallFederation, dict[str, str]], killed: Killed, tmp_path: Path
) -> None:
    """By the command, and then in a process of its own, as a worker would start it."""
    federation, blocks = federation_and_blocks
    settings = tmp_path / "hyperfed.toml"
    settings.write_text(
        f'[store]\nurl = "file://{tmp_path / "drop-box"}"\n'
        f'[federation]\nfingerprint = "{federation.fingerprint}"\n'
        f'[coordinator]\nkey = "{tmp_path / blocks["coordinator_keys"]}.key"\n'
    )
    federation.open(NIGHTS_AGO)
    federation.submit_all(round_id=NIGHTS_AGO)
    run = killed(NIGHTS_AGO)
    said = CliRunner().invoke(app, ["round", "retry", str(NIGHTS_AGO), "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["run"] == str(run)
    environment = {
        "HYPERFED_WORKER": str(settings),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT__FLOW_RUN_ID": str(run),
        "PREFECT__FLOW_ENTRYPOINT": str(ROOT / "flows/federation_round.py:federation_round"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "flows.service.engine", str(run)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with get_client(sync_client=True) as client:
        assert state_of(client, run) == "Completed", done.stderr
        name = client.read_flow_run(run).name
    opened = federation.opens(NIGHTS_AGO)
    assert name == f"round {NIGHTS_AGO}, {opened:%Y-%m-%d}, 3 of 3"
    assert federation.reader().result(NIGHTS_AGO) is not None
