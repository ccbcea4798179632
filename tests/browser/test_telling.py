"""Being told: what Prefect's server really sends, to a webhook and to a mailbox, when a night goes
wrong.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation
from tests.browser.conftest import BUCKET, CHECKOUT, Site
from tests.installation.receivers import Kept, mail_server, web_server
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.seaweedfs, pytest.mark.timeout(600)]
NAME = "telling"
CENTRAL = {"privacy": "central", "strategy": "mean", "trust_min": 0.0, "max_lag": 1}
BLOCKS = {"drop_box": NAME, "coordinator_keys": NAME, "federation_policy": NAME}


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Kept, Kept]]:
    with web_server() as web, mail_server() as mail:
        yield web, mail


@pytest.fixture(scope="module")
def federation(site: Site, told: tuple[Kept, Kept]) -> Iterator[SmallFederation]:
    """Five clients and a budget for one private night, with blocks of its own on the site, whose
    worker serves it meanwhile; its automations tell both receivers.

    By the functions behind `hyperfed service notify` and `install`, in one process;
    tests/installation/test_operations_page.py runs the commands.
    """
    web, mail = told
    genesis, store = site.federation.registry.genesis, site.stack.store.store(BUCKET, prefix=NAME)
    fed = SmallFederation(
        clients=5,
        name=NAME,
        store=store,
        genesis=genesis,
        budget=Budget(epsilon=Decimal("1"), delta=Decimal("0.0001")),
    )
    site.use(site.stack.store.credentials())
    fed.coordinator.save(site.folder / "telling.key")
    install = f"""
from pathlib import Path
from blocks import CoordinatorKeys, DropBox, FederationPolicy
from flows.service import save_mail, save_webhook
from flows.service.automations import create_automations
box = dict(
    url="s3://{BUCKET}/{NAME}",
    endpoint={site.stack.store.endpoint_url!r},
    access_key_file={str(site.folder / "access-key.toml")!r},
)
DropBox(**box, fingerprint={fed.fingerprint!r}).save({NAME!r})
CoordinatorKeys(key_file={str(site.folder / "telling.key")!r}).save({NAME!r})
FederationPolicy(
    variables={list(fed.vocabulary.names)!r}, quorum=3, aggregation_delay_s=0, poll_s=1
).save({NAME!r})
ops = save_webhook("ops", "http://127.0.0.1:{web.port}/hook", test=True)
at = "127.0.0.1:{mail.port}"
addresses = dict(server=at, sender="fed@example.org", to=("ops@example.org",))
mail = save_mail("mail", **addresses, security="none", login=None, test=True)
create_automations(Path("deployments/automations.yaml"), notify=[ops, mail])
"""
    done = subprocess.run(
        [sys.executable, "-c", install],
        cwd=CHECKOUT,
        env=os.environ | site.stack.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for received in told:
        received.awaits("Hyperfed: a test")
    site.serves(fed, url=f"s3://{BUCKET}/{NAME}", key="telling.key")
    yield fed
    site.serves(site.federation, url=f"s3://{BUCKET}", key="coordinator.key")


def test_a_night_with_a_liar_an_absent_client_and_the_last_of_the_budget(
    site: Site, federation: SmallFederation, told: tuple[Kept, Kept]
) -> None:
    for night in (1, 2):
        federation.play(night, but=("site-05",))
    federation.open(3, quorum=3, **CENTRAL)
    for client in ("site-01", "site-02", "site-03"):
        federation.submit(client, round_id=3)
    for slot in (0, 1):
        two_faced = federation.envelope(
            "site-04",
            round_id=3,
            sequence=9,
            update=federation.update("site-04", effect=0.5 + slot),
        )
        federation.put(two_faced, "site-04", round_id=3, slot=slot)
    run_id = site.start(
        "federation-round", round_id=3, now=federation.night(3).isoformat(), **BLOCKS
    )
    done = site.ended(run_id)
    assert done["state_type"] == "COMPLETED", done["state"]
    for received in told:
        received.awaits("Hyperfed: a client equivocates", "site-04 signed two different updates")
        received.awaits(
            "Hyperfed: a client stays away", "site-05 was not counted in the last 3 rounds"
        )
        received.awaits("Hyperfed: the privacy budget is low", "After round 3")
        assert not [text for text in received.texts if " Failed" in text], (
            "a good night is not told of as a failed one"
        )


def test_a_round_that_fails_and_then_is_void(
    site: Site, federation: SmallFederation, told: tuple[Kept, Kept]
) -> None:
    federation.open(4, quorum=3)
    federation.submit("site-01", round_id=4)
    failed = site.ended(
        site.start("federation-round", round_id=4, now=federation.night(4).isoformat(), **BLOCKS)
    )
    assert failed["state_type"] == "FAILED"
    for received in told:
        text = received.awaits(
            "Hyperfed: round 4,", "Failed", "missing: site-02, site-03, site-04, site-05"
        )
        assert f"{site.stack.ui_url}/runs/flow-run/{failed['id']}" in text.replace("=\n", "")
    void = site.ended(
        site.start("federation-round", round_id=4, now=federation.night(6).isoformat(), **BLOCKS)
    )
    assert void["state_name"] == "Void", void["state"]
    for received in told:
        received.awaits("Hyperfed: a round is void", "Round 4")


def test_a_run_that_nobody_takes_up(
    site: Site, federation: SmallFederation, told: tuple[Kept, Kept]
) -> None:
    site.stack.worker.stop()
    try:
        due = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
        found = site.api("/deployments/name/federation-round/federation-round")
        body = {
            "parameters": {"round_id": 3, **BLOCKS},
            "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": due}},
        }
        run_id = site.api(f"/deployments/{found['id']}/create_flow_run", body)["id"]
        for received in told:
            received.awaits("Hyperfed: a run is late", "Does a worker run?")
    finally:
        site.stack.worker.start()
    again = site.ended(run_id)
    assert "already committed" in again["state"]["message"], again["state"]
