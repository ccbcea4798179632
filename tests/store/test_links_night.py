"""Nights in which no client has credentials: each has its file of links and its key, on the command
line, against a real S3 server.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.cli.invocation import Invocation
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.errors import QuorumMissed
from hyperfed.links.issuing import issue_links
from hyperfed.protocol.object_keys import Keys
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

pytestmark = pytest.mark.seaweedfs
CLIENTS = ("iowa", "ohio", "texas")


class Nights:
    """A federation under one prefix of the server's bucket; the operator's desk has credentials,
    the clients' desks have not.
    """

    def __init__(self, server: SeaweedFS, prefix: str, folder: Path) -> None:
        self.folder, self.secret = folder, server.credentials().secret_key
        self.store = server.store("suite", prefix=prefix)
        self.fed = SmallFederation(
            clients=CLIENTS, store=self.store, vocabulary=Vocabulary.of(*VARIABLES)
        )
        self.now: datetime = self.fed.opens(1) + timedelta(hours=1)
        operator = self.desk("operator")
        known = server.credentials()
        (operator / "store.toml").write_text(
            f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n'
        )
        (operator / "store.toml").chmod(0o600)
        self.fed.coordinator.save(operator / "coordinator.key")
        (operator / "hyperfed.toml").write_text(
            f'[store]\nurl = "s3://suite/{prefix}"\nendpoint = '
            f'"{server.endpoint_url}"\naccess_key_file = "store.toml"\n'
            f'[federation]\nfingerprint = "{self.fed.fingerprint}"\n[coordinator]\nkey = '
            '"coordinator.key"\n'
        )
        for client in CLIENTS:
            here = self.desk(client)
            self.fed.keys[client].save(here / "own.key")
            (here / "series.csv").write_text(series_csv(client))
            (here / "hyperfed.toml").write_text(
                '[store]\nlinks = "first-links.hfl"\n[federation]\nfingerprint = '
                f'"{self.fed.fingerprint}"\n[client]\nid = "{client}"\nkey = "own.key"\n'
            )

    def desk(self, name: str) -> Path:
        here = self.folder / name
        here.mkdir(exist_ok=True)
        return here

    def run(self, who: str, *args: str | Path) -> tuple[int, Any]:
        ran = CliRunner().invoke(
            app,
            [
                "--config",
                str(self.folder / who / "hyperfed.toml"),
                *(str(a) for a in args),
                "--json",
            ],
        )
        assert isinstance(ran.exception, SystemExit | None), ran.exc_info
        assert "X-Amz" not in ran.output, "no answer shows a URL"
        return ran.exit_code, json.loads(ran.stdout)

    def ok(self, who: str, *args: str | Path) -> Any:
        code, said = self.run(who, *args)
        assert code == 0, said
        return said

    def hand_over(self, *clients: str) -> None:
        for client in clients:
            self.ok(
                "operator",
                "links",
                "first",
                client,
                "--out",
                self.folder / client / "first-links.hfl",
            )

    def submit(self, who: str) -> Any:
        return self.ok(
            who, "submit", "--data", self.folder / who / "series.csv", "--bootstraps", "10"
        )

    def at(self, round_id: int) -> None:
        self.now = self.fed.opens(round_id) + timedelta(hours=1)

    def open(self, round_id: int, *clients: str) -> None:
        self.at(round_id)
        self.fed.open(round_id)
        issue_links(
            self.store,
            clients,
            round_id=round_id,
            now=self.now,
            key_pair=self.fed.coordinator,
            fingerprint=self.fed.fingerprint,
        )


@pytest.fixture
def nights(
    seaweedfs: SeaweedFS,
    new_prefix: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Nights:
    here = Nights(seaweedfs, new_prefix(), tmp_path)
    monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
    return here


def test_three_nights_with_nothing_but_links(nights: Nights) -> None:
    nights.hand_over(*CLIENTS)
    nights.open(1)
    for client in CLIENTS:
        assert nights.submit(client)["key"] == Keys.inbox(1, client, 0)
        assert nights.run(client, "status")[1]["open_round"]["updates"] == 1
    assert nights.fed.run(1).counted == 3
    for round_id in (2, 3):
        nights.open(round_id, *CLIENTS)
        for client in CLIENTS:
            assert nights.ok(client, "status")["headline"] == f"counted in round {round_id - 1}"
            pulled = nights.ok(client, "pull", "--out", nights.folder / client / "model")
            assert (pulled["round"], pulled["clients"]) == (round_id - 1, 3)
            assert nights.submit(client)["key"] == Keys.inbox(round_id, client, 0)
        assert nights.fed.run(round_id).counted == 3
    assert nights.submit("texas")["key"] == Keys.inbox(3, "texas", 1), (
        "a second submit takes the next slot"
    )
    held = "".join(
        p.read_text(errors="replace")
        for client in CLIENTS
        for p in (nights.folder / client).rglob("*")
        if p.is_file()
    )
    assert nights.secret not in held
    assert "X-Amz" not in held, "links lie sealed on the clients' disks too"
    said = nights.ok("operator", "inspect", Keys.links(3, "texas"))
    assert said["verified"] is True
    assert said["kind"] == "links"


def test_a_round_below_quorum_gets_its_stragglers_by_link(nights: Nights) -> None:
    """In the next window, one with that window's links and one with the old round's only; the round
    is run again and counts both.
    """
    nights.hand_over(*CLIENTS)
    nights.open(1)
    nights.submit("iowa")
    with pytest.raises(QuorumMissed) as caught:
        nights.fed.run(1)
    assert "`hyperfed submit --round 1 --data FILE`" in caught.value.remedy
    nights.open(2, "texas")
    for client in ("ohio", "texas"):
        data = nights.folder / client / "series.csv"
        said = nights.ok(client, "submit", "--round", "1", "--data", data, "--bootstraps", "10")
        assert (said["round"], said["key"]) == (1, Keys.inbox(1, client, 0))
    assert nights.submit("texas")["key"] == Keys.inbox(2, "texas", 0)
    assert nights.fed.run(1, now=nights.now).counted == 3
    code, refused = nights.run(
        "ohio", "submit", "--round", "1", "--data", nights.folder / "ohio" / "series.csv"
    )
    assert (code, refused["error"]["problem"]) == (1, "is committed already")


def test_away_for_too_long_and_back(nights: Nights) -> None:
    nights.hand_over("texas")
    nights.open(9, "iowa")
    before = nights.fed.objects()
    code, said = nights.run(
        "texas", "submit", "--data", nights.folder / "texas" / "series.csv", "--bootstraps", "10"
    )
    assert (code, said["error"]["kind"]) == (3, "AccessDenied")
    assert "expired at" in said["error"]["problem"]
    assert "hyperfed links issue" in said["error"]["remedy"]
    assert nights.fed.objects() == before
    assert not (nights.folder / "texas" / "own.memory.json").exists()
    issued = nights.ok("operator", "links", "issue", "texas", "iowa", "--out-dir", nights.folder)
    assert [(row["client_id"], row["in_drop_box"]) for row in issued["links"]] == [
        ("iowa", "there"),
        ("texas", "written"),
    ]
    (nights.folder / "texas.hfl").replace(nights.folder / "texas" / "first-links.hfl")
    assert nights.submit("texas")["key"] == Keys.inbox(9, "texas", 0)


def test_a_file_of_another_client_is_of_no_use(nights: Nights) -> None:
    nights.hand_over("ohio", "texas")
    nights.open(1)
    before = nights.fed.objects()
    (nights.folder / "ohio" / "first-links.hfl").replace(
        nights.folder / "texas" / "first-links.hfl"
    )
    code, said = nights.run("texas", "submit", "--data", nights.folder / "texas" / "series.csv")
    assert (code, said["error"]["kind"]) == (1, "RefusedError")
    assert "made for 'ohio'" in said["error"]["problem"]
    assert nights.fed.objects() == before


def test_who_gets_no_links(nights: Nights) -> None:
    for args, kind in (
        (("links", "first", "nobody"), "RegistryError"),
        (("links", "issue", "texas", "nobody", "--out-dir", nights.folder), "RegistryError"),
        (
            ("links", "first", "texas", "--coordinator-key", nights.folder / "texas" / "own.key"),
            "ConfigError",
        ),
        (("links", "first", "texas", "--store", f"file:{nights.folder}"), "ConfigError"),
        (("links", "first", "texas", "--days", "8"), "ConfigError"),
        (
            ("links", "first", "texas", "--out", nights.folder / "operator" / "store.toml"),
            "ConfigError",
        ),
    ):
        code, said = nights.run("operator", *args)
        assert code != 0
        assert said["error"]["kind"] == kind, said
    assert not list(nights.folder.rglob("*.hfl"))
    assert [*nights.store.list("rounds/")] == []


def test_url_and_links_are_one_or_the_other(nights: Nights) -> None:
    nights.hand_over("texas")
    nights.open(1)
    config = nights.folder / "texas" / "hyperfed.toml"
    config.write_text(config.read_text().replace("[store]\n", '[store]\nurl = "file:box"\n'))
    code, said = nights.run("texas", "status")
    assert (code, said["error"]["kind"]) == (2, "ConfigError")
    assert "not by both" in said["error"]["problem"]
    assert (
        nights.run("texas", "status", "--links", nights.folder / "texas" / "first-links.hfl")[1][
            "open_round"
        ]["open"]
        is True
    )
