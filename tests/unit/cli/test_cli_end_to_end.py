"""The whole way on the command line: ceremony, enrolment, a night, and what each party sees of
it.
"""

import csv
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from hyperfed.cli.client.pull import _changes
from hyperfed.coordinator import RoundRunner
from hyperfed.crypto.keys import KeyPair
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.dropbox.registries import load_registry
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack, Update
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from tests.unit.cli.conftest import Desk, World


def _ceremony(desk: Desk, clients: tuple[str, ...]) -> str:
    """Two roots, a coordinator and clients, all by commands; the root fingerprint."""
    (desk.folder / "box").mkdir()
    for name in ("r1.key", "r2.key", "coordinator.key", *(f"{c}.key" for c in clients)):
        desk.ok("keygen", name)
    drafted = desk.ok(
        "registry",
        "init",
        "--federation",
        "us-states",
        "--root",
        "r1.key.pub",
        "--root",
        "r2.key.pub",
        "--threshold",
        "2",
        "--coordinator",
        "coordinator.key.pub",
    )
    expected = []
    for client in clients:
        said = desk.ok(
            "enroll",
            "--client-id",
            client,
            "--organisation",
            f"State of {client.title()}",
            "--basket",
            "states",
            "--key",
            f"{client}.key",
        )
        expected += ["--expect", said["fingerprint"]]
    desk.ok(
        "registry",
        "add",
        *(f"{c}.enrolment" for c in clients),
        "--draft",
        "registry-000001.draft",
        *expected,
    )
    first = desk.ok("registry", "sign", "registry-000001.draft", "--root-key", "r1.key", "--yes")
    second = desk.ok("registry", "sign", "registry-000001.draft", "--root-key", "r2.key", "--yes")
    assert (first["complete"], second["complete"]) == (False, False)
    merged = desk.ok("registry", "merge", first["file"], second["file"])
    assert merged["complete"] is True
    published = desk.ok("registry", "publish", merged["file"], "--store", "file:box")
    assert published["root_fingerprint"] == drafted["root_fingerprint"]
    return str(published["root_fingerprint"])


def test_from_an_empty_folder_to_a_global_model(desk: Desk) -> None:
    clients = ("iowa", "ohio", "texas")
    fingerprint = _ceremony(desk, clients)
    store = FilesystemStore(desk.folder / "box")
    known = load_registry(store, fingerprint=fingerprint)
    registry = known[0]
    assert [(c.client_id, c.organisation, c.basket) for c in registry.clients] == [
        (c, f"State of {c.title()}", "states") for c in clients
    ]
    coordinator = KeyPair.load(desk.folder / "coordinator.key")
    opened = RoundRunner(store, key_pair=coordinator, now=desk.now, fingerprint=fingerprint)
    opened.open_round(1, policy=PolicyPack(), vocabulary=Vocabulary.of(*VARIABLES))

    for client in clients:
        folder = desk.folder / client
        folder.mkdir()
        (folder / "series.csv").write_text(series_csv(client))
        (folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "file:../box"\n[federation]\nfingerprint = "{fingerprint}"\n'
            f'[client]\nid = "{client}"\nkey = "../{client}.key"\nmemory = "seen.json"\n'
        )
        sent = desk.ok(
            "submit", "--config", folder / "hyperfed.toml", "--data", folder / "series.csv"
        )
        assert sent["key"] == f"inbox/00000001/{client}/0"
        assert sent["edges_shared"] + sent["edges_estimated"] == 25
        assert (folder / "seen.json").exists(), (
            "the memory lies beside the configuration that names it"
        )
    texas = desk.folder / "texas" / "hyperfed.toml"
    waiting = desk("status", "--config", texas, "--json")
    assert waiting.code == 4
    assert waiting.json["open_round"]["updates"] == 1
    assert desk("pull", "--config", texas, "--json").code == 4

    desk.now += timedelta(days=1)
    RoundRunner(store, key_pair=coordinator, now=desk.now, fingerprint=fingerprint).run(1)
    pulled = desk.ok("pull", "--config", texas, "--out", "model")
    assert (pulled["round"], pulled["clients"]) == (1, 3)
    status = desk.ok("status", "--config", texas)
    assert status["headline"] == "counted in round 1"
    assert status["key"]["registered"] is True
    assert status["open_round"]["updates"] == 0
    said = desk.ok("inspect", "rounds/00000001/result", "--config", texas)
    assert said["verified"] is True
    assert said["content"]["edges"] == pulled["edges"]
    told = desk("status", "--config", texas)
    assert "counted in round 1" in told.out


