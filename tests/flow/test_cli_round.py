"""`hyperfed round` with the real flows: opened, run, run again, below quorum, without blocks; and
beside the same night without Prefect.
"""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.codec import records
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation


def _run(*args: str) -> tuple[int, Any]:
    ran = CliRunner().invoke(app, ["round", *args, "--json"])
    assert isinstance(ran.exception, SystemExit | None), ran.exc_info
    return ran.exit_code, json.loads(ran.stdout)


@pytest.mark.slow
def test_a_round_by_the_operators_hand(found: Callable[..., tuple[SmallFederation, str]]) -> None:
    federation, name = found(clients=3)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    opens, night = (
        f"{moment:%Y-%m-%dT%H:%M:%S}+0000" for moment in (federation.opens(1), federation.night(1))
    )
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
def test_a_mistake_of_ours_is_reported_and_refuses_nobody(
    found: Callable[..., tuple[SmallFederation, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader no longer knows which fields are columns."""
    federation, name = found(clients=3)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    federation.open(1)
    federation.submit_all()
    objects = federation.objects()

    def forget() -> None:
        for remembered in (records._reader, records._readers):
            remembered.cache_clear()

    night = f"{federation.night(1):%Y-%m-%dT%H:%M:%S}+0000"
    with monkeypatch.context() as patch:
        patch.setattr(records, "columns_of", lambda kind: {})
        forget()
        code, said = _run("run", "1", *blocks, "--delay", "0", "--now", night)
    forget()
    assert code == 70
    assert "unexpected TypeError: Update.measured: " in said["error"]["problem"]
    assert "please report it" in said["error"]["remedy"]
    assert {
        key: data for key, data in federation.objects().items() if not key.startswith("prefect/")
    } == objects
    code, ran = _run("run", "1", *blocks, "--delay", "0", "--now", night)
    assert (code, ran["counted"], ran["refused"]) == (0, 3, [])


@pytest.mark.slow
def test_a_round_without_a_result_is_a_failure(
    found: Callable[..., tuple[SmallFederation, str]],
) -> None:
    federation, name = found(clients=3)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    # past its close_by, nobody there
    code, ran = _run(
        "run",
        "1",
        *blocks,
        "--delay",
        "0",
        "--now",
        f"{federation.night(3):%Y-%m-%dT%H:%M:%S}+0000",
    )
    assert (code, ran["ok"], ran["outcome"]) == (1, False, "void")


@pytest.mark.slow
def test_without_blocks_it_says_which_are_missing(
    found: Callable[..., tuple[SmallFederation, str]],
) -> None:
    _, name = found()
    others = ("--coordinator-keys", name, "--policy", name)
    code, said = _run("open", "1", "--drop-box", "nobody-saved-this", *others)
    assert code == 2
    assert "nobody-saved-this" in said["error"]["problem"]
    assert "--drop-box" in said["error"]["remedy"]


@pytest.mark.slow
def test_the_flows_and_the_command_without_prefect_give_the_same_bytes(
    found: Callable[..., tuple[SmallFederation, str]], tmp_path: Path
) -> None:
    """One night twice, at the same instants: by blocks on a server, and by a hyperfed.toml on a
    copy of the drop-box. Every object is the same: plan, freeze, result, state, ledger, receipts.
    """
    federation, name = found(clients=4, quorum=2, vote_min=0.25)
    box, other = tmp_path / "drop-box", tmp_path / "other"
    shutil.copytree(box, other)
    blocks = ("--drop-box", name, "--coordinator-keys", name, "--policy", name)
    vocabulary = federation.vocabulary
    settings = tmp_path / "operator.toml"
    settings.write_text(
        f'[store]\nurl = "file://{other}"\n[federation]\nfingerprint = "{federation.fingerprint}"\n'
        f'[coordinator]\nkey = "{name}.key"\n[rounds]\nquorum = 2\n'
        f"variables = {json.dumps(vocabulary.names)}\n"
        f"domains = {json.dumps([v.domain for v in vocabulary.variables])}\n"
        "[policy]\nvote_min = 0.25\n"
    )
    here = ("--config", str(settings), "--keys", str(tmp_path / f"{name}.key"))
    opens, night = (
        f"{moment:%Y-%m-%dT%H:%M:%S}+0000" for moment in (federation.opens(1), federation.night(1))
    )
    opened = [_run("open", "1", *way, "--now", opens) for way in (blocks, here)]
    assert opened[0] == opened[1]
    assert opened[0][0] == 0
    for client in federation.clients[:3]:
        federation.submit(client)
    federation.put(b"garbage", federation.clients[3])
    shutil.copytree(box / "inbox", other / "inbox")
    ran = [_run("run", "1", *way, "--delay", "0", "--now", night) for way in (blocks, here)]
    assert ran[0] == ran[1]
    assert (ran[0][0], ran[0][1]["counted"], len(ran[0][1]["refused"])) == (0, 3, 1)
    flows, command = (
        {
            info.key: store.read(info.key, max_bytes=1 << 24)
            for info in store.list("")
            if not info.key.startswith(("prefect/", "probe/"))
        }
        for store in (FilesystemStore(box), FilesystemStore(other))
    )
    assert flows == command
    named = ("plan", "freeze", "result", "state", "receipts/site-01")
    assert {f"rounds/00000001/{what}" for what in named} <= set(flows)
