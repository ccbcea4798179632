"""`scripts/test-pythons.sh`: which Pythons it finds and runs, with which numpy, and that one
failing run is a failure.

Interpreters, uv and set-up are stand-ins: what is tested is the script.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
TOOLS = (
    "bash",
    "cat",
    "cp",
    "dirname",
    "grep",
    "mkdir",
    "printf",
    "rm",
    "sed",
    "sort",
    "tail",
    "wc",
)
PYTHON = """#!/bin/bash
case "$1 ${{2:-}}" in
    "-c import sys"*) echo {version} ;;
    "-c import numpy"*) echo {numpy} ;;
    "-m pytest")
        echo "$0 $*" >>"$CALLS"
        echo "tests of {version} ran"
        [ "{version}" != "${{FAILS:-}}" ]
        ;;
    "scripts/pip_settings.py "* | "-m mypy") ;;
    *) exit 1 ;;
esac
"""
SET_UP = """#!/bin/bash
mkdir -p "$HYPERFED_VENV/bin"
cp "$PYTHON" "$HYPERFED_VENV/bin/python"
cp "$UV" "$HYPERFED_VENV/bin/uv"
"""
UV = """#!/bin/bash
case "$*" in
    "python find "*3.13) echo "${UV_HAS:-}" ;;
    "python find "*) exit 1 ;;
    "pip freeze "*) printf 'numba==1\\nnumpy==2.5.5\\n' ;;
    *--dry-run*) [ -z "${NEWER:-}" ] || printf ' - numpy==2.5.5\\n + numpy==%s\\n' "$NEWER" ;;
    "pip install --quiet "*) echo "uv $*" >>"$CALLS" ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    folder: Path
    bin: Path

    def add(self, path: Path, version: str) -> Path:
        """Put an interpreter somewhere."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PYTHON.format(version=version, numpy="2.5.5"))
        path.chmod(0o755)
        return path

    def run(self, **env: str) -> tuple[int, list[str], list[str]]:
        """(exit code, what it said, the test runs and installations that it made)."""
        calls = self.folder / "calls"
        calls.write_text("")
        own = {
            "PATH": str(self.bin),
            "HOME": str(self.folder / "home"),
            "CALLS": str(calls),
            "UV": str(self.folder / "uv"),
        }
        ran = subprocess.run(
            ["bash", str(self.folder / "scripts" / "test-pythons.sh")],
            env=own | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return ran.returncode, ran.stdout.splitlines(), calls.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder, bin_ = tmp_path / "checkout", tmp_path / "bin"
    (folder / "scripts").mkdir(parents=True)
    bin_.mkdir()
    shutil.copy(SCRIPTS / "test-pythons.sh", folder / "scripts")
    for path, text in ((folder / "scripts" / "setup-venv.sh", SET_UP), (folder / "uv", UV)):
        path.write_text(text)
        path.chmod(0o755)
    for tool in TOOLS:
        found = shutil.which(tool)
        if found is not None:
            (bin_ / tool).symlink_to(found)
    here = Checkout(folder, bin_)
    here.add(folder / ".venv" / "bin" / "python", "3.11.7")
    shutil.copy(folder / "uv", folder / ".venv" / "bin" / "uv")
    here.add(folder / "home" / ".pyenv" / "versions" / "3.11.7" / "bin" / "python", "3.11.7")
    return here


def ran(calls: list[str]) -> list[str]:
    """The environments in which tests ran, in the order of their names."""
    return sorted(
        call.split()[0].removesuffix("/bin/python") for call in calls if " -m pytest " in call
    )


def test_it_finds_them_with_pyenv_on_the_path_and_with_uv(
    checkout: Checkout, tmp_path: Path
) -> None:
    for version in ("3.12.9", "3.12.11"):
        checkout.add(
            checkout.folder / "home" / ".pyenv" / "versions" / version / "bin" / "python", version
        )
    elsewhere = checkout.add(tmp_path / "uvs" / "python", "3.13.2")
    code, said, calls = checkout.run(UV_HAS=str(elsewhere))
    assert code == 0
    assert ran(calls) == [".pythons/3.12", ".pythons/3.13"]
    assert "pythons: 3.12.11: passed" in said, "the newest"
    assert "pythons: 3.13.2: passed" in said
    assert "pythons: 3.11 is .venv's 3.11.7: `make test` has run it with the lock" in said


def test_one_that_cannot_be_had_is_said_and_no_failure(checkout: Checkout) -> None:
    checkout.add(checkout.bin / "python3.12", "3.12.3")
    checkout.add(checkout.bin / "python3.13", "3.12.3")  # a name is not enough
    code, said, calls = checkout.run()
    assert (code, ran(calls)) == (0, [".pythons/3.12"])
    assert "pythons: 3.13 could not be had" in said


def test_what_fails_on_one_fails_all_and_is_shown(checkout: Checkout) -> None:
    for minor in (12, 13):
        checkout.add(checkout.bin / f"python3.{minor}", f"3.{minor}.1")
    code, said, calls = checkout.run(FAILS="3.12.1")
    assert (code, ran(calls)) == (1, [".pythons/3.12", ".pythons/3.13"])
    assert {"pythons: 3.12.1: FAILED", "tests of 3.12.1 ran", "pythons: 3.13.1: passed"} <= set(
        said
    )


def test_with_a_newer_numpy_than_the_locks_the_newest_python_runs_again(checkout: Checkout) -> None:
    checkout.add(checkout.bin / "python3.12", "3.12.3")
    assert "pythons: 3.12: the lock's numpy 2.5.5 is the newest there" in checkout.run()[1]
    code, said, calls = checkout.run(NEWER="2.6.0")
    assert code == 0
    assert ran(calls) == [".pythons/3.12", ".pythons/3.12-numpy"]
    installed = [call for call in calls if call.startswith("uv ")]
    assert [call.split()[-1] for call in installed] == ["numpy==2.6.0"]
    assert "pythons: 3.12.3-numpy-2.6.0: passed" in said
