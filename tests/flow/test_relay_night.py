"""Nights over a relay: clients by the command, the coordinator by its flows, each with its key."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
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
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.tables.vocabulary import Vocabulary
from tests.store.relays import RelayedFederation

pytestmark = pytest.mark.slow
CLIENTS = ("iowa", "ohio", "texas")


class Place(RelayedFederation):
    """A relay, a coordinator with blocks and an access, and three clients with their keys alone."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, clients=CLIENTS, vocabulary=Vocabulary.of(*VARIABLES))
        self.folder, self.name = folder, name
        self.url = f"grpc://127.0.0.1:{self.server.port}"
        self.fed.coordinator.save(folder / "coordinator.key")
        access = folder / "coordinator.relay.pem"
        access_of_key(self.fed.coordinator, now=datetime.now(UTC)).save(access)
        DropBox(
            url=self.url,
            ca_file=str(self.certificate.certificate),
            access_key_file=str(access),
            fingerprint=self.fed.fingerprint,
        ).save(name, overwrite=True)
        for client in CLIENTS:
            (folder / client).mkdir()
            self.fed.keys[client].save(folder / client / f"{client}.key")
            (folder / client / "series.csv").write_text(series_csv(client))

    def run(self, *args: str | Path) -> Any:
        done = CliRunner().invoke(app, [*(str(a) for a in args), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    def set_up(self, client: str) -> Any:
        return self.run(
            "client",
            "init",
            *("--dir", self.folder / client),
            *("--client-id", client),
            *("--store", self.url),
            *("--ca-file", self.certificate.certificate),
            *("--fingerprint", self.fed.fingerprint),
        )

    def at(self, client: str, *args: str | Path) -> Any:
        return self.run("--config", self.folder / client / "hyperfed.toml", *args)

    def night(self, client: str) -> Any:
        own = self.folder / client
        return self.at(
            client, "client", "night", "--data", own / "series.csv", "--out", own / "model"
        )

    def flow(self, flow: Any, now: datetime) -> Any:
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
    (tmp_path / "relayed").mkdir()
    here = Place(tmp_path / "relayed", name)
    FederationPolicy(variables=list(VARIABLES), aggregation_delay_s=0, poll_s=0.01).save(
        name, overwrite=True
    )
    monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
    yield here
    here.close()


def test_two_nights_over_a_relay_by_the_flows(place: Place) -> None:
    for client in CLIENTS:
        checks = place.set_up(client)["checks"]
        assert all(check["good"] for check in checks), checks
    for number in (1, 2):
        state = place.flow(open_round, place.fed.opens(number))
        assert state.is_completed(), state.message
        place.now = place.fed.opens(number) + timedelta(hours=1)
        place.seconds += 2
        for client in CLIENTS:
            sent = place.night(client)["update"]
            assert (sent["sent"], sent["key"]) == (True, Keys.inbox(number, client, 0))
        state = place.flow(federation_round, place.fed.night(number))
        assert state.is_completed(), state.message
        assert state.result()["counted"] == 3
    place.now = place.fed.night(2)
    for client in CLIENTS:
        assert place.at(client, "status")["headline"] == "counted in round 2"
        out = place.folder / client / "pulled"
        assert place.at(client, "pull", "--out", out)["round"] == 2
    assert audit(place.store, fingerprint=place.fed.fingerprint, now=place.now).ok
