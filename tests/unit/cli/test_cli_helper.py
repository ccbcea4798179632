"""`hyperfed registry helpers` drafts who helps, and `hyperfed helper night` says who is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation

HELPERS = [f"--helper=site-0{n}" for n in (1, 2, 3, 4)]


@pytest.fixture
def federation(tmp_path: Path) -> SmallFederation:
    (tmp_path / "box").mkdir()
    return SmallFederation(clients=8, store=FilesystemStore(tmp_path / "box"))


def run(federation: SmallFederation, tmp_path: Path, *args: str) -> tuple[int, Any]:
    where = [f"--store=file://{tmp_path / 'box'}", f"--fingerprint={federation.fingerprint}"]
    done = CliRunner().invoke(app, [*args, *where, "--json"])
    return done.exit_code, json.loads(done.output)


def test_a_draft_names_helpers_their_first_rounds_and_blocks(
    federation: SmallFederation, tmp_path: Path
) -> None:
    code, said = run(
        federation,
        tmp_path,
        "registry",
        "helpers",
        *HELPERS[:3],
        "--helper=site-04@9",
        "--block=site-07,site-06,site-05",
        f"--out={tmp_path / 'next.draft'}",
    )
    assert code == 0, said
    rules = said["secure_sums"]
    assert [one["first_round"] for one in rules["helpers"]] == [1, 1, 1, 9]
    assert rules["blocks"] == [["site-05", "site-06", "site-07"]]


def test_rounds_with_noise_in_shares_need_no_blocks(
    federation: SmallFederation, tmp_path: Path
) -> None:
    out = f"--out={tmp_path / 'next.draft'}"
    code, said = run(federation, tmp_path, "registry", "helpers", *HELPERS, out)
    assert code == 0, said
    assert said["secure_sums"]["blocks"] == []


def test_helpers_whose_answers_nobody_can_check_are_told(
    federation: SmallFederation, tmp_path: Path
) -> None:
    where = [f"--store=file://{tmp_path / 'box'}", f"--fingerprint={federation.fingerprint}"]
    five = [*HELPERS, "--helper=site-05", "--block=site-06,site-07,site-08"]
    said = {}
    for colluding in (1, 2):
        out = f"--out={tmp_path / f'{colluding}.draft'}"
        args = ["registry", "helpers", *five, f"--colluding={colluding}", out, *where]
        done = CliRunner().invoke(app, args)
        assert done.exit_code == 0, done.output
        said[colluding] = " ".join(done.stderr.split())
    assert "cannot be checked" in said[2]
    assert "cannot be checked" not in said[1]


def test_what_hides_nobody_is_no_draft(federation: SmallFederation, tmp_path: Path) -> None:
    out = tmp_path / "next.draft"
    args = ("registry", "helpers", *HELPERS, "--block=site-05,site-06", f"--out={out}")
    code, said = run(federation, tmp_path, *args)
    assert code
    assert "2 organisations; 3 are needed" in json.dumps(said)
    assert not out.exists()


def test_a_client_that_is_no_helper_is_told_so(federation: SmallFederation, tmp_path: Path) -> None:
    federation.keys["site-05"].save(tmp_path / "site-05.key")
    who = ("--client-id=site-05", f"--key={tmp_path / 'site-05.key'}")
    code, said = run(federation, tmp_path, "helper", "night", *who)
    assert code
    assert "R-168" in json.dumps(said)
