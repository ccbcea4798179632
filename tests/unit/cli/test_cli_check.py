"""`hyperfed check store`: a good share passes and keeps nothing, a bad one is told by its rule."""

import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Desk


def test_a_share_that_is_fit_passes_and_nothing_is_left(desk: Desk) -> None:
    Path("share").mkdir()
    (Path("share") / "mine").write_text("mine")
    said = desk.ok("check", "store", "file:share")
    assert len(said["rules"]) > 20
    assert all(rule["good"] for rule in said["rules"])
    assert sorted(p.name for p in Path("share").rglob("*")) == ["mine", "probe"]


def test_a_share_that_shows_half_objects_is_told_by_its_rule(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store would that writes under the object's own name and overwrites."""
    link = os.link

    def overwriting(source: str, name: str, *, dst_dir_fd: int, follow_symlinks: bool) -> None:
        if name in os.listdir(dst_dir_fd):
            os.unlink(name, dir_fd=dst_dir_fd)
        link(source, name, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", overwriting)
    Path("share").mkdir()
    told = desk("check", "store", "file:share", "--json")
    assert told.code == 3
    assert "a second put is refused and changes nothing" in told.error["problem"]
    broken = {rule["rule"] for rule in told.json["rules"] if not rule["good"]}
    assert {"a second put is refused and changes nothing", "the probe passes"} <= broken


def test_what_cannot_be_reached_breaks_no_rule(desk: Desk) -> None:
    assert "no such folder" in desk.fails(2, "check", "store", "file:gone")["problem"]
    assert "[store] url is not set" in desk.fails(2, "check", "store")["problem"]


def test_a_relays_folder_is_checked_where_it_lies(desk: Desk) -> None:
    error = desk.fails(2, "check", "store", "grpc://relay.example.org:8443")
    assert "hyperfed check store file:///FOLDER" in error["remedy"]
