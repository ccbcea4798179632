"""Schedules: the three numbers, the deployments' file, the automations' file, and that the
scheduler really creates a cron's runs.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
import yaml
from prefect import flow, get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import Event
from prefect.states import Late

from flows.service.automations import automation_of, create_automations, read_automations
from flows.service.health import server_facts
from flows.service.pool import POOL, make_pool
from flows.service.schedules import apply_schedules
from hyperfed.cli.checkout import import_from_checkout
from hyperfed.errors import ConfigError
from hyperfed.operations.schedules import schedules_of
from hyperfed.registry.windows import Windows
from hyperfed.report.notices import KINDS
from hyperfed.testing.federation import SmallFederation

ROOT = Path(__file__).parents[2]
GENESIS = datetime(2026, 1, 1, tzinfo=UTC)


def deploy(name: str, schedule: CronSchedule | None = None) -> Any:
    """A deployment of a flow that does nothing; its id."""

    @flow(name=name)
    def nothing() -> None: ...

    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(nothing)
        schedules = [DeploymentScheduleCreate(schedule=schedule, active=True)] if schedule else []
        return client.create_deployment(
            flow_id=flow_id, name=name, schedules=schedules, parameter_openapi_schema={}
        )


def test_the_scheduler_creates_a_crons_runs(prefect_harness: None) -> None:
    """With sqlalchemy 2.1 its loop failed, in silence, and no night ever ran."""
    from prefect.server.services.scheduler import schedule_deployments

    deployment = deploy("cron-test", CronSchedule(cron="10 0 * * *", timezone="UTC"))
    anyio.run(schedule_deployments)
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        )
    assert len(runs) >= 3
    assert all(
        (run.expected_start_time.hour, run.expected_start_time.minute) == (0, 10)
        for run in runs
        if run.expected_start_time
    )
    assert all(run.auto_scheduled for run in runs)


def test_applied_schedules_replace_what_was_there_and_say_what_is_not_deployed(
    prefect_harness: None,
) -> None:
    deployment = deploy("open-round", CronSchedule(cron="1 0 * * *", timezone="UTC"))
    opening, running = schedules_of(genesis=GENESIS, round_duration=86_400, aggregation_delay=1800)
    nowhere = replace(running, deployment="not-deployed")
    assert apply_schedules([opening, nowhere]) == {"open-round": True, "not-deployed": False}
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_schedules(deployment)
    assert schedule.schedule.interval == timedelta(days=1)  # type: ignore[union-attr]
    assert schedule.schedule.anchor_date == GENESIS  # type: ignore[union-attr]


def pending(deployment: Any) -> dict[datetime, Any]:
    """The runs of a deployment that wait to begin, by their instants."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        )
    return {
        datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC): run
        for run in runs
        if run.expected_start_time
    }


def test_changed_and_repeated_schedules_keep_the_runs_that_are_late(prefect_harness: None) -> None:
    """An upgrade with a merge overdue: the late run stays, under the schedule as it was, as it is
    changed, and beside schedules that are switched off.
    """
    deployment = deploy("federation-round", CronSchedule(cron="10 0 * * *", timezone="UTC"))
    genesis = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5, minutes=30)
    _, first = schedules_of(genesis=genesis, round_duration=3600, aggregation_delay=60)
    assert apply_schedules([first], since=genesis) == {"federation-round": True}
    overdue = {at: run.id for at, run in pending(deployment).items() if at < datetime.now(UTC)}
    assert sorted(overdue) == [genesis + timedelta(hours=hour) for hour in range(6)]
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_schedules(deployment)
        another = DeploymentScheduleCreate(
            schedule=CronSchedule(cron="0 0 1 1 *", timezone="UTC"), active=True, slug="another"
        )
        client.create_deployment_schedules(deployment, [another])
    _, changed = schedules_of(genesis=genesis, round_duration=3600, aggregation_delay=90)
    for wanted in (first, changed, changed):
        apply_schedules([wanted])
        here = pending(deployment)
        assert {at: here[at].id for at in overdue} == overdue
        assert here[genesis + timedelta(hours=6)].parameters == wanted.parameters
        with get_client(sync_client=True) as client:
            known = {k.slug: (k.id, k.active) for k in client.read_deployment_schedules(deployment)}
        assert known["windows"] == (schedule.id, True)
        assert known["another"][1] is False


