"""`hyperfed check`: each thing that can spoil a night is told with its level and its remedy, by the
exit codes of monitoring plugins, and a check changes next to nothing.
"""

import os
import shutil
import socket
import tempfile
from collections import namedtuple
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hyperfed.client import opening
from hyperfed.crypto.keys import KeyPair
from hyperfed.operations.health import (
    Level,
    ServerFacts,
    machine,
    rounds,
    server_findings,
    worst,
)
from hyperfed.operations.health.finding import Finding
from hyperfed.packets import PolicyPack
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.unit.cli.conftest import World

Usage = namedtuple("Usage", "total used free")
ROUNDS = '[rounds]\nvariables = ["output"]\n'
"""Says that rounds run without a Prefect server here."""


def levels(world: World, *args: str) -> tuple[int, dict[str, str]]:
    """(exit code, check -> level); what is not good has a remedy."""
    code, checks = checked(world, *args)
    assert all(c["remedy"] or c["level"] == "ok" for c in checks.values()), checks
    return code, {name: check["level"] for name, check in checks.items()}


def checked(world: World, *args: str) -> tuple[int, dict[str, dict[str, str]]]:
    ran = world.desk("check", "--json", *args)
    assert ran.json["exit_code"] == ran.code
    return ran.code, {check["name"]: check for check in ran.json["checks"]}


@pytest.fixture
def operator(world: World) -> World:
    """The operator's desk, after a round and in the next."""
    config = world.config("texas").partition("[client]")[0]
    Path("hyperfed.toml").write_text(f'{config}[coordinator]\nkey = "coordinator.key"\n{ROUNDS}')
    world.federation.play(1)
    world.federation.open(2)
    world.at(2)
    return world


def test_what_is_checked_follows_from_what_is_configured(world: World) -> None:
    world.federation.play(1)
    world.federation.open(2)
    world.at(2)
    code, client = levels(world)
    assert (code, set(client.values())) == (0, {"ok"})
    assert {"client key", "updates"} <= client.keys()
    assert not {"coordinator key", "budget", "schedules"} & client.keys()
    Path("hyperfed.toml").write_text(
        f'{world.config("texas")}[coordinator]\nkey = "coordinator.key"\n{ROUNDS}'
    )
    assert {"client key", "coordinator key", "updates", "budget"} <= levels(world)[1].keys()
    shown = world.desk("check")
    assert shown.out.startswith("HYPERFED OK: ")


def test_a_day_of_checks_leaves_one_object(operator: World) -> None:
    before = operator.objects()
    for hours in range(4):
        operator.desk.now += timedelta(hours=hours)
        assert levels(operator)[0] == 0
    new = operator.objects().keys() - before.keys()
    assert len(new) == 1
    assert new.pop().startswith("probe/check/")
    assert {key: data for key, data in operator.objects().items() if key in before} == before


