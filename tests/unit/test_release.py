"""`make release`: builds that differ are told by their members, what is no release yet is a
rehearsal elsewhere, and the check of a wheel finds a wheel that is wrong.
"""

import hashlib
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hyperfed.coordinator.runner import Stage
from hyperfed.protocol.machine import Why

ROOT = Path(__file__).parents[2]
MAKE: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "release" / "make.py"))
CHECK: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "release" / "check.py"))

pytestmark = pytest.mark.unit


def wheel(path: Path, files: dict[str, bytes], *, year: int = 2026, mode: int = 0o644) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"files": {"a.py": b"1", "b.py": b"2"}}, []),
        ({"files": {"a.py": b"1", "b.py": b"3"}}, ["x.whl: b.py"]),
        ({"files": {"a.py": b"1", "b.py": b"2"}, "year": 2027}, ["x.whl: a.py, b.py"]),
        ({"files": {"a.py": b"1", "b.py": b"2"}, "mode": 0o600}, ["x.whl: a.py, b.py"]),
        ({"files": {"b.py": b"2", "a.py": b"1"}}, ["x.whl: their order or compression"]),
    ],
)
def test_two_builds_that_differ_are_told_by_member(
    tmp_path: Path, other: dict[str, Any], told: list[str]
) -> None:
    one = {"x.whl": wheel(tmp_path / "one" / "x.whl", {"a.py": b"1", "b.py": b"2"})}
    two = {"x.whl": wheel(tmp_path / "two" / "x.whl", **other)}
    assert MAKE["differences"](one, two) == told


def test_a_build_that_made_another_file_is_told(tmp_path: Path) -> None:
    one = {"x.whl": wheel(tmp_path / "x.whl", {})}
    assert MAKE["differences"](one, {})[0].startswith("the builds made ['x.whl'] and []")


def test_sums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    MAKE["write_sums"](tmp_path)
    MAKE["write_sums"](tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in (("a", b"1"), ("b", b"2"))
    )


def test_a_changed_folder_and_a_version_without_a_section_are_rehearsed_and_their_twin_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever runs it could publish what no commit or no changelog knows."""
    inside = MAKE["missing_for_a_release"].__globals__
    monkeypatch.setitem(inside, "ROOT", tmp_path)
    monkeypatch.setitem(inside, "run", lambda *_, **__: " M src/hyperfed/errors.py\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n")
    changed, unknown = MAKE["missing_for_a_release"]()
    assert changed.startswith("the checkout has changes")
    assert unknown == "CHANGELOG.md has no section '## [1.2.0]': write it before you tag 1.2.0"
    monkeypatch.setitem(inside, "run", lambda *_, **__: "")
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.0] - 2027-01-01\n")
    assert MAKE["missing_for_a_release"]() == []


@pytest.mark.parametrize(("missing", "folder"), [(["a section"], "rehearsal"), ([], "release")])
def test_what_is_no_release_does_not_lie_where_releases_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    missing: list[str],
    folder: str,
) -> None:
    inside = MAKE["release"].__globals__
    built = wheel(tmp_path / "built" / "hyperfed-1.2.0-py3-none-any.whl", {"a.py": b"1"})
    for name, answer in {
        "missing_for_a_release": missing,
        "run": "0123456789abcdef\n",
        "settings": {},
        "build_twice": {built.name: built},
        "check_wheel": {"3.11": sys.executable},
        "environment_with": Path(sys.executable),
        "version_of": "1.2.0",
    }.items():
        monkeypatch.setitem(inside, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setitem(inside, "describe", lambda _, out, *__: out.write_text("{}"))
    monkeypatch.setitem(inside, "ROOT", tmp_path)
    monkeypatch.setitem(inside, "OUT", tmp_path / "dist")
    MAKE["release"]()
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [folder]
    assert sorted(path.name for path in (tmp_path / "dist" / folder).iterdir()) == [
        "SHA256SUMS",
        "hyperfed-1.2.0-client.cdx.json",
        "hyperfed-1.2.0-coordinator.cdx.json",
        built.name,
    ]
    last = capsys.readouterr().out.splitlines()[-1]
    assert (last == "release: a rehearsal, not a release: a section") == bool(missing)


def test_the_check_plays_a_round_and_wants_what_an_earlier_version_left() -> None:
    CHECK["check_round"]()
    about: dict[str, Any] = {
        "rounds": {},
        "finished": {},
        "own_receipts": 4,
        "stages": {"frozen": 9},
    }
    make = {
        "left": lambda *_: None,
        "said": lambda *_: about["rounds"],
        "finished": lambda *_: Stage(
            round=2, why=Why.BELOW_QUORUM, counted=0, refused=0, result=b""
        ),
    }
    with pytest.raises(SystemExit, match="sums, left frozen: its rounds say otherwise"):
        CHECK["check_drop_box"]("sums", "frozen", about, make | {"said": lambda *_: {"1": "no"}})
    with pytest.raises(SystemExit, match="sums, left frozen: its last round is below quorum"):
        CHECK["check_drop_box"]("sums", "frozen", about, make)
    with pytest.raises(SystemExit, match="without an account of its noise"):
        CHECK["check_refused"]("private", "left", about, make)


def test_the_checks_package_must_be_installed_and_bring_no_prefect() -> None:
    """Here it is an editable install beside Prefect, which is just what a release may not be."""
    with pytest.raises(SystemExit, match="is not installed"):
        CHECK["check_package"]()


@pytest.mark.slow
def test_a_commit_is_built_twice_to_the_same_bytes(tmp_path: Path) -> None:
    files = MAKE["build_twice"]("HEAD", tmp_path)
    (built,) = [path for name, path in files.items() if name.endswith(".whl")]
    (source,) = [path for name, path in files.items() if name.endswith(".tar.gz")]
    tracked = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "src/hyperfed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    with zipfile.ZipFile(built) as archive:
        packaged = {name for name in archive.namelist() if name.startswith("hyperfed/")}
    assert packaged == {name.removeprefix("src/") for name in tracked}
    with tarfile.open(source) as archive:
        assert any(name.endswith("/pyproject.toml") for name in archive.getnames())


@pytest.mark.slow
def test_a_build_that_depends_on_its_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = MAKE["build_twice"].__globals__
    unpack = inside["unpack"]

    def with_a_path(commit: str, folder: Path, umask: int) -> None:
        unpack(commit, folder, umask)
        (folder / "src" / "hyperfed" / "built.py").write_text(f"WHERE = {str(folder)!r}\n")

    monkeypatch.setitem(inside, "unpack", with_a_path)
    with pytest.raises(MAKE["Refused"], match=r"differ: .*hyperfed/built\.py"):
        MAKE["build_twice"]("HEAD", tmp_path)


def test_a_python_that_is_not_there_is_none() -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    assert MAKE["find_python"](here) is not None
    assert MAKE["find_python"]("3.4") is None
