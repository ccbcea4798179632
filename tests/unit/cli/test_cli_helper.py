"""`hyperfed registry helpers` drafts who helps; `hyperfed helper` helps, or says why not."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.cli.invocation import Invocation
from hyperfed.client.helper_night import HelperNight
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.errors import RefusedError
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from tests.secure_night import HELPERS as HELPING
from tests.secure_night import SecureNight, series_csv, signed_plan

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


def test_roots_that_draw_blocks_anew_are_told_whom_old_and_new_sums_give_away(
    tmp_path: Path,
) -> None:
    """Three sums whose quorums share no honest helper: only the roots know all blocks (R-174)."""
    (tmp_path / "box").mkdir()
    fed = SmallFederation(clients=12, store=FilesystemStore(tmp_path / "box"))
    where = [f"--store=file://{tmp_path / 'box'}", f"--fingerprint={fed.fingerprint}"]
    one, p, q = "site-05", "site-06,site-07,site-08", "site-09,site-10,site-11"
    said = []
    for number, blocks in enumerate([[f"{one},{p},{q}"], [p], [q], [f"{one},{p},{q}"]]):
        out = tmp_path / f"{number}.draft"
        args = ["registry", "helpers", *HELPERS, *(f"--block={b}" for b in blocks), f"--out={out}"]
        done = CliRunner().invoke(app, [*args, *where])
        assert done.exit_code == 0, done.output
        said.append(" ".join(done.stderr.split()))
        signed = tuple(tuple(b.split(",")) for b in blocks)
        helpers = tuple(HelperRecord(client_id=f"site-0{n}") for n in range(1, 5))
        if number < 2:
            fed.amend(secure_sums=SecureSums(helpers=helpers, blocks=signed))
    assert [f"tell {one} apart" in text for text in said] == [False, False, True, False]


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


def test_a_refusal_ends_one_visit_with_1_and_stands_in_the_drop_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer's retry would help nothing, so the next visits end with 0 and still say why."""
    (tmp_path / "box").mkdir()
    night = SecureNight(store=FilesystemStore(tmp_path / "box"))
    fed = night.federation
    fed.keys["help-1"].save(tmp_path / "help-1.key")
    who = ("--client-id=help-1", f"--key={tmp_path / 'help-1.key'}")
    now = fed.opens(1) + timedelta(minutes=1)
    monkeypatch.setattr(Invocation, "now", property(lambda _: now))
    code, said = run(fed, tmp_path, "helper", "night", *who)
    assert (code, said["published"], said["told"]) == (0, [1, 2, 3], [])
    late = now + timedelta(days=99)
    assert fed.store.put_if_absent(Keys.plan(1), signed_plan(night, close_by=late))
    for code in (1, 0, 0):
        ended, said = run(fed, tmp_path, "helper", "night", *who)
        assert ended == code
        assert "R-198" in said["refused"]["1"]
        assert said["told"] == [1] * code
    plan = fed.reader().plan(1)
    assert plan is not None
    refusal = OpeningReader(fed.reader(), plan).refusal("help-1")
    assert refusal is not None
    assert refusal.manifest == plan.digest
    assert "helpers erase its keys" in refusal.reason


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("systemd", ("/hyperfed-helper.timer", ":05,20,35,50:00 UTC", " helper night --config ")),
        ("cron", ("5,20,35,50 * * * * ", " helper night --config ")),
        ("prefect", ("flows/helper_night.py:helper_night", 'cron: "5,20,35,50 * * * *"')),
    ],
)
def test_a_helper_comes_by_itself_every_quarter_of_an_hour(
    kind: str, lines: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "hyperfed.toml").write_text('[client]\nid = "help-1"\nkey = "help-1.key"\n')
    config = str(tmp_path / "hyperfed.toml")
    args = ["--config", config, "helper", "timer", f"--kind={kind}", "--json"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    text = json.loads(done.output)["text"]
    assert all(line in text for line in (*lines, config)), text
    assert "sleep" not in text
    assert "Restart" not in text, "the next visit is the retry"


def test_a_client_answers_a_helper_that_lies_by_the_command_and_everybody_reads_who_was_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "box").mkdir()
    night = SecureNight(store=FilesystemStore(tmp_path / "box"))
    fed = night.federation
    fed.keys["ward-1"].save(tmp_path / "ward-1.key")
    (tmp_path / "series.csv").write_text(series_csv(0))
    who = ("--client-id=ward-1", f"--key={tmp_path / 'ward-1.key'}")
    night.opens()
    now = fed.opens(1) + timedelta(hours=1)
    monkeypatch.setattr(Invocation, "now", property(lambda _: now))
    code, said = run(fed, tmp_path, "submit", "--series", f"--data={tmp_path / 'series.csv'}", *who)
    assert code == 0, said
    kept = tmp_path / "ward-1.memory.json.boxes.json"
    assert list(json.loads(kept.read_text())["1"]["keys"]) == list(HELPING)
    honest = HelperNight._seeds_of

    def lies(self: HelperNight, boxes: Any, openings: Any) -> Any:
        if self.helper == "help-2":
            raise RefusedError("its box does not open", subject="ward-1")
        return honest(self, boxes, openings)

    monkeypatch.setattr(HelperNight, "_seeds_of", lies)
    now = fed.night(1)
    night.visits(now=now)
    code, said = run(fed, tmp_path, "client", "rebut", "--round=1", *who)
    assert (code, [one["wrong"] for one in said["verdicts"]]) == (0, ["helper"])
    assert json.loads(kept.read_text()) == {}, "no other box can be opened any more"
    code, said = run(fed, tmp_path, "inspect", Keys.rebuttal(1, "ward-1"))
    assert code == 0, said
    assert "help-2: the helper was wrong" in json.dumps(said)
    code, said = run(fed, tmp_path, "client", "rebut", "--round=1", *who)
    assert code == 1
    assert "R-199" in json.dumps(said)


@pytest.mark.parametrize("who", ["site-04", "site-05"], ids=["a helper", "a block's client"])
def test_who_helps_or_stands_in_a_block_is_revoked_once_it_does_not(
    who: str, federation: SmallFederation, tmp_path: Path
) -> None:
    """The refusal (R-168) says which draft comes first, and then it is revoked."""
    helpers = tuple(HelperRecord(client_id=f"site-0{n}") for n in range(1, 5))
    blocks = (("site-05", "site-06", "site-07"),)
    federation.amend(secure_sums=SecureSums(helpers=helpers, blocks=blocks))
    draft = tmp_path / "next.draft"
    code, said = run(
        federation, tmp_path, "registry", "revoke", who, "--from-round=1", f"--out={draft}"
    )
    assert code
    assert "`hyperfed registry revoke --draft FILE`" in json.dumps(said)
    assert not draft.exists()
    others = [*HELPERS[:3], "--helper=site-08"] if who == "site-04" else HELPERS
    block = [f"--block={','.join(blocks[0])}"] if who == "site-04" else []
    args = ("registry", "helpers", *others, *block, f"--out={draft}")
    code, said = run(federation, tmp_path, *args)
    assert code == 0, said
    code, said = run(
        federation, tmp_path, "registry", "revoke", who, "--from-round=1", f"--draft={draft}"
    )
    assert code == 0, said
    assert who not in json.dumps(said["clients"])