def test_a_run_that_was_due_while_schedules_changed_is_there_once(prefect_harness: None) -> None:
    """Prefect deletes it as one of the future, and its scheduler looks only ahead when it comes."""
    deployment = deploy("open-round", CronSchedule(cron="1 0 * * *", timezone="UTC"))
    genesis = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=90)
    opening, _ = schedules_of(genesis=genesis, round_duration=3600)
    apply_schedules([opening])
    began, due = datetime.now(UTC) - timedelta(minutes=31), genesis + timedelta(hours=1)
    assert due not in pending(deployment)
    for _ in range(2):
        apply_schedules([opening], since=began)
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        )
    instants = [run.expected_start_time for run in runs]
    assert instants.count(due) == 1
    assert len(set(instants)) == len(instants)


def test_every_instant_of_a_schedule_lies_in_the_window_it_stands_for() -> None:
    windows = Windows(genesis=GENESIS, window_s=86_400)
    opening, running = schedules_of(genesis=GENESIS, round_duration=86_400, aggregation_delay=1800)
    for night in range(400):
        assert (
            windows.round_at(opening.anchor + timedelta(seconds=opening.interval_s) * night)
            == night + 1
        )
        assert (
            windows.ended_at(running.anchor + timedelta(seconds=running.interval_s) * night)
            == night + 1
        )
    assert running.parameters == {"aggregation_delay_s": 1800.0}
    with pytest.raises(ConfigError, match="at most 3600"):
        schedules_of(genesis=GENESIS, round_duration=86_400, aggregation_delay=3601)


