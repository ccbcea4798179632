"""A basket's night by the gossip flow, without a coordinator, on a folder and on SeaweedFS."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.client.orchestration import get_client

from flows.gossip_round import gossip_round
from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.client.night import open_session
from hyperfed.errors import AccessDenied
from hyperfed.operations.access import Role, access_of, seaweedfs_actions
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

SHARE = Budget(gossip_epsilon=Decimal(4), gossip_delta=Decimal("0.00001"))


def federation(store: ObjectStore) -> SmallFederation:
    fed = SmallFederation(store=store, budget=SHARE, policy=PolicyPack(lags=(1,)))
    fed.open(1)
    return fed


def clients_of(fed: SmallFederation, folder: Path, store: str) -> dict[str, str]:
    """Each client's own machine: key, settings, data; the paths of their hyperfed.toml."""
    configs = {}
    for number, client in enumerate(fed.clients):
        own = folder / client
        own.mkdir()
        fed.keys[client].save(own / "client.key")
        (own / "hyperfed.toml").write_text(
            f'[store]\n{store}\n[federation]\nfingerprint = "{fed.fingerprint}"\n'
            f'[client]\nid = "{client}"\nkey = "client.key"\n[data]\nfile = "series.csv"\n'
            "series = true\nbootstraps = 5\n"
        )
        values = np.cumsum(np.random.default_rng(number).normal(size=(60, 4)), axis=0)
        header = ",".join(fed.vocabulary.names)
        np.savetxt(own / "series.csv", values, delimiter=",", header=header, comments="")
        configs[client] = str(own / "hyperfed.toml")
    return configs


def night(
    fed: SmallFederation, configs: dict[str, str], epochs: int, *, round_id: int = 1
) -> dict[str, np.ndarray]:
    """Runs every client's flow so many times, and returns what each of them has then."""
    for epoch in range(epochs):
        for config in configs.values():
            now = fed.opens(round_id) + timedelta(hours=1 + 4 * epoch)
            state = gossip_round(config=config, now=now, return_state=True)
            assert state.is_completed(), state.message
            assert state.result()["began"] is (epoch == 0)
    then = fed.opens(round_id) + timedelta(hours=23)
    return {
        client: GossipAtDropBox(open_session(Path(config), now=then)).average(now=then).values
        for client, config in configs.items()
    }


def agree(found: dict[str, np.ndarray], noise: float) -> None:
    each = np.array(list(found.values()))
    assert np.abs(each - each.mean(axis=0)).max() < noise / 100


def test_a_baskets_night_on_a_folder_and_what_prefect_keeps_of_it(
    prefect_harness: None, tmp_path: Path
) -> None:
    (tmp_path / "box").mkdir()
    fed = federation(FilesystemStore(tmp_path / "box"))
    configs = clients_of(fed, tmp_path, f'url = "file://{tmp_path}/box"')
    found = night(fed, configs, 4)
    agree(found, 3.7)
    # nobody opened round 2: the basket goes on
    agree(night(fed, configs, 4, round_id=2), 3.7)
    assert fed.reader().plan(2) is None
    kept = "".join(run.model_dump_json() for run in runs())
    for value in found[fed.clients[0]]:
        assert f"{value:.6g}"[:7] not in kept
    assert fed.clients[0] in kept


def runs() -> list[Any]:
    with get_client(sync_client=True) as client:
        return [*client.read_flow_runs(limit=200)]


def test_a_run_again_or_too_early_sends_nothing_twice(
    prefect_harness: None, tmp_path: Path
) -> None:
    (tmp_path / "box").mkdir()
    fed = federation(FilesystemStore(tmp_path / "box"))
    configs = clients_of(fed, tmp_path, f'url = "file://{tmp_path}/box"')
    config, now = configs[fed.clients[0]], fed.opens(1) + timedelta(hours=1)
    gossip_round(config=config, now=now)
    lying = fed.objects("gossip/")
    assert list(lying) == [Keys.gossip(1, 0, fed.clients[0])]
    again = gossip_round(config=config, now=now + timedelta(minutes=1), return_state=True)
    assert "nothing was due" in again.message
    assert fed.objects("gossip/") == lying


def test_a_client_that_cannot_pay_fails_and_says_why(prefect_harness: None, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    store = FilesystemStore(tmp_path / "box")
    fed = SmallFederation(store=store, policy=PolicyPack(lags=(1,)))
    fed.open(1)
    configs = clients_of(fed, tmp_path, f'url = "file://{tmp_path}/box"')
    now = fed.opens(1) + timedelta(hours=1)
    state = gossip_round(config=configs[fed.clients[0]], now=now, return_state=True)
    assert state.is_failed()
    assert "no share" in str(state.message)
    assert fed.objects("gossip/") == {}


@pytest.mark.seaweedfs
def test_a_baskets_night_on_seaweedfs(prefect_harness: None, tmp_path: Path) -> None:
    """Each client has the rights that `hyperfed iam` gives it, and no more."""
    clients = {
        client: seaweedfs_actions(access_of(Role.CLIENT, client=client), bucket="fed")
        for client in ("site-01", "site-02", "site-03")
    }
    with SeaweedFS(tmp_path / "weed", identities=clients) as server:
        fed = federation(server.store("fed"))
        configs = clients_of(fed, tmp_path, f'url = "s3://fed"\nendpoint = "{server.endpoint_url}"')
        for client, config in configs.items():
            known = server.credentials(client)
            access = Path(config).with_name("access.toml")
            access.write_text(
                f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n'
            )
            access.chmod(0o600)
            text = Path(config).read_text()
            Path(config).write_text(
                text.replace("[store]", '[store]\naccess_key_file = "access.toml"')
            )
        agree(night(fed, configs, 4), 3.7)
        own = server.store("fed", identity="site-01", create=False)
        with pytest.raises(AccessDenied):
            own.put_if_absent(Keys.gossip(1, 9, "site-02"), b"x")
