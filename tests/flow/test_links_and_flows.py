"""Nights of clients that have links and nothing else, beside a coordinator's flows: set up, submit,
lose the store, resume, and be told what became of it.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blocks import DropBox, FederationPolicy
from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.cli.app import app
from hyperfed.cli.invocation import Invocation
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.protocol.object_keys import Keys
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

pytestmark = [pytest.mark.seaweedfs, pytest.mark.slow]
CLIENTS = ("iowa", "ohio", "texas")


class Place:
    """A coordinator with blocks and an access key, and three clients' desks without one; one clock
    for all of them.
    """

    def __init__(self, server: SeaweedFS, folder: Path, name: str) -> None:
        self.server, self.folder, self.name = server, folder, name
        self.fed = SmallFederation(
            clients=CLIENTS, store=server.store("links"), vocabulary=Vocabulary.of(*VARIABLES)
        )
        self.now: datetime = self.fed.opens(1)
        known, secret = server.credentials(), folder / "store.toml"
        secret.touch(mode=0o600)
        secret.write_text(f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n')
        box: dict[str, Any] = {
            "url": "s3://links",
            "endpoint": server.endpoint_url,
            "access_key_file": str(secret),
        }
        DropBox(**box, fingerprint=self.fed.fingerprint, clients_by_link=list(CLIENTS)).save(
            name, overwrite=True
        )
        (folder / "operator.toml").write_text(
            f'[store]\nurl = "s3://links"\nendpoint = "{server.endpoint_url}"\naccess_key_file '
            '= "store.toml"\n'
            f'[federation]\nfingerprint = "{self.fed.fingerprint}"\n[coordinator]\nkey = '
            f'"{name}.key"\n'
        )
        for client in CLIENTS:
            (folder / client).mkdir()
            self.fed.keys[client].save(folder / client / f"{client}.key")
            (folder / client / "series.csv").write_text(series_csv(client))

    def run(self, *args: str | Path, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [*(str(a) for a in args), "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.output)

    def at(self, client: str, *args: str | Path, code: int = 0) -> Any:
        return self.run("--config", self.folder / client / "hyperfed.toml", *args, code=code)

    def night(self, client: str, code: int = 0) -> Any:
        own = self.folder / client
        return self.at(
            client,
            "client",
            "night",
            "--data",
            own / "series.csv",
            "--out",
            own / "model",
            code=code,
        )

    def set_up(self, client: str) -> None:
        """What the operator hands over, and what the client does with it."""
        own = self.folder / client
        self.run(
            "--config",
            self.folder / "operator.toml",
            "links",
            "first",
            client,
            "--out",
            own / "first.hfl",
        )
        said = self.run(
            "client",
            "init",
            "--dir",
            own,
            "--client-id",
            client,
            "--links",
            own / "first.hfl",
            "--fingerprint",
            self.fed.fingerprint,
        )
        assert all(c["good"] for c in said["checks"]), said
        assert f"{client} is in it" in said["checks"][0]["said"]

    def flow(self, flow: Any, now: datetime) -> Any:
        """A flow's final state at an instant."""
        self.now = now
        return flow(
            drop_box=self.name,
            coordinator_keys=self.name,
            federation_policy=self.name,
            now=now,
            return_state=True,
        )


@pytest.fixture
def place(
    found: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    # a federation of the same name and keys: its key's block serves, the drop-box's is replaced
    _, name = found()
    with SeaweedFS(tmp_path / "weed") as server:
        here = Place(server, tmp_path, name)
        FederationPolicy(variables=list(VARIABLES), aggregation_delay_s=0, poll_s=0.01).save(
            name, overwrite=True
        )
        monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
        yield here


def test_a_round_below_quorum_is_retried_with_a_straggler_that_came_by_link(place: Place) -> None:
    for client in CLIENTS:
        place.set_up(client)
    assert place.flow(open_round, place.fed.opens(1)).is_completed()
    place.now = place.fed.opens(1) + timedelta(hours=1)
    place.night("iowa")
    state = place.flow(federation_round, place.fed.night(1))
    assert state.is_failed()
    assert "missing: ohio, texas" in state.message
    assert "`hyperfed submit --round 1 --data FILE`" in state.message

    assert place.flow(open_round, place.fed.opens(2)).is_completed()
    place.now = place.fed.opens(2) + timedelta(hours=1)
    data = place.folder / "ohio" / "series.csv"
    assert place.at("ohio", "submit", "--round", "1", "--data", data, "--bootstraps", "10")[
        "key"
    ] == Keys.inbox(1, "ohio", 0)
    state = place.flow(federation_round, place.now)
    assert state.is_completed(), state.message
    assert (state.result()["round"], state.result()["counted"]) == (1, 2)
    assert place.at("ohio", "status")["headline"] == "counted in round 1"


def test_two_nights_by_link_beside_the_flows_with_a_store_that_goes_away(place: Place) -> None:
    for client in CLIENTS:
        place.set_up(client)
    assert place.flow(open_round, place.fed.opens(1)).is_completed()
    place.now = place.fed.opens(1) + timedelta(hours=1)
    for client in CLIENTS:
        assert place.night(client)["update"]["sent"]
    state = place.flow(federation_round, place.fed.night(1))
    assert state.is_completed(), state.message
    assert state.result()["counted"] == 3

    assert place.flow(open_round, place.fed.opens(2)).is_completed()
    assert {key.rsplit("/", 1)[1] for key in place.fed.objects("rounds/00000002/links/")} == set(
        CLIENTS
    ), "the flow renews the links"
    place.now = place.fed.opens(2) + timedelta(hours=1)
    for client in CLIENTS[:2]:
        assert place.at(client, "status")["headline"] == "counted in round 1"
        assert place.night(client)["update"]["sent"]
    place.server.stop()
    lost = place.night("texas", code=3)
    assert lost["error"]["kind"] in ("TransientError", "TransportError"), lost
    place.server.start()
    resumed = place.night("texas")
    assert resumed["model"]["round"] == 1
    assert (resumed["update"]["sent"], resumed["update"]["key"]) == (
        True,
        Keys.inbox(2, "texas", 0),
    )
    assert not place.night("texas")["update"]["sent"], "again sends nothing"
    state = place.flow(federation_round, place.fed.night(2))
    assert state.is_completed(), state.message
    assert state.result()["counted"] == 3
    place.now = place.fed.night(2)
    assert place.at("texas", "status")["headline"] == "counted in round 2"
