"""What every test shares: marks by folder, seeds, and an environment without the developer's own
credentials.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from hyperfed.config import no_telemetry

_MARK_OF_FOLDER = (
    "unit",
    "property",
    "store",
    "flow",
    "fault",
    "attack",
    "vectors",
    "installation",
    "browser",
)


_CACHE = tempfile.TemporaryDirectory(prefix="hyperfed-tests-")
os.environ.update(no_telemetry(os.environ))  # before anything imports Prefect
os.environ["HYPERFED_CACHE"] = _CACHE.name  # for the processes that tests start, too
os.environ["HYPERFED_REHEARSAL"] = "1"  # tests say what the clock says
os.environ["HYPERFED_STATE"] = str(Path(_CACHE.name) / "state" / "0")  # fixtures of modules
_MACHINES = itertools.count(1)

# No example has a time limit, for machines are busy. In CI every run takes the same examples.
settings.register_profile("new examples", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "new examples"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in tests/<folder>/ carries that folder's mark, so that it cannot be forgotten.

    Property tests come first: Hypothesis watches `random`, from which the threads draw that Prefect
    leaves behind.
    """
    root = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(root).parts[0] if item.path.is_relative_to(root) else ""
        if folder in _MARK_OF_FOLDER:
            item.add_marker(folder)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))
    items.sort(key=lambda item: item.get_closest_marker("property") is None)


@pytest.fixture(autouse=True)
def _no_state_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a machine of its own: it has seen no ledger and shown no value."""
    monkeypatch.setenv("HYPERFED_STATE", str(Path(_CACHE.name) / "state" / str(next(_MACHINES))))


@pytest.fixture(autouse=True)
def _no_foreign_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's AWS profile or endpoint reaches a test, and no instance-metadata address is
    asked.
    """
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20240229)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine can enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)
