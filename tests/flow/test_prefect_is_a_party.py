"""Whoever may use Prefect's API: what a run, a deployment, the pool and a block may say, and what
the worker makes of it (R-140). Each attack stands beside its honest twin.
"""

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from blocks.bounds import VARIABLE
from flows.audit import audit
from flows.client_night import client_night
from flows.federation_round import federation_round
from flows.server import check_authentication
from flows.service import Wanted, install
from flows.service.engine import refuse_pickles
from flows.service.pool import POOL, job_template, make_pool
from flows.service.worker import CheckoutWorker, entrypoints_of
from hyperfed.errors import AccessDenied, ConfigError, SchemaError
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
ROOT = Path(__file__).parents[2]
AUDIT = "flows/audit.py:audit"


@pytest.fixture
def site(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SmallFederation, str]:
    """A federation, its blocks, and the hyperfed.toml that bounds the worker."""
    federation, name = found()
    (tmp_path / "hyperfed.toml").write_text(
        f'[store]\nurl = "file://{tmp_path}/drop-box"\n[federation]\nfingerprint = '
        f'"{federation.fingerprint}"\n[coordinator]\nkey = "{name}.key"\n'
        "[worker]\npolicy = { sealed = true, vote_min = [0.2, 0.5] }\n"
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path / "hyperfed.toml"))
    make_pool()
    return federation, name


def deploy(blocks: str, *, entrypoint: str = AUDIT, **more: Any) -> Any:
    """Make a deployment of the audit through the API, as anybody who reaches it can."""
    with get_client(sync_client=True) as client:
        return client.create_deployment(
            flow_id=client.create_flow(audit),
            name=f"audit-{blocks}",
            entrypoint=entrypoint,
            work_pool_name=POOL,
            parameters={"drop_box": blocks, "coordinator_keys": blocks},
            **more,
        )


def start(deployment: Any, **more: Any) -> Any:
    with get_client(sync_client=True) as client:
        return client.create_flow_run_from_deployment(deployment, **more).id


def worked(run: Any, kind: type[ProcessWorker] = CheckoutWorker) -> FlowRun:
    """The run, once a worker has looked for runs and ended with them."""
    asyncio.run(kind(work_pool_name=POOL, create_pool_if_not_found=False).start(run_once=True))
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run)


def test_a_run_brings_no_command_environment_or_folder(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    deployment = deploy(site[1])
    for variable in ("command", "env", "working_dir"):
        with pytest.raises(PrefectHTTPStatusError, match=r"409|422"):
            start(deployment, job_variables={variable: "sh -c 'touch /tmp/x'"})
    assert job_template()["variables"]["properties"] == {}
    with get_client(sync_client=True) as client:
        template = client.read_work_pool(POOL).base_job_template
    assert template["variables"]["properties"] == {}
    assert template["job_configuration"]["command"] is None


def test_install_takes_the_variables_out_of_a_pool_of_prefects_own(
    site: tuple[SmallFederation, str],
) -> None:
    with get_client(sync_client=True) as client:
        client.update_work_pool(
            POOL,
            WorkPoolUpdate(base_job_template=ProcessWorker.get_default_base_job_template()),
        )
        make_pool()
        assert client.read_work_pool(POOL).base_job_template["variables"]["properties"] == {}


@pytest.mark.slow
def test_what_the_server_says_about_the_process_is_not_read_and_the_flow_runs(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    """The pool's template, the deployment's pull steps and the run say: a shell. Prefect's worker
    does as it is told; ours runs the flow of its checkout.
    """
    stolen = tmp_path / "stolen"
    shell = f"sh -c 'cat {tmp_path}/{site[1]}.key >> {stolen}'"
    evil = job_template()
    evil["job_configuration"]["command"] = shell
    with get_client(sync_client=True) as client:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=evil))
    steps = [{"prefect.deployments.steps.run_shell_script": {"script": shell}}]
    deployment = deploy(site[1], pull_steps=steps)
    ended = worked(start(deployment))
    assert not stolen.exists()
    assert ended.state is not None
    assert ended.state.is_completed(), ended.state.message
    assert "everything holds" in str(ended.state.message)
    worked(start(deployment), ProcessWorker)
    assert stolen.exists(), "the attack is one: Prefect's own worker does as it is told"


@pytest.mark.slow
def test_code_that_the_checkout_does_not_deploy_is_not_run(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    stolen = tmp_path / "stolen"
    (tmp_path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(stolen)!r}).touch()\nfrom flows.audit import audit\n"
    )
    ended = worked(start(deploy(site[1], entrypoint=f"{tmp_path}/evil.py:audit")))
    assert ended.state is not None
    assert ended.state.is_crashed()
    assert "which deployments/prefect.yaml of this worker does not have" in str(ended.state.message)
    assert not stolen.exists()
    assert entrypoints_of(ROOT)[AUDIT] == f"{ROOT}/{AUDIT}"


def test_a_pickle_that_a_state_names_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.serializers import CompressedSerializer, PickleSerializer

    monkeypatch.setattr(PickleSerializer, "loads", PickleSerializer.loads)
    pickled = PickleSerializer().dumps("a value")
    assert PickleSerializer().loads(pickled) == "a value"
    refuse_pickles()
    with pytest.raises(SchemaError, match="R-140"):
        PickleSerializer().loads(pickled)
    around = CompressedSerializer(serializer=PickleSerializer())
    compressed = around.dumps("a value")
    with pytest.raises(SchemaError, match="R-140"):
        around.loads(compressed)