def test_deployments_name_flows_that_exist_and_describe_every_parameter() -> None:
    written = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert {d["name"] for d in written} == {
        "open-round",
        "federation-round",
        "client-night",
        "gossip-round",
        "helper-night",
        "audit",
        "housekeeping",
        "simulate",
    }
    for deployment in written:
        file, _, name = deployment["entrypoint"].partition(":")
        found = import_from_checkout(file.removesuffix(".py").replace("/", "."), name)
        properties = found.parameters.properties
        assert set(deployment.get("parameters", {})) <= set(properties)
        assert all(p.get("description") for p in properties.values()), (
            f"{name}: {[n for n, p in properties.items() if not p.get('description')]}"
        )
        for schedule in deployment.get("schedules", []):
            assert schedule["timezone"] == "UTC"
    limits = {d["name"]: d.get("concurrency_limit") for d in written}
    assert limits["federation-round"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_automations_are_off_until_somebody_is_to_be_told_but_zombies_are_always_ended(
    prefect_harness: None,
) -> None:
    path = ROOT / "deployments" / "automations.yaml"
    made = {a["name"]: automation_of(a, []) for a in read_automations(path)}
    always = ["hyperfed zombie runs", "hyperfed run that never began"]
    assert [name for name, a in made.items() if a.enabled] == always
    expected = {event for a in made.values() for event in a.trigger.expect}  # type: ignore[union-attr]
    assert set(KINDS) <= expected
    told = automation_of(read_automations(path)[2], ["8a4c7f2e-0000-4000-8000-000000000000"])
    assert told.enabled
    assert told.actions[0].type == "send-notification"
    assert create_automations(path, notify=None) == {name: a.enabled for name, a in made.items()}
    create_automations(path, notify=None)
    with get_client(sync_client=True) as client:
        assert len(client.read_automations_by_name("hyperfed zombie runs")) == 1
    CustomWebhookNotificationBlock(name="ops", url="http://127.0.0.1:9/").save(
        "ops", overwrite=True
    )
    assert all(create_automations(path, notify=["custom-webhook/ops"]).values())
    assert all(create_automations(path, notify=None).values()), "a later install silences nobody"
    assert sum(create_automations(path, notify=[]).values()) == len(always)
    with pytest.raises(ConfigError, match="no such notification block"):
        create_automations(path, notify=["custom-webhook/nobody"])


@pytest.mark.parametrize(
    ("automation", "begins", "ends"),
    [
        ("hyperfed zombie runs", {"Running", "Retrying", "Rerunning"}, {"Void", "AwaitingRetry"}),
        ("hyperfed run that never began", {"Pending", "Submitting"}, {"Running", "Crashed"}),
    ],
)
def test_a_dead_machine_is_noticed_by_the_servers_own_word_and_in_our_runs_only(
    automation: str, begins: set[str], ends: set[str]
) -> None:
    """A machine may die before it sends a heartbeat, and others' runs may send none at all."""
    path = ROOT / "deployments" / "automations.yaml"
    written = next(a for a in read_automations(path) if a["name"] == automation)
    trigger = EventTrigger.model_validate(written["trigger"])

    def covered(name: str, tag: str) -> bool:
        event = Event(
            occurred=datetime.now(UTC),
            event=f"prefect.flow-run.{name}",
            resource={"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},  # type: ignore[arg-type]
            related=[  # type: ignore[list-item]
                {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
            ],
            id=uuid4(),
        )
        return trigger.covers(event.receive())

    for name in begins | ends:
        assert covered(name, "hyperfed")
        assert not covered(name, "another")
    assert all(trigger.starts_after(f"prefect.flow-run.{name}") for name in begins)
    assert not any(trigger.expects(f"prefect.flow-run.{name}") for name in begins)
    assert all(trigger.expects(f"prefect.flow-run.{name}") for name in ends)
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    assert all("hyperfed" in deployment["tags"] for deployment in deployments)


def test_a_check_tells_what_keeps_rounds_from_running(prefect_harness: None) -> None:
    """`hyperfed check` of the operator: each step of setting up makes it better."""
    registry = SmallFederation(genesis=GENESIS).registry
    before = server_facts(registry)
    assert before.versions[0]
    deployments = [deploy(name) for name in ("open-round", "federation-round")]
    assert set(server_facts(registry).schedules.values()) == {"has no active schedule"}
    schedules = schedules_of(genesis=GENESIS, round_duration=registry.window_s)
    apply_schedules([replace(s, anchor=s.anchor + timedelta(hours=1)) for s in schedules])
    wrong = server_facts(registry)
    assert set(wrong.schedules.values()) == {"runs at other instants than the registry's windows"}
    apply_schedules(schedules)
    make_pool()
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(deployments[0], name="a late one", state=Late())
        client.send_worker_heartbeat(POOL, "a worker")
        create_automations(ROOT / "deployments" / "automations.yaml", notify=[])
        for automation in client.read_automations_by_name("hyperfed zombie runs"):
            client.pause_automation(automation.id)
        for automation in client.read_automations_by_name("hyperfed run that never began"):
            client.delete_automation(automation.id)
    off = ["hyperfed zombie runs", "hyperfed run that never began"]
    assert server_facts(registry).automations_off == off
    create_automations(ROOT / "deployments" / "automations.yaml", notify=[])
    good = server_facts(registry)
    assert set(good.schedules.values()) == {""}
    assert f"open-round of {datetime.now(UTC):%Y-%m-%d}" in str(good.late)
    assert not good.paused
    assert not good.automations_off, "those that only notify may be off"
    assert good.worker_seen is not None
    assert abs((datetime.now(UTC) - good.worker_seen).total_seconds()) < 120


def test_a_check_tells_a_time_zone_and_what_is_paused(prefect_harness: None) -> None:
    """What somebody changed in the UI, and what costs a night later: in the autumn, or tonight."""
    registry = SmallFederation(genesis=GENESIS).registry
    deployment = deploy("open-round")
    (opening, _) = schedules_of(genesis=GENESIS, round_duration=registry.window_s)
    apply_schedules([opening])
    make_pool()
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_schedules(deployment)
        moved = schedule.schedule.model_copy(update={"timezone": "Europe/Berlin"})
        client.update_deployment_schedule(deployment, schedule.id, schedule=moved)
        assert "Europe/Berlin" in server_facts(registry).schedules["open-round"]
        apply_schedules([opening])
        assert server_facts(registry).schedules["open-round"] == ""
        client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
        (queue,) = client.read_work_queues(work_pool_name=POOL)
        client.update_work_queue(queue.id, is_paused=True)
        assert set(server_facts(registry).paused.values()) == {
            f"prefect work-pool resume {POOL}",
            f"prefect work-queue resume default --pool {POOL}",
        }
        client.update_work_queue(queue.id, is_paused=False)
        client.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))
    assert not server_facts(registry).paused
