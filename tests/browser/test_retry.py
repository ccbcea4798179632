"""The operator's morning in the real UI: Retry after a failed night, Retry after a good one, a
custom run from the form, the round's page.
"""

from collections.abc import Callable
from typing import Any

import pytest

from hyperfed.testing.federation import SmallFederation
from tests.browser.conftest import Site, hyperfed, pressed
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.seaweedfs, pytest.mark.timeout(600)]
FINISHED = ("collect", "validate", "score trust")


def press_retry(site: Site, page: Any, run_id: str) -> None:
    page.goto(f"{site.stack.ui_url}/runs/flow-run/{run_id}")
    page.get_by_role("button", name="Retry").first.click()
    page.locator(".p-modal__background").wait_for()  # the dialogue asks once more
    pressed(
        page, page.get_by_role("button", name="Retry").last.click, f"/flow_runs/{run_id}/set_state"
    )
    page.get_by_text("Retrying").or_(
        page.get_by_text("Scheduled").or_(page.get_by_text("AwaitingRetry"))
    ).first.wait_for()


def undisturbed(site: Site, round_id: int, before: dict[str, bytes]) -> bytes:
    """The digest of the result that a coordinator gives that sees the same objects at the same time
    and is never disturbed.
    """
    twin = SmallFederation(clients=3, name="browser-fed", genesis=site.federation.registry.genesis)
    for key, data in before.items():
        twin.store.put_if_absent(key, data)
    frozen = site.federation.reader().freeze(round_id)
    assert frozen is not None
    return twin.run(round_id, now=frozen.value.time).result


def test_a_round_that_failed_at_its_fourth_stage_is_finished_by_one_press_of_retry(
    site: Site, page: Any, shoot: Callable[..., None]
) -> None:
    federation = site.federation
    site.ready(1)
    before = federation.objects()
    site.use(site.stack.store.credentials("no-ledger"))
    run_id = site.start_night(1)
    failed = site.ended(run_id)
    assert failed["state_type"] == "FAILED", failed["state"]
    assert "AccessDenied" in failed["state"]["message"]
    assert federation.reader().ledger() == []
    kept = federation.objects("prefect/stages/rounds/00000001/")
    assert {key.split("/")[4] for key in kept} == {name.replace(" ", "-") for name in FINISHED}
    page.goto(f"{site.stack.ui_url}/runs/flow-run/{run_id}")
    shoot("1-failed-at-the-fourth-stage")

    site.use(site.stack.store.credentials())
    press_retry(site, page, run_id)
    done = site.ended(run_id, but=failed["state"])
    assert (done["state_type"], done["name"].split(", ")[-1]) == ("COMPLETED", "3 of 3"), done[
        "state"
    ]
    assert "Round 1 is committed: 3 of 3 clients counted" in done["state"]["message"]
    page.reload()
    page.get_by_text("Completed").first.wait_for()
    shoot("2-completed-after-retry", settle_s=4)

    after = federation.objects("prefect/stages/rounds/00000001/")
    assert kept.items() <= after.items()
    assert len(after) == len(kept) + 1  # the fourth stage ran, the three before it did not
    result = federation.reader().result(1)
    assert result is not None
    assert result.digest == undisturbed(site, 1, before)
    names = [state for _, state in site.states_of_tasks(run_id)]
    assert names.count("Cached") == len(FINISHED)


def test_retry_on_a_completed_round_changes_nothing_and_says_so(
    site: Site, page: Any, shoot: Callable[..., None]
) -> None:
    site.ready(2)
    run_id = site.start_night(2)
    done = site.ended(run_id)
    assert done["state_type"] == "COMPLETED", done["state"]
    before = site.federation.objects()
    press_retry(site, page, run_id)
    again = site.ended(run_id, but=done["state"])
    assert again["state"]["message"].startswith(
        "already committed, digests verified; nothing was run again"
    )
    assert site.federation.objects() == before
    page.goto(f"{site.stack.ui_url}/runs/flow-run/{run_id}?tab=Details")
    shoot("3-already-committed")


def test_retry_from_a_terminal_does_the_same(site: Site) -> None:
    site.federation.open(4)
    site.federation.submit("site-01", round_id=4)
    run_id = site.start_night(4)
    failed = site.ended(run_id)
    assert failed["state_type"] == "FAILED"
    assert "missing: site-02, site-03" in failed["state"]["message"]
    site.federation.submit("site-02", round_id=4)
    done = hyperfed(site, "round", "retry", "4", "--wait", f"{PATIENCE_S:g}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"Completed"' in done.stdout
    assert site.run(run_id)["state_type"] == "COMPLETED"
    missing = hyperfed(site, "round", "retry", "9", "--json")
    assert missing.returncode == 2
    assert "hyperfed round run 9" in missing.stdout


def test_a_custom_run_from_the_form_is_a_dry_run(
    site: Site, page: Any, shoot: Callable[..., None]
) -> None:
    site.ready(10)
    before = site.federation.objects()
    deployment = site.api("/deployments/name/federation-round/federation-round")
    page.goto(f"{site.stack.ui_url}/deployments/deployment/{deployment['id']}/run")
    page.get_by_text("Only say who would be counted now. Nothing is written.").wait_for()
    row = page.locator(".schema-form-property", has=page.get_by_text("round_id (Optional)")).first
    row.get_by_role("button", name="int").click()
    row.get_by_role("spinbutton").fill("10")
    page.get_by_role("switch").first.click()
    shoot("4-custom-run-form", full=True)
    pressed(page, page.get_by_role("button", name="Submit").click, "/create_flow_run")
    runs = site.api(
        "/flow_runs/filter",
        {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 50,
        },
    )
    (mine,) = (run for run in runs if run["parameters"].get("dry_run"))
    assert mine["parameters"]["round_id"] == 10
    done = site.ended(mine["id"])
    assert (
        done["state"]["message"]
        == "dry run, nothing was written: 3 of 3 would be counted, 0 refused"
    ), done["state"]
    assert done["name"].endswith("dry run")
    assert site.federation.objects() == before


def test_the_rounds_page_shows_graph_trust_and_budget(
    site: Site, page: Any, shoot: Callable[..., None]
) -> None:
    site.ready(10) if site.federation.reader().plan(10) is None else None
    run_id = site.start("federation-round", round_id=10)
    assert site.ended(run_id)["state_type"] == "COMPLETED"
    (artifact,) = site.api(
        "/artifacts/filter", {"artifacts": {"key": {"any_": ["round-00000010"]}}, "limit": 1}
    )
    page.goto(f"{site.stack.ui_url}/artifacts/artifact/{artifact['id']}")
    page.get_by_text("Privacy budget").first.wait_for()
    picture = page.locator("img[src^='data:image/svg+xml']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 0  # it is drawn, not stripped
    for text in ("site-01", "Trust", "Timings"):
        assert page.get_by_text(text).count()
    shoot("5-the-rounds-page", full=True)
    address = page.get_by_role("link", name="The report as one HTML file").get_attribute("href")
    assert address.startswith(site.stack.pages.url)
    page.goto(address)
    page.get_by_text("Round 10 is committed: 3 of 3 clients counted").first.wait_for()
    shoot("6-the-report", settle_s=0.5)