def test_a_server_that_answers_everybody_is_refused(
    site: tuple[SmallFederation, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow tests' server has no login. One that asks for a login has its test in
    tests/installation.
    """
    from prefect.settings import PREFECT_API_URL

    with pytest.raises(AccessDenied, match="answers without a login"):
        check_authentication(str(PREFECT_API_URL.value()))
    module = importlib.import_module("flows.service.install")
    monkeypatch.setattr(module, "_deploy", lambda checkout: None)
    federation, name = site
    wanted: dict[str, Any] = {
        "checkout": ROOT,
        "url": f"file://{tmp_path}/drop-box",
        "key_file": tmp_path / f"{name}.key",
        "fingerprint": federation.fingerprint,
        "name": f"{name}-new",
        "variables": federation.vocabulary.names,
    }
    with pytest.raises(AccessDenied, match="R-140"):
        install(Wanted(**wanted))
    with pytest.raises(ValueError, match="Unable to find block"):
        DropBox.load(f"{name}-new")
    assert install(Wanted(**wanted, without_login=True))["variables"] == len(federation.vocabulary)


def test_blocks_of_another_drop_box_or_key_are_refused(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    federation, name = site
    url, fingerprint = f"file://{tmp_path}/drop-box", federation.fingerprint
    DropBox(url=url, fingerprint=fingerprint).open()
    CoordinatorKeys(key_file=str(tmp_path / f"{name}.key")).load_keys()
    for changed in (
        DropBox(url=f"file://{tmp_path}/elsewhere", fingerprint=fingerprint),
        DropBox(url=url, fingerprint="0" * 64),
        DropBox(url=url, fingerprint=""),
        DropBox(url=url, fingerprint=fingerprint, endpoint="https://evil.example"),
        DropBox(url=url, fingerprint=fingerprint, ca_file=f"{tmp_path}/evil.pem"),
    ):
        with pytest.raises(AccessDenied, match="block Drop-Box"):
            changed.open()
    assert not (tmp_path / "elsewhere").exists()
    federation.coordinator.save(tmp_path / "another.key")
    with pytest.raises(AccessDenied, match="block Coordinator Keys"):
        CoordinatorKeys(key_file=str(tmp_path / "another.key")).load_keys()


def test_a_run_overrides_only_what_the_worker_allows(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    policy = FederationPolicy.load(site[1])
    assert policy.terms({"vote_min": 0.3}).policy == policy.terms().policy
    for field, value in (("sealed", False), ("privacy", "local"), ("n_proposals", 10**6)):
        with pytest.raises(AccessDenied, match=f"{field} is not to be overridden"):
            policy.terms({field: value})
    with pytest.raises(AccessDenied, match=r"vote_min is 0\.1"):
        policy.terms({"vote_min": 0.1})
    with pytest.raises(AccessDenied, match="sealed is False"):
        policy.model_copy(update={"policy": {"sealed": False}}).terms()
    file = tmp_path / "hyperfed.toml"
    file.write_text(file.read_text() + 'overrides = ["n_proposals"]\n')
    policy.terms({"n_proposals": 5})
    with pytest.raises(AccessDenied, match="vote_min is not to be overridden"):
        policy.terms({"vote_min": 0.3})


def test_a_round_is_asked_for_within_bounds(site: tuple[SmallFederation, str]) -> None:
    federation, name = site
    blocks = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    with pytest.raises(AccessDenied, match="round_id"):
        federation_round(round_id=2, now=federation.night(40), **blocks)
    assert list(federation.store.list("rounds/")) == []
    federation.open(40)
    federation.submit_all(round_id=40)
    done = federation_round(round_id=40, now=federation.night(40), **blocks)
    assert json.loads(json.dumps(done))["outcome"] == "committed"


@pytest.mark.parametrize("parameter", ["config", "data", "edges", "below", "model_folder"])
def test_a_file_outside_of_the_workers_folder_is_not_read(
    site: tuple[SmallFederation, str],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    parameter: str,
) -> None:
    federation, _ = site
    client = federation.clients[0]
    federation.keys[client].save(tmp_path / "client.key")
    (tmp_path / "client.toml").write_text(
        f'[store]\nurl = "file://{tmp_path}/drop-box"\n[federation]\nfingerprint = '
        f'"{federation.fingerprint}"\n[client]\nid = "{client}"\nkey = "client.key"\n'
    )
    (tmp_path / "edges.csv").write_text("source,target,lag,effect\n")
    outside = tmp_path_factory.mktemp("outside")
    (tmp_path / "link").symlink_to(outside)
    given = {"config": "client.toml", "edges": "edges.csv"}
    for path in (str(outside / "file"), f"../{outside.name}/file", "link/file"):
        with pytest.raises(AccessDenied, match="leads out of"):
            client_night(**(given | {parameter: path}))
    assert list(outside.iterdir()) == []


def test_an_engine_is_one_that_the_workers_owner_named(
    site: tuple[SmallFederation, str], tmp_path: Path
) -> None:
    from blocks.bounds import bounds

    assert bounds().engine("var") == "var"
    with pytest.raises(AccessDenied, match="code of somebody's own"):
        bounds().engine("os:system")
    file = tmp_path / "hyperfed.toml"
    file.write_text(file.read_text() + 'engines = ["ours:engine"]\n')
    assert bounds().engine("ours:engine") == "ours:engine"


def test_a_deployments_run_without_bounds_is_refused(
    site: tuple[SmallFederation, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from blocks import bounds as module

    monkeypatch.delenv(VARIABLE)
    assert module.bounds().settings is None, "a flow called as a function is the user's own"
    monkeypatch.setattr("prefect.runtime.deployment.id", "a-deployment", raising=False)
    with pytest.raises(ConfigError, match="nothing on this machine bounds it"):
        DropBox.load(site[1]).open()
