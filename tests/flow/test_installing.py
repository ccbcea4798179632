"""`hyperfed service install` and `notify`: what nobody gave stays as it was, another federation's
blocks are no guide, a test that fails saves nothing.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from blocks import DropBox, FederationPolicy
from flows.service import Wanted, install, save_mail, save_webhook
from flows.service.telling import mail_address
from hyperfed.errors import ConfigError, TransportError
from hyperfed.tables.vocabulary import Variable, Vocabulary
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _deploys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deploying is Prefect's own command, half a minute of it; tests/installation runs it."""
    monkeypatch.setattr(
        importlib.import_module("flows.service.install"), "_deploy", lambda checkout: None
    )


def wanted(federation: SmallFederation, name: str, folder: Path, **more: Any) -> Wanted:
    url = f"file://{federation.store.root}"  # type: ignore[attr-defined]
    return Wanted(
        checkout=ROOT,
        url=url,
        key_file=folder / f"{name}.key",
        fingerprint=federation.fingerprint,
        name=name,
        without_login=True,  # the harness's server has none
        **more,
    )


@pytest.mark.slow
def test_a_second_install_changes_only_what_is_given(found: Found, tmp_path: Path) -> None:
    federation, name = found()
    given = {
        "variables": federation.vocabulary.names,
        "quorum": 2,
        "aggregation_delay_s": 60.0,
        "poll_s": 5.0,
        "policy": {"vote_min": 0.25},
    }
    install(wanted(federation, name, tmp_path, **given, clients_by_link=("site-02", "site-01")))
    before = FederationPolicy.load(name)
    assert (
        before.quorum,
        before.aggregation_delay_s,
        before.poll_s,
        before.policy["vote_min"],
    ) == (2, 60.0, 5.0, 0.25)
    # a plan with the defaults: what the operator set for the rounds to come is newer
    federation.open(1)
    said = install(wanted(federation, name, tmp_path))
    assert said["aggregation_delay_s"] == 60.0
    assert FederationPolicy.load(name).model_dump() == before.model_dump()
    assert DropBox.load(name).clients_by_link == ["site-01", "site-02"]
    install(
        wanted(
            federation, name, tmp_path, poll_s=7.0, policy={"trust_min": 0.2}, clients_by_link=()
        )
    )
    after = FederationPolicy.load(name)
    assert (after.poll_s, after.aggregation_delay_s, after.policy) == (
        7.0,
        60.0,
        {"vote_min": 0.25, "trust_min": 0.2},
    )
    assert DropBox.load(name).clients_by_link == []


def test_housekeeping_erases_by_an_access_key_of_its_own_from_then_on(
    found: Found, tmp_path: Path
) -> None:
    """The coordinator's may not erase in a bucket, and each install deploys what the file says."""
    federation, name = found()
    names = federation.vocabulary.names
    own, deployed = tmp_path / "own.toml", f"{name}-housekeeping"
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("housekeeping")

        def deploy() -> None:
            given = {"drop_box": name, "coordinator_keys": name}
            client.create_deployment(flow, name="housekeeping", parameters=given)

        def uses() -> object:
            deployment = client.read_deployment_by_name("housekeeping/housekeeping")
            assert deployment.parameters["coordinator_keys"] == name
            return deployment.parameters["drop_box"]

        deploy()
        said = install(wanted(federation, name, tmp_path, variables=names))
        assert (said["housekeeping"], uses()) == (name, name)
        mistaken = wanted(federation, name, tmp_path, housekeeping_key_file=own)
        with pytest.raises(ConfigError, match="no such access key file"):
            install(replace(mistaken, url="s3://fed"))
        assert uses() == name
        own.touch(mode=0o600)
        own.write_text('access_key = "a"\nsecret_key = "b"\n')
        for more in ({"housekeeping_key_file": own}, {}):
            deploy()
            said = install(wanted(federation, name, tmp_path, **more))
            assert (said["housekeeping"], uses()) == (deployed, deployed)
            assert DropBox.load(deployed).access_key_file == str(own)
        assert DropBox.load(name).access_key_file is None
        DropBox(url="file:///elsewhere", fingerprint="0" * 64, access_key_file=str(own)).save(
            deployed, overwrite=True
        )
        assert install(wanted(federation, name, tmp_path))["housekeeping"] == name, "another's"


