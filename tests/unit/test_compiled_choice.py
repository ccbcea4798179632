"""When machine code does the work and when numpy does, without anything being compiled here; and what is kept of it, and believed."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyperfed import compiled
from hyperfed.compiled import interface, keeping

pytestmark = pytest.mark.unit


class Process:
    """A build that goes on until it is told to end."""

    def __init__(self) -> None:
        self.ended: int | None = None

    def poll(self) -> int | None:
        return self.ended


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A process that has looked for nothing yet. asked: how often a build was looked for; found: what is there; begun: the builds that were begun."""
    told = SimpleNamespace(asked=0, found=None, begun=[], numba=True)

    def load() -> Any:
        told.asked += 1
        if isinstance(told.found, Exception):
            raise told.found
        return told.found

    def popen(command: list[str], **_: Any) -> Process:
        told.begun.append(Process())
        told.command = command
        return told.begun[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(compiled, "import_module", lambda _: SimpleNamespace(load=load))
    monkeypatch.setattr(compiled, "find_spec", lambda _: told.numba or None)
    monkeypatch.setattr(compiled.subprocess, "Popen", popen)
    monkeypatch.setattr(compiled, "_state", compiled._State())
    monkeypatch.delenv("HYPERFED_COMPILED", raising=False)
    return told


def test_machine_code_is_for_large_ranges_and_loaded_once(machine: SimpleNamespace) -> None:
    machine.found = "the loops"
    assert compiled.machine_code(compiled.ROWS - 1) is None
    assert machine.asked == 0
    assert [compiled.machine_code(rows) for rows in (compiled.ROWS, compiled.ROWS, compiled.FEW)] == ["the loops"] * 3
    assert compiled.machine_code(compiled.FEW - 1) is None
    assert (machine.asked, machine.begun) == (1, [])


def test_it_can_be_switched_off(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.found = "the loops"
    monkeypatch.setenv("HYPERFED_COMPILED", "0")
    assert compiled.machine_code(1 << 30) is None
    compiled.load_kept()
    assert (machine.asked, compiled.loaded()) == (0, None)


def test_numpy_works_while_machine_code_is_made_and_no_longer(machine: SimpleNamespace) -> None:
    assert [compiled.machine_code(1 << 30) for _ in range(3)] == [None] * 3
    assert (len(machine.begun), machine.asked) == (1, 1)
    assert machine.command[1:] == ["-P", "-m", "hyperfed.compiled.build"]
    machine.found, machine.begun[0].ended = "the loops", 0
    assert compiled.machine_code(compiled.ROWS - 1) is None  # not for a small range alone
    assert [compiled.machine_code(1 << 30) for _ in range(2)] == ["the loops"] * 2
    assert (len(machine.begun), machine.asked) == (1, 2)


def test_a_build_that_fails_is_not_begun_again(machine: SimpleNamespace) -> None:
    assert compiled.machine_code(1 << 30) is None
    machine.begun[0].ended = 1
    assert [compiled.machine_code(1 << 30) for _ in range(3)] == [None] * 3
    assert (len(machine.begun), machine.asked) == (1, 2)


def test_numpy_does_the_work_where_no_build_can_be_begun(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(compiled.subprocess, "Popen", refused)
    assert [compiled.machine_code(1 << 30) for _ in range(2)] == [None, None]
    assert machine.asked == 1


@pytest.mark.parametrize("reason", [ModuleNotFoundError("No module named 'llvmlite'"), RuntimeError("not an object file"), OSError("libllvmlite.so")])
def test_numpy_does_the_work_where_llvmlite_is_missing_or_does_not_fit(machine: SimpleNamespace, reason: Exception) -> None:
    machine.found, machine.numba = reason, False
    assert [compiled.machine_code(1 << 30) for _ in range(2)] == [None, None]
    assert (machine.asked, machine.begun) == (1, [])  # it is not tried again, and nothing can be made


def test_neither_numba_nor_llvmlite_is_imported_with_hyperfed() -> None:
    code = "import sys, hyperfed.reconciler, hyperfed.cli, hyperfed.codec; sys.exit(bool({'numba', 'llvmlite'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders that machine code is kept in, the first one beside the package."""
    both = (tmp_path / "beside", tmp_path / "cache" / "hyperfed")
    monkeypatch.setattr(keeping, "_folders", lambda: iter(both))
    return both


def test_what_is_kept_is_found_whole(folders: tuple[Path, Path]) -> None:
    assert keeping.find("loops-1.bin") is None
    assert keeping.keep("loops-1.bin", b"code") == folders[0] / "loops-1.bin"
    assert (keeping.find("loops-1.bin"), keeping.find("loops-2.bin")) == (b"code", None)
    assert [path.name for path in folders[0].iterdir()] == ["loops-1.bin"]


def test_where_the_package_may_not_be_written_the_cache_is_used(folders: tuple[Path, Path]) -> None:
    folders[0].write_text("a file where the folder would be")
    assert keeping.keep("loops-1.bin", b"code") == folders[1] / "loops-1.bin"
    assert keeping.find("loops-1.bin") == b"code"
    folders[1].joinpath("loops-1.bin").unlink()
    folders[1].rmdir()
    folders[1].write_text("another one")
    assert keeping.keep("loops-1.bin", b"code") is None


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_code_that_others_may_write_is_not_run(folders: tuple[Path, Path], mode: int) -> None:
    keeping.keep("loops-1.bin", b"code")
    folders[0].joinpath("loops-1.bin").chmod(mode)
    assert keeping.find("loops-1.bin") is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_code_of_somebody_else_is_not_run(folders: tuple[Path, Path]) -> None:
    keeping.keep("loops-1.bin", b"code")
    os.chown(folders[0] / "loops-1.bin", 4711, -1)
    assert keeping.find("loops-1.bin") is None


def test_another_build_under_this_ones_name_is_not_run(folders: tuple[Path, Path]) -> None:
    keeping.keep("loops-1.bin", b"code")
    folders[0].joinpath("loops-1.bin").rename(folders[0] / "loops-2.bin")
    assert keeping.find("loops-2.bin") is None
    folders[0].joinpath("loops-2.bin").rename(folders[0] / "loops-1.bin")
    assert keeping.find("loops-1.bin") == b"code"


def test_a_build_is_named_after_all_it_follows_from(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {keeping.name_of(compiler, processor) for compiler in ("llvmlite 1", "llvmlite 2") for processor in ("zen +avx2", "zen")}
    monkeypatch.setattr(keeping, "sources_digest", lambda: b"other loops")
    assert len(names | {keeping.name_of("llvmlite 1", "zen")}) == 5


def test_every_loop_has_a_signature_in_c() -> None:
    assert interface.c_type("PqdP") == "int64_t(*)(void *, int64_t, double, void *)"
    assert all(set(kinds) <= set("Pqd") for kinds in interface.SIGNATURES.values())
