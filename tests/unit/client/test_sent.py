"""What a client has sent, beside what its receipts say of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.client.memory import ClientMemory
from hyperfed.client.sent import SentLog, denials
from hyperfed.errors import ConfigError
from hyperfed.protocol.machine import Why
from hyperfed.protocol.receipt_objects import Fate
from hyperfed.testing.federation import SmallFederation


def left_out(fed: SmallFederation, client: str) -> None:
    """Round 1 as a coordinator runs it that does not see this client's update."""
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    arrivals = runner.collect(1)
    kept = tuple(entry for entry in arrivals.keys if f"/{client}/" not in entry[0])
    runner.freeze(1, runner.validate(replace(arrivals, keys=kept)))
    assert runner.conclude(1).why is Why.COMMITTED


def denied(fed: SmallFederation, client: str) -> list[str]:
    found = denials(fed.memories[client].sent.records(), fed.session(client).receipts())
    return [denial.said for denial in found]


def test_a_receipt_that_denies_what_was_sent_in_time() -> None:
    fed = SmallFederation(clients=5)
    left_out(fed, "site-05")
    (said,) = denied(fed, "site-05")
    assert "you sent sequence 1" in said
    assert "before its deadline" in said
    assert [denied(fed, client) for client in fed.clients[:4]] == [[]] * 4, "the honest twins"
    # the next round counts it late: the denial is taken back
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-05"])
    fed.run(2)
    receipt = fed.receipt("site-05", 2)
    assert receipt is not None
    assert receipt.fate is Fate.LATE
    assert denied(fed, "site-05") == []


def test_an_update_that_came_late_is_not_denied() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit_all(but=["site-03"])
    fed.run(1)
    fed.submit("site-03", round_id=1, now=fed.night(1) + timedelta(hours=1))
    assert denied(fed, "site-03") == []


def test_a_void_round_denies_nobody() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit("site-01")
    fed.run(1, now=fed.night(1) + timedelta(days=2))
    assert denied(fed, "site-01") == []


def test_a_receipt_that_speaks_of_what_a_thief_of_the_key_sent() -> None:
    fed = SmallFederation(clients=3)
    fed.open(1)
    fed.submit_all()
    fed.put(fed.envelope("site-03", sequence=50), "site-03", slot=1)  # under the same key
    fed.run(1)
    (said,) = denied(fed, "site-03")
    assert "another update" in said


def test_the_list_outlives_its_process_and_keeps_the_newest(tmp_path: Path) -> None:
    fed = SmallFederation(clients=3)
    fed.memories["site-01"] = ClientMemory(tmp_path / "memory.json")
    fed.open(1)
    sent = fed.submit("site-01")
    (kept,) = SentLog(tmp_path / "memory.json.sent.json").records()
    assert (kept.sequence, kept.digest, kept.key) == (1, sent.digest.hex(), sent.key)
    log = SentLog(tmp_path / "many.json")
    for number in range(70):
        for _ in range(2):  # a repeat adds nothing
            log.add(fed.plan(1), key="k", sequence=number, digest=f"{number}", now=fed.opens(1))
    assert [record.sequence for record in log.records()] == list(range(6, 70))


@pytest.mark.parametrize("text", ["", "[1]", '[{"round": 1}]', "{}x"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sent.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a list of sent updates"):
        SentLog(path).records()
