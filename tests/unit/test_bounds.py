"""The locks say what pyproject.toml allows, one at its upper end and one at its lower."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-lowest.lock")


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        r
        for group in (project["dependencies"], *project["optional-dependencies"].values())
        for r in group
    ]


def pinned(lock: str) -> dict[str, set[tuple[int, ...]]]:
    """name -> the versions that this lock has of it, one for each range of Pythons."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for name, version in re.findall(
        r"^([a-z0-9-]+)==([0-9.]+)", (ROOT / lock).read_text(), re.MULTILINE
    ):
        found.setdefault(name, set()).add(numbers(version))
    return found


def numbers(version: str) -> tuple[int, ...]:
    """Without zeros at the end: 3.9 is 3.9.0."""
    return tuple(int(part) for part in re.sub(r"(\.0)+$", "", version.rstrip(".")).split("."))


def test_every_dependency_has_a_lower_bound_and_none_is_nailed_to_one_version() -> None:
    assert [r for r in requirements() if "==" in r or ">=" not in r] == []


def test_the_lowest_lock_has_exactly_the_lower_bounds() -> None:
    said = subprocess.run(
        [sys.executable, "scripts/lowest_versions.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    lowest, lock = (
        [line.split("==") for line in said.splitlines()],
        pinned("requirements-lowest.lock"),
    )
    assert {name.lower() for name, _ in lowest} == {
        re.split(r"[\[>]", r)[0].lower() for r in requirements()
    }
    assert {name: lock[name.lower()] for name, _ in lowest} == {
        name: {numbers(version)} for name, version in lowest
    }


def test_the_lock_lies_within_the_bounds() -> None:
    lock = pinned("requirements.lock")
    for requirement in requirements():
        name = re.split(r"[\[>]", requirement)[0].lower()
        lower, upper = (
            re.search(r">=([0-9.]+)", requirement),
            re.search(r",<([0-9.]+)", requirement),
        )
        assert lower is not None
        assert all(numbers(lower[1]) <= version for version in lock[name]), requirement
        assert upper is None or all(version < numbers(upper[1]) for version in lock[name]), (
            requirement
        )


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_every_package_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)  # an option of pip's, such as where to look
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
