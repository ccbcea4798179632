"""What a coordinator has shown of a private round, and what it shows next."""

from dataclasses import replace
from pathlib import Path

import pytest

from hyperfed.coordinator.release_marks import ReleaseMark, ReleaseMarks
from hyperfed.errors import ConfigError, RoundError

MARK = ReleaseMark(round=4, freeze="aa", noise="bb", sums="cc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "shown.json"


@pytest.mark.parametrize("kept", [True, False])
def test_one_value_may_be_shown_again_and_another_may_not(path: Path, kept: bool) -> None:
    marks = ReleaseMarks(path if kept else None)
    marks.note(MARK)
    marks.note(MARK)
    for other in ({"sums": "dd"}, {"noise": "dd"}, {"freeze": "dd"}):
        again = ReleaseMarks(path) if kept else marks
        with pytest.raises(RoundError, match="another value of this round was shown before"):
            again.note(replace(MARK, **other))
    marks.note(replace(MARK, round=5, sums="dd"))


def test_a_mark_that_is_there_is_not_written_again(path: Path) -> None:
    ReleaseMarks(path).note(MARK)
    before = path.stat().st_ino
    ReleaseMarks(path).note(MARK)
    assert path.stat().st_ino == before
    ReleaseMarks(path).note(replace(MARK, round=5))
    assert path.stat().st_ino != before


def test_noise_that_cannot_be_drawn_again_is_shown_once(path: Path) -> None:
    ReleaseMarks(path).note(replace(MARK, noise=""))
    with pytest.raises(RoundError, match="R-110"):
        ReleaseMarks(path).note(replace(MARK, noise=""))


def test_a_mark_that_cannot_be_kept_stops_the_release(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="HYPERFED_STATE"):
        ReleaseMarks(tmp_path / "file" / "shown.json").note(MARK)


@pytest.mark.parametrize(
    "content", ["", "{}", '[{"round": 1}]', '[{"round":"1","freeze":"","noise":"","sums":""}]']
)
def test_a_broken_file_is_an_error_and_stays(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigError, match="does not say what this coordinator has shown"):
        ReleaseMarks(path).note(MARK)
    assert path.read_text() == content


def test_its_place_is_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERFED_STATE", str(tmp_path / "own"))
    ReleaseMarks.in_state("print").note(MARK)
    ReleaseMarks.in_state("other").note(replace(MARK, sums="dd"))
    assert len(list((tmp_path / "own").glob("shown-*.json"))) == 2
    monkeypatch.delenv("HYPERFED_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    ReleaseMarks.in_state("print").note(MARK)
    assert list((tmp_path / "xdg" / "hyperfed").glob("shown-*.json"))
    ReleaseMarks.in_state(None).note(MARK)
    ReleaseMarks.in_state(None).note(replace(MARK, sums="dd"))