def test_pull_warns_of_few_clients_in_its_document_its_file_and_its_words(
    desk: Desk, world: World
) -> None:
    world.night(1)
    pulled = desk.ok("pull", "--out", "model")
    said = "3 clients were counted. With fewer than 5, intervals are wide or missing"
    assert said in pulled["warnings"][0]
    assert pulled["warnings"][1].startswith("A client has 15 rows for 5 variables.")
    saved = json.loads(Path("model/model.json").read_text())
    assert saved["warnings"] == pulled["warnings"]
    told = desk("pull", "--out", "model")
    assert said in " ".join(told.out.split())


def test_pull_writes_what_it_says_and_tells_what_changed(desk: Desk, world: World) -> None:
    world.night(1)
    first = desk.ok("pull", "--out", "model")
    assert first["changes"]["since_round"] is None
    store = HypergraphStore.load(Path("model/model.npz"))
    rows = list(csv.DictReader(Path("model/edges.csv").read_text().splitlines()))
    saved = json.loads(Path("model/model.json").read_text())
    assert len(store.edges) == len(rows) == len(saved["edges"]) == len(first["edges"]) > 0
    assert saved["edges"] == first["edges"]
    assert [float(row["effect"]) for row in rows] == [row["effect"] for row in first["edges"]]
    assert store.vocabulary is not None
    assert saved["digest"] == first["digest"]

    world.federation.open(2)
    world.federation.submit_all(round_id=2)  # other findings than the first night's
    world.federation.run(2)
    world.at(3)
    second = desk.ok("pull", "--out", "model")
    assert second["changes"]["since_round"] == 1
    known, now = (
        {(e["source"], e["target"], e["lag"]) for e in said["edges"]} for said in (first, second)
    )
    named = {
        kind: {(e["source"], e["target"], e["lag"]) for e in second["changes"][kind]}
        for kind in ("added", "removed", "turned")
    }
    assert named["added"] == now - known != set()
    assert named["removed"] == known - now != set()
    assert named["turned"] <= now & known
    again = desk("pull", "--out", "model")
    assert again.code == 0
    assert "no edge came, went or turned since round 2" in again.out


def test_what_came_went_and_turned() -> None:
    up, down, other = ("a", "b", 1), ("b", "c", 1), ("c", "a", 2)
    assert _changes({up: 0.5, down: -0.5}, {up: -0.1, down: -2.0, other: 1.0}) == {
        "added": [other],
        "removed": [],
        "turned": [up],
    }
    assert _changes({up: 0.5, other: 1.0}, {up: 0.4}) == {
        "added": [],
        "removed": [other],
        "turned": [],
    }
    assert _changes(None, {up: 0.5}) == {"added": [], "removed": [], "turned": []}


def test_pull_shows_interval_and_i2_of_each_edge_where_they_are_known(
    desk: Desk, world: World
) -> None:
    """Clients agree about the first edge and differ by far more than their errors about the second;
    of the third they state no interval.
    """
    world.federation.open(1)
    for client, second in zip(world.federation.clients, (0.5, 1.5, 2.5), strict=True):
        effect = np.array([0.5, second, 0.7])
        half = np.array([0.1, 0.1, 0.0])
        columns = {
            "lag": 1,
            "confidence": 0.9,
            "stability": 0.9,
            "n": 100,
            "ci_low": effect - half,
            "ci_high": effect + half,
        }
        edges = EdgeTable.build(source=[0, 1, 2], target=[1, 2, 3], effect=effect, **columns)
        world.federation.submit(client, Update(measured=np.arange(5), edges=edges))
    world.federation.run(1)
    world.at(2)
    said = desk.ok("pull", "--out", "model")["edges"]
    by_source = {row["source"]: row for row in said}
    first, second, third = (by_source[name] for name in VARIABLES[:3])
    assert first["i2"] == 0.0
    assert first["ci_low"] < 0.5 < first["ci_high"]
    assert second["i2"] > 0.9
    assert second["ci_high"] - second["ci_low"] > 1
    assert (third["ci_low"], third["ci_high"], third["i2"]) == (None, None, None)
    assert third["effect"] == pytest.approx(0.7)
    lines = desk("pull", "--out", "model").out.splitlines()
    header = next(line.split() for line in lines if line.strip().startswith("source"))
    assert header == [
        "source",
        "target",
        "lag",
        "effect",
        "ci_low",
        "ci_high",
        "i2",
        "q",
        "vote",
        "support",
        "measured_by",
    ]
    shown = {
        line.split()[0]: line.split()[3:7]
        for line in lines
        if line.split()[:1] and line.split()[0] in VARIABLES
    }
    assert shown[VARIABLES[2]] == ["0.7", "-", "-", "-"]
    assert shown[VARIABLES[1]][1:] == [
        f"{second[name]:.4g}" for name in ("ci_low", "ci_high", "i2")
    ]
    rows = {
        row["source"]: row
        for row in csv.DictReader(Path("model/edges.csv").read_text().splitlines())
    }
    assert (rows[VARIABLES[2]]["ci_low"], rows[VARIABLES[2]]["i2"]) == ("", "")
