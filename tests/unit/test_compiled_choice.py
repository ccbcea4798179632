"""When machine code does a merge's work, and when numpy does, without anything being compiled here."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hyperfed.merge import compiled

pytestmark = pytest.mark.unit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was imported; a stand-in comes back."""
    names: list[str] = []

    def imported(name: str) -> str:
        names.append(name)
        return "the kernels"

    monkeypatch.setattr(compiled, "import_module", imported)
    monkeypatch.delenv("HYPERFED_COMPILED", raising=False)
    compiled._loaded.cache_clear()
    yield names
    compiled._loaded.cache_clear()


def test_machine_code_is_for_large_ranges_and_imported_once(asked: list[str]) -> None:
    assert compiled.machine_code(compiled.ROWS - 1) is None
    assert asked == []
    assert [compiled.machine_code(rows) for rows in (compiled.ROWS, compiled.ROWS, compiled.FEW)] == ["the kernels"] * 3
    assert compiled.machine_code(compiled.FEW - 1) is None
    assert asked == ["hyperfed.merge.compiled.kernels"]


def test_it_can_be_switched_off(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERFED_COMPILED", "0")
    assert compiled.machine_code(1 << 30) is None
    assert asked == []


@pytest.mark.parametrize(
    "reason", [ModuleNotFoundError("No module named 'numba'"), ImportError("Numba needs NumPy 2.5 or less"), SystemError("initialization")]
)
def test_numpy_does_the_work_where_numba_is_missing_or_does_not_fit(reason: Exception, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(name: str) -> str:
        asked.append(name)
        raise reason

    monkeypatch.setattr(compiled, "import_module", imported)
    assert [compiled.machine_code(1 << 30) for _ in range(2)] == [None, None]
    assert len(asked) == 1  # it is not tried again


def test_numba_is_not_imported_with_hyperfed() -> None:
    code = "import sys, hyperfed.reconciler, hyperfed.cli; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