def test_another_federations_blocks_are_no_guide_but_the_newest_plan_is(
    found: Found, tmp_path: Path
) -> None:
    federation, name = found()
    DropBox(url="file:///elsewhere", fingerprint="0" * 64, clients_by_link=["stranger"]).save(
        name, overwrite=True
    )
    FederationPolicy(variables=["x", "y"], quorum=9, aggregation_delay_s=1.0).save(
        name, overwrite=True
    )
    with pytest.raises(ConfigError, match="need a vocabulary"):
        install(wanted(federation, name, tmp_path))
    federation.open(1, quorum=2, vote_min=0.5)
    install(wanted(federation, name, tmp_path))
    made = FederationPolicy.load(name)
    assert (
        tuple(made.variables),
        made.quorum,
        made.policy["vote_min"],
        made.aggregation_delay_s,
    ) == (federation.vocabulary.names, 2, 0.5, 1800.0)
    assert DropBox.load(name).clients_by_link == []


# Prefect's message library imports it, where Python still has it
@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_what_does_not_take_the_test_message_is_not_saved(prefect_harness: None) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    with pytest.raises(TransportError, match="does not take the test message"):
        save_webhook("nowhere", "http://127.0.0.1:9/hook", test=True)
    with pytest.raises(TransportError, match="does not take the test message"):
        save_mail(
            "nowhere",
            server="127.0.0.1:9",
            sender="a@example.org",
            to=("b@example.org",),
            security="none",
            login=None,
            test=True,
        )
    with pytest.raises(ValueError, match="Unable to find block document"):
        CustomWebhookNotificationBlock.load("nowhere")
    assert save_webhook("later", "http://127.0.0.1:9/hook", test=False) == "custom-webhook/later"


def test_passwords_are_quoted_and_never_go_in_the_clear() -> None:
    common: dict[str, Any] = {
        "server": "smtp.example.org:587",
        "sender": "fed@example.org",
        "to": ("a@example.org", "b@example.org"),
    }
    address = mail_address(**common, security="starttls", login=("us@er", "p/w:@"))
    assert address.startswith(
        "mailtos://us%40er:p%2Fw%3A%40@smtp.example.org:587?from=fed%40example.org&to=a%40example.org%2Cb%40example.org"
    )
    assert "mode=ssl" in mail_address(**common, security="tls", login=None)
    with pytest.raises(ConfigError, match="in the clear"):
        mail_address(**common, security="none", login=("user", "password"))


def test_the_units_of_the_newest_plan_are_those_of_the_rounds_to_come() -> None:
    entries = (Variable("output", "", "EUR", 0.0), Variable("rate", high=100.0), Variable("c"))
    federation = SmallFederation(clients=2, vocabulary=Vocabulary(entries, 3))
    plan = federation.open(1).value
    said = importlib.import_module("flows.service.install")._vocabulary_of(plan)
    assert FederationPolicy(**said).terms().vocabulary == plan.vocabulary


def test_units_given_to_install_are_those_of_a_new_version_of_the_vocabulary(
    tmp_path: Path,
) -> None:
    install_module = importlib.import_module("flows.service.install")
    federation = SmallFederation(clients=2, vocabulary=Vocabulary.of("output", "rate"))
    federation.open(1)
    common: dict[str, Any] = {
        "checkout": ROOT,
        "url": "memory:",
        "key_file": tmp_path / "key",
        "fingerprint": federation.fingerprint,
    }

    def made(known: FederationPolicy | None = None, **more: Any) -> FederationPolicy:
        policy = install_module._policy(Wanted(**common, **more), federation.reader(), known)
        assert isinstance(policy, FederationPolicy)
        return policy

    before = made()
    assert before.vocabulary_version == 1, "nothing has changed"
    units = made(before, units={"output": "EUR"}, ranges={"rate": [0.0, None]})
    assert units.terms().vocabulary == Vocabulary(
        (Variable("output", unit="EUR"), Variable("rate", low=0.0)), 2
    )
    again = made(units, units={"output": "EUR"}, ranges={"rate": [0.0, None]})
    assert again.terms().vocabulary == units.terms().vocabulary
    fewer = made(units, variables=("output", "count"), units={"count": "persons"})
    assert fewer.terms().vocabulary == Vocabulary(
        (Variable("output", unit="EUR"), Variable("count", unit="persons")), 3
    )
    with pytest.raises(ConfigError, match="weight"):
        made(units, units={"weight": "kg"})
