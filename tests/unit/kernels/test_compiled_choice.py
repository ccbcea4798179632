"""When machine code does the work and when numpy does, without anything being compiled here."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hyperfed import kernels
from hyperfed.merge import PairVoters
from hyperfed.merge.spool import Spool
from hyperfed.merge.tables import table_ranges
from hyperfed.tables.tables import EdgeTable

pytestmark = pytest.mark.unit
MANY = kernels.ROWS


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A process that has loaded nothing yet, and a numba that compiles nothing.

    imported: what was; cached: where numba was told to keep each import's code.
    """
    config = SimpleNamespace(CACHE_DIR="theirs", CACHE_LOCATOR_CLASSES="")
    told = SimpleNamespace(imported=[], cached=[], config=config, error=None)
    folder: Path | None = tmp_path
    told.folder = folder

    def imported(name: str) -> Any:
        told.imported.append(name)
        told.cached.append(config.CACHE_DIR)
        if told.error is not None and name != "numba":
            raise told.error
        return SimpleNamespace(config=config) if name == "numba" else "the loops"

    monkeypatch.setattr(kernels, "import_module", imported)
    monkeypatch.setattr(kernels, "version", lambda _: "1")
    monkeypatch.setattr(kernels, "code_folder", lambda _: told.folder)
    monkeypatch.setattr(kernels, "_state", kernels._State())
    monkeypatch.delenv("HYPERFED_COMPILED", raising=False)
    return told


def test_machine_code_is_for_large_merges_and_loaded_once(
    machine: SimpleNamespace, tmp_path: Path
) -> None:
    kernels.prepare(MANY - 1)
    assert (kernels.machine_code(), machine.imported) == (None, [])
    for _ in range(2):
        kernels.prepare(MANY)
    assert kernels.machine_code() == "the loops"
    assert machine.imported == ["numba", "hyperfed.kernels.loops"]
    assert machine.cached == ["theirs", str(tmp_path)]
    assert (machine.config.CACHE_DIR, machine.config.CACHE_LOCATOR_CLASSES) == ("theirs", "")
    with kernels.by_numpy():
        kernels.prepare(MANY)
        assert kernels.machine_code() is None
    assert kernels.machine_code() == "the loops"


def test_it_can_be_switched_off(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERFED_COMPILED", "0")
    kernels.prepare(1 << 40)
    assert (kernels.machine_code(), machine.imported) == (None, [])


def test_numpy_does_the_work_where_nothing_can_be_kept(machine: SimpleNamespace) -> None:
    machine.folder = None
    kernels.prepare(MANY)
    assert (kernels.machine_code(), machine.imported) == (None, [])


def test_numpy_does_the_work_without_numba(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(kernels, "version", missing)
    kernels.prepare(MANY)
    assert (kernels.machine_code(), machine.imported, caplog.records) == (None, [], [])


@pytest.mark.parametrize(
    "reason",
    [
        ImportError("Numba needs NumPy 2.3 or less"),
        RuntimeError("cannot cache function: no locator available"),
        OSError("libllvmlite.so"),
    ],
)
def test_numpy_does_the_work_where_numba_does_not_fit(
    machine: SimpleNamespace, reason: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    machine.error = reason
    with caplog.at_level("INFO"):
        for _ in range(2):
            kernels.prepare(MANY)
    assert kernels.machine_code() is None
    assert machine.imported == ["numba", "hyperfed.kernels.loops"]  # not tried again
    assert machine.config.CACHE_DIR == "theirs"
    assert str(reason) in caplog.text


def test_a_merge_asks_for_machine_code_with_all_its_rows(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("hyperfed.merge.tables.prepare", asked.append)
    monkeypatch.setattr("hyperfed.merge.spool.prepare", asked.append)
    table = EdgeTable.build(
        source=np.arange(7), target=9, lag=1, effect=1.0, confidence=1.0, stability=1.0
    )
    eligible_voters = PairVoters([np.arange(10, dtype=np.uint32)] * 2)
    table_ranges([table, table], eligible_voters)
    spool = Spool()
    spool.ranges([spool.add(table), spool.add(table)], eligible_voters)
    spool.close()
    assert asked == [14, 14]


def test_neither_numba_nor_llvmlite_is_imported_with_hyperfed() -> None:
    code = (
        "import sys, hyperfed.reconciler.reconcile, hyperfed.cli, hyperfed.codec; "
        "sys.exit(bool({'numba', 'llvmlite'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
