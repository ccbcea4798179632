"""Machine code is kept only where nobody but this user and root can put any."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hyperfed.kernels import keeping as m

pytestmark = pytest.mark.unit
SOMEBODY_ELSE = 4711
only_root_gives_away = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give a file away"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that HYPERFED_CACHE names, which is not there yet."""
    monkeypatch.setenv("HYPERFED_CACHE", str(tmp_path / "of mine" / "cache"))
    return tmp_path / "of mine" / "cache"


def refusal(caplog: pytest.LogCaptureFixture) -> str:
    """Why no folder is named, as the log says it."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert m.code_folder("compiler 1") is None
    (record,) = caplog.records
    assert "HYPERFED_CACHE" in record.getMessage()
    return record.getMessage()


def test_the_folder_is_made_for_this_user_alone(cache: Path) -> None:
    before = os.umask(0)
    try:
        folder = m.code_folder("compiler 1")
    finally:
        os.umask(before)
    assert folder is not None
    assert folder.parent == cache
    for made in (folder, cache, cache.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert m.code_folder("compiler 1") == folder


def test_another_compiler_or_other_sources_have_another_folder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = m.code_folder("compiler 1")
    assert m.code_folder("compiler 2") != folder
    other = tmp_path / "config.py"
    other.write_text("MAX_EFFECT = 1")
    monkeypatch.setattr(m, "_CONFIG", other)
    assert m.code_folder("compiler 1") not in (None, folder)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o720])
def test_a_folder_that_others_have_rights_to_is_refused(
    cache: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = m.code_folder("compiler 1")
    assert folder is not None
    folder.chmod(mode)
    assert f"chmod 700 {folder}" in refusal(caplog)
    folder.chmod(0o700)
    assert m.code_folder("compiler 1") == folder


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_above_that_others_may_write_to_is_refused(
    cache: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir()
    cache.parent.chmod(mode)
    assert f"others may write to {cache.parent}" in refusal(caplog)
    cache.parent.chmod(mode | stat.S_ISVTX)  # as /tmp
    assert m.code_folder("compiler 1") is not None


@only_root_gives_away
@pytest.mark.parametrize("whose", ["folder", "above", "link"])
def test_what_belongs_to_somebody_else_is_refused(
    cache: Path, tmp_path: Path, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = m.code_folder("compiler 1")
    assert folder is not None
    theirs = {"folder": folder, "above": cache.parent, "link": tmp_path / "link"}[whose]
    if whose == "link":
        theirs.symlink_to(cache)
        os.environ["HYPERFED_CACHE"] = str(theirs)
        assert m.code_folder("compiler 1") == theirs / folder.name  # a link of one's own
    os.chown(theirs, SOMEBODY_ELSE, -1, follow_symlinks=False)
    assert f"{theirs} belongs to somebody else" in refusal(caplog)


@pytest.mark.parametrize("relative", [False, True])
def test_what_a_link_leads_through_is_looked_at_too(
    cache: Path, tmp_path: Path, relative: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is sound, and so is the link; a folder that it leads through is not."""
    cache.mkdir(parents=True, mode=0o700)
    weak = tmp_path / "weak"
    weak.mkdir()
    (weak / "inner").symlink_to(cache)
    link = tmp_path / "link"
    link.symlink_to("weak/inner" if relative else weak / "inner")
    os.environ["HYPERFED_CACHE"] = str(link)
    weak.chmod(0o777)
    assert f"others may write to {weak}" in refusal(caplog)
    weak.chmod(0o755)
    assert m.code_folder("compiler 1") is not None


def test_a_link_in_the_folders_place_is_refused(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = m.code_folder("compiler 1")
    assert folder is not None
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "it is no folder" in refusal(caplog)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "in circles" in m._weak_way(tmp_path / "a" / "cache", 5)


def test_where_no_folder_can_be_made_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HYPERFED_CACHE", "/proc/1/cache")  # nobody, not even root, makes it
    assert "cannot be kept in /proc/1/cache" in refusal(caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_not_be_written_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HYPERFED_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refusal(caplog)
    finally:
        tmp_path.chmod(0o700)


def test_without_a_home_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(m, "cache_folder", lambda: None)
    assert "no home folder" in refusal(caplog)


@pytest.mark.parametrize(
    "setting",
    [
        {"HYPERFED_CACHE": "/proc/1/cache"},
        {"HOME": "/proc/1", "XDG_CACHE_HOME": ""},
        {"HOME": "nowhere"},
    ],
    ids=["nowhere to write", "a home that may not be written", "no home"],
)
def test_a_merge_is_worked_on_by_numpy_then_and_numba_is_not_imported(
    setting: dict[str, str],
) -> None:
    code = (
        "import sys; from hyperfed import kernels; kernels.prepare(1 << 40); "
        "sys.exit(kernels.machine_code() is not None or 'numba' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("HYPERFED_CACHE", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment | setting, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
