"""What every test shares: marks by folder, seeds, and an environment without the developer's own credentials."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

_MARK_OF_FOLDER = ("unit", "property", "store", "flow", "fault", "attack", "vectors", "installation", "browser")


_CACHE = tempfile.TemporaryDirectory(prefix="hyperfed-tests-")
os.environ["HYPERFED_CACHE"] = _CACHE.name  # for the processes that tests start, too


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in tests/<folder>/ carries that folder's mark, so that it cannot be forgotten."""
    root = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(root).parts[0] if item.path.is_relative_to(root) else ""
        if folder in _MARK_OF_FOLDER:
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def _no_foreign_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's AWS profile or endpoint reaches a test, and no instance-metadata address is asked."""
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
