"""`hyperfed round` with the real flows: opened, run, run again, below quorum, and without blocks."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.testing.federation import SmallFederation


def _run(*args: str) -> tuple[int, Any]:
    ran = CliRunner().invoke(app, ["round", *args, "--json"])
    assert isinstance(ran.exception, SystemExit | None), ran.exc_info
    return ran.exit_code, json.loads(ran.stdout)


@pytest.mark.slow
def test_a_round_by_the_operators_hand(found: Callable[..., tuple[SmallFederation, str]]) -> None:
    federation, name = found(clients=3)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    opens, night = (f"{moment:%Y-%m-%dT%H:%M:%S}+0000" for moment in (federation.opens(1), federation.night(1)))
    code, opened = _run("open", "1", *blocks, "--now", opens)
    assert (code, opened["round"], opened["cohort"], opened["quorum"]) == (0, 1, 3, 2)
    federation.submit("site-01", now=federation.night(1) - timedelta(hours=1))
    objects = federation.decided()
    code, below = _run("run", "1", *blocks, "--delay", "0", "--now", night)
    assert (code, below["error"]["kind"]) == (4, "QuorumMissed")
    assert federation.decided() == objects
    federation.submit("site-02", now=federation.night(1) - timedelta(hours=1))
    code, ran = _run("run", "1", *blocks, "--delay", "0", "--now", night)
    assert (code, ran["outcome"], ran["counted"]) == (0, "committed", 2)
    decided = federation.decided()
    assert _run("run", "1", *blocks, "--delay", "0", "--now", night)[0] == 0
    assert federation.decided() == decided


@pytest.mark.slow
def test_a_round_without_a_result_is_a_failure(found: Callable[..., tuple[SmallFederation, str]]) -> None:
    federation, name = found(clients=3)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    code, ran = _run("run", "1", *blocks, "--delay", "0", "--now", f"{federation.night(3):%Y-%m-%dT%H:%M:%S}+0000")  # past its close_by, nobody there
    assert (code, ran["ok"], ran["outcome"]) == (1, False, "void")


@pytest.mark.slow
def test_without_blocks_it_says_which_are_missing(prefect_harness: None) -> None:
    code, said = _run("open", "1", "--drop-box", "nobody-saved-this")
    assert code == 2
    assert "nobody-saved-this" in said["error"]["problem"]
    assert "--drop-box" in said["error"]["remedy"]