def test_a_store_that_overwrites_is_critical(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwriting(self: FilesystemStore, key: str, data: bytes) -> bool:
        (operator.box / key).parent.mkdir(parents=True, exist_ok=True)
        (operator.box / key).write_bytes(data)
        return True

    monkeypatch.setattr(FilesystemStore, "put_if_absent", overwriting)
    code, found = checked(operator)
    assert (code, found["store"]["level"]) == (2, "critical")
    assert "created a second time [R-1]" in found["store"]["said"]


def test_a_drop_box_that_is_not_there_is_told_by_the_store(operator: World) -> None:
    operator.box.rename("elsewhere")
    code, found = levels(operator)
    assert code == 2
    assert (found["store"], found["coordinator key"], found["disk"]) == (
        "critical",
        "unknown",
        "ok",
    )


def test_a_store_that_never_answers_is_told_before_a_monitor_gives_up(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests of a few seconds each, where a person's commands would wait for six minutes."""
    monkeypatch.setattr(opening, "HURRIED_S", 0.3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with socket.create_server(("127.0.0.1", 0), backlog=9) as silent:
        text = Path("hyperfed.toml").read_text()
        url = f'"s3://fed"\nendpoint = "http://127.0.0.1:{silent.getsockname()[1]}"'
        Path("hyperfed.toml").write_text(text.replace('"file:box"', url))
        code, found = checked(operator)
        silent.settimeout(0.1)
        asked = 0
        with suppress(TimeoutError):
            while True:
                silent.accept()[0].close()
                asked += 1
    assert (code, found["store"]["level"]) == (2, "critical")
    assert asked == 2


def test_an_operator_who_names_no_server_is_not_told_that_all_is_good(operator: World) -> None:
    """A monitor without the worker's environment would say OK while no worker runs."""
    settings = Path("hyperfed.toml").read_text()
    Path("hyperfed.toml").write_text(settings.partition("[rounds]")[0])
    code, found = checked(operator)
    assert (code, found["schedules"]["level"]) == (3, "unknown")
    assert "were not looked at" in found["schedules"]["said"]
    assert "PREFECT_API_URL" in found["schedules"]["remedy"]
    Path("hyperfed.toml").write_text(settings)  # without Prefect, by hand or by cron
    assert "schedules" not in checked(operator)[1]


def test_a_result_that_the_drop_box_has_lost_is_not_the_newest_result(operator: World) -> None:
    """As by a lifecycle rule that expires what is current."""
    (operator.box / "rounds/00000001/result").unlink()
    code, found = checked(operator)
    assert (code, found["rounds"]["level"]) == (2, "critical")
    assert "has lost rounds/00000001/result" in found["rounds"]["said"]
    assert "Restore the bucket" in found["rounds"]["remedy"]


def test_a_cut_ledger_leaves_nothing_that_is_said_of_it_good(operator: World) -> None:
    for client in operator.federation.clients:
        operator.federation.submit(client, round_id=2)
    operator.federation.run(2)
    (operator.box / "ledger/000000000001").unlink()
    found = checked(operator)[1]
    for name in ("rounds", "budget"):
        assert (found[name]["level"], "is missing" in found[name]["said"]) == ("critical", True)
        assert "Restore the bucket" in found[name]["remedy"]


def test_keys_that_others_read_that_are_missing_or_that_nobody_knows(operator: World) -> None:
    Path("coordinator.key").chmod(0o660)
    code, found = checked(operator)
    assert (code, found["coordinator key"]["level"]) == (2, "critical")
    assert "chmod 600" in found["coordinator key"]["remedy"]
    Path("coordinator.key").unlink()
    assert checked(operator)[1]["coordinator key"]["said"].endswith("no such key file")
    Path("coordinator.key").write_text("cut off")
    Path("coordinator.key").chmod(0o600)
    assert "restore the file" in checked(operator)[1]["coordinator key"]["remedy"]
    Path("coordinator.key").unlink()
    KeyPair.generate().save(Path("coordinator.key"))
    assert (
        "is not a coordinator's in the registry" in checked(operator)[1]["coordinator key"]["said"]
    )


def test_a_key_of_another_party_is_called_by_its_name(world: World) -> None:
    """The path or the id is wrong, and no root need be asked for a new key."""
    for key, owner in (("ohio", "ohio"), ("coordinator", "the coordinator")):
        Path("hyperfed.toml").write_text(world.config("texas").replace("texas.key", f"{key}.key"))
        code, found = checked(world)
        assert code == 2
        assert f"is a key of {owner}, not of texas" in found["client key"]["said"]
        assert "Correct [client] id or the path" in found["client key"]["remedy"]


def test_a_clients_key_that_ends_soon_or_has_ended(world: World) -> None:
    federation = world.federation
    record = federation.registry.client("texas")
    ends = tuple(replace(key, valid_until=5) for key in record.keys)
    federation.amend(
        clients=tuple(
            replace(record, keys=ends) if c.client_id == "texas" else c
            for c in federation.registry.clients
        )
    )
    for running, level in ((1, "warning"), (5, "warning"), (6, "critical")):
        world.at(running)
        assert levels(world)[1]["client key"] == level, running


def test_a_registry_that_expires_is_told_a_week_before(operator: World) -> None:
    registry = operator.federation.registry
    operator.federation.amend(expires=registry.windows.opens(12))
    for running, level in ((2, "ok"), (6, "warning"), (13, "critical")):
        operator.at(running)
        assert levels(operator)[1]["registry"] == level, running


def test_nights_that_are_left_out_get_worse(operator: World) -> None:
    assert levels(operator)[1]["rounds"] == "ok"
    seen = []
    for running in (3, 4, 5):
        operator.at(running)
        found = levels(operator)[1]
        seen.append((found["rounds"], found.get("plan")))
    assert seen == [("ok", None), ("warning", None), ("critical", None)]
    operator.desk.now += timedelta(hours=6)
    plan = checked(operator)[1]["plan"]
    assert (plan["level"], plan["remedy"][:3]) == ("critical", "Run")
    Path("hyperfed.toml").write_text(operator.config("texas"))
    assert "Tell the operator" in checked(operator)[1]["plan"]["remedy"], "a client cannot open it"


def test_a_client_that_is_not_seen_or_refused(world: World) -> None:
    for number in (1, 2, 3):
        world.federation.play(number, but=("texas",))
    world.at(2)
    assert levels(world)[1]["updates"] == "critical"
    world.federation.open(4)
    world.federation.put(
        world.federation.envelope("texas", round_id=4, policy=bytes(32)), "texas", round_id=4
    )
    for client in ("iowa", "ohio"):
        world.federation.submit(client, round_id=4)
    world.federation.run(4)
    world.at(5)
    code, found = checked(world)
    assert (code, found["updates"]["level"]) == (2, "critical")
    assert found["updates"]["said"].startswith("round 4: refused, ")


def test_a_client_that_missed_one_night_is_warned(world: World) -> None:
    world.federation.play(1)
    world.federation.play(2, but=("texas",))
    world.at(3)
    assert levels(world)[1]["updates"] == "warning"


def test_a_full_disk_and_a_folder_that_cannot_be_written(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, level in ((3 << 30, "ok"), (1 << 30, "warning"), (1 << 20, "critical")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(1 << 40, 0, free))
        assert levels(operator)[1]["disk"] == level
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written into" in checked(operator)[1]["disk"]["said"]


@pytest.mark.parametrize("url", ["file:box", "file://localhost{box}", "file://{box}"])
def test_the_share_is_looked_at_however_its_address_is_written(
    operator: World, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    box, elsewhere = operator.box.absolute(), operator.desk.folder / "elsewhere"
    text = Path("hyperfed.toml").read_text().replace("file:box", url.format(box=box))
    Path("hyperfed.toml").write_text(text)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    full, empty = Usage(1 << 40, 0, 1 << 20), Usage(1 << 40, 0, 1 << 39)
    monkeypatch.setattr(shutil, "disk_usage", lambda at: full if Path(at) == box else empty)
    code, found = checked(operator, "--config", str(operator.desk.folder / "hyperfed.toml"))
    assert (code, found["disk"]["level"]) == (2, "critical")
    assert f"1 MB free in {box}" in found["disk"]["said"]


@pytest.mark.parametrize(("free_mb", "level"), [(64, "ok"), (24, "warning"), (15, "critical")])
def test_a_containers_small_tmp_is_full_only_when_it_fills(
    operator: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, level: str
) -> None:
    """A compose file gives /tmp 64 MB, which is less than what is called little on a disk."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    small, disk = Usage(64 << 20, 0, free_mb << 20), Usage(1 << 40, 0, 1 << 39)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: small if Path(folder) == tmp_path else disk
    )
    code, found = checked(operator)
    assert found["disk"]["level"] == level
    assert code == {"ok": 0, "warning": 1, "critical": 2}[level]
    assert level == "ok" or f"{free_mb} MB free in {tmp_path}" in found["disk"]["said"]


def test_the_worst_folder_is_told_whichever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    at = {Path("/etc"): Usage(1 << 40, 0, 1 << 30), Path("/usr"): Usage(1 << 40, 0, 1 << 20)}
    full = Usage(1 << 40, 0, 1 << 39)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: at.get(Path(folder), full))
    for order in (list(at), list(at)[::-1]):
        found = machine.disk_finding(order)
        assert (found.level, found.said) == (Level.CRITICAL, "1 MB free in /usr")


def test_a_home_folder_that_this_user_may_not_enter_is_told(
    operator: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As under `runuser -u hyperfed` in root's shell, which keeps HOME=/root."""
    monkeypatch.setenv("HYPERFED_STATE", str(tmp_path / "closed" / "state"))
    real, closed = Path.exists, tmp_path / "closed" / "state"

    def exists(path: Path) -> bool:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setattr(Path, "exists", exists)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path / "closed")
    code, found = checked(operator)
    assert (code, found["disk"]["level"]) == (2, "critical")
    assert f"{tmp_path}/closed cannot be written into" in found["disk"]["said"]


def test_who_has_no_key_needs_no_right_to_write_to_the_share(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = operator.box.absolute()
    text = Path("hyperfed.toml").read_text().replace("file:box", f"file://{box}")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != box)
    Path("hyperfed.toml").write_text(text)
    assert levels(operator)[1]["disk"] == "critical"
    Path("hyperfed.toml").write_text(text.partition("[coordinator]")[0])
    assert levels(operator)[1]["disk"] == "ok"


def test_the_clock_is_told_before_it_is_too_late(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skew, level in ((10.0, "ok"), (-400.0, "warning"), (700.0, "critical")):
        monkeypatch.setattr(
            FilesystemStore, "clock_skew_s", property(lambda _, skew=skew: skew), raising=False
        )
        assert levels(operator)[1]["clock"] == level


def test_a_budget_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def level(budget: Budget) -> Level:
        federation = SmallFederation(store=MemoryStore(), policy=policy, budget=budget)
        federation.play(1)
        reader = federation.reader()
        return rounds.budget_finding(reader, reader.registry, reader.ledger()).level

    policy = PolicyPack(
        privacy="central", privacy_epsilon=Decimal(3), strategy="mean", trust_min=0, lags=(0, 1)
    )
    assert level(Budget(epsilon=Decimal(30))) is Level.GOOD
    assert level(Budget(epsilon=Decimal(6))) is Level.WARNING, "much is left, for a few rounds"
    assert level(Budget(epsilon=Decimal("3.5"))) is Level.CRITICAL
    monkeypatch.setattr(rounds, "LOW", Decimal("0.99"))
    assert level(Budget(epsilon=Decimal(30))) is Level.WARNING


def test_a_newer_drop_box_names_both_versions(
    operator: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperfed.codec import payload

    monkeypatch.setattr(payload, "newest", lambda kind: 0)
    code, found = checked(operator)
    assert (code, found["versions"]["level"]) == (2, "critical")
    assert "this library reads up to 0" in found["versions"]["said"]


def test_a_broken_object_is_not_taken_for_a_newer_versions(operator: World) -> None:
    """Somebody who writes to the store cuts an object off: no other version would read it."""
    for key, name in (("rounds/00000002/plan", "plan"), ("registry/000001", "registry")):
        (operator.box / key).write_bytes((operator.box / key).read_bytes()[:40])
        code, found = checked(operator)
        assert (code, found[name]["level"]) == (2, "critical")
        assert key in found[name]["said"]
        assert "Restore the bucket" in found[name]["remedy"]
        assert found["versions"]["level"] == "ok"
        upgrade = operator.desk("upgrade", "check")
        assert upgrade.code not in (0, 70)
        assert "newer format" not in upgrade.out


@pytest.mark.parametrize("text", ["[store]\nurl = 3\n", "[[["])
def test_wrong_settings_are_critical_and_stand_in_the_first_line(world: World, text: str) -> None:
    Path("hyperfed.toml").write_text(text)
    shown = world.desk("check")
    assert shown.code == 2
    assert shown.out.startswith("HYPERFED CRITICAL: settings: ")
    assert levels(world) == (2, {"settings": "critical"})


NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = ServerFacts(
    versions=("3.9.1", "3.9.0"),
    schedules={"open-round": "", "federation-round": ""},
    worker_seen=NOW - timedelta(seconds=20),
    late=(),
    paused={},
    automations_off=(),
)


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({}, {}),
        ({"late": ("round 3",)}, {"schedules": Level.WARNING}),
        ({"schedules": {"open-round": "is paused"}}, {"schedules": Level.CRITICAL}),
        ({"worker_seen": None}, {"worker": Level.CRITICAL}),
        ({"worker_seen": NOW - timedelta(hours=1)}, {"worker": Level.CRITICAL}),
        ({"paused": {"the pool": "prefect ..."}}, {"worker": Level.CRITICAL}),
        ({"automations_off": ("zombies",)}, {"automations": Level.WARNING}),
        ({"versions": ("3.9.1", "3.8.8")}, {"prefect": Level.WARNING}),
    ],
)
def test_what_a_server_says(change: dict[str, Any], bad: dict[str, Level]) -> None:
    found = server_findings(replace(FACTS, **change), NOW)
    assert {f.name: f.level for f in found if f.level is not Level.GOOD} == bad
    assert all(f.remedy for f in found if f.name in bad)


def test_the_worst_is_what_is_wrong_before_what_is_unknown() -> None:
    def of(*found: Level) -> Level:
        return worst([Finding(name="x", level=level, said="") for level in found])

    assert of(Level.GOOD, Level.UNKNOWN) is Level.UNKNOWN
    assert of(Level.UNKNOWN, Level.WARNING) is Level.WARNING
    assert of(Level.WARNING, Level.CRITICAL, Level.UNKNOWN) is Level.CRITICAL
    assert of() is Level.UNKNOWN
