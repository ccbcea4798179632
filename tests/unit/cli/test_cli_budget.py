"""`hyperfed budget` and `hyperfed budget plan`: the numbers of the ledger, and plain words about too few clients."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hyperfed.adapters.filesystem import FilesystemStore
from hyperfed.cli.app import app
from hyperfed.packets import PolicyPack
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def box(folder: Path) -> FilesystemStore:
    (folder / "box").mkdir()
    return FilesystemStore(folder / "box")


def asked(*args: str) -> tuple[int, dict]:
    result = CliRunner().invoke(app, [*args, "--json"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), json.loads(result.output)


def test_a_ledger_with_two_private_nights_is_added_up(tmp_path: Path) -> None:
    fed = SmallFederation(store=box(tmp_path), policy=PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1))
    fed.play(1)
    fed.play(2, but=())
    code, said = asked("budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint)
    assert code == 0
    assert (said["composition"], said["nights_left"], said["nights_left_if_continuous"]) == ("rdp", 56, 65)
    assert [(r["round"], r["epsilon"], r["delta"], r["noise"]) for r in said["rounds"]] == [
        (1, "1.0926", "0.00001", "3.731"),
        (2, "1.0926", "0.00001", "3.731"),
    ]
    assert said["spent"]["share"] == pytest.approx(2 / 58.9, abs=1e-3)
    assert said["left_share"] == pytest.approx(1 - said["spent"]["share"])


def test_a_ledger_without_noise_has_spent_nothing(tmp_path: Path) -> None:
    fed = SmallFederation(store=box(tmp_path))
    fed.play(1)
    _, said = asked("budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint)
    assert (said["composition"], said["rounds"], said["nights_left"]) == ("nothing spent", [], None)


YEAR = ("budget", "plan", "--nights", "365", "--epsilon", "10", "--delta", "1e-4", "--clip", "1", "--variables", "4")


def test_twenty_hospitals_at_client_level_are_told_that_it_is_useless() -> None:
    code, said = asked(*YEAR, "--clients", "20")
    assert code == 1
    assert not said["useful"]
    assert said["verdict"].startswith("Useless: with 20 clients the noise hides everything")
    assert (round(said["multiplier"], 2), round(said["multiplier_pld"], 2)) == (9.29, 8.70)


def test_two_hundred_clients_see_something_and_records_of_twenty_do() -> None:
    assert asked(*YEAR, "--clients", "200")[1]["useful"]
    code, said = asked(*YEAR, "--clients", "20", "--record-bound", "0.02")
    assert code == 0
    assert said["useful"]


def test_local_noise_needs_many_more() -> None:
    central, local = (asked(*YEAR, "--clients", "200", "--place", place)[1] for place in ("central", "local"))
    assert local["clients_for_one_edge"] > 20 * central["clients_for_one_edge"]


@pytest.mark.parametrize("bad", [("--epsilon", "0"), ("--epsilon", "nan"), ("--delta", "-1"), ("--clients", "0"), ("--nights", "0")])
def test_numbers_that_are_none_are_refused(bad: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, [*YEAR, "--clients", "20", *bad], standalone_mode=False)
    assert result.exception is not None
