"""One Prefect for all flow tests, and a federation whose drop-box and blocks a flow can find."""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import GENESIS, SmallFederation

_numbers = itertools.count()


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """The session-wide temporary server (11 to 16 s to start); without the heartbeat thread, which
    costs each flow a second to join.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def found(
    prefect_harness: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[SmallFederation, str]]:
    """A function that founds a federation on a folder and saves its blocks; (federation, the
    blocks' name). All have the same keys, so each begins on a machine that has seen none.
    """
    from blocks import CoordinatorKeys, DropBox, FederationPolicy

    def make(
        *,
        clients: int = 3,
        quorum: int | None = None,
        aggregation_delay_s: float = 0.0,
        poll_s: float = 0.01,
        genesis: datetime = GENESIS,
        budget: Budget | None = None,
        **policy: object,
    ) -> tuple[SmallFederation, str]:
        folder, name = tmp_path / "drop-box", f"test-{next(_numbers)}"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("HYPERFED_STATE", str(tmp_path / f"{name}.state"))
        federation = SmallFederation(
            clients=clients, store=FilesystemStore(folder), genesis=genesis, budget=budget
        )
        federation.coordinator.save(tmp_path / f"{name}.key")
        DropBox(url=f"file://{folder}", fingerprint=federation.fingerprint).save(name)
        CoordinatorKeys(key_file=str(tmp_path / f"{name}.key")).save(name)
        FederationPolicy(
            variables=list(federation.vocabulary.names),
            domains=[v.domain for v in federation.vocabulary.variables],
            quorum=quorum,
            aggregation_delay_s=aggregation_delay_s,
            poll_s=poll_s,
            policy=dict(policy),
        ).save(name)
        return federation, name

    return make
