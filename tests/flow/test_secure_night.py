"""A night of secure sums by the flows: clients and helpers come one after another, by the command,
some never again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from blocks import DropBox, FederationPolicy
from flows.federation_round import federation_round
from flows.helper_night import helper_night
from flows.open_round import open_round
from hyperfed.cli.app import app
from hyperfed.cli.invocation import Invocation
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import OpeningSums
from hyperfed.dropbox.openings import signed_part
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.access import Role, access_of, seaweedfs_actions
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.central_night import CentralNight
from tests.effects_night import EffectsNight
from tests.noised_night import WARDS, NoisedNight
from tests.own_process import Ended, OwnProcesses
from tests.secure_night import (
    HELPERS,
    MEMBERS,
    NAMES,
    VOCABULARY,
    SecureNight,
    openings,
    series_csv,
)

pytestmark = pytest.mark.slow

NOISED = {
    "privacy": "shares",
    "noise_shares": 4,
    "privacy_epsilon": 20,
    "statistics": {"row_norm": 3.0},
}

CENTRAL = {"privacy": "central", "privacy_epsilon": 20, "statistics": {"row_norm": 3.0}}

EFFECTS = {
    "payload": "edges",
    "privacy": "shares",
    "noise_shares": 4,
    "privacy_epsilon": 400,
    "statistics": {},
}


class Place:
    """A drop-box, a coordinator with blocks, and everybody's own folder.

    `box` is the store section of the coordinator's block and of each client's hyperfed.toml.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        night: SecureNight,
        box: dict[str, str],
        *,
        policy: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.name, self.night, self.box = folder, name, night, box
        self.fed = night.federation
        self.now = self.fed.opens(1)
        DropBox(**self.access("coordinator"), fingerprint=self.fed.fingerprint).save(
            name, overwrite=True
        )
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
            | (policy or {}),
        ).save(name, overwrite=True)
        for seed, client in enumerate((*night.members, *HELPERS)):
            own = folder / client
            own.mkdir(exist_ok=True)
            self.fed.keys[client].save(own / f"{client}.key")
            (own / "series.csv").write_text(series_csv(seed))
            lines = [f'{key} = "{value}"' for key, value in self.access(client).items()]
            (own / "hyperfed.toml").write_text(
                "\n".join(("[store]", *lines))
                + f'\n[federation]\nfingerprint = "{self.fed.fingerprint}"\n'
                f'[client]\nid = "{client}"\nkey = "{client}.key"\n'
            )

    def access(self, who: str) -> dict[str, str]:
        """How somebody reaches the drop-box."""
        return self.box

    def at(self, client: str, *args: str) -> Any:
        config = str(self.folder / client / "hyperfed.toml")
        done = CliRunner().invoke(app, ["--config", config, *args, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    def submits(self, client: str, *args: str) -> Any:
        data = str(self.folder / client / "series.csv")
        return self.at(client, "submit", "--data", data, "--series", *args)

    def flow(self, flow: Any, now: datetime) -> Any:
        self.now = now
        names = ("drop_box", "coordinator_keys", "federation_policy")
        return flow(now=now, return_state=True, **dict.fromkeys(names, self.name))

    def by_flow(self, helper: str) -> str:
        """Let a helper come by its own flow, and return what its run says."""
        config = str(self.folder / helper / "hyperfed.toml")
        state = helper_night(config=config, now=self.now, return_state=True)
        assert state.is_completed(), state.message
        return str(state.message)

    def audited(self) -> GlobalModel:
        """Return the round's model, once an audit has found nothing."""
        model = self.fed.reader().result(1)
        assert model is not None
        assert isinstance(model.value, GlobalModel)
        report = audit(self.fed.store, self.fed.fingerprint, self.fed.coordinator, now=self.now)
        assert report.ok, [asdict(one) for one in report.findings]
        return model.value


@pytest.fixture
def placed(
    found: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Place]:
    def make(night: type[SecureNight] = SecureNight, policy: dict[str, Any] | None = None) -> Place:
        _, name = found()  # of the same name and keys: its key's block serves
        folder = tmp_path / "place"
        (folder / "box").mkdir(parents=True)
        begun = night(store=FilesystemStore(folder / "box"))
        here = Place(folder, name, begun, {"url": f"file://{folder / 'box'}"}, policy=policy)
        monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
        return here

    return make


@pytest.fixture
def place(placed: Callable[..., Place]) -> Place:
    return placed()


def test_a_night_with_noise_in_shares_by_the_flows(placed: Callable[..., Place]) -> None:
    """Six wards send their shares; a coordinator that comes between sees no sum."""
    place = placed(NoisedNight, NOISED)
    fed = place.fed
    place.now = fed.opens(1) + timedelta(minutes=1)
    place.night.visits(now=place.now)
    assert place.flow(open_round, fed.opens(1) + timedelta(minutes=2)).is_completed()
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in WARDS:
        sent = place.submits(client)
        assert (sent["noise"]["shares"], sent["noise"]["of"]) == (4, "moments")
    place.night.visits(now=fed.night(1))
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert "helpers have answered" in str(waiting.message)
    place.night.visits(now=fed.night(1) + timedelta(minutes=3))
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    model = place.audited()
    assert model.privacy is not None
    assert (model.privacy.shares, model.opened_by) == (4, HELPERS)


def test_a_night_with_central_noise_by_the_flows(placed: Callable[..., Place]) -> None:
    """Helpers come by their own flow and seal their answers; one seals to nobody, and is named."""
    place = placed(CentralNight, CENTRAL)
    fed = place.fed
    place.now = fed.opens(1) + timedelta(minutes=1)
    for helper in HELPERS:
        assert place.at(helper, "helper", "night")["published"] == [1, 2, 3]
    assert place.flow(open_round, fed.opens(1) + timedelta(minutes=2)).is_completed()
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in WARDS:
        assert place.submits(client)["noise"] is None
    place.now = fed.night(1)
    for helper in HELPERS:
        place.by_flow(helper)
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert "helpers have answered" in str(waiting.message)
    place.now = fed.night(1) + timedelta(minutes=3)
    for helper in HELPERS[1:]:
        place.by_flow(helper)
    fed.store.put_if_absent(Keys.opening(1, "help-1"), open_answer(place.night, "help-1"))
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    model = place.audited()
    assert model.privacy is not None
    assert (model.privacy.place, model.opened_by) == ("central", HELPERS[1:])


def open_answer(night: SecureNight, helper: str) -> bytes:
    """Return a helper's answer as it would lie open."""
    fed, parts = night.federation, openings(night)
    manifest = parts.manifest()
    assert manifest is not None
    answer = OpeningSums(
        federation=fed.registry.federation,
        round=1,
        helper=helper,
        manifest=manifest.value.manifest.digest,
        payload="statistics",
        sums=np.zeros(len(parts.group.held_by(helper)) * manifest.value.length, dtype=np.uint64),
    )
    return signed_part(
        answer, PacketType.OPENING, sender=helper, key_pair=fed.keys[helper], now=fed.night(1)
    )


def test_a_night_of_effects_by_the_flows_in_which_a_region_is_one_client(
    found: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five wards submit their data, and a region its result, each as one masked message."""
    _, name = found()
    box, below = tmp_path / "effects" / "box", tmp_path / "region" / "box"
    box.mkdir(parents=True)
    below.mkdir(parents=True)
    region = SmallFederation(
        clients=4,
        name="region",
        vocabulary=VOCABULARY,
        policy=PolicyPack(lags=(1,)),
        store=FilesystemStore(below),
    )
    region.play(1)
    night = EffectsNight(("region-east", *WARDS[:5]), store=FilesystemStore(box))
    place = Place(tmp_path / "effects", name, night, {"url": f"file://{box}"}, policy=EFFECTS)
    region.keys["site-01"].save(tmp_path / "region" / "site-01.key")
    (tmp_path / "region" / "hyperfed.toml").write_text(
        f'[store]\nurl = "file://{below}"\n[federation]\nfingerprint = "{region.fingerprint}"\n'
        '[client]\nid = "site-01"\nkey = "site-01.key"\n'
    )
    fed = place.fed
    monkeypatch.setattr(Invocation, "now", property(lambda _: place.now))
    place.now = fed.opens(1) + timedelta(minutes=1)
    place.night.visits(now=place.now)
    assert place.flow(open_round, fed.opens(1) + timedelta(minutes=2)).is_completed()
    place.now = fed.opens(1) + timedelta(days=1) - timedelta(hours=1)
    for client in WARDS[:5]:
        dry = place.submits(client, "--dry-run")
        assert "9 numbers of 64 bits" in dry["masks"]
        sent = place.submits(client)
        assert (sent["noise"]["shares"], sent["noise"]["of"], sent["noise"]["values"]) == (
            4,
            "edges",
            9,
        )
    up = place.at(
        "region-east", "client", "night", "--below", str(tmp_path / "region" / "hyperfed.toml")
    )
    assert up["update"]["sent"]
    place.night.visits(now=fed.night(1))
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert "helpers have answered" in str(waiting.message)
    place.night.visits(now=fed.night(1) + timedelta(minutes=3))
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    model = place.audited()
    assert model.privacy is not None
    assert (model.privacy.shares, model.privacy.clients, model.opened_by) == (4, 6, HELPERS)
    shown = {(row["source"], row["target"]) for row in model.edges.rows()}
    assert {(0, 1), (1, 2)} <= shown


def test_a_night_by_the_flows_with_a_helper_that_never_comes_again(place: Place) -> None:
    fed = place.fed
    place.now = fed.opens(1) + timedelta(minutes=1)
    for helper in HELPERS:
        assert place.at(helper, "helper", "night")["published"] == [1, 2, 3]
    opened = place.flow(open_round, fed.opens(1) + timedelta(minutes=2))
    assert opened.is_completed(), opened.message
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in MEMBERS:
        dry = place.submits(client, "--dry-run")
        assert "look like noise until 3 of the helpers" in dry["masks"]
        place.submits(client)
    waiting = place.flow(federation_round, fed.night(1))
    assert waiting.is_failed()
    place.now = fed.night(1) + timedelta(minutes=1)
    for helper in HELPERS[1:3]:
        assert place.at(helper, "helper", "night")["confirmed"] == {"1": 4}
    assert place.by_flow("help-1") == "published round 4; confirmed round 1"
    assert place.by_flow("help-1") == "nothing was due"
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert waiting.is_failed()
    assert "helpers have answered" in str(waiting.message)
    place.now = fed.night(1) + timedelta(minutes=3)
    for helper in HELPERS[1:3]:
        assert place.at(helper, "helper", "night")["answered"] == [1]
    assert place.by_flow("help-1") == "answered round 1"
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    assert state.result()["counted"] == 4
    assert place.audited().opened_by == HELPERS[:3]


class Processes(Place):
    """A bucket on SeaweedFS, where everybody is a process with the rights of its role."""

    def __init__(
        self, folder: Path, name: str, night: SecureNight, server: SeaweedFS, own: OwnProcesses
    ) -> None:
        self.server, self.processes = server, own
        super().__init__(folder, name, night, {})

    def access(self, who: str) -> dict[str, str]:
        known, path = self.server.credentials(who), self.folder / who / "access.toml"
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n')
        endpoint = self.server.endpoint_url
        return {"url": "s3://fed", "endpoint": endpoint, "access_key_file": str(path)}

    def process(self, client: str, *args: str, kill_at: int = 0) -> Ended:
        own = self.folder / client
        words = ["--config", str(own / "hyperfed.toml"), *args]
        return self.processes.run(words, now=self.now, state=own / "state", kill_at=kill_at)

    def at(self, client: str, *args: str) -> Any:
        done = self.process(client, *args)
        assert done.code == 0, done.output
        return done.answer


@pytest.fixture
def processes(found: Callable[..., Any], tmp_path: Path) -> Iterator[Processes]:
    _, name = found()
    members = (*MEMBERS, "ward-5", "ward-6")
    roles = {
        **{client: access_of(Role.CLIENT, client=client) for client in members},
        **{helper: access_of(Role.HELPER, client=helper) for helper in HELPERS},
        "coordinator": access_of(Role.COORDINATOR),
    }
    rights = {who: seaweedfs_actions(access, bucket="fed") for who, access in roles.items()}
    with (
        SeaweedFS(tmp_path / "weed", identities=rights) as server,
        OwnProcesses(tmp_path) as own,
    ):
        night = SecureNight(
            members=members, blocks=(members[:3], members[3:]), store=server.store("fed")
        )
        yield Processes(tmp_path, name, night, server, own)


@pytest.mark.seaweedfs
def test_a_night_on_seaweedfs_of_processes_that_come_one_after_another(
    processes: Processes,
) -> None:
    """A ward and a helper never come again, another helper is killed, and each has its own rights.

    The ward's block waits for it, and is left out; the three others are opened by three helpers.
    """
    place, fed, members = processes, processes.fed, processes.night.members
    place.now = fed.opens(1) + timedelta(minutes=1)
    for helper in HELPERS:
        assert place.at(helper, "helper", "night")["published"] == [1, 2, 3]
    opened = place.flow(open_round, fed.opens(1) + timedelta(minutes=2))
    assert opened.is_completed(), opened.message
    place.now = fed.opens(1) + timedelta(hours=1)
    for client in members[:5]:
        place.submits(client)
    place.now = fed.night(1)
    for helper in HELPERS[:3]:
        assert place.at(helper, "helper", "night")["confirmed"] == {"1": 5}
    waiting = place.flow(federation_round, fed.night(1) + timedelta(minutes=2))
    assert waiting.is_failed()
    assert "0 of 4 helpers have answered" in str(waiting.message)
    place.now = fed.night(1) + timedelta(minutes=3)
    for helper in HELPERS[:2]:
        assert place.at(helper, "helper", "night")["answered"] == [1]
    marks = place.folder / "help-3" / "help-3.helper" / "opened.json"
    for kill_at in range(12, 100, 2):
        assert place.process("help-3", "helper", "night", kill_at=kill_at).killed
        if '"round": 1' in marks.read_text():  # killed between its mark and its answer
            break
    sums = Keys.opening(1, "help-3")
    again = place.at("help-3", "helper", "night")["answered"]
    assert (again == [1]) or fed.store.head(sums) is not None
    state = place.flow(federation_round, fed.night(1) + timedelta(minutes=4))
    assert state.is_completed(), state.message
    assert state.result()["counted"] == 3
    assert place.audited().opened_by == HELPERS[:3]
    left_out = fed.receipt("ward-4")
    assert left_out is not None
    assert "not complete without ward-6" in str(left_out)
