"""A night of secure sums by the flows: clients and helpers come one after another, by the command,
some never again.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
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
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.storage.filesystem import FilesystemStore
from tests.noised_night import WARDS, NoisedNight
from tests.secure_night import HELPERS, MEMBERS, NAMES, SecureNight, rows

pytestmark = pytest.mark.slow

NOISED = {
    "privacy": "shares",
    "noise_shares": 4,
    "privacy_epsilon": 20,
    "statistics": {"row_norm": 3.0},
}


class Place:
    """A folder as drop-box, a coordinator with blocks, and everybody's own folder."""

    def __init__(self, folder: Path, name: str, *, noised: bool = False) -> None:
        self.folder, self.name = folder, name
        (folder / "box").mkdir(parents=True)
        kind = NoisedNight if noised else SecureNight
        self.night = kind(store=FilesystemStore(folder / "box"))
        self.fed = self.night.federation
        self.now = self.fed.opens(1)
        url = f"file://{folder / 'box'}"
        DropBox(url=url, fingerprint=self.fed.fingerprint).save(name, overwrite=True)
        FederationPolicy(
            variables=list(NAMES),
            domains=["plant"] * len(NAMES),
            quorum=3,
            aggregation_delay_s=0,
            poll_s=0.01,
            policy={
                "payload": "statistics",
                "lags": [1],
                "strategy": "mean",
                "max_staleness": 0,
                "trust_min": 0.0,
                "organisation_cap": 0.0,
                "aggregation": "secure-sum",
                "statistics": {"short_bias": "kept"},
            }
            | (NOISED if noised else {}),
        ).save(name, overwrite=True)
        for seed, client in enumerate((*self.night.members, *HELPERS)):
            own = folder / client
            own.mkdir()
            self.fed.keys[client].save(own / f"{client}.key")
            lines = [",".join(NAMES), *(",".join(map(str, row)) for row in rows(seed).tolist())]
            (own / "series.csv").write_text("\n".join(lines) + "\n")
            (own / "hyperfed.toml").write_text(
                f'[store]\nurl = "{url}"\n[federation]\nfingerprint = "{self.fed.fingerprint}"\n'
                f'[client]\nid = "{client}"\nkey = "{client}.key"\n'
            )

    def at(self, client: str, *args: str) -> Any:
        config = str(self.folder / client / "hyperfed.toml")
        done = CliRunner().invoke(app, ["--config", config, *args, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    def flow(self, flow: Any, now: datetime) -> Any:
        self.now = now
        names = ("drop_box", "coordinator_keys", "federation_policy")
        return flow(now=now, return_state=True, **dict.fromkeys(names, self.name))


@pytest.fixture
def place(found: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    _, name = found()  # of the same name and keys: its key's block serves
    here = Place(tmp_path / "secure", name)
    monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
    return here


def test_a_night_with_noise_in_shares_by_the_flows(
    found: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six wards send their shares; a coordinator that comes between sees no sum."""
    _, name = found()
    place = Place(tmp_path / "noised", name, noised=True)
    fed = place.fed
    monkeypatch.setattr(Invocation, "now", property(lambda _: place.now))
    place.now = fed.opens(1) + timedelta(minutes=1)
    place.night.visits(now=place.now)
    assert place.flow(open_round, fed.opens(1) + timedelta(minutes=2)).is_completed()
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in WARDS:
        data = str(place.folder / client / "series.csv")
        sent = place.at(client, "submit", "--data", data, "--series")
        assert (sent["noise"]["shares"], sent["noise"]["of"]) == (4, "moments")
    place.night.visits(now=fed.night(1))
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert "helpers have answered" in str(waiting.message)
    place.night.visits(now=fed.night(1) + timedelta(minutes=3))
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    model = fed.reader().result(1)
    assert model is not None
    assert isinstance(model.value, GlobalModel)
    assert model.value.privacy is not None
    assert (model.value.privacy.shares, model.value.opened_by) == (4, HELPERS)
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=place.now)
    assert report.ok, [asdict(one) for one in report.findings]


def test_a_night_by_the_flows_with_a_helper_that_never_comes_again(place: Place) -> None:
    fed = place.fed
    place.now = fed.opens(1) + timedelta(minutes=1)
    for helper in HELPERS:
        assert place.at(helper, "helper", "night")["published"] == [1, 2, 3]
    opened = place.flow(open_round, fed.opens(1) + timedelta(minutes=2))
    assert opened.is_completed(), opened.message
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in MEMBERS:
        data = str(place.folder / client / "series.csv")
        dry = place.at(client, "submit", "--data", data, "--series", "--dry-run")
        assert "look like noise until 3 of the helpers" in dry["masks"]
        place.at(client, "submit", "--data", data, "--series")
    waiting = place.flow(federation_round, fed.night(1))
    assert waiting.is_failed()
    place.now = fed.night(1) + timedelta(minutes=1)
    for helper in HELPERS[:3]:
        assert place.at(helper, "helper", "night")["confirmed"] == {"1": 4}
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert waiting.is_failed()
    assert "helpers have answered" in str(waiting.message)
    place.now = fed.night(1) + timedelta(minutes=3)
    for helper in HELPERS[:3]:
        assert place.at(helper, "helper", "night")["answered"] == [1]
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    assert state.result()["counted"] == 4
    model = fed.reader().result(1)
    assert model is not None
    assert isinstance(model.value, GlobalModel)
    assert model.value.opened_by == HELPERS[:3]
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=place.now)
    assert report.ok, [asdict(one) for one in report.findings]
