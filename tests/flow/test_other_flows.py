"""The client's night, the audit, housekeeping and the simulation, as Prefect runs them."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.audit import audit
from flows.client_night import client_night
from flows.housekeeping import housekeeping
from flows.simulate import simulate
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

Found = Callable[..., tuple[SmallFederation, str]]


def client_of(federation: SmallFederation, client: str, folder: Path) -> dict[str, Any]:
    """A client's own machine: key, settings, data."""
    folder.mkdir()
    federation.keys[client].save(folder / "client.key")
    (folder / "hyperfed.toml").write_text(
        f'[store]\nurl = "file://{federation.store.root}"\n[federation]\nfingerprint = '
        f'"{federation.fingerprint}"\n'  # type: ignore[attr-defined]
        f'[client]\nid = "{client}"\nkey = "client.key"\nmemory = "memory.json"\n[data]\nseries '
        "= true\n"
    )
    rng = np.random.default_rng(3)
    values = np.cumsum(rng.normal(size=(60, 4)), axis=0)
    np.savetxt(
        folder / "series.csv",
        values,
        delimiter=",",
        header=",".join(federation.vocabulary.names),
        comments="",
    )
    return {
        "config": str(folder / "hyperfed.toml"),
        "data": str(folder / "series.csv"),
        "model_folder": str(folder / "model"),
    }


def test_a_clients_night_pulls_and_submits_once(found: Found, tmp_path: Path) -> None:
    federation, _ = found()
    federation.play(1)
    federation.open(2)
    parameters = client_of(federation, "site-01", tmp_path / "site-01")
    now = federation.opens(2) + timedelta(hours=2)
    state = client_night(**parameters, now=now, return_state=True)
    assert state.is_completed(), state.message
    assert state.result()["update"]["sent"]
    assert len(HypergraphStore.load(tmp_path / "site-01" / "model" / "model.npz")) == 3
    inbox = federation.objects("inbox/00000002/")
    assert list(inbox) == ["inbox/00000002/site-01/0"]
    again = client_night(**parameters, now=now + timedelta(hours=1), return_state=True)
    assert "there already, nothing was sent" in again.message
    assert federation.objects("inbox/00000002/") == inbox
    client_night(**parameters, now=now + timedelta(hours=2), correct=True)
    assert list(federation.objects("inbox/00000002/")) == [
        "inbox/00000002/site-01/0",
        "inbox/00000002/site-01/1",
    ]
    federation.submit("site-02", round_id=2)
    assert federation.run(2).counted == 2


def test_a_clients_night_takes_data_edges_and_engine_as_submit_does(
    found: Found, tmp_path: Path
) -> None:
    federation, _ = found()
    federation.open(1)
    folder = tmp_path / "site-01"
    parameters = client_of(federation, "site-01", folder) | {
        "now": federation.opens(1) + timedelta(hours=2),
        "correct": True,
    }
    names = federation.vocabulary.names
    first = client_night(**parameters, columns=list(names[:2]), bootstraps=5, seed=1)["update"]
    assert (first["measured"], first["columns_left_out"]) == (names[:2], 2), (
        "columns left out are a number in Prefect's database"
    )
    edges = folder / "edges.csv"
    edges.write_text(
        f"source,target,lag,effect,confidence,stability\n{names[0]},{names[1]},1,0.5,0.9,0.8\n"
    )
    given = parameters | {"data": "", "edges": str(edges), "measured": list(names[:3])}
    assert client_night(**given)["update"]["measured"] == names[:3]
    (folder / "engine_of_site_01.py").write_text(
        "from pathlib import Path\n"
        "from hyperfed.engines import Discovery\n"
        "class Engine:\n"
        "    def __init__(self, path): self.names = Path(path).read_text().split(',')[:2]\n"
        "    def discover(self):\n"
        "        a, b = self.names\n"
        "        return Discovery(variables=self.names, source=[a], target=[b], lag=1, "
        "effect=0.5, confidence=0.9, stability=0.8)\n"
    )
    assert (
        client_night(**parameters, engine="engine_of_site_01:Engine")["update"]["measured"]
        == names[:2]
    )
    refused = client_night(**(given | {"data": parameters["data"]}), return_state=True)
    assert refused.is_failed()
    assert "--edges goes without --data" in refused.message
    assert len(federation.objects("inbox/00000001/")) == 3


def test_a_federation_below_submits_its_newest_result(found: Found, tmp_path: Path) -> None:
    """The same flow, twice: what a region's rounds gave is one client's update in the country's."""
    country, _ = found()
    (tmp_path / "region").mkdir()
    region = SmallFederation(name="region", store=FilesystemStore(tmp_path / "region"))
    region.play(1)
    country.open(1)
    parameters = client_of(country, "site-02", tmp_path / "site-02") | {
        "data": "",
        "now": country.opens(1) + timedelta(hours=23),
    }
    below = client_of(region, "site-01", tmp_path / "reader")["config"]
    first, again = (client_night(**parameters, below=below) for _ in range(2))
    assert first["update"]["sent"]
    assert first["update"]["edges"] == 3
    assert not again["update"]["sent"]
    country.submit("site-01")
    assert country.run(1).counted == 2


def test_the_audit_fails_naming_the_first_broken_object(found: Found) -> None:
    federation, name = found()
    federation.play(1)
    good = audit(drop_box=name, coordinator_keys=name, return_state=True)
    assert good.is_completed(), good.message
    path = federation.store.root / "rounds/00000001/receipts/site-02"  # type: ignore[attr-defined]
    data = path.read_bytes()
    path.write_bytes(damaged(data))
    bad = audit(drop_box=name, coordinator_keys=name, return_state=True)
    assert bad.is_failed()
    assert "rounds/00000001/receipts/site-02" in bad.message


def test_housekeeping_counts_first_and_takes_only_what_is_old(found: Found) -> None:
    federation, name = found()
    for night in (1, 2, 40):
        federation.play(night)
    before = federation.objects()
    options = {
        "drop_box": name,
        "coordinator_keys": name,
        "keep_rounds": 32,
        "now": federation.night(40),
    }
    dry = housekeeping(**options, dry_run=True, return_state=True)  # type: ignore[arg-type]
    assert dry.result()["objects"] == 6
    assert federation.objects() == before
    done = housekeeping(**options, return_state=True)  # type: ignore[arg-type]
    assert done.result()["objects"] == 6
    assert set(before) - set(federation.objects()) == {
        key for key in before if key.startswith(("inbox/00000001", "inbox/00000002"))
    }
    assert audit(drop_box=name, coordinator_keys=name, return_state=True).is_completed()
    refused = housekeeping(**(options | {"keep_rounds": 3}), return_state=True)  # type: ignore[arg-type]
    assert refused.is_failed()


@pytest.mark.slow
def test_a_simulation_silences_its_liars(found: Found) -> None:
    state = simulate(clients=9, byzantine=0.34, nights=2, return_state=True)
    said = state.result()
    assert (
        said["about"] == "9 clients, 3 of them lie (sign-flip); bounded-trust with f = 3; world sem"
    )
    assert [row["night"] for row in said["nights"]] == [1, 2]
    for row in said["nights"]:
        assert row["weight of liars"] == 0.0
        assert row["F1"] == row["F1, had nobody lied"] > 0.9
    assert "liars weigh 0%" in state.message


@pytest.mark.usefixtures("prefect_harness")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"byzantine": 0.5}, "less than 0.5"),
        ({"clients": 2}, "greater than or equal to 3"),
        ({"rule": "magic"}, "unknown rule"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    state = simulate(**wrong, return_state=True)
    assert state.is_failed()
    assert said in state.message
