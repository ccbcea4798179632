"""The whole way on the command line: ceremony, enrolment, a night, and what each party sees of it."""

import csv
import json
from datetime import timedelta
from pathlib import Path

from hyperfed.adapters.filesystem import FilesystemStore
from hyperfed.cli.pull import _changes
from hyperfed.coordinator import RoundRunner
from hyperfed.demo import VARIABLES, series
from hyperfed.hypergraph import HypergraphStore
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack
from hyperfed.registry import load_registry
from hyperfed.vocabulary import Vocabulary
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
        said = desk.ok("enroll", "--client-id", client, "--organisation", f"State of {client.title()}", "--basket", "states", "--key", f"{client}.key")
        expected += ["--expect", said["fingerprint"]]
    desk.ok("registry", "add", *(f"{c}.enrolment" for c in clients), "--draft", "registry-000001.draft", *expected)
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
    assert known is not None
    registry = known[0]
    assert [(c.client_id, c.organisation, c.basket) for c in registry.clients] == [(c, f"State of {c.title()}", "states") for c in clients]
    coordinator = KeyPair.load(desk.folder / "coordinator.key")
    opened = RoundRunner(store, keys=coordinator, now=desk.now, fingerprint=fingerprint)
    opened.open_round(1, policy=PolicyPack(), vocabulary=Vocabulary.of(*VARIABLES))

    for client in clients:
        folder = desk.folder / client
        folder.mkdir()
        rows = [list(VARIABLES), *([repr(float(v)) for v in row] for row in series(client))]
        (folder / "series.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
        (folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "file:../box"\n[federation]\nfingerprint = "{fingerprint}"\n'
            f'[client]\nid = "{client}"\nkey = "../{client}.key"\nmemory = "seen.json"\n'
        )
        sent = desk.ok("submit", "--config", folder / "hyperfed.toml", "--data", folder / "series.csv")
        assert sent["key"] == f"inbox/00000001/{client}/0"
        assert sent["edges_shared"] + sent["edges_held_back"] == 25
        assert (folder / "seen.json").exists(), "the memory lies beside the configuration that names it"
    texas = desk.folder / "texas" / "hyperfed.toml"
    waiting = desk("status", "--config", texas, "--json")
    assert waiting.code == 4
    assert waiting.json["open_round"]["updates"] == 1
    assert desk("pull", "--config", texas, "--json").code == 4

    desk.now += timedelta(days=1)
    RoundRunner(store, keys=coordinator, now=desk.now, fingerprint=fingerprint).run(1)
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
    known, now = ({(e["source"], e["target"], e["lag"]) for e in said["edges"]} for said in (first, second))
    named = {kind: {(e["source"], e["target"], e["lag"]) for e in second["changes"][kind]} for kind in ("added", "removed", "turned")}
    assert named["added"] == now - known != set()
    assert named["removed"] == known - now != set()
    assert named["turned"] <= now & known
    again = desk("pull", "--out", "model")
    assert again.code == 0
    assert "no edge came, went or turned since round 2" in again.out


def test_what_came_went_and_turned() -> None:
    up, down, other = ("a", "b", 1), ("b", "c", 1), ("c", "a", 2)
    assert _changes({up: 0.5, down: -0.5}, {up: -0.1, down: -2.0, other: 1.0}) == {"added": [other], "removed": [], "turned": [up]}
    assert _changes({up: 0.5, other: 1.0}, {up: 0.4}) == {"added": [], "removed": [other], "turned": []}
    assert _changes(None, {up: 0.5}) == {"added": [], "removed": [], "turned": []}
